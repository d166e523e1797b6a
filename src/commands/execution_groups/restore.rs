//! Groups of the past: their executions exist already.
use std::collections::BTreeSet;

use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{deployment_groups::DeploymentGroup, scoped},
};
use stratalog_schema::{Event, events::ExecutionsGrouped};

use super::stream;
use crate::{
    commands::executions,
    error::Error,
    store::{Decision, View},
};

/// Executions join a group that begins.
pub(super) async fn associate(
    view: &View,
    decision: &mut Decision,
    (group, id): (&DeploymentGroup, &str),
    ids: &[String],
) -> Result<(), Error> {
    let tenant = group.tenant_name.as_str();
    let keys = ids.iter().map(|id| scoped(tenant, id)).collect();
    let query = ListQuery::all(ViewName::Executions, Scope::Everything).with(Condition::Keys(keys));
    let found = view.pick(&query, &["id"]).await?;
    let known: BTreeSet<String> = found.into_iter().map(|(key, _)| key).collect();
    if let Some(id) = ids.iter().find(|id| !known.contains(&scoped(tenant, id))) {
        return Err(Error::not_found(executions::MODEL.1, id));
    }
    if ids.is_empty() {
        return Ok(());
    }
    let event = ExecutionsGrouped {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        execution_ids: ids.to_vec(),
    };
    decision.event(stream(tenant, id), Event::ExecutionsGrouped(event));
    Ok(())
}
