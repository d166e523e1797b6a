//! Groups of deployments: what is in them, what they create, and what they hand on to it.
mod change;
mod created;
mod defaults;
mod delete;
mod labelled;
mod members;

use stratalog_projections::{
    Condition, ListQuery, Scope, View, views::deployment_groups::DeploymentGroup,
};
use stratalog_schema::{Category, StreamId};

pub(crate) use change::extended;
pub use change::{Membership, PatchGroup, PutGroup, patch, put};
pub use created::NewMember;
pub(crate) use defaults::Defaults;
pub use delete::delete;

use crate::{auth::Caller, error::Error, store};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::DeploymentGroups, "DeploymentGroup");

/// How many environments a group makes, or takes away, at the same time.
const CONCURRENCY: usize = 10;

pub(crate) fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::DeploymentGroup, tenant, id)
}

/// The group as the caller sees it.
///
/// # Errors
/// 404; 403 without a tenant; database errors.
pub(crate) async fn load(
    view: &store::View,
    caller: &Caller,
    id: &str,
) -> Result<DeploymentGroup, Error> {
    Ok(caller.get(view, MODEL, id).await?.resource()?)
}

/// Ids of the deployments in a group, in their order.
///
/// # Errors
/// Database errors.
pub async fn member_ids(
    view: &store::View,
    (tenant, id): (&str, &str),
) -> Result<Vec<String>, Error> {
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let query = ListQuery::all(View::DeploymentGroupMembers, Scope::Everything)
        .with(is("group_id", id))
        .with(is("tenant_name", tenant));
    let rows = view.pick(&query, &["deployment_id"]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect())
}
