//! Schedules: when workflows are started without anybody asking.
mod change;
mod due;
mod planned;
mod recurrence;
mod times;

use stratalog_projections::{
    View,
    views::{
        deployments::Deployment,
        schedules::{self, Schedule},
    },
};
use stratalog_schema::{Category, StreamId};

pub use change::{
    ChangeSchedule, NewRule, NewSchedule, create, delete, schedule_execution, update,
};
pub use due::{due, occur};
pub(crate) use planned::{Planned, follow};
pub use recurrence::Recurrence;

use super::{deployments, visibility};
use crate::{auth::Caller, error::Error, store};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::Schedules, "ExecutionSchedule");

/// The stream of a schedule.
fn stream(tenant: &str, deployment_id: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Schedule, tenant, &format!("{deployment_id}/{id}"))
}

/// The row of a schedule of a deployment.
///
/// # Errors
/// 404; 403 without a tenant; database errors.
pub async fn get(
    view: &store::View,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
) -> Result<stratalog_projections::StoredRow, Error> {
    let deployment = caller.get(view, deployments::MODEL, deployment_id).await?;
    let tenant = deployment.owner.tenant.unwrap_or_default();
    let key = schedules::key(&tenant, deployment_id, id);
    let row = view.row(MODEL.0, &key).await?;
    row.ok_or_else(|| Error::not_found(MODEL.1, id))
}

/// A schedule that the caller may change.
async fn own(
    view: &store::View,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
) -> Result<Schedule, Error> {
    let schedule: Schedule = get(view, caller, (deployment_id, id)).await?.resource()?;
    visibility::require_own(caller, id, &schedule.tenant_name)?;
    Ok(schedule)
}

/// The deployment whose workflows the caller may schedule.
async fn own_deployment(
    view: &store::View,
    caller: &Caller,
    id: &str,
) -> Result<Deployment, Error> {
    let deployment: Deployment = caller.get(view, deployments::MODEL, id).await?.resource()?;
    visibility::require_own(caller, id, &deployment.tenant_name)?;
    Ok(deployment)
}
