//! Updates of plugins: the deployments of a blueprint come to other versions of its plugins. A
//! hidden copy of the blueprint is parsed with those; every deployment is updated to it; then the
//! blueprint itself gets its plan.
mod choice;
mod end;
mod initiate;

use serde_json::Value;
use stratalog_projections::{
    View as ViewName,
    views::{executions::Execution, plugins_updates::PluginsUpdate, scoped},
};
use stratalog_schema::{Category, StreamId};

pub(crate) use choice::Choice;
pub(crate) use end::ended;
pub use initiate::{Initiate, Restored, initiate};

use super::json::object;
use crate::{error::Error, store::View};

/// View and the name that clients see in messages.
pub const MODEL: (ViewName, &str) = (ViewName::PluginsUpdates, "PluginsUpdate");

/// The workflow behind an update.
pub const WORKFLOW: &str = "update_plugin";

/// State of one that goes on.
const UPDATING: &str = "updating";
/// State of one that did all it was to do.
const SUCCESSFUL: &str = "successful";
/// State of one that did not.
const FAILED: &str = "failed";
/// State of one that had nothing to do.
const NOTHING: &str = "no_changes_required";

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::PluginsUpdate, tenant, id)
}

/// The update behind an execution of its workflow.
///
/// # Errors
/// Database errors.
pub async fn of_execution(
    view: &View,
    execution: &Execution,
) -> Result<Option<PluginsUpdate>, Error> {
    let parameters = super::executions::parameters_of(execution)?;
    let Some(id) = parameters.get("update_id").and_then(Value::as_str) else {
        return Ok(None);
    };
    Ok(view.get(&scoped(&execution.tenant_name, id)).await?)
}

/// The deployments an update is for: tenant and id.
///
/// # Errors
/// `Internal` for a stored document of another shape.
pub fn deployments_of(update: &PluginsUpdate) -> Result<Vec<(String, String)>, Error> {
    let own = update.deployments_to_update.iter().flatten();
    let mut all: Vec<(String, String)> = own
        .map(|id| (update.tenant_name.clone(), id.clone()))
        .collect();
    for (tenant, ids) in object(update.deployments_per_tenant.as_ref())? {
        let ids = ids.as_array().into_iter().flatten();
        for id in ids.filter_map(Value::as_str) {
            let one = (tenant.clone(), id.to_owned());
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    Ok(all)
}
