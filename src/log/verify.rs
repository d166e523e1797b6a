//! Verification: reads the whole log in order, computes every hash again and names the first
//! position where what is stored cannot be what was appended.
//!
//! A chain alone cannot tell that its tail was cut: a [`Checkpoint`] kept elsewhere can. What lies
//! beside the log and follows from it (times and references of segments) is computed again. Entries
//! of commands only have to fit a batch: which id a command had is written nowhere else.
use std::{cmp::Ordering, collections::HashMap};

use prost::Message as _;
use serde::{Deserialize, Serialize};
use stratalog_projections::rebuild;
use stratalog_schema::{envelope, events::TelemetryRecord};
use tokio_postgres::{Client, GenericClient, IsolationLevel};

use self::{
    fault::{at, over, within},
    rows::{Batch, Event, Page, Segment},
};
use super::{
    chain::{self, GENESIS, Hash},
    segment,
};
use crate::error::Error;

mod fault;
mod files;
mod rows;

pub use fault::{Fault, Reason};
pub use files::{Content, Files};

/// A position with the chain value of the batch that ends there, kept outside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last position that had been verified.
    pub position: i64,
    /// Lower-case hexadecimal chain value there.
    pub chain: String,
}

/// How far verification has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Last position verified.
    pub position: i64,
    /// Last position of the log.
    pub head: i64,
    /// Batches seen.
    pub batches: u64,
    /// Model events seen.
    pub events: u64,
    /// Telemetry records seen.
    pub records: u64,
}

/// The outcome.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What was seen; up to the fault when there is one.
    pub progress: Progress,
    /// Position and chain value reached.
    pub checkpoint: Checkpoint,
    /// Contents of files that the log speaks of; whoever can reach them checks their digests.
    pub files: Files,
    /// The first fault; `None`: the log is what was appended.
    pub fault: Option<Fault>,
}

/// Verifies the log as one snapshot of the database sees it; appends go on meanwhile.
///
/// # Errors
/// Database errors. What is wrong with the log is no error but the outcome.
pub async fn verify(
    client: &mut Client,
    checkpoint: Option<&Checkpoint>,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Verified, Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let verified = verify_in(&transaction, checkpoint, progress).await?;
    transaction.rollback().await?;
    Ok(verified)
}

