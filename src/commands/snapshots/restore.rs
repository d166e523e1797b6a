//! Restoring a snapshot on a running manager. Its log takes the place of the manager's, in one
//! transaction; then come the events that tell of it: the log was restored, what ran when the
//! snapshot was taken is cancelled, and the uploaded snapshot and the execution that restored it
//! are there again. What they need is stored together with the restored log, so a manager that ends
//! in between appends them when it starts.
use std::time::Duration;

use prost::Message as _;
use serde_json::{Map, Value};
use stratalog_projections::{
    At, Condition, ListQuery, Scope as Everywhere, View,
    views::{executions::Execution, scoped, snapshots::Snapshot, tenants::Tenant},
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{
        ExecutionCreated, LogRestored, Scope, SnapshotCreated, SnapshotStatusChanged,
        TelemetryRecord,
    },
};
use uuid::Uuid;

use super::{MODEL, archive, find, snapshot_id, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        executions::{self, NewExecution, telemetry},
        tenants,
    },
    context::{Context, Restoring},
    error::{Error, ErrorCode},
    log::transfer::{self, Restored},
    snapshot::{
        import::{Import, Place, import},
        require_unused,
    },
    store::{Decision, Fence, View as Reader},
};

/// The workflow that restores a snapshot.
pub const RESTORE_WORKFLOW: &str = "restore_snapshot";
/// Pause before trying again to finish.
const PAUSE: Duration = Duration::from_millis(500);
/// Error of executions that ran when the snapshot was taken.
const CANCELLED: &str = "Cancelled because the manager was restored from a snapshot";

/// Asks for a restore; gives the execution that does it, and the position.
///
/// # Errors
/// 403, 404; 400 for a failed snapshot, a manager that is in use (unless `force` is among the
/// parameters), or while anything runs.
pub async fn start_restore(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    parameters: Map<String, Value>,
) -> Result<(String, i64), Error> {
    caller.require(Permission::SnapshotRestore)?;
    let (appended, execution) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let snapshot: Snapshot = caller.get(view, MODEL, id).await?.resource()?;
            archive(ctx, &snapshot).await?;
            if !is_forced(&parameters) {
                require_unused(view.client()).await?;
            }
            if let Some(other) = executions::active_anywhere(view, false).await? {
                return Err(Error::refused(
                    ErrorCode::ExistingRunningExecution,
                    format!(
                        "A snapshot can only be restored while nothing runs, but execution {} \
                         ({}) does",
                        other.id, other.workflow_id
                    ),
                ));
            }
            let caller = caller.in_tenant(&snapshot.tenant_name);
            let mut new = NewExecution::pending(&caller, RESTORE_WORKFLOW, parameters.clone())?;
            new.event_mut().allow_custom_parameters = true;
            let execution = new.id().to_owned();
            let mut decision = Decision::nothing();
            let of = stream(&snapshot.tenant_name, id);
            decision.rests_on(view, of).await?;
            decision.events.push(new.into_event());
            Ok((decision, execution))
        })
        .await?;
    Ok((execution, appended.last_position))
}

fn is_forced(parameters: &Map<String, Value>) -> bool {
    parameters.get("force") == Some(&Value::Bool(true))
}

/// Restores the snapshot that an execution is about. Afterwards the execution has ended.
///
/// # Errors
/// What the execution fails with; nothing was changed then.
pub async fn restore(ctx: &Context, execution: &Execution) -> Result<(), Error> {
    let id = snapshot_id(execution)?;
    let view = ctx.store.read(At::Now).await?;
    let snapshot = find(&view, &execution.tenant_name, &id).await?;
    drop(view.finish().await?);
    let snapshot = snapshot.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
    let archive = archive(ctx, &snapshot).await?;
    let source = ctx.blobs.open(&archive.digest).await;
    let parameters = executions::parameters_of(execution)?;
    let restore = Import {
        source: source.map_err(Error::internal)?,
        place: match is_forced(&parameters) {
            true => Place::AnyManager,
            false => Place::UnusedManager,
        },
        note: Restored {
            snapshot_id: id,
            snapshot: Some(shown(&snapshot)?.encode_to_vec()),
            execution: Some(ended(execution).encode_to_vec()),
            ..Restored::default()
        },
    };
    let stage = Stage(ctx);
    stage.set(Restoring::Replacing);
    let database = ctx.store.database();
    let imported = import(database, &ctx.blobs, restore, Box::new(|_| {})).await?;
    ctx.forget_positions();
    if let Some(schema) = imported.kept {
        tracing::warn!(schema, "the log that was replaced is kept");
    }
    // in this log nobody has announced yet that he runs executions
    Fence::lift(async {
        while let Err(error) = finish(ctx, &stage).await {
            tracing::warn!(%error, "a restore is finished later");
            tokio::time::sleep(PAUSE).await;
        }
        tenants::prepare_brokers(ctx).await;
    })
    .await;
    Ok(())
}

