//! What operations take in their query, beside what all lists take.
use utoipa::openapi::{
    RefOr, Required, Schema,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

use super::schemas;

/// What a value is.
#[derive(Debug, Clone, Copy)]
enum Value {
    Text,
    Flag,
    Count,
}

/// A key of a query.
#[derive(Debug, Clone, Copy)]
struct Key {
    name: &'static str,
    value: Value,
    is_required: bool,
}

const fn key(name: &'static str, value: Value) -> Key {
    let is_required = false;
    Key {
        name,
        value,
        is_required,
    }
}

const fn text(name: &'static str) -> Key {
    key(name, Value::Text)
}

const fn must(name: &'static str) -> Key {
    let is_required = true;
    Key {
        is_required,
        ..key(name, Value::Text)
    }
}

const fn flag(name: &'static str) -> Key {
    key(name, Value::Flag)
}

const fn count(name: &'static str) -> Key {
    key(name, Value::Count)
}

/// By method and path below `/api/v3.1`, or the server's root.
#[rustfmt::skip]
const KEYS: &[(&str, &[Key])] = &[
    ("GET /agents", &[flag("_get_data")]),
    ("GET /audit", &[text("creator_name"), text("execution_id"), text("since"), text("before"), text("order_by"), flag("desc"), count("size"), count("offset")]),
    ("GET /audit/stream", &[text("creator_name"), text("execution_id"), text("since")]),
    ("DELETE /blueprints/{id}", &[flag("force")]),
    ("PUT /blueprints/{id}", &[text("application_file_name"), text("blueprint_archive_url"), text("visibility"), flag("private_resource"), flag("async_upload"), flag("skip_execution"), text("state"), text("created_at"), text("created_by")]),
    ("PUT /blueprints/{id}/validate", &[text("application_file_name"), text("blueprint_archive_url"), text("visibility")]),
    ("GET /blueprints", &[text("_filter_id")]),
    ("GET /config", &[text("scope")]),
    ("GET /cluster-status", &[flag("summary")]),
    ("GET /status", &[flag("summary")]),
    ("DELETE /deployment-groups/{id}", &[flag("delete_deployments"), flag("delete_logs"), flag("force"), flag("recursive")]),
    ("GET /deployments", &[text("_filter_id"), text("_group_id"), text("_dependencies_of"), text("_environments_only")]),
    ("GET /deployments/{id}", &[flag("all_sub_deployments"), flag("include_workdir")]),
    ("PUT /deployments/{id}", &[flag("async_create"), flag("private_resource")]),
    ("DELETE /deployments/{id}", &[flag("force"), flag("delete_logs"), flag("recursive")]),
    ("GET /events", &[text("execution_id"), text("deployment_id"), text("type"), text("event_type"), text("level"), text("_range"), text("_sort"), text("_cursor"), count("_size"), count("_offset"), flag("_get_all_results")]),
    ("DELETE /events", &[must("deployment_id"), text("type"), text("event_type"), text("level")]),
    ("GET /execution-groups/{id}", &[flag("_get_data")]),
    ("GET /execution-schedules/{id}", &[must("deployment_id")]),
    ("PUT /execution-schedules/{id}", &[must("deployment_id")]),
    ("PATCH /execution-schedules/{id}", &[must("deployment_id")]),
    ("DELETE /execution-schedules/{id}", &[must("deployment_id")]),
    ("GET /executions", &[flag("_include_system_workflows"), text("_group_id")]),
    ("GET /executions/{id}/timeline", &[count("_after"), count("_size")]),
    ("GET /labels/{type}", &[flag("_reserved"), text("_search")]),
    ("GET /labels/{type}/{key}", &[text("_search")]),
    ("GET /node-instances", &[flag("_evaluate_functions")]),
    ("GET /node-instances/{id}", &[flag("_evaluate_functions")]),
    ("GET /nodes", &[flag("_evaluate_functions"), text("_instance_context")]),
    ("GET /operations", &[text("graph_id"), text("execution_id"), flag("skip_internal")]),
    ("POST /plugins", &[text("id"), text("title"), text("created_by"), text("uploaded_at"), text("plugin_archive_url"), text("visibility"), flag("private_resource")]),
    ("GET /plugins/{id}/archive", &[flag("full_archive")]),
    ("GET /plugins/{id}/yaml", &[text("dsl_version")]),
    ("POST /provider/context", &[flag("update")]),
    ("POST /searches/blueprints", &[text("_filter_id")]),
    ("POST /searches/deployments", &[text("_filter_id")]),
    ("POST /searches/capabilities", &[text("deployment_id")]),
    ("POST /searches/node-instances", &[text("deployment_id")]),
    ("POST /searches/node-types", &[text("blueprint_id"), text("deployment_id")]),
    ("POST /searches/nodes", &[text("blueprint_id"), text("deployment_id")]),
    ("POST /searches/scaling-groups", &[text("blueprint_id"), text("deployment_id")]),
    ("POST /searches/workflows", &[text("_filter_id"), flag("_common_only")]),
    ("GET /secrets/{key}", &[flag("_skip_value")]),
    ("GET /secrets/share/export", &[text("_passphrase"), flag("_include_metadata")]),
    ("PUT /snapshots/{id}/archive", &[text("snapshot_archive_url")]),
    ("GET /summary/{type}", &[must("_target_field"), text("_sub_field")]),
    ("GET /tasks_graphs", &[must("execution_id")]),
    ("GET /tenants", &[flag("_get_data")]),
    ("GET /tenants/{name}", &[flag("_get_data")]),
    ("GET /user-groups", &[flag("_get_data")]),
    ("GET /user-groups/{name}", &[flag("_get_data")]),
    ("GET /users", &[flag("_get_data"), flag("_include_hash")]),
    ("GET /users/{username}", &[flag("_get_data"), flag("_include_hash")]),
    ("GET /resources/{path}", &[flag("archive"), text("or")]),
];

/// The keys of an operation's own.
pub(super) fn parameters(method: &str, path: &str) -> Vec<Parameter> {
    let is_it = |name: &str| name.split_once(' ') == Some((method, path));
    let found = KEYS.iter().find(|(name, _)| is_it(name));
    let keys = found.map_or(&[] as &[Key], |(_, keys)| keys);
    keys.iter().map(parameter).collect()
}

fn parameter(key: &Key) -> Parameter {
    let schema: RefOr<Schema> = match key.value {
        Value::Text => schemas::text().into(),
        Value::Flag => schemas::flag().into(),
        Value::Count => schemas::count().into(),
    };
    let required = match key.is_required {
        true => Required::True,
        false => Required::False,
    };
    ParameterBuilder::new()
        .name(key.name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .schema(Some(schema))
        .build()
}
