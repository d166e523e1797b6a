//! Maintenance: the manager lets what runs come to its end, and begins nothing more.
use std::sync::Arc;

use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{
        executions::Execution,
        maintenance::{KEY, Maintenance, Status},
    },
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{MaintenanceActivated, MaintenanceDeactivated, MaintenanceRequested},
};

use super::executions;
use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::Error,
    store::{Decision, View},
};

fn stream() -> StreamId {
    StreamId::global(Category::Settings, "maintenance")
}

/// How far maintenance is at the moment of a view.
///
/// # Errors
/// Database errors.
pub async fn get(view: &View) -> Result<Maintenance, Error> {
    Ok(view.get(KEY).await?.unwrap_or_default())
}

/// Executions that maintenance waits for.
///
/// # Errors
/// Database errors.
pub async fn remaining(view: &View) -> Result<Vec<Execution>, Error> {
    let active = executions::ACTIVE.map(str::to_owned).to_vec();
    let query = ListQuery::all(ViewName::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), active));
    Ok(view.select_as(&query).await?)
}

/// Begins maintenance, at once where nothing runs. False when it has begun already.
///
/// # Errors
/// 403; database errors.
pub async fn activate(ctx: &Context, caller: &Caller) -> Result<bool, Error> {
    caller.require(Permission::MaintenanceModeSet)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        if get(view).await?.status != Status::Deactivated {
            return Ok((decision, false));
        }
        decision.rests_on(view, stream()).await?;
        let at_ms = clock::now_ms();
        let requested = MaintenanceRequested {
            requested_by: caller.username.clone(),
            at_ms,
        };
        decision.event(stream(), Event::MaintenanceRequested(requested));
        if remaining(view).await?.is_empty() {
            let activated = Event::MaintenanceActivated(MaintenanceActivated { at_ms });
            decision.event(stream(), activated);
        }
        Ok((decision, true))
    };
    let (_, begun) = ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(begun)
}

/// Ends maintenance; what was queued meanwhile begins. False when there was none.
///
/// # Errors
/// 403; database errors.
pub async fn deactivate(ctx: &Context, caller: &Caller) -> Result<bool, Error> {
    caller.require(Permission::MaintenanceModeSet)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        if get(view).await?.status == Status::Deactivated {
            return Ok((decision, false));
        }
        decision.rests_on(view, stream()).await?;
        let at_ms = clock::now_ms();
        let ended = Event::MaintenanceDeactivated(MaintenanceDeactivated { at_ms });
        decision.event(stream(), ended);
        Ok((decision, true))
    };
    let (_, ended) = ctx.store.command(&caller.meta(), None, decide).await?;
    if ended {
        executions::dequeue(ctx).await?;
    }
    Ok(ended)
}

/// Maintenance that was waited for begins once nothing runs any more.
///
/// # Errors
/// Database errors.
pub async fn proceed(ctx: &Context) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        let is_waiting = get(view).await?.status == Status::Activating;
        if is_waiting && remaining(view).await?.is_empty() {
            decision.rests_on(view, stream()).await?;
            let at_ms = clock::now_ms();
            let activated = Event::MaintenanceActivated(MaintenanceActivated { at_ms });
            decision.event(stream(), activated);
        }
        Ok((decision, ()))
    };
    ctx.store.command(&Meta::system(), None, decide).await?;
    Ok(())
}
