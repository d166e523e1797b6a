//! What operations take in JSON: members and their shapes, as the commands read them.
use utoipa::openapi::{
    ArrayBuilder, ObjectBuilder, RefOr, Schema,
    schema::{SchemaType, Type},
};

use self::Shape::{Any, Flag, Items, List, Number, Object, Of, Text, Texts, Whole};
use super::schemas;

/// Members of a body.
pub(super) type Members = &'static [Member];

/// One member of a body. One that may be missing may also be null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    name: &'static str,
    shape: Shape,
    is_required: bool,
}

/// What a member holds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Whole,
    Number,
    Flag,
    Texts,
    /// Anything, with any members.
    Object,
    /// Any values.
    List,
    Any,
    /// An object with these members.
    Of(Members),
    /// Objects with these members.
    Items(Members),
}

const fn must(name: &'static str, shape: Shape) -> Member {
    let is_required = true;
    Member {
        name,
        shape,
        is_required,
    }
}

const fn may(name: &'static str, shape: Shape) -> Member {
    let is_required = false;
    Member {
        name,
        shape,
        is_required,
    }
}

#[rustfmt::skip]
const VISIBILITY: Members = &[must("visibility", Text)];
#[rustfmt::skip]
const ACTION: Members = &[must("action", Text)];
#[rustfmt::skip]
const STATUS: Members = &[must("status", Text), may("error", Text)];
#[rustfmt::skip]
const FILTER: Members = &[must("filter_rules", List), may("visibility", Text)];
#[rustfmt::skip]
const FILTER_CHANGE: Members = &[may("filter_rules", List), may("visibility", Text)];
#[rustfmt::skip]
const SEARCH: Members = &[may("filter_rules", List), may("constraints", Object)];
#[rustfmt::skip]
const GROUP_IN_TENANT: Members = &[must("tenant_name", Text), must("group_name", Text), must("role", Text)];
#[rustfmt::skip]
const USER_IN_TENANT: Members = &[must("tenant_name", Text), must("username", Text), must("role", Text)];
#[rustfmt::skip]
const USER_IN_GROUP: Members = &[must("username", Text), must("group_name", Text)];
#[rustfmt::skip]
const NEW_DEPLOYMENT: Members = &[may("id", Text), may("inputs", Object), may("labels", Any), may("display_name", Text), may("site_name", Text), may("runtime_only_evaluation", Flag), may("skip_plugins_validation", Flag)];
#[rustfmt::skip]
const MEMBERSHIP: Members = &[may("deployment_ids", Texts), may("filter_id", Text), may("filter_rules", List), may("deployments_from_group", Text), may("new_deployments", Items(NEW_DEPLOYMENT))];
#[rustfmt::skip]
const STEP: Members = &[must("action", Text), must("entity_id", Any), must("entity_type", Text), may("topology_order", Whole)];
#[rustfmt::skip]
const DEPENDENCY: Members = &[must("dependency_creator", Text), may("target_deployment", Text), may("target_deployment_func", Object), may("external_source", Object), may("external_target", Object)];
#[rustfmt::skip]
const OPERATION: Members = &[may("id", Text), must("name", Text), must("type", Text), may("state", Text), may("dependencies", Texts), may("parameters", Object), may("created_at", Text)];
#[rustfmt::skip]
const UPDATE: Members = &[may("id", Text), may("deployment_id", Text), may("state", Text), may("inputs", Object), may("old_inputs", Object), may("blueprint_id", Text), may("old_blueprint_id", Text), may("created_at", Any), may("created_by", Text), may("execution_id", Text), may("runtime_only_evaluation", Flag), may("deployment_plan", Any), may("steps", Items(STEP)), may("deployment_update_node_instances", Any), may("deployment_update_nodes", Any), may("modified_entity_ids", Any), may("central_plugins_to_install", Any), may("central_plugins_to_uninstall", Any), may("visibility", Text)];

