//! Taking in an archive that was downloaded elsewhere.
use stratalog_schema::{
    Event,
    events::{SnapshotCreated, SnapshotStatusChanged},
};

use super::{MODEL, create::scope, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        archives::{self, ARCHIVES},
        ids,
    },
    context::Context,
    error::Error,
    files::blobs::{Staged, Stored},
    snapshot::container::{ContainerError, Limits, Reader},
    store::Decision,
};

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// It is a new snapshot.
    New,
    /// It took the place of a known snapshot's archive.
    Replaced,
}

/// Stores an archive. Its structure is looked at now, its contents when it is restored.
///
/// # Errors
/// 400 for an archive or id that is none; 403.
pub async fn upload(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    staged: Staged,
) -> Result<(Archive, i64), Error> {
    caller.require(Permission::SnapshotUpload)?;
    ids::check("snapshot_id", id)?;
    let tenant = caller.tenant()?;
    let staged = checked(staged).await?;
    let _archives = ARCHIVES.lock().await;
    let Stored { digest, size_bytes } = staged.stored();
    let committed = ctx.blobs.commit(vec![staged]).await;
    committed.map_err(Error::internal)?;
    let archive_digest = Some(digest.as_bytes().to_vec());
    let size_bytes = i64::try_from(size_bytes).ok();
    let created_at_ms = clock::now_ms();
    let decided = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            let Some(known) = super::find(view, tenant, id).await? else {
                let event = SnapshotCreated {
                    id: id.to_owned(),
                    scope: Some(scope(caller, tenant)),
                    status: "uploaded".to_owned(),
                    created_at_ms,
                    execution_id: None,
                    archive_digest: archive_digest.clone(),
                    size_bytes,
                };
                decision.event(stream(tenant, id), Event::SnapshotCreated(event));
                return Ok((decision, (Archive::New, None)));
            };
            caller.get(view, MODEL, id).await?;
            let event = SnapshotStatusChanged {
                id: id.to_owned(),
                tenant: tenant.to_owned(),
                status: known.status,
                error: known.error,
                archive_digest: archive_digest.clone(),
                size_bytes,
                ..SnapshotStatusChanged::default()
            };
            decision.event(stream(tenant, id), Event::SnapshotStatusChanged(event));
            let former = known.taken.archive_digest;
            Ok((decision, (Archive::Replaced, former)))
        })
        .await;
    let (appended, (outcome, former)) = match decided {
        Ok(decided) => decided,
        Err(error) => {
            archives::remove(ctx, Some(digest.to_string())).await?;
            return Err(error);
        }
    };
    archives::remove(ctx, former).await?;
    Ok((outcome, appended.last_position))
}

async fn checked(staged: Staged) -> Result<Staged, Error> {
    let checked = tokio::task::spawn_blocking(move || {
        let source = staged.open()?;
        Reader::open(source, &Limits::default())?;
        Ok::<_, ContainerError>(staged)
    });
    let checked = checked.await.map_err(Error::internal)?;
    checked.map_err(|error| match error {
        ContainerError::Files(_) | ContainerError::Io(_) => Error::internal(error),
        wrong => Error::bad_parameters(format!("The archive cannot be used: {wrong}")),
    })
}
