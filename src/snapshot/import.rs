//! Import: a snapshot becomes the log, the views and the contents of a manager.
use std::fs::File;

use bytes::Bytes;
use stratalog_projections::{digest::digest, rebuild, view::View};
use tokio::runtime::Handle;
use tokio_postgres::{Client, Transaction, error::SqlState};

use super::{
    Done, Progress,
    container::{Header, Limits, Reader},
    require_unused, told,
};
use crate::{
    clock,
    db::Database,
    error::{Error, ErrorCode},
    files::blobs::BlobStore,
    log::{
        transfer::{self, Restored},
        verify,
    },
};

/// What the snapshot is restored into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A log without a single event.
    EmptyLog,
    /// A manager that runs, and has nothing but its first entries and snapshots.
    UnusedManager,
    /// A manager that runs, whatever it has: its log is kept under another name.
    AnyManager,
}

/// A restore.
#[derive(Debug)]
pub struct Import {
    /// The snapshot.
    pub source: File,
    /// Where it is to go.
    pub place: Place,
    /// What asked for it; position and chain are filled in.
    pub note: Restored,
}

/// What a restore brought back.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The log's head.
    pub position: i64,
    /// Digest of every view.
    pub views: Vec<(View, String)>,
    /// Schema of the former log, where it is kept.
    pub kept: Option<String>,
}

/// Restores a snapshot, whole or not at all: contents first, then the log, which must verify and
/// end in the snapshot's chain value, then the views from it.
///
/// # Errors
/// Refused: damaged snapshots, a place that is not free. Database errors.
pub async fn import(
    database: &Database,
    blobs: &BlobStore,
    import: Import,
    progress: Progress,
) -> Result<Imported, Error> {
    let client = database.dedicated().await?;
    let blobs = blobs.clone();
    let read = tokio::task::spawn_blocking(move || {
        let restore = Restore {
            handle: Handle::current(),
            place: import.place,
            progress,
        };
        restore.run(client, &blobs, (import.source, import.note))
    });
    read.await.map_err(Error::internal)?
}

struct Restore {
    handle: Handle,
    place: Place,
    progress: Progress,
}

impl Restore {
    fn run(
        &self,
        mut client: Client,
        blobs: &BlobStore,
        (source, mut note): (File, Restored),
    ) -> Result<Imported, Error> {
        let mut reader = Reader::open(source, &Limits::default()).map_err(told)?;
        let header = reader.metadata().header();
        note.position = i64::try_from(header.position).map_err(Error::internal)?;
        note.chain = header.chain.as_bytes().to_vec();
        self.handle.block_on(self.require_free(&client))?;
        let mut bytes = |bytes| (self.progress)(Done::Bytes(bytes));
        reader.import_blobs(blobs, &mut bytes).map_err(told)?;
        let transaction = self.handle.block_on(client.transaction())?;
        self.handle
            .block_on(self.prepare(&transaction, note.position))?;
        self.log(&mut reader, &transaction)?;
        let finish = self.finish(&transaction, (&header, &note));
        let views = self.handle.block_on(finish).map_err(refusal)?;
        self.handle.block_on(transaction.commit())?;
        Ok(Imported {
            position: note.position,
            views,
            kept: self.handle.block_on(self.tidy(&client))?,
        })
    }

    async fn require_free(&self, client: &impl tokio_postgres::GenericClient) -> Result<(), Error> {
        match self.place {
            Place::EmptyLog => transfer::require_empty(client).await,
            Place::UnusedManager => require_unused(client).await,
            Place::AnyManager => Ok(()),
        }
    }

    async fn prepare(&self, transaction: &Transaction<'_>, upto: i64) -> Result<(), Error> {
        transfer::lock(transaction).await?;
        self.require_free(transaction).await?;
        if self.place != Place::EmptyLog {
            transfer::set_aside(transaction).await?;
        }
        transfer::make_room(transaction, upto).await
    }

    fn log(&self, reader: &mut Reader<File>, transaction: &Transaction<'_>) -> Result<(), Error> {
        for index in 0..reader.metadata().segments() {
            let rows = reader.segment(index).map_err(told)?;
            let size_bytes = rows.len() as u64;
            let copied = transfer::copy_in(transaction, Bytes::from(rows));
            self.handle.block_on(copied).map_err(refusal)?;
            (self.progress)(Done::Bytes(size_bytes));
        }
        Ok(())
    }

    async fn finish(
        &self,
        transaction: &Transaction<'_>,
        (header, note): (&Header, &Restored),
    ) -> Result<Vec<(View, String)>, Error> {
        let checkpoint = verify::Checkpoint {
            position: note.position,
            chain: header.chain.to_string(),
        };
        let heard = |seen: &verify::Progress| (self.progress)(Done::Verified(seen.position));
        let verified = verify::verify_in(transaction, Some(&checkpoint), &heard).await?;
        if let Some(fault) = verified.fault {
            return Err(wrong(format!(
                "its log is not intact at position {}: {}",
                fault.position, fault.reason
            )));
        }
        if verified.checkpoint != checkpoint {
            return Err(wrong("its log ends elsewhere than it says"));
        }
        rebuild::build_beside(transaction, note.position, &|position| {
            (self.progress)(Done::Rebuilt(position));
        })
        .await?;
        let mut views = Vec::new();
        for view in View::ALL {
            views.push((view, digest(transaction, rebuild::BESIDE, view).await?));
        }
        transfer::note(transaction, note).await?;
        // last: from here on readers wait
        rebuild::swap(transaction, note.position).await?;
        Ok(views)
    }

    /// What becomes of the log that was set aside.
    async fn tidy(&self, client: &Client) -> Result<Option<String>, Error> {
        match self.place {
            Place::EmptyLog => Ok(None),
            Place::UnusedManager => transfer::drop_replaced(client).await.map(|()| None),
            Place::AnyManager => {
                let kept = transfer::keep_replaced(client, clock::now_ms()).await?;
                Ok(Some(kept))
            }
        }
    }
}

fn wrong(reason: impl std::fmt::Display) -> Error {
    Error::refused(
        ErrorCode::SnapshotAction,
        format!("The snapshot cannot be restored: {reason}"),
    )
}

/// What the database or a fold makes of a snapshot's log is the snapshot's fault, unless somebody
/// stood in the way: then it is tried again.
fn refusal(error: Error) -> Error {
    let Error::Internal(reason) = error else {
        return error;
    };
    let database = reason.downcast_ref::<tokio_postgres::Error>();
    match database.and_then(tokio_postgres::Error::as_db_error) {
        Some(failed) if *failed.code() == SqlState::T_R_DEADLOCK_DETECTED => {
            Error::Unavailable(failed.to_string())
        }
        Some(failed) => wrong(failed),
        None => wrong(format!("{reason:#}")),
    }
}
