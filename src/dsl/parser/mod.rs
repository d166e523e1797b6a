//! From one merged document to a plan: the shape is checked, then types, nodes, groups and
//! workflows are read in turn. All that is wrong with one stage is reported together; the next
//! stage starts only when it is clean.
mod context;
mod data_types;
mod derive;
mod groups;
mod inputs;
mod interfaces;
mod locate;
mod nodes;
mod operations;
mod outputs;
mod plugins;
mod properties;
mod relationships;
mod scalable;
mod scaling;
mod schema;
mod sections;
mod settings;
mod types;
mod values;
mod version;
mod workflows;

use crate::dsl::value::{Map, Value, object};

use self::context::Context;
pub(crate) use self::locate::locate;
pub(crate) use self::values::is_primitive_type;
pub use self::values::{DataTypes, Misfit, fit};
pub(crate) use self::version::{Version, version_of_main};
use super::ParseOptions;
use super::diagnostics::{Diagnostic, DslError, Path, Step};
use super::imports::{Document, Resolver};
use super::plan::Plan;

/// Makes a plan of a document. Functions and defaults of inputs are not checked yet.
pub(crate) fn compile(
    document: &Document,
    resolver: &dyn Resolver,
    options: &ParseOptions,
) -> Result<Plan, DslError> {
    let late = check_shape(document, options)?;
    let context = Context::new(document, resolver, options, late);
    context.settle_late(is_in_plugin)?;
    let plugins = plugins::read(&context);
    let data_types = context.take(data_types::read(&context)).unwrap_or_default();
    context.settle()?;
    let node_types = context.take(types::read(&context, types::NODE_TYPES, &data_types));
    let relationships = context.take(types::read(&context, types::RELATIONSHIPS, &data_types));
    let inputs = inputs::read(&context, &data_types);
    context.settle()?;
    context.settle_late(is_in_type)?;
    let node_types = node_types.unwrap_or_default();
    let relationships = relationships.unwrap_or_default();
    let finder = operations::Finder {
        context: &context,
        plugins: &plugins,
    };
    check_relationship_operations(&context, &finder, &relationships);
    let reader = nodes::Reader {
        context: &context,
        finder: &finder,
        node_types: &node_types,
        relationships: &relationships,
        data_types: &data_types,
    };
    let nodes = reader.read();
    let policies = groups::read(&context, &data_types);
    let workflows = workflows::read(&context, &finder, &data_types);
    let labels = outputs::labels(&context, "labels", true);
    let blueprint_labels = outputs::labels(&context, "blueprint_labels", false);
    let settings = context.take(settings::read(&context)).unwrap_or_default();
    context.settle()?;
    context.settle_late(|_| true)?;
    let scaling_groups = scaling::read(&context, &policies.groups, &policies.policies, &nodes)?;
    let (nodes, installs) = nodes::finish(&context, &nodes, &plugins)?;
    let version = object! {
        "raw": document.version.name(),
        "definitions_name": "cloudify_dsl",
        "definitions_version": Value::from([1, document.version.minor()]),
    };
    Ok(Plan::new(object! {
        "description": context.value("description"),
        "metadata": context.value("metadata"),
        "nodes": nodes,
        "relationships": types::relationships_to_json(&relationships),
        "workflows": workflows.workflows,
        "policy_types": policies.policy_types,
        "policy_triggers": policies.policy_triggers,
        "policies": policies.policies,
        "groups": policies.groups,
        "scaling_groups": scaling_groups,
        "inputs": inputs,
        "outputs": outputs::read(&context, "outputs"),
        "deployment_plugins_to_install": installs.deployment,
        "workflow_plugins_to_install": workflows.plugins_to_install,
        "host_agent_plugins_to_install": installs.host_agent,
        "version": version,
        "capabilities": outputs::read(&context, "capabilities"),
        "imported_blueprints": document.imported_blueprints.as_slice(),
        "namespaces_mapping": document
            .namespaces
            .iter()
            .map(|(name, file)| (name.as_str(), file))
            .collect::<Map>(),
        "data_types": data_types,
        "labels": labels,
        "blueprint_labels": blueprint_labels,
        "resource_tags": context.section("resource_tags"),
        "deployment_settings": settings,
    }))
}

/// Whether a path leads into a plugin, whose keys are looked at before what they say.
fn is_in_plugin(path: &Path) -> bool {
    path.0.len() > 1 && path.0.first() == Some(&Step::from("plugins"))
}

/// Whether a path leads into a type, which is looked at before anything made of it.
fn is_in_type(path: &Path) -> bool {
    const SECTIONS: [&str; 5] = [
        "plugins",
        "data_types",
        "node_types",
        "relationships",
        "inputs",
    ];
    path.0.len() > 1
        && SECTIONS
            .iter()
            .any(|section| path.0.first() == Some(&Step::from(*section)))
}

/// Unknown keys and what the version does not have; values of wrong kinds are an error at once.
fn check_shape(document: &Document, options: &ParseOptions) -> Result<Vec<Diagnostic>, DslError> {
    let mut checker = schema::Checker {
        version: document.version,
        check_versions: options.validate_version,
        diagnostics: Vec::new(),
        late: Vec::new(),
    };
    checker.check(&document.root, sections::BLUEPRINT, &Path::default());
    if checker.diagnostics.is_empty() {
        return Ok(checker.late);
    }
    let all = checker
        .diagnostics
        .into_iter()
        .chain(checker.late)
        .collect();
    DslError::from_all(all).map_or_else(|| Ok(Vec::new()), Err)
}

/// The operations of relationship types must be runnable even where no node uses them.
fn check_relationship_operations(
    context: &Context<'_>,
    finder: &operations::Finder<'_>,
    relationships: &types::Types,
) {
    for (name, relationship) in relationships {
        for (position, key) in types::RELATIONSHIPS.interfaces.iter().enumerate() {
            let path = Path::from([types::RELATIONSHIPS.section, name, key]);
            context.take(finder.resolve_all(
                &relationship.interfaces(position).interfaces,
                19,
                &path,
            ));
        }
    }
}