/// By method and path below `/api/v3.1`.
#[rustfmt::skip]
const BODIES: &[(&str, Members)] = &[
    ("PATCH /agents", &[must("bundle", Flag), may("broker_ca_cert", Text), may("manager_ca_cert", Text)]),
    ("PATCH /agents/{name}", &[may("state", Text), may("system", Text), may("version", Text)]),
    ("PUT /agents/{name}", &[must("node_instance_id", Text), must("state", Text), must("create_rabbitmq_user", Flag), may("install_method", Text), may("ip", Text), may("system", Text), may("version", Text), may("rabbitmq_username", Text), may("rabbitmq_password", Text), may("rabbitmq_exchange", Text), may("visibility", Text)]),
    ("PATCH /blueprints/{id}", &[may("plan", Object), may("requirements", Object), may("description", Text), may("main_file_name", Text), may("visibility", Text), may("state", Text), may("error", Text), may("error_traceback", Text), may("labels", Any), may("creator", Text), may("created_at", Text), may("upload_execution", Text)]),
    ("PATCH /blueprints/{id}/set-visibility", VISIBILITY),
    ("POST /brokers", &[must("name", Text), must("address", Text), may("port", Whole), may("networks", Object), may("params", Any)]),
    ("PUT /brokers/{name}", &[must("networks", Object)]),
    ("PUT /config/{name}", &[must("value", Any), may("force", Flag)]),
    ("POST /contacts", &[must("first_name", Text), must("last_name", Text), must("email", Text), must("is_eula", Flag)]),
    ("POST /db-nodes", ACTION),
    ("PATCH /deployment-groups/{id}", &[may("add", Of(MEMBERSHIP)), may("remove", Of(MEMBERSHIP))]),
    ("PUT /deployment-groups/{id}", &[may("description", Text), may("visibility", Text), may("labels", Any), may("blueprint_id", Text), may("default_inputs", Object), may("created_by", Text), may("created_at", Any), may("creation_counter", Whole), may("deployment_ids", Texts), may("filter_id", Text), may("filter_rules", List), may("deployments_from_group", Text), may("new_deployments", Items(NEW_DEPLOYMENT))]),
    ("POST /deployment-modifications", &[must("deployment_id", Text), may("context", Object), may("nodes", Object)]),
    ("POST /deployment-updates", &[must("deployment_updates", Items(UPDATE))]),
    ("PATCH /deployment-updates/{id}", &[may("state", Text), may("plan", Any), may("steps", Items(STEP)), may("nodes", Any), may("node_instances", Any)]),
    ("PUT /deployment-updates/{id}", UPDATE),
    ("POST /deployment-updates/{id}/update/initiate", &[may("blueprint_id", Text), may("inputs", Object), may("reinstall_list", Texts), may("workflow_id", Text), may("preview", Flag), may("force", Flag), may("runtime_only_evaluation", Flag), may("reevaluate_active_statuses", Flag), may("auto_correct_types", Flag), may("update_plugins", Flag), may("install_first", Flag), may("ignore_failure", Flag), may("skip_reinstall", Flag), may("skip_uninstall", Flag), may("skip_install", Flag), may("skip_drift_check", Flag), may("force_reinstall", Flag), may("skip_heal", Flag)]),
    ("DELETE /deployments/inter-deployment-dependencies", &[must("source_deployment", Text), must("dependency_creator", Text), may("target_deployment", Text), may("target_deployment_func", Object), may("external_source", Object), may("external_target", Object), may("is_component_deletion", Flag)]),
    ("POST /deployments/inter-deployment-dependencies", &[must("source_deployment_id", Text), must("inter_deployment_dependencies", Items(DEPENDENCY))]),
    ("PUT /deployments/inter-deployment-dependencies", &[must("source_deployment", Text), must("dependency_creator", Text), may("target_deployment", Text), may("target_deployment_func", Object), may("external_source", Object), may("external_target", Object), may("id", Text), may("visibility", Text), may("created_at", Any), may("created_by", Text)]),
    ("PATCH /deployments/{id}", &[may("description", Text), may("workflows", Object), may("inputs", Object), may("policy_types", Object), may("policy_triggers", Object), may("groups", Object), may("scaling_groups", Object), may("outputs", Object), may("capabilities", Object), may("resource_tags", Object), may("display_name", Text), may("runtime_only_evaluation", Flag), may("create_execution", Text), may("latest_execution", Text), may("blueprint_id", Text), may("labels", Any), may("creator", Text), may("created_at", Text)]),
    ("PUT /deployments/{id}", &[must("blueprint_id", Text), may("inputs", Object), may("skip_plugins_validation", Flag), may("site_name", Text), may("runtime_only_evaluation", Flag), may("display_name", Text), may("labels", Any), may("visibility", Text), may("created_at", Any), may("created_by", Text), may("workdir_zip", Text), may("description", Text), may("workflows", Object), may("groups", Object), may("scaling_groups", Object), may("policy_triggers", Object), may("policy_types", Object), may("outputs", Object), may("capabilities", Object), may("resource_tags", Object), may("deployment_status", Text), may("installation_status", Text)]),
    ("PUT /deployments/{id}/inter-deployment-dependencies", &[must("inter_deployment_dependencies", Items(DEPENDENCY))]),
    ("POST /deployments/{id}/set-site", &[may("site_name", Text), may("detach_site", Flag)]),
    ("PATCH /deployments/{id}/set-visibility", VISIBILITY),
    ("POST /evaluate/functions", &[must("deployment_id", Text), may("context", Object), must("payload", Object)]),
    ("POST /events", &[may("events", List), may("logs", List), may("execution_id", Text), may("execution_group_id", Text), may("manager_name", Text), may("agent_name", Text)]),
    ("POST /execution-groups", &[must("deployment_group_id", Text), must("workflow_id", Text), may("default_parameters", Object), may("parameters", Object), may("force", Flag), may("concurrency", Whole), may("id", Text), may("created_by", Text), may("created_at", Any), may("associated_executions", Texts)]),
    ("PATCH /execution-groups/{id}", &[may("success_group_id", Text), may("failure_group_id", Text), may("concurrency", Whole)]),
    ("POST /execution-groups/{id}", ACTION),
    ("PATCH /execution-schedules/{id}", &[may("since", Any), may("until", Any), may("workflow_id", Text), may("slip", Whole), may("stop_on_fail", Any), may("enabled", Any), may("rrule", Text), may("recurrence", Text), may("count", Any), may("weekdays", Any)]),
    ("PUT /execution-schedules/{id}", &[must("workflow_id", Text), must("since", Any), may("until", Any), may("parameters", Object), may("execution_arguments", Object), may("rrule", Text), may("recurrence", Text), may("count", Any), may("weekdays", Any), may("slip", Whole), may("stop_on_fail", Any), may("enabled", Any), may("created_by", Text), may("created_at", Any)]),
    ("DELETE /executions", &[may("keep_last", Whole), may("to_datetime", Text)]),
    ("POST /executions", &[may("deployment_id", Text), may("workflow_id", Text), may("parameters", Any), may("allow_custom_parameters", Any), may("force", Any), may("dry_run", Any), may("queue", Any), may("wait_after_fail", Any), may("scheduled_time", Text), may("force_status", Text), may("created_by", Text), may("created_at", Text), may("started_at", Text), may("ended_at", Text), may("id", Text), may("is_system_workflow", Flag), may("error", Text)]),
    ("PATCH /executions/{id}", STATUS),
    ("POST /executions/{id}", &[must("action", Text), may("reason", Text)]),
    ("PATCH /filters/blueprints/{id}", FILTER_CHANGE),
    ("PUT /filters/blueprints/{id}", FILTER),
    ("PATCH /filters/deployments/{id}", FILTER_CHANGE),
    ("PUT /filters/deployments/{id}", FILTER),
    ("POST /ldap", &[must("ldap_server", Text), may("ldap_domain", Text), may("ldap_username", Text), may("ldap_password", Text), may("ldap_is_active_directory", Flag), may("ldap_dn_extra", Text), may("ldap_ca_cert", Text), may("ldap_nested_levels", Any), may("ldap_bind_format", Text), may("ldap_group_dn", Text), may("ldap_base_dn", Text), may("ldap_group_member_filter", Text), may("ldap_user_filter", Text), may("ldap_attribute_email", Text), may("ldap_attribute_first_name", Text), may("ldap_attribute_last_name", Text), may("ldap_attribute_uid", Text), may("ldap_attribute_group_membership", Text)]),
    ("POST /license", &[must("customer_id", Text)]),
    ("PATCH /log-bundles/{id}", STATUS),
    ("PUT /log-bundles/{id}", &[may("queue", Flag)]),
    ("POST /managers", &[must("hostname", Text), must("private_ip", Text), must("public_ip", Text), must("version", Text), must("edition", Text), must("distribution", Text), must("distro_release", Text), may("fs_sync_node_id", Text), may("networks", Object), may("ca_cert_content", Text)]),
    ("PUT /managers/{name}", &[must("fs_sync_node_id", Text)]),
    ("POST /node-instances", &[must("deployment_id", Text), must("node_instances", Items(&[may("id", Text), may("node_id", Text), may("host_id", Text), may("relationships", List), may("scaling_groups", Any), may("index", Whole), may("state", Text), may("version", Whole), may("runtime_properties", Object), may("system_properties", Object), may("is_status_check_ok", Flag), may("has_configuration_drift", Flag)]))]),
    ("PATCH /node-instances/{id}", &[must("version", Whole), may("state", Text), may("runtime_properties", Any), may("system_properties", Any), may("relationships", Any)]),
    ("POST /nodes", &[must("deployment_id", Text), must("nodes", Items(&[may("id", Text), may("type", Text), may("type_hierarchy", Texts), may("host_id", Text), may("properties", Any), may("operations", Any), may("relationships", Any), may("plugins", Any), may("plugins_to_install", Any), may("capabilities", Any), may("number_of_instances", Whole), may("planned_number_of_instances", Whole), may("deploy_number_of_instances", Whole), may("min_number_of_instances", Whole), may("max_number_of_instances", Whole)]))]),
    ("PATCH /nodes/{deployment}/{node}", &[may("plugins", List), may("operations", Object), may("relationships", List), may("properties", Object), may("capabilities", Any)]),
    ("POST /operations", &[must("action", Text), may("deployment_id", Text), may("node_id", Text), may("operation", Text), may("key", Text), may("rel_index", Whole)]),
    ("PATCH /operations/{id}", &[must("state", Text), may("result", Any), may("exception", Any), may("exception_causes", Any), may("manager_name", Text), may("agent_name", Text), may("claim", Object), may("said", Object)]),
    ("PUT /operations/{id}", &[must("graph_id", Text), may("id", Text), must("name", Text), must("type", Text), may("state", Text), may("dependencies", Texts), may("parameters", Object), may("created_at", Text)]),
    ("POST /plugins-updates/{id}/update/initiate", &[may("plugin_names", Texts), may("to_latest", Texts), may("all_to_latest", Flag), may("to_minor", Texts), may("all_to_minor", Flag), may("mapping", Object), may("force", Flag), may("auto_correct_types", Flag), may("reevaluate_active_statuses", Flag), may("all_tenants", Flag), may("update_id", Text), may("created_by", Text), may("created_at", Any), may("execution_id", Text), may("state", Text), may("affected_deployments", Texts), may("deployments_per_tenant", Object), may("temp_blueprint_id", Text)]),
    ("DELETE /plugins/{id}", &[may("force", Flag)]),
    ("PATCH /plugins/{id}", &[may("creator", Text), may("blueprint_labels", Object), may("labels", Object), may("resource_tags", Object)]),
    ("POST /plugins/{id}", &[must("action", Text), may("managers", Texts), may("agents", Texts)]),
    ("PUT /plugins/{id}", &[must("state", Text), may("manager", Text), may("agent", Text), may("error", Text)]),
    ("PATCH /plugins/{id}/set-visibility", VISIBILITY),
    ("POST /provider/context", &[must("name", Text), must("context", Any)]),
    ("POST /searches/blueprints", SEARCH),
    ("POST /searches/capabilities", SEARCH),
    ("POST /searches/deployments", SEARCH),
    ("POST /searches/node-instances", SEARCH),
    ("POST /searches/node-types", SEARCH),
    ("POST /searches/nodes", SEARCH),
    ("POST /searches/scaling-groups", SEARCH),
    ("POST /searches/secrets", SEARCH),
    ("POST /searches/workflows", SEARCH),
    ("PUT /secrets-providers", &[must("name", Text), must("type", Text), may("connection_parameters", Object), may("visibility", Text), may("created_at", Any), may("created_by", Text), may("test", Flag)]),
    ("PATCH /secrets-providers/{name}", &[may("type", Text), may("connection_parameters", Object), may("visibility", Text)]),
    ("POST /secrets/share/import", &[must("secrets_list", List), must("override_collisions", Flag), may("tenant_map", Object), may("passphrase", Text)]),
    ("PATCH /secrets/{key}", &[may("value", Any), may("is_hidden_value", Flag), may("visibility", Text), may("creator", Text), may("provider_name", Text), may("provider_options", Object)]),
    ("PUT /secrets/{key}", &[must("value", Any), may("schema", Object), may("provider_name", Text), may("provider_options", Object), may("update_if_exists", Flag), may("is_hidden_value", Flag), may("visibility", Text)]),
    ("PATCH /secrets/{key}/set-visibility", VISIBILITY),
    ("POST /sites/{name}", &[may("new_name", Text), may("location", Text), may("visibility", Text)]),
    ("PUT /sites/{name}", &[may("location", Text), may("visibility", Text), may("created_at", Any), may("created_by", Text)]),
    ("PATCH /snapshots/{id}", STATUS),
    ("PUT /snapshots/{id}", &[may("include_credentials", Flag), may("include_logs", Flag), may("include_events", Flag), may("queue", Flag), may("tempdir_path", Text), may("legacy", Flag), may("listener_timeout", Number)]),
    ("POST /snapshots/{id}/restore", &[may("force", Flag), may("restore_certificates", Flag), may("no_reboot", Flag), may("timeout", Whole)]),
    ("POST /tasks_graphs/{anything}", &[must("name", Text), must("execution_id", Text), may("operations", Items(OPERATION)), may("created_at", Text), may("graph_id", Text)]),
    ("PATCH /tasks_graphs/{id}", &[must("state", Text)]),
    ("DELETE /tenants/user-groups", &[must("tenant_name", Text), must("group_name", Text)]),
    ("PATCH /tenants/user-groups", GROUP_IN_TENANT),
    ("PUT /tenants/user-groups", GROUP_IN_TENANT),
    ("DELETE /tenants/users", &[must("tenant_name", Text), must("username", Text)]),
    ("PATCH /tenants/users", USER_IN_TENANT),
    ("PUT /tenants/users", USER_IN_TENANT),
    ("POST /tenants/{name}", &[may("rabbitmq_password", Text)]),
    ("POST /tokens", &[may("description", Text), may("expiration_date", Text)]),
    ("POST /user-groups", &[must("group_name", Text), may("ldap_group_dn", Text), may("role", Text)]),
    ("DELETE /user-groups/users", USER_IN_GROUP),
    ("PUT /user-groups/users", USER_IN_GROUP),
    ("POST /user-groups/{name}", &[must("role", Text)]),
    ("PUT /users", &[must("username", Text), must("password", Text), may("role", Text), may("is_prehashed", Flag), may("created_at", Text), may("first_login_at", Text), may("last_login_at", Text)]),
    ("POST /users/active/{username}", ACTION),
    ("POST /users/{username}", &[may("password", Text), may("role", Text), may("show_getting_started", Flag)]),
];

