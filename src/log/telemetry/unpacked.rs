//! Unpacked segments in memory. What is stored of a segment never changes, so one holds as long as
//! it is the segment that a reader sees.
use bytes::Bytes;
use nix::sys::sysinfo::sysinfo;
use stratalog_projections::{Connection, Reader};

use super::{Question, walk::Candidate};
use crate::{error::Error, log::segment};

const BODIES: &str = "\
SELECT first_position, body FROM es.segment WHERE first_position = ANY($1)";

/// Segments take this part of the machine's memory at most, within bounds in bytes.
const MEMORY_PART: u64 = 32;
const BYTES_MIN: u64 = 64 * 1024 * 1024;
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What tells segments apart, whatever became of the log: a replaced log is in other tables, one
/// that went back has another epoch and, where positions are taken again, other segments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    epoch: i64,
    of_table: u32,
    first_position: i64,
    packed_bytes: i32,
    times_us: [i64; 4],
}

/// Segments that were read lately. Clones share them.
#[derive(Debug, Clone)]
pub struct Unpacked {
    kept: moka::sync::Cache<Identity, Bytes>,
    epoch: i64,
}

impl Default for Unpacked {
    fn default() -> Self {
        let memory = sysinfo().map_or(0, |info| info.ram_total());
        let weigh = |_: &Identity, plain: &Bytes| {
            u32::try_from(size_of::<Identity>() + plain.len()).unwrap_or(u32::MAX)
        };
        let kept = moka::sync::Cache::builder()
            .max_capacity((memory / MEMORY_PART).clamp(BYTES_MIN, BYTES_MAX))
            .weigher(weigh)
            .build();
        Self { kept, epoch: 0 }
    }
}

impl Unpacked {
    /// The same segments, for whoever looks at the log since it last went back.
    #[must_use]
    pub fn of_epoch(&self, epoch: i64) -> Self {
        Self {
            epoch,
            ..self.clone()
        }
    }

    fn identity(&self, candidate: &Candidate) -> Identity {
        Identity {
            epoch: self.epoch,
            of_table: candidate.of_table,
            first_position: candidate.first_position,
            packed_bytes: candidate.packed_bytes,
            times_us: candidate.times.map(|time| time.timestamp_micros()),
        }
    }
}

impl Question {
    /// Segments unpacked, each with its position; those in memory are not read.
    pub(super) async fn plain<C: Connection>(
        &self,
        view: &Reader<C>,
        of: &[Candidate],
    ) -> Result<Vec<(i64, Bytes)>, Error> {
        let mut plain = Vec::with_capacity(of.len());
        let mut missing = Vec::new();
        for candidate in of {
            let kept = self.unpacked.as_ref();
            match kept.and_then(|kept| kept.kept.get(&kept.identity(candidate))) {
                Some(kept) => plain.push((candidate.first_position, kept)),
                None => missing.push(candidate),
            }
        }
        if missing.is_empty() {
            return Ok(plain);
        }
        // a question that tests single records may read all segments, and would only push out those
        // that are asked for again
        let keeper = self.unpacked.as_ref().filter(|_| self.tests.is_empty());
        let positions: Vec<i64> = missing.iter().map(|one| one.first_position).collect();
        for row in view.fetch(BODIES, &[&positions]).await? {
            let first_position: i64 = row.try_get(0)?;
            let unpacked = Bytes::from(segment::plain(row.try_get(1)?)?);
            let mut missing = missing.iter();
            let candidate = missing.find(|one| one.first_position == first_position);
            if let (Some(kept), Some(candidate)) = (keeper, candidate) {
                let identity = kept.identity(candidate);
                kept.kept.insert(identity, unpacked.clone());
            }
            plain.push((first_position, unpacked));
        }
        Ok(plain)
    }
}
