//! Bundles for support: asking for one, making it, keeping one that was made elsewhere, deleting.
mod contents;

use std::sync::Arc;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope as Rows, View as ViewName,
    views::{executions::Execution, log_bundles::LogBundle, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{LogBundleCreated, LogBundleDeleted, LogBundleStatusChanged, Scope},
};

use super::{
    archives::{self, ARCHIVES},
    executions::{self, NewExecution, telemetry},
    ids,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    files::{
        blobs::{Staged, Stored},
        manifest::Entry,
    },
    store::{self, Decision},
};

/// How the resource is called in messages.
pub const MODEL: (ViewName, &str) = (ViewName::LogBundles, "LogBundle");

/// The workflow that makes a bundle.
const WORKFLOW: &str = "create_log_bundle";
/// What a bundle can be.
const STATUSES: [&str; 4] = ["creating", "created", "failed", "uploaded"];

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::LogBundle, tenant, id)
}

/// Asks for a bundle; gives the execution that makes it, and the position. It needs nobody to be
/// quiet, so it never waits, whatever `queue` says.
///
/// # Errors
/// 400 for an id that is none, 403, 409 when it exists.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    queue: bool,
) -> Result<(String, i64), Error> {
    caller.require(Permission::LogBundleCreate)?;
    ids::check("log_bundle_id", id)?;
    let tenant = caller.tenant()?;
    let parameters = Map::from_iter([
        ("log_bundle_id".to_owned(), json!(id)),
        ("queue".to_owned(), json!(queue)),
    ]);
    let decide = async |view: Arc<store::View>| {
        let view = &*view;
        if view.row(MODEL.0, &scoped(tenant, id)).await?.is_some() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("log bundle with id={id} already exists on tenant {tenant}"),
            ));
        }
        let mut new = NewExecution::pending(caller, WORKFLOW, parameters.clone())?;
        new.event_mut().allow_custom_parameters = true;
        let execution = new.id().to_owned();
        let created = LogBundleCreated {
            id: id.to_owned(),
            scope: Some(Scope {
                tenant: tenant.to_owned(),
                visibility: "private".to_owned(),
                created_by: caller.username.clone(),
            }),
            status: "creating".to_owned(),
            created_at_ms: clock::now_ms(),
            execution_id: Some(execution.clone()),
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, id)).await?;
        decision.event(stream(tenant, id), Event::LogBundleCreated(created));
        decision.events.push(new.into_event());
        Ok((decision, execution))
    };
    let (appended, execution) = ctx.store.command(&caller.meta(), None, decide).await?;
    Ok((execution, appended.last_position))
}

/// Makes the bundle that an execution is about.
///
/// # Errors
/// What the execution fails with; the bundle has failed then, too.
pub async fn make(ctx: &Context, caller: &Caller, execution: &Execution) -> Result<(), Error> {
    let id = bundle_id(execution)?;
    let view = ctx.store.read(At::Now).await?;
    let bundle: Option<LogBundle> = view.get(&scoped(&execution.tenant_name, &id)).await?;
    drop(view.finish().await?);
    let bundle = bundle.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
    if bundle.status != "creating" {
        // a former runner of this execution came this far
        return Ok(());
    }
    match contents::gather(ctx).await {
        Ok(archive) => {
            let _archives = ARCHIVES.lock().await;
            let stored = ctx.blobs.put_bytes(archive.into()).await;
            let stored = stored.map_err(Error::internal)?;
            let created = named(changed(&bundle, "created"), &stored);
            note(ctx, caller, (execution, created)).await
        }
        Err(error) if error.is_passing() => Err(error),
        Err(error) => {
            let failed = LogBundleStatusChanged {
                error: Some(error.to_string()),
                ..changed(&bundle, "failed")
            };
            note(ctx, caller, (execution, failed)).await?;
            Err(error)
        }
    }
}

fn changed(bundle: &LogBundle, status: &str) -> LogBundleStatusChanged {
    LogBundleStatusChanged {
        id: bundle.id.clone(),
        tenant: bundle.tenant_name.clone(),
        status: status.to_owned(),
        ..LogBundleStatusChanged::default()
    }
}

fn named(event: LogBundleStatusChanged, stored: &Stored) -> LogBundleStatusChanged {
    LogBundleStatusChanged {
        archive_digest: Some(stored.digest.as_bytes().to_vec()),
        size_bytes: i64::try_from(stored.size_bytes).ok(),
        ..event
    }
}

