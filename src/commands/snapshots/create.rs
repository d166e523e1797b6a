//! Making a snapshot: of everything that was in the log before it was asked for. So it does not
//! contain itself, and whoever takes it over after a crash makes the same bytes.
use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use serde_json::{Map, Value};
use stratalog_projections::{
    At, StoredRow,
    views::{executions::Execution, scoped, snapshots::Snapshot},
};
use stratalog_schema::{
    Event,
    events::{Scope, SnapshotCreated, SnapshotStatusChanged},
};
use tokio::sync::mpsc;

use super::{MODEL, snapshot_id, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        archives::ARCHIVES,
        executions::{NewExecution, telemetry},
        ids,
    },
    context::Context,
    error::{Error, ErrorCode},
    files::blobs::{Staged, Stored},
    log::read,
    snapshot::export::export,
    store::Decision,
};

/// The workflow that makes a snapshot.
pub(super) const CREATE_WORKFLOW: &str = "create_snapshot";
/// Written at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks on their way to the blob store.
const CHUNKS: usize = 8;

/// Asks for a snapshot; gives the execution that makes it, and the position.
///
/// # Errors
/// 400 for an id that is none, 403, 409 when it exists.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    parameters: Map<String, Value>,
) -> Result<(String, i64), Error> {
    caller.require(Permission::SnapshotCreate)?;
    ids::check("snapshot_id", id)?;
    let tenant = caller.tenant()?;
    let (appended, execution) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            if view.row(MODEL.0, &scoped(tenant, id)).await?.is_some() {
                return Err(taken(tenant, id));
            }
            let mut new = NewExecution::pending(caller, CREATE_WORKFLOW, parameters.clone())?;
            new.event_mut().allow_custom_parameters = true;
            let execution = new.id().to_owned();
            let created = SnapshotCreated {
                id: id.to_owned(),
                scope: Some(scope(caller, tenant)),
                status: "creating".to_owned(),
                created_at_ms: clock::now_ms(),
                execution_id: Some(execution.clone()),
                ..SnapshotCreated::default()
            };
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            decision.event(stream(tenant, id), Event::SnapshotCreated(created));
            decision.events.push(new.into_event());
            Ok((decision, execution))
        })
        .await?;
    Ok((execution, appended.last_position))
}

/// Snapshots are private.
pub(super) fn scope(caller: &Caller, tenant: &str) -> Scope {
    Scope {
        tenant: tenant.to_owned(),
        visibility: "private".to_owned(),
        created_by: caller.username.clone(),
    }
}

pub(super) fn taken(tenant: &str, id: &str) -> Error {
    Error::refused(
        ErrorCode::Conflict,
        format!(
            "snapshot with id={id} already exists on tenant {tenant} or with global visibility"
        ),
    )
}

/// Makes the snapshot that an execution is about.
///
/// # Errors
/// What the execution fails with; the snapshot has failed then, too.
pub async fn make(ctx: &Context, caller: &Caller, execution: &Execution) -> Result<(), Error> {
    let id = snapshot_id(execution)?;
    let view = ctx.store.read(At::Now).await?;
    let key = scoped(&execution.tenant_name, &id);
    let row = view.row(MODEL.0, &key).await?;
    drop(view.finish().await?);
    let row = row.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
    let snapshot: Snapshot = row.resource()?;
    if snapshot.status != "creating" {
        // a former runner of this execution came this far
        return Ok(());
    }
    let made = take(ctx, &row).await;
    let (staged, position, manifest) = match made {
        Ok(made) => made,
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            let failed = SnapshotStatusChanged {
                status: "failed".to_owned(),
                error: Some(error.to_string()),
                ..changed(&snapshot)
            };
            note(ctx, caller, (execution, failed, "error")).await?;
            return Err(error);
        }
    };
    let _archives = ARCHIVES.lock().await;
    let Stored { digest, size_bytes } = staged.stored();
    let committed = ctx.blobs.commit(vec![staged]).await;
    committed.map_err(Error::internal)?;
    let created = SnapshotStatusChanged {
        status: "created".to_owned(),
        position: Some(position),
        manifest_digest: Some(manifest),
        size_bytes: i64::try_from(size_bytes).ok(),
        archive_digest: Some(digest.as_bytes().to_vec()),
        ..changed(&snapshot)
    };
    note(ctx, caller, (execution, created, "info")).await
}

fn changed(snapshot: &Snapshot) -> SnapshotStatusChanged {
    SnapshotStatusChanged {
        id: snapshot.id.clone(),
        tenant: snapshot.tenant_name.clone(),
        ..SnapshotStatusChanged::default()
    }
}

async fn note(
    ctx: &Context,
    caller: &Caller,
    (execution, event, level): (&Execution, SnapshotStatusChanged, &str),
) -> Result<(), Error> {
    let text = match (event.position, &event.error) {
        (Some(position), _) => format!(
            "Snapshot {} holds everything up to position {position} of the log",
            event.id
        ),
        (None, error) => format!(
            "Snapshot {} failed: {}",
            event.id,
            error.as_deref().unwrap_or_default()
        ),
    };
    let line = telemetry::log(execution, level, text);
    ctx.store
        .command(&caller.meta(), None, async |_| {
            let mut decision = Decision::nothing();
            let changes = stream(&event.tenant, &event.id);
            decision.event(changes, Event::SnapshotStatusChanged(event.clone()));
            decision.telemetry.push(line.clone());
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Exports into the blob store's spool. Gives the position and the resource directory's digest,
/// too.
async fn take(ctx: &Context, row: &StoredRow) -> Result<(Staged, i64, Vec<u8>), Error> {
    let view = ctx.store.read(At::Now).await?;
    let position = read::before_batch_of(view.client(), row.born).await?;
    drop(view.finish().await?);
    let (chunks, mut arriving) = mpsc::channel(CHUNKS);
    let pipe = BufWriter::with_capacity(CHUNK_BYTES, Pipe { chunks });
    let database = ctx.store.database();
    let exported = export(
        database,
        &ctx.blobs,
        (pipe, Some(position)),
        Box::new(|_| {}),
    );
    let stream = futures::stream::poll_fn(move |task| {
        arriving
            .poll_recv(task)
            .map(|chunk: Option<Bytes>| chunk.map(Ok::<_, io::Error>))
    });
    let staged = ctx.blobs.stage_stream(stream, u64::MAX);
    let exported = async {
        let exported = exported.await?;
        // the spool ends when this does
        drop(exported.out);
        Ok::<_, Error>(exported.manifest)
    };
    let (exported, staged) = tokio::join!(exported, staged);
    // when the spool fails, the export does, too; its error would say less
    let staged = staged.map_err(Error::internal)?;
    Ok((staged, position, exported?.as_bytes().to_vec()))
}

/// The end of a pipe that is written to.
#[derive(Debug)]
struct Pipe {
    chunks: mpsc::Sender<Bytes>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        let sent = self.chunks.blocking_send(chunk);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