/// What an operation takes; nothing when it takes no JSON.
pub(super) fn members(method: &str, path: &str) -> Option<Members> {
    let is_it = |name: &str| name.split_once(' ') == Some((method, path));
    let found = BODIES.iter().find(|(name, _)| is_it(name));
    found.map(|(_, members)| *members)
}

/// The schema of such a body. Members that are not named are passed over, or refused.
pub(super) fn schema(members: Members) -> RefOr<Schema> {
    object(members).into()
}

fn object(members: Members) -> ObjectBuilder {
    let mut object = ObjectBuilder::new();
    for member in members {
        object = object.property(member.name, shape(member));
        if member.is_required {
            object = object.required(member.name);
        }
    }
    object
}

fn shape(member: &Member) -> RefOr<Schema> {
    let kind = |kind: Type| match member.is_required {
        true => SchemaType::new(kind),
        false => SchemaType::from_iter([kind, Type::Null]),
    };
    let plain = |of: Type| ObjectBuilder::new().schema_type(kind(of)).into();
    let array = || ArrayBuilder::new().schema_type(kind(Type::Array));
    match member.shape {
        Text => plain(Type::String),
        Whole => plain(Type::Integer),
        Number => plain(Type::Number),
        Flag => plain(Type::Boolean),
        Object => plain(Type::Object),
        Any => schemas::any().into(),
        Texts => array().items(schemas::text()).into(),
        List => array().items(schemas::any()).into(),
        Of(members) => object(members).schema_type(kind(Type::Object)).into(),
        Items(members) => array().items(object(members)).into(),
    }
}