/// People and files first: whoever sees that the restore is over finds them as they are then.
async fn finish(ctx: &Context, stage: &Stage<'_>) -> Result<(), Error> {
    ctx.read_all().await?;
    stage.set(Restoring::Finishing);
    finish_restored(ctx).await
}

/// Says how far a restore in this process has come, until it is dropped.
struct Stage<'a>(&'a Context);

impl Stage<'_> {
    fn set(&self, stage: Restoring) {
        self.0.restoring.send_replace(stage);
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.set(Restoring::No);
    }
}

/// The snapshot as it is shown after the restore.
fn shown(snapshot: &Snapshot) -> Result<SnapshotCreated, Error> {
    let digest = snapshot.taken.archive_digest.as_ref();
    let digest = digest.map(hex::decode).transpose();
    Ok(SnapshotCreated {
        id: snapshot.id.clone(),
        scope: Some(Scope {
            tenant: snapshot.tenant_name.clone(),
            visibility: snapshot.visibility.clone(),
            created_by: snapshot.created_by.clone(),
        }),
        status: snapshot.status.clone(),
        created_at_ms: snapshot.taken.created_at_ms,
        execution_id: None,
        archive_digest: digest.map_err(Error::internal)?,
        size_bytes: snapshot.taken.size_bytes,
    })
}

/// The execution as it is shown after the restore; its end is filled in then.
fn ended(execution: &Execution) -> ExecutionCreated {
    let parameters = execution.parameters.as_ref();
    ExecutionCreated {
        id: execution.id.clone(),
        scope: Some(Scope {
            tenant: execution.tenant_name.clone(),
            visibility: execution.visibility.clone(),
            created_by: execution.created_by.clone(),
        }),
        workflow_id: execution.workflow_id.clone(),
        status: "terminated".to_owned(),
        parameters_json: parameters.map_or("{}", |json| json.get()).to_owned(),
        is_system_workflow: true,
        allow_custom_parameters: true,
        created_at_ms: execution.own.created_at_ms,
        // the runner has only just started it
        started_at_ms: Some(execution.own.started_at_ms.unwrap_or_else(clock::now_ms)),
        error: Some(String::new()),
        ..ExecutionCreated::default()
    }
}

/// Appends what a restored log begins with, if that is still to be done.
///
/// # Errors
/// Database errors.
pub async fn finish_restored(ctx: &Context) -> Result<(), Error> {
    let client = ctx.store.database().dedicated().await?;
    let Some(restored) = transfer::noted(&client).await? else {
        return Ok(());
    };
    let execution = restored.execution.as_deref().map(ExecutionCreated::decode);
    let execution = execution.transpose().map_err(Error::internal)?;
    let snapshot = restored.snapshot.as_deref().map(SnapshotCreated::decode);
    let snapshot = snapshot.transpose().map_err(Error::internal)?;
    let meta = match &execution {
        Some(execution) => {
            let tenant = tenant(execution.scope.as_ref());
            let caller = Caller::system(tenant).for_execution(&execution.id, tenant);
            caller.meta()
        }
        None => Meta::system(),
    };
    let name = format!(
        "stratalog:restored:{}:{}:{}",
        restored.position,
        hex::encode(&restored.chain),
        execution.as_ref().map_or("", |execution| &execution.id)
    );
    let command_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    ctx.store
        .command(&meta, Some(command_id), async |view| {
            let view = &*view;
            let mut decision = Decision::nothing();
            told(&restored, &mut decision);
            cancel_all(view, &mut decision).await?;
            fail_unfinished(view, &mut decision).await?;
            seal_again(ctx, view, &mut decision).await?;
            if let Some(snapshot) = &snapshot {
                show_snapshot(view, snapshot, &mut decision).await?;
            }
            if let Some(execution) = &execution {
                show_execution(execution, &restored, &mut decision);
            }
            Ok((decision, ()))
        })
        .await?;
    transfer::forget(&client, &restored).await?;
    ctx.read_all().await
}

