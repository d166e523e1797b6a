//! The shape of every section of a blueprint.

use super::Version::{V1_1, V1_2, V1_3, V1_4, V1_5};
use super::schema::{Field, Schema, Type};

const STRING: &Schema = &Schema::Leaf(&[Type::String]);
const BOOLEAN: &Schema = &Schema::Leaf(&[Type::Boolean]);
const INTEGER: &Schema = &Schema::Leaf(&[Type::Integer]);
const NUMBER: &Schema = &Schema::Leaf(&[Type::Number]);
const LIST: &Schema = &Schema::Leaf(&[Type::List]);
const MAP: &Schema = &Schema::Leaf(&[Type::Map]);
const ANY: &Schema = &Schema::Leaf(&[
    Type::List,
    Type::Boolean,
    Type::Number,
    Type::String,
    Type::Map,
]);

const PROPERTY: &Schema = &Schema::Fields(&[
    Field::new("type", STRING),
    Field::new("default", ANY),
    Field::new("description", STRING),
    Field::since(V1_2, "required", BOOLEAN),
]);
const PROPERTIES: &Schema = &Schema::Map(PROPERTY);

const INPUT: &Schema = &Schema::Fields(&[
    Field::new("type", STRING),
    Field::new("default", ANY),
    Field::new("description", STRING),
    Field::since(V1_2, "required", BOOLEAN),
    Field::since(V1_4, "item_type", STRING),
    Field::new("constraints", &Schema::List(MAP)),
    Field::since(V1_3, "display_label", STRING),
    Field::since(V1_3, "hidden", BOOLEAN),
    Field::new("display", &Schema::Fields(&[Field::new("rows", INTEGER)])),
]);
const INPUTS: &Schema = &Schema::Map(INPUT);

const PARAMETER: &Schema = &Schema::Fields(&[
    Field::new("type", STRING),
    Field::new("default", ANY),
    Field::new("description", STRING),
    Field::since(V1_2, "required", BOOLEAN),
    Field::since(V1_4, "item_type", STRING),
    Field::new("constraints", &Schema::List(MAP)),
]);

const TYPE_OPERATION: &Schema = &Schema::StringOr(&Schema::Fields(&[
    Field::new("implementation", STRING),
    Field::new("inputs", INPUTS),
    Field::new("executor", STRING),
    Field::since(V1_1, "max_retries", INTEGER),
    Field::since(V1_1, "retry_interval", NUMBER),
    Field::new("timeout", NUMBER),
    Field::new("timeout_recoverable", BOOLEAN),
]));
const TYPE_INTERFACES: &Schema = &Schema::Map(&Schema::Map(TYPE_OPERATION));

const TEMPLATE_OPERATION: &Schema = &Schema::StringOr(&Schema::Fields(&[
    Field::new("implementation", STRING),
    Field::new("inputs", MAP),
    Field::new("executor", STRING),
    Field::since(V1_1, "max_retries", INTEGER),
    Field::since(V1_1, "retry_interval", NUMBER),
    Field::new("timeout", NUMBER),
    Field::new("timeout_recoverable", BOOLEAN),
]));
const TEMPLATE_INTERFACES: &Schema = &Schema::Map(&Schema::Map(TEMPLATE_OPERATION));

const PLUGIN_PROPERTY: &Schema = &Schema::Fields(&[
    Field::new("description", STRING),
    Field::new("type", STRING),
    Field::since(V1_3, "display_label", STRING),
    Field::new("value", ANY),
]);

const PLUGIN: &Schema = &Schema::Fields(&[
    Field::required("executor", STRING),
    Field::new("source", STRING),
    Field::new("install", BOOLEAN),
    Field::since(V1_1, "install_arguments", STRING),
    Field::since(V1_2, "package_name", STRING),
    Field::since(V1_2, "package_version", STRING),
    Field::since(V1_2, "supported_platform", STRING),
    Field::since(V1_2, "distribution", STRING),
    Field::since(V1_2, "distribution_version", STRING),
    Field::since(V1_2, "distribution_release", STRING),
    Field::since(V1_5, "properties_description", STRING),
    Field::since(V1_5, "properties", &Schema::Map(PLUGIN_PROPERTY)),
]);

const NODE_TYPE: &Schema = &Schema::Fields(&[
    Field::new("derived_from", STRING),
    Field::new("properties", PROPERTIES),
    Field::new("interfaces", TYPE_INTERFACES),
    Field::new("runtime_properties", PROPERTIES),
]);

const RELATIONSHIP_TYPE: &Schema = &Schema::Fields(&[
    Field::new("derived_from", STRING),
    Field::new("properties", PROPERTIES),
    Field::new("source_interfaces", TYPE_INTERFACES),
    Field::new("target_interfaces", TYPE_INTERFACES),
]);

const DATA_TYPE: &Schema = &Schema::Fields(&[
    Field::new("derived_from", STRING),
    Field::new("properties", PROPERTIES),
    Field::new("description", STRING),
    Field::new("version", STRING),
]);

const SCALABLE: &Schema = &Schema::Fields(&[
    Field::new(
        "default_instances",
        &Schema::Leaf(&[Type::Integer, Type::Map]),
    ),
    Field::new("min_instances", &Schema::Leaf(&[Type::Integer, Type::Map])),
    Field::new(
        "max_instances",
        &Schema::Leaf(&[Type::Integer, Type::String, Type::Map]),
    ),
]);