async fn note(
    ctx: &Context,
    caller: &Caller,
    (execution, event): (&Execution, LogBundleStatusChanged),
) -> Result<(), Error> {
    let (level, text) = match &event.error {
        None => ("info", format!("Log bundle {} is there", event.id)),
        Some(error) => ("error", format!("Log bundle {} failed: {error}", event.id)),
    };
    let line = telemetry::log(execution, level, text);
    let decide = async |_: Arc<store::View>| {
        let mut decision = Decision::nothing();
        let changes = stream(&event.tenant, &event.id);
        decision.event(changes, Event::LogBundleStatusChanged(event.clone()));
        decision.telemetry.push(line.clone());
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// The bundle that an execution is about.
fn bundle_id(execution: &Execution) -> Result<String, Error> {
    let parameters = executions::parameters_of(execution)?;
    let id = parameters.get("log_bundle_id").and_then(Value::as_str);
    Ok(id.unwrap_or_default().to_owned())
}

/// The archive of a bundle.
///
/// # Errors
/// 400 for a failed one, 404 when there is none (yet, or on this manager).
pub async fn archive(ctx: &Context, bundle: &LogBundle) -> Result<Entry, Error> {
    if bundle.status == "failed" {
        return Err(Error::refused(
            ErrorCode::LogBundleAction,
            format!("The log bundle {} has failed, it cannot be used", bundle.id),
        ));
    }
    let missing = || Error::not_found("Log bundle archive", &bundle.id);
    let digest = bundle.own.archive_digest.as_deref().ok_or_else(missing)?;
    let entry = archives::entry(ctx, digest, bundle.own.created_at_ms).await?;
    entry.ok_or_else(missing)
}

/// Keeps an archive for a bundle that is there; its status stays as it is.
///
/// # Errors
/// 403, 404.
pub async fn upload(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    staged: Staged,
) -> Result<i64, Error> {
    caller.require(Permission::LogBundleCreate)?;
    let _archives = ARCHIVES.lock().await;
    let stored = staged.stored();
    let committed = ctx.blobs.commit(vec![staged]).await;
    committed.map_err(Error::internal)?;
    let decide = async |view: Arc<store::View>| {
        let view = &*view;
        let bundle: LogBundle = caller.get(view, MODEL, id).await?.resource()?;
        let changes = stream(&bundle.tenant_name, id);
        let event = LogBundleStatusChanged {
            error: bundle.error.clone(),
            ..named(changed(&bundle, &bundle.status), &stored)
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, changes.clone()).await?;
        decision.event(changes, Event::LogBundleStatusChanged(event));
        Ok((decision, bundle.own.archive_digest))
    };
    let decided = ctx.store.command(&caller.meta(), None, decide).await;
    let (appended, former) = match decided {
        Ok(decided) => decided,
        Err(error) => {
            archives::remove(ctx, Some(stored.digest.to_string())).await?;
            return Err(error);
        }
    };
    archives::remove(ctx, former).await?;
    Ok(appended.last_position)
}

/// Deletes a bundle and its archive; gives its last document.
///
/// # Errors
/// 403, 404; 400 while it is made.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str) -> Result<(String, i64), Error> {
    caller.require(Permission::LogBundleDelete)?;
    let _archives = ARCHIVES.lock().await;
    let decide = async |view: Arc<store::View>| {
        let view = &*view;
        let row = caller.get(view, MODEL, id).await?;
        let bundle: LogBundle = row.resource()?;
        if let Some(execution) = active(view, &bundle).await? {
            return Err(Error::refused(
                ErrorCode::LogBundleAction,
                format!("The log bundle {id} cannot be deleted: execution {execution} makes it"),
            ));
        }
        let changes = stream(&bundle.tenant_name, id);
        let event = LogBundleDeleted {
            id: id.to_owned(),
            tenant: bundle.tenant_name.clone(),
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, changes.clone()).await?;
        decision.event(changes, Event::LogBundleDeleted(event));
        Ok((decision, (row.doc, bundle.own.archive_digest)))
    };
    let decided = ctx.store.command(&caller.meta(), None, decide).await?;
    let (appended, (document, archive)) = decided;
    archives::remove(ctx, archive).await?;
    Ok((document, appended.last_position))
}

/// The execution that makes a bundle, if it does or is about to.
async fn active(view: &store::View, bundle: &LogBundle) -> Result<Option<String>, Error> {
    let Some(id) = bundle.own.execution_id.clone() else {
        return Ok(None);
    };
    let mut statuses: Vec<String> = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    statuses.push("queued".to_owned());
    let query = ListQuery::all(ViewName::Executions, Rows::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
        .with(Condition::AnyOf("id".to_owned(), vec![id]));
    let found: Vec<Execution> = view.select_as(&query).await?;
    Ok(found.into_iter().next().map(|execution| execution.id))
}

/// A worker's report: `PATCH /log-bundles/{id}`.
///
/// # Errors
/// 403, 404; 400 for a status that is none.
pub async fn set_status(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (status, error): (&str, Option<&str>),
) -> Result<i64, Error> {
    caller.require(Permission::LogBundleStatusUpdate)?;
    if !STATUSES.contains(&status) {
        return Err(Error::bad_parameters(format!(
            "Invalid log bundle status: {status}. Possible statuses are: {}",
            STATUSES.join(", ")
        )));
    }
    let decide = async |view: Arc<store::View>| {
        let bundle: LogBundle = caller.get(&*view, MODEL, id).await?.resource()?;
        let event = LogBundleStatusChanged {
            error: error.map(str::to_owned),
            ..changed(&bundle, status)
        };
        let mut decision = Decision::nothing();
        let changes = stream(&event.tenant, id);
        decision.event(changes, Event::LogBundleStatusChanged(event));
        Ok((decision, ()))
    };
    let (appended, ()) = ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(appended.last_position)
}
