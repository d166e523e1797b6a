//! Snapshots: asking for one, making it, taking one in, restoring, deleting. Archives are contents
//! of the blob store that only the row of their snapshot names: they are not in the resource
//! directory, so no snapshot contains another.
mod create;
mod restore;
mod upload;

use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{executions::Execution, scoped, snapshots::Snapshot},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{SnapshotDeleted, SnapshotStatusChanged},
};

use super::{
    archives::{self, ARCHIVES},
    executions,
};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::{Error, ErrorCode},
    files::manifest::Entry,
    store::{self, Decision},
};

pub use create::{create, make};
pub use restore::{RESTORE_WORKFLOW, finish_restored, restore, start_restore};
pub use upload::{Archive, upload};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::Snapshots, "Snapshot");

/// What a snapshot can be.
const STATUSES: [&str; 4] = ["creating", "created", "failed", "uploaded"];

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Snapshot, tenant, id)
}

/// The archive of a snapshot.
///
/// # Errors
/// 400 for a failed one, 404 when there is none (yet, or on this manager).
pub async fn archive(ctx: &Context, snapshot: &Snapshot) -> Result<Entry, Error> {
    if snapshot.status == "failed" {
        return Err(Error::refused(
            ErrorCode::SnapshotAction,
            format!("The snapshot {} has failed, it cannot be used", snapshot.id),
        ));
    }
    let missing = || Error::not_found("Snapshot archive", &snapshot.id);
    let taken = &snapshot.taken;
    let digest = taken.archive_digest.as_deref().ok_or_else(missing)?;
    let entry = archives::entry(ctx, digest, taken.created_at_ms).await?;
    entry.ok_or_else(missing)
}

/// Deletes a snapshot and its archive; gives its last document.
///
/// # Errors
/// 404; 400 while it is made or restored.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str) -> Result<(String, i64), Error> {
    caller.require(Permission::SnapshotDelete)?;
    let _archives = ARCHIVES.lock().await;
    let (appended, (document, archive)) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = caller.get(view, MODEL, id).await?;
            let snapshot: Snapshot = row.resource()?;
            let tenant = snapshot.tenant_name.clone();
            if let Some(execution) = active(view, &tenant, id).await? {
                return Err(Error::refused(
                    ErrorCode::SnapshotAction,
                    format!(
                        "The snapshot {id} cannot be deleted: execution {} ({}) works with it",
                        execution.id, execution.workflow_id
                    ),
                ));
            }
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(&tenant, id)).await?;
            let event = SnapshotDeleted {
                id: id.to_owned(),
                tenant: tenant.clone(),
            };
            decision.event(stream(&tenant, id), Event::SnapshotDeleted(event));
            Ok((decision, (row.doc, snapshot.taken.archive_digest)))
        })
        .await?;
    archives::remove(ctx, archive).await?;
    Ok((document, appended.last_position))
}

/// The execution that makes or restores a snapshot, if one does or is about to.
async fn active(view: &store::View, tenant: &str, id: &str) -> Result<Option<Execution>, Error> {
    let mut statuses: Vec<String> = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    statuses.push("queued".to_owned());
    let workflows = vec![
        create::CREATE_WORKFLOW.to_owned(),
        RESTORE_WORKFLOW.to_owned(),
    ];
    let query = ListQuery::all(View::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
        .with(Condition::AnyOf("workflow_id".to_owned(), workflows));
    let found: Vec<Execution> = view.select_as(&query).await?;
    for execution in found {
        if execution.tenant_name == tenant && snapshot_id(&execution)? == id {
            return Ok(Some(execution));
        }
    }
    Ok(None)
}

/// The snapshot that an execution is about.
fn snapshot_id(execution: &Execution) -> Result<String, Error> {
    let parameters = executions::parameters_of(execution)?;
    let id = parameters
        .get("snapshot_id")
        .and_then(serde_json::Value::as_str);
    Ok(id.unwrap_or_default().to_owned())
}

/// A worker's report: `PATCH /snapshots/{id}`.
///
/// # Errors
/// 403, 404; 400 for a status that is none.
pub async fn set_status(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (status, error): (&str, Option<&str>),
) -> Result<i64, Error> {
    caller.require(Permission::SnapshotStatusUpdate)?;
    if !STATUSES.contains(&status) {
        return Err(Error::bad_parameters(format!(
            "Invalid snapshot status: {status}. Possible statuses are: {}",
            STATUSES.join(", ")
        )));
    }
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let snapshot: Snapshot = caller.get(view, MODEL, id).await?.resource()?;
            let event = SnapshotStatusChanged {
                id: id.to_owned(),
                tenant: snapshot.tenant_name,
                status: status.to_owned(),
                error: error.map(str::to_owned),
                ..SnapshotStatusChanged::default()
            };
            let mut decision = Decision::nothing();
            let changes = stream(&event.tenant, id);
            decision.event(changes, Event::SnapshotStatusChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(appended.last_position)
}

/// The snapshot of a tenant, whoever asks.
async fn find(view: &store::View, tenant: &str, id: &str) -> Result<Option<Snapshot>, Error> {
    Ok(view.get(&scoped(tenant, id)).await?)
}