fn tenant(scope: Option<&Scope>) -> &str {
    scope.map_or("", |scope| scope.tenant.as_str())
}

fn told(restored: &Restored, decision: &mut Decision) {
    let event = LogRestored {
        snapshot_id: restored.snapshot_id.clone(),
        position: restored.position,
        chain: restored.chain.clone(),
        at_ms: clock::now_ms(),
    };
    let changes = StreamId::global(Category::Snapshot, "log");
    decision.event(changes, Event::LogRestored(event));
}

/// What ran when the snapshot was taken goes on there, not here.
async fn cancel_all(view: &Reader, decision: &mut Decision) -> Result<(), Error> {
    let mut statuses: Vec<String> = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    statuses.extend(["queued".to_owned(), "scheduled".to_owned()]);
    let query = ListQuery::all(View::Executions, Everywhere::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses));
    let running: Vec<Execution> = view.select_as(&query).await?;
    for mut execution in running {
        let status = ("cancelled", Some(CANCELLED));
        let cancelled = executions::status_decision(view, &mut execution, status).await?;
        decision.events.extend(cancelled.events);
        let text = format!("'{}' workflow execution cancelled", execution.workflow_id);
        let line = telemetry::event(&execution, "workflow_cancelled", text);
        decision.telemetry.push(line);
    }
    Ok(())
}

/// Snapshots that were being made then.
async fn fail_unfinished(view: &Reader, decision: &mut Decision) -> Result<(), Error> {
    let all = ListQuery::all(View::Snapshots, Everywhere::Everything);
    let snapshots: Vec<Snapshot> = view.select_as(&all).await?;
    for snapshot in snapshots.iter().filter(|s| s.status == "creating") {
        let event = SnapshotStatusChanged {
            id: snapshot.id.clone(),
            tenant: snapshot.tenant_name.clone(),
            status: "failed".to_owned(),
            error: Some(CANCELLED.to_owned()),
            ..SnapshotStatusChanged::default()
        };
        let changes = stream(&event.tenant, &event.id);
        decision.event(changes, Event::SnapshotStatusChanged(event));
    }
    Ok(())
}

/// Passwords that can only be opened with the first manager's key.
async fn seal_again(ctx: &Context, view: &Reader, decision: &mut Decision) -> Result<(), Error> {
    let all = ListQuery::all(View::Tenants, Everywhere::Everything);
    let tenants: Vec<Tenant> = view.select_as(&all).await?;
    for tenant in &tenants {
        let set = tenants::broker_password_again(ctx, tenant);
        decision.events.extend(set);
    }
    Ok(())
}

async fn show_snapshot(
    view: &Reader,
    snapshot: &SnapshotCreated,
    decision: &mut Decision,
) -> Result<(), Error> {
    let tenant = tenant(snapshot.scope.as_ref());
    let has_tenant = view.row(View::Tenants, tenant).await?.is_some();
    let key = scoped(tenant, &snapshot.id);
    if has_tenant && view.row(MODEL.0, &key).await?.is_none() {
        let event = Event::SnapshotCreated(snapshot.clone());
        decision.event(stream(tenant, &snapshot.id), event);
    }
    Ok(())
}

fn show_execution(execution: &ExecutionCreated, restored: &Restored, decision: &mut Decision) {
    let mut event = execution.clone();
    event.ended_at_ms = Some(clock::now_ms());
    let tenant = tenant(event.scope.as_ref()).to_owned();
    let changes = StreamId::scoped(Category::Execution, &tenant, &event.id);
    let scope = event.scope.clone().unwrap_or_default();
    let now_us = clock::now_us();
    let line = TelemetryRecord {
        event_id: Uuid::now_v7().as_bytes().to_vec(),
        tenant,
        visibility: scope.visibility,
        created_by: scope.created_by,
        timestamp_us: now_us,
        reported_timestamp_us: now_us,
        execution_id: event.id.clone(),
        workflow_id: event.workflow_id.clone(),
        event_type: "workflow_succeeded".to_owned(),
        message: format!(
            "'{}' workflow execution succeeded: the manager is as it was at position {} of the log",
            event.workflow_id, restored.position
        ),
        manager_name: Some(telemetry::MANAGER.to_owned()),
        ..TelemetryRecord::default()
    };
    decision.event(changes, Event::ExecutionCreated(event));
    decision.telemetry.push(line);
}
