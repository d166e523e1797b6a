//! Which events concern which views. `needs` and `fold` of a view always stand together in its own
//! file.
use stratalog_schema::{Event, Recorded};

use crate::{
    Error,
    rows::{Needs, Rows},
    views::{
        agents, blueprints, cluster_nodes, config, deployment_group_members, deployment_groups,
        deployment_modifications, deployment_updates, deployments, event_deletions,
        execution_groups, executions, files, filters, hierarchy, inter_deployment_dependencies,
        log_bundles, maintenance, node_instances, nodes, operations, permissions, plugins,
        plugins_updates, provider_context, schedules, secrets, secrets_providers, sites, snapshots,
        tasks_graphs, tenants, tokens, user_groups, users,
    },
};

/// Collects the rows that folding `event` will look at.
pub fn needs(event: &Event, needs: &mut Needs) {
    users::needs(event, needs);
    tokens::needs(event, needs);
    tenants::needs(event, needs);
    config::needs(event, needs);
    provider_context::needs(event, needs);
    blueprints::needs(event, needs);
    deployments::needs(event, needs);
    nodes::needs(event, needs);
    node_instances::needs(event, needs);
    executions::needs(event, needs);
    tasks_graphs::needs(event, needs);
    operations::needs(event, needs);
    files::needs(event, needs);
    snapshots::needs(event, needs);
    agents::needs(event, needs);
    filters::needs(event, needs);
    schedules::needs(event, needs);
    deployment_groups::needs(event, needs);
    deployment_group_members::needs(event, needs);
    execution_groups::needs(event, needs);
    deployment_modifications::needs(event, needs);
    deployment_updates::needs(event, needs);
    inter_deployment_dependencies::needs(event, needs);
    sites::needs(event, needs);
    secrets::needs(event, needs);
    secrets_providers::needs(event, needs);
    user_groups::needs(event, needs);
    maintenance::needs(event, needs);
    permissions::needs(event, needs);
    plugins::needs(event, needs);
    plugins_updates::needs(event, needs);
    event_deletions::needs(event, needs);
    log_bundles::needs(event, needs);
    cluster_nodes::needs(event, needs);
}

/// What else is to be fetched, now that rows are there that name others. Ask again until there is
/// nothing.
pub fn more_needs(rows: &Rows) -> Needs {
    hierarchy::above(rows)
}

/// Applies one event to the working set. Deterministic: the same events give the same rows.
///
/// # Errors
/// When the event contradicts the rows; the append is then refused as a whole.
pub fn fold(recorded: &Recorded, rows: &mut Rows) -> Result<(), Error> {
    rows.at(recorded.position);
    let event = &recorded.event;
    users::fold(event, rows)?;
    tokens::fold(event, rows)?;
    tenants::fold(event, rows)?;
    config::fold(event, rows)?;
    provider_context::fold(event, rows)?;
    blueprints::fold(event, rows)?;
    deployments::fold(event, rows)?;
    nodes::fold(event, rows)?;
    node_instances::fold(event, rows)?;
    executions::fold(event, rows)?;
    tasks_graphs::fold(event, rows)?;
    operations::fold(event, rows)?;
    files::fold(event, rows)?;
    snapshots::fold(event, rows)?;
    agents::fold(event, rows)?;
    filters::fold(event, rows)?;
    schedules::fold(event, rows)?;
    deployment_groups::fold(event, rows)?;
    deployment_group_members::fold(event, rows)?;
    execution_groups::fold(event, rows)?;
    deployment_modifications::fold(event, rows)?;
    deployment_updates::fold(event, rows)?;
    inter_deployment_dependencies::fold(event, rows)?;
    sites::fold(event, rows)?;
    secrets::fold(event, rows)?;
    secrets_providers::fold(event, rows)?;
    user_groups::fold(event, rows)?;
    maintenance::fold(event, rows)?;
    permissions::fold(event, rows)?;
    plugins::fold(event, rows)?;
    plugins_updates::fold(event, rows)?;
    event_deletions::fold(event, rows)?;
    log_bundles::fold(event, rows)?;
    cluster_nodes::fold(event, rows)
}
