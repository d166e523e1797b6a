//! Deployments: creation and deletion with their environments, changes, and the evaluation of what
//! they offer.
mod create;
mod delete;
mod environment;
mod evaluate;
mod inputs;
mod patch;
mod settings;
mod storage;
mod visibility;

use stratalog_projections::{
    Condition, Connection, ListQuery, Reader, Scope, View,
    views::{deployments::Deployment, scoped},
};
use stratalog_schema::{Category, StreamId};

use crate::error::Error;

pub use create::{CreateDeployment, Restored, create};
pub(crate) use create::{NewEnvironment, add, require_not_cancelling};
pub(crate) use delete::deleted;
pub use delete::{DeleteDeployment, delete};
pub(crate) use delete::{Place, begin as begin_deletion, is_leaving, require_staying};
pub use environment::create_environment;
pub(crate) use environment::{attributes, plan_of, prepared, require_parent_capabilities, section};
pub(crate) use evaluate::each;
pub use evaluate::{capabilities, functions, instance, nodes, outputs};
pub(crate) use patch::require_parents;
pub use patch::{PatchDeployment, patch};
pub(crate) use settings::Settings;
pub(crate) use stratalog_projections::views::hierarchy::PARENT_LABEL;
pub use visibility::set_visibility;

/// How the resource is called in messages.
pub(crate) const MODEL: (View, &str) = (View::Deployments, "Deployment");

/// The workflow that makes a deployment's environment.
pub const CREATE_WORKFLOW: &str = "create_deployment_environment";
/// The workflow that takes it away.
pub const DELETE_WORKFLOW: &str = "delete_deployment_environment";

pub(crate) fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Deployment, tenant, id)
}

/// Working directory of a deployment.
pub(crate) fn tree(tenant: &str, id: &str) -> String {
    format!("deployments/{tenant}/{id}")
}

/// The deployment of a tenant, whoever asks.
pub(crate) async fn load<C: Connection>(
    view: &Reader<C>,
    tenant: &str,
    id: &str,
) -> Result<Deployment, Error> {
    let found: Option<Deployment> = view.get(&scoped(tenant, id)).await?;
    found.ok_or_else(|| Error::not_found(MODEL.1, id))
}

/// Rows of a view that belong to a deployment.
pub(crate) fn belonging(view: View, (tenant, id): (&str, &str)) -> ListQuery {
    ListQuery::all(view, Scope::Everything)
        .with(Condition::AnyOf(
            "deployment_id".to_owned(),
            vec![id.to_owned()],
        ))
        .with(Condition::AnyOf(
            "tenant_name".to_owned(),
            vec![tenant.to_owned()],
        ))
}
