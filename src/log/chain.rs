//! Tamper evidence: a Merkle root per batch, chained from batch to batch.
//!
//! Leaves cover what is stored, byte for byte, so that nothing has to be encoded again to verify
//! it.
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// What the first batch is chained to.
pub const GENESIS: Hash = [0; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// What the leaf of a model event covers.
#[derive(Debug)]
pub struct ModelLeaf<'a> {
    /// Position.
    pub position: i64,
    /// Stream number.
    pub stream_no: i64,
    /// Version within the stream.
    pub version: i64,
    /// Time of its batch.
    pub recorded_at: DateTime<Utc>,
    /// Type number.
    pub type_no: i16,
    /// Identity.
    pub event_id: Uuid,
    /// Stored bytes.
    pub data: &'a [u8],
    /// The stream's category and key. Its first event vouches for the name.
    pub stream: (i16, &'a str),
}

impl ModelLeaf<'_> {
    /// Its hash.
    pub fn hash(&self) -> Hash {
        let mut hash = Sha256::new();
        hash.update([LEAF]);
        hash.update(self.position.to_be_bytes());
        hash.update(self.stream_no.to_be_bytes());
        hash.update(self.version.to_be_bytes());
        hash.update(self.recorded_at.timestamp_micros().to_be_bytes());
        hash.update(self.type_no.to_be_bytes());
        hash.update(self.event_id.as_bytes());
        if self.version == 1 {
            let (category, key) = self.stream;
            hash.update(category.to_be_bytes());
            hash.update((key.len() as u64).to_be_bytes());
            hash.update(key);
        }
        hash.update(self.data);
        hash.finalize().into()
    }
}

/// Hash of a telemetry record's leaf; `data` are the record's encoded bytes.
pub fn telemetry_leaf(position: i64, data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([LEAF]);
    hash.update(position.to_be_bytes());
    hash.update(data);
    hash.finalize().into()
}

/// Root of a batch, its leaves in order of position. An odd node moves up unchanged.
pub fn root(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    let mut hash = Sha256::new();
                    hash.update([NODE]);
                    hash.update(left);
                    hash.update(right);
                    hash.finalize().into()
                }
                [alone] => *alone,
                _ => GENESIS,
            })
            .collect();
    }
    level.first().copied().unwrap_or(GENESIS)
}

/// Links a batch to what came before it.
pub fn link(
    before: &Hash,
    first_position: i64,
    n: i32,
    recorded_at: DateTime<Utc>,
    root: &Hash,
) -> Hash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(first_position.to_be_bytes());
    hash.update(n.to_be_bytes());
    hash.update(recorded_at.timestamp_micros().to_be_bytes());
    hash.update(root);
    hash.finalize().into()
}
