//! One file per resource. What is not registered here is not served.
use std::sync::Arc;

use super::Route;
use crate::context::Context;

mod agents;
mod audit;
mod blueprints;
mod cluster;
mod config;
mod deployment_groups;
mod deployment_modifications;
mod deployment_updates;
mod deployments;
mod evaluate;
mod events;
mod execution_groups;
mod execution_schedules;
mod executions;
mod filters;
mod health;
mod labels;
mod ldap;
mod license;
mod log_bundles;
mod maintenance;
mod node_instances;
mod nodes;
mod operations;
mod permissions;
mod plugins;
mod plugins_updates;
mod provider;
mod proxy;
mod searches;
mod secrets;
mod secrets_providers;
mod sites;
mod snapshots;
mod status;
mod summary;
mod tasks_graphs;
mod tenants;
mod tokens;
mod user_groups;
mod users;
mod version;
mod workflows;

/// Resources below `/api/v3.1` and its older siblings, one group per first path segment.
pub(super) fn groups(ctx: &Arc<Context>) -> Vec<Route> {
    vec![
        agents::routes(ctx),
        audit::routes(ctx),
        blueprints::routes(ctx),
        cluster::routes(ctx),
        config::routes(ctx),
        deployment_groups::routes(ctx),
        deployment_modifications::routes(ctx),
        deployment_updates::routes(ctx),
        deployments::routes(ctx),
        ldap::routes(ctx),
        evaluate::routes(ctx),
        events::routes(ctx),
        execution_groups::routes(ctx),
        execution_schedules::routes(ctx),
        executions::routes(ctx),
        filters::routes(ctx),
        labels::routes(ctx),
        license::routes(ctx),
        log_bundles::routes(ctx),
        maintenance::routes(ctx),
        node_instances::routes(ctx),
        nodes::routes(ctx),
        operations::routes(ctx),
        permissions::routes(ctx),
        plugins::routes(ctx),
        plugins_updates::routes(ctx),
        provider::routes(ctx),
        proxy::routes(ctx),
        super::fileserver::proxied(ctx),
        searches::routes(ctx),
        secrets::routes(ctx),
        secrets_providers::routes(ctx),
        sites::routes(ctx),
        snapshots::routes(ctx),
        status::routes(ctx),
        summary::routes(ctx),
        tasks_graphs::routes(ctx),
        tenants::routes(ctx),
        tokens::routes(ctx),
        user_groups::routes(ctx),
        users::routes(ctx),
        version::routes(ctx),
        workflows::routes(ctx),
        users::own(ctx),
    ]
}

/// What stands directly below `/api`.
pub(super) fn unversioned(ctx: &Arc<Context>) -> Route {
    version::routes(ctx)
}

/// What stands outside `/api`.
pub(super) fn outside(ctx: &Arc<Context>) -> Vec<Route> {
    vec![
        health::routes(ctx),
        super::fileserver::routes(ctx),
        super::openapi::routes(),
    ]
}