/// As [`verify`], within a transaction that must see one state of the log throughout.
///
/// # Errors
/// Database errors.
pub async fn verify_in(
    client: &impl GenericClient,
    checkpoint: Option<&Checkpoint>,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Verified, Error> {
    let mut walk = Walk::start(checkpoint.cloned());
    walk.progress.head = rebuild::head(client).await?;
    let fault = walk.all(client, progress).await?;
    Ok(Verified {
        checkpoint: Checkpoint {
            position: walk.progress.position,
            chain: hex::encode(walk.chain),
        },
        progress: walk.progress,
        files: walk.files,
        fault,
    })
}

/// What is known of everything before the next batch.
#[derive(Debug)]
struct Walk {
    progress: Progress,
    last_first: i64,
    chain: Hash,
    recorded_at_us: i64,
    versions: HashMap<i64, i64>,
    files: Files,
    checkpoint: Option<Checkpoint>,
}

impl Walk {
    fn start(checkpoint: Option<Checkpoint>) -> Self {
        Self {
            progress: Progress::default(),
            last_first: i64::MIN,
            chain: GENESIS,
            recorded_at_us: i64::MIN,
            versions: HashMap::new(),
            files: Files::default(),
            checkpoint: checkpoint.filter(|checkpoint| checkpoint.position > 0),
        }
    }

    async fn all(
        &mut self,
        client: &impl GenericClient,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Option<Fault>, Error> {
        loop {
            let page = Page::read(client, self.last_first, self.progress.position).await?;
            if page.batches.is_empty() {
                break;
            }
            if let Err(fault) = self.page(page) {
                return Ok(Some(fault));
            }
            progress(&self.progress);
        }
        let end = self.progress.position;
        if let Some(position) = rows::stray(client, end).await? {
            return Ok(Some(at(position, Reason::StrayEvent)));
        }
        if let Some(checkpoint) = self.checkpoint.as_ref().map(|c| c.position) {
            return Ok(Some(at(end + 1, Reason::Cut { checkpoint })));
        }
        if let Some(position) = rows::stray_reference(client).await? {
            return Ok(Some(at(position, Reason::StrayReference)));
        }
        if let Some(position) = rows::stray_command(client).await? {
            return Ok(Some(at(position, Reason::Command)));
        }
        let stray = rows::stray_stream(client).await?;
        Ok(stray.map(|stream_no| at(0, Reason::StrayStream { stream_no })))
    }

    fn page(&mut self, page: Page) -> Result<(), Fault> {
        let mut events = page.events.into_iter().peekable();
        let mut segments = page.segments.into_iter().peekable();
        for batch in page.batches {
            self.spine(&batch)?;
            let end = batch.first_position + i64::from(batch.n);
            let mut leaves = Vec::new();
            let (mut stored, mut unpacked) = (Vec::new(), Vec::new());
            let mut expected = batch.first_position;
            while let Some(event) = events.next_if(|event| event.position < end) {
                leaves.push(self.event(&batch, &event, expected)?);
                expected += 1;
                stored.push(event);
            }
            while let Some(segment) = segments.next_if(|s| s.first_position < end) {
                placed(segment.first_position, expected)?;
                let records = unpack(&segment)?;
                for (position, data) in (expected..).zip(&records) {
                    leaves.push(chain::telemetry_leaf(position, data));
                }
                expected += i64::from(segment.n);
                self.progress.records += u64::try_from(segment.n).unwrap_or(0);
                unpacked.push((segment, records));
            }
            if expected < end {
                return Err(at(expected, Reason::MissingEvent));
            }
            if expected > end {
                return Err(at(end, Reason::StrayEvent));
            }
            self.hashes(&batch, leaves)?;
            for event in &stored {
                self.readable(event)?;
            }
            for (segment, records) in &unpacked {
                described(segment, records)?;
            }
            self.progress.batches += 1;
            self.progress.position = end - 1;
            self.checkpoint_passed()?;
        }
        Ok(())
    }

    /// Whether the batch stands where the one before it ends.
    fn spine(&mut self, batch: &Batch) -> Result<(), Fault> {
        let expected = self.progress.position + 1;
        let first = batch.first_position;
        if first > expected {
            return Err(at(expected, Reason::MissingBatch { next: first }));
        }
        if first < expected {
            return Err(at(first, Reason::OverlappingBatch));
        }
        let recorded_at_us = batch.recorded_at.timestamp_micros();
        if recorded_at_us < self.recorded_at_us {
            return Err(within(batch, Reason::TimeGoesBack));
        }
        self.recorded_at_us = recorded_at_us;
        self.last_first = first;
        Ok(())
    }

    fn event(&mut self, batch: &Batch, event: &Event, expected: i64) -> Result<Hash, Fault> {
        placed(event.position, expected)?;
        if event.recorded_at != batch.recorded_at {
            return Err(at(event.position, Reason::EventTime));
        }
        let version = self.versions.entry(event.stream_no).or_insert(0);
        if event.version != *version + 1 {
            let reason = Reason::StreamVersion {
                stream_no: event.stream_no,
                before: *version,
                found: event.version,
            };
            return Err(at(event.position, reason));
        }
        *version = event.version;
        self.progress.events += 1;
        event.leaf().ok_or_else(|| {
            let stream_no = event.stream_no;
            at(event.position, Reason::UnknownStream { stream_no })
        })
    }

    /// Whether the event can be read; notes the files it speaks of.
    fn readable(&mut self, event: &Event) -> Result<(), Fault> {
        let decoded = envelope::decode(event.position, event.type_no, &event.data);
        let (_, decoded) =
            decoded.map_err(|error| at(event.position, Reason::Unreadable(error.to_string())))?;
        self.files.note(event.position, &decoded)
    }

    fn hashes(&mut self, batch: &Batch, leaves: Vec<Hash>) -> Result<(), Fault> {
        let root = chain::root(leaves);
        if root.as_slice() != batch.root {
            return Err(within(batch, Reason::Root));
        }
        let first = batch.first_position;
        let link = chain::link(&self.chain, first, batch.n, batch.recorded_at, &root);
        if link.as_slice() != batch.chain {
            return Err(within(batch, Reason::Chain));
        }
        self.chain = link;
        Ok(())
    }

    /// Compares with the checkpoint once the batch that holds it was verified.
    fn checkpoint_passed(&mut self) -> Result<(), Fault> {
        let reached = self.progress.position;
        let Some(checkpoint) = self.checkpoint.take_if(|c| c.position <= reached) else {
            return Ok(());
        };
        if checkpoint.position == reached && checkpoint.chain == hex::encode(self.chain) {
            return Ok(());
        }
        Err(at(checkpoint.position, Reason::Rewritten))
    }
}

fn placed(found: i64, expected: i64) -> Result<(), Fault> {
    match found.cmp(&expected) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(at(expected, Reason::MissingEvent)),
        Ordering::Less => Err(at(found, Reason::Doubled)),
    }
}

fn unpack(segment: &Segment) -> Result<Vec<Vec<u8>>, Fault> {
    let damaged = |what: String| over(segment, Reason::Segment(what));
    let plain = segment::plain(&segment.body).map_err(|error| damaged(error.to_string()))?;
    let records: Result<Vec<_>, _> = segment::records(&plain)
        .map(|data| data.map(<[u8]>::to_vec))
        .collect();
    let records = records.map_err(|error| damaged(error.to_string()))?;
    if i32::try_from(records.len()) != Ok(segment.n) {
        let (found, said) = (records.len(), segment.n);
        return Err(damaged(format!(
            "it holds {found} records instead of {said}"
        )));
    }
    Ok(records)
}

/// Whether what lies beside a segment's body follows from its records.
fn described(segment: &Segment, records: &[Vec<u8>]) -> Result<(), Fault> {
    let records = records
        .iter()
        .map(|data| TelemetryRecord::decode(data.as_slice()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| over(segment, Reason::Segment(error.to_string())))?;
    let Some(index) = segment::index(&records) else {
        return Ok(());
    };
    if index.times() != segment.times {
        return Err(over(segment, Reason::SegmentIndex("times")));
    }
    if index.refs != segment.refs {
        return Err(over(segment, Reason::SegmentIndex("references")));
    }
    Ok(())
}