const RELATIONSHIP: &Schema = &Schema::Fields(&[
    Field::required("type", STRING),
    Field::required("target", STRING),
    Field::new("properties", MAP),
    Field::new("source_interfaces", TEMPLATE_INTERFACES),
    Field::new("target_interfaces", TEMPLATE_INTERFACES),
]);

const NODE_TEMPLATE: &Schema = &Schema::Fields(&[
    Field::required("type", STRING),
    Field::new("properties", MAP),
    Field::new(
        "instances",
        &Schema::Fields(&[Field::required("deploy", INTEGER)]),
    ),
    Field::since(
        V1_3,
        "capabilities",
        &Schema::Fields(&[Field::new(
            "scalable",
            &Schema::Fields(&[Field::new("properties", SCALABLE)]),
        )]),
    ),
    Field::new("interfaces", TEMPLATE_INTERFACES),
    Field::new("relationships", &Schema::List(RELATIONSHIP)),
]);

const GROUP_POLICY: &Schema = &Schema::Fields(&[
    Field::required("type", STRING),
    Field::new("properties", MAP),
    Field::new(
        "triggers",
        &Schema::Map(&Schema::Fields(&[
            Field::required("type", STRING),
            Field::new("parameters", MAP),
        ])),
    ),
]);

const GROUP: &Schema = &Schema::Fields(&[
    Field::required("members", &Schema::List(STRING)),
    Field::new("policies", &Schema::Map(GROUP_POLICY)),
]);

const POLICY: &Schema = &Schema::Fields(&[
    Field::required("type", STRING),
    Field::required("targets", &Schema::List(STRING)),
    Field::new("properties", SCALABLE),
]);

const WORKFLOW: &Schema = &Schema::StringOr(&Schema::Fields(&[
    Field::required("mapping", STRING),
    Field::new("parameters", &Schema::Map(PARAMETER)),
    Field::new("is_cascading", BOOLEAN),
    Field::since(
        V1_4,
        "availability_rules",
        &Schema::Fields(&[
            Field::new("available", BOOLEAN),
            Field::new("node_instances_active", &Schema::List(STRING)),
            Field::new("node_types_required", &Schema::List(STRING)),
        ]),
    ),
]));

const OUTPUT: &Schema = &Schema::Fields(&[
    Field::required("value", ANY),
    Field::new("description", STRING),
]);

const LABEL: &Schema = &Schema::Fields(&[Field::required("values", LIST)]);

const SCHEDULE: &Schema = &Schema::Fields(&[
    Field::required("workflow", STRING),
    Field::required("since", STRING),
    Field::new("until", STRING),
    Field::new("recurrence", STRING),
    Field::new("timezone", STRING),
    Field::new("weekdays", &Schema::List(STRING)),
    Field::new("count", INTEGER),
    Field::new("default_enabled", BOOLEAN),
    Field::new("stop_after_fail", BOOLEAN),
    Field::new("slip", INTEGER),
    Field::new("workflow_parameters", MAP),
    Field::new(
        "execution_arguments",
        &Schema::Fields(&[
            Field::new("force", BOOLEAN),
            Field::new("is_dry_run", BOOLEAN),
            Field::new("allow_custom_parameters", BOOLEAN),
            Field::new("wait_after_fail", INTEGER),
        ]),
    ),
]);

const SETTINGS: &Schema = &Schema::Fields(&[
    Field::new("id_template", STRING),
    Field::new("display_name", &Schema::Leaf(&[Type::String, Type::Map])),
    Field::new("default_groups", LIST),
    Field::new("default_schedules", &Schema::Map(SCHEDULE)),
]);

/// A whole document, its imports already merged.
pub(super) const BLUEPRINT: &Schema = &Schema::Fields(&[
    Field::required("tosca_definitions_version", STRING),
    Field::since(V1_2, "description", STRING),
    Field::new("metadata", MAP),
    Field::new("plugins", &Schema::Map(PLUGIN)),
    Field::since(V1_2, "data_types", &Schema::Map(DATA_TYPE)),
    Field::new("node_types", &Schema::Map(NODE_TYPE)),
    Field::new("relationships", &Schema::Map(RELATIONSHIP_TYPE)),
    Field::new("inputs", INPUTS),
    Field::new("node_templates", &Schema::Map(NODE_TEMPLATE)),
    Field::new(
        "policy_types",
        &Schema::Map(&Schema::Fields(&[
            Field::required("source", STRING),
            Field::new("properties", PROPERTIES),
        ])),
    ),
    Field::new(
        "policy_triggers",
        &Schema::Map(&Schema::Fields(&[
            Field::required("source", STRING),
            Field::new("parameters", PROPERTIES),
        ])),
    ),
    Field::new("groups", &Schema::Map(GROUP)),
    Field::since(V1_3, "policies", &Schema::Map(POLICY)),
    Field::new("workflows", &Schema::Map(WORKFLOW)),
    Field::new("outputs", &Schema::Map(&Schema::OrNothing(OUTPUT))),
    Field::new("capabilities", &Schema::Map(&Schema::OrNothing(OUTPUT))),
    Field::new("labels", &Schema::Map(LABEL)),
    Field::new("blueprint_labels", &Schema::Map(LABEL)),
    Field::since(V1_3, "resource_tags", &Schema::Map(ANY)),
    Field::new("deployment_settings", SETTINGS),
    Field::new("imported_blueprints", &Schema::List(STRING)),
    Field::new("namespaces_mapping", &Schema::Map(STRING)),
]);
