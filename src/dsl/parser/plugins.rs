//! `plugins`: who runs operations and workflows.

use std::sync::Arc;

use crate::dsl::value::{Map, Value};
use indexmap::IndexMap;

use super::context::{Context, map, or_null, text};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// A plugin, as nodes of the plan carry it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plugin {
    pub name: Arc<str>,
    pub executor: String,
    fields: Map,
}

pub(super) type Plugins = IndexMap<Arc<str>, Plugin>;

const TEXTS: [&str; 7] = [
    "install_arguments",
    "package_name",
    "package_version",
    "supported_platform",
    "distribution",
    "distribution_version",
    "distribution_release",
];

pub(super) fn read(context: &Context<'_>) -> Plugins {
    let section = context.section("plugins");
    let plugin = |(name, fields): (&Arc<str>, &Value)| {
        let plugin = context.take(one(context, name, map(Some(fields))))?;
        Some((name.clone(), plugin))
    };
    section.iter().filter_map(plugin).collect()
}

fn one(context: &Context<'_>, name: &str, fields: &Map) -> Result<Plugin, Diagnostic> {
    let path = Path::from(["plugins", name]);
    let executor = text(fields, "executor").unwrap_or_default();
    let known = ["central_deployment_agent", "host_agent"];
    if !known.contains(&executor) {
        let message = format!("'{executor}' is not an executor of plugins");
        return Err(context
            .logic(18, message, path.then("executor"))
            .expected("central_deployment_agent or host_agent")
            .did_you_mean(executor, known));
    }
    let install = fields
        .get("install")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let (source, package) = (text(fields, "source"), text(fields, "package_name"));
    if install && source.is_none_or(str::is_empty) && package.is_none_or(str::is_empty) {
        let message = format!("the plugin '{name}' has neither source nor package_name");
        return Err(context
            .logic(50, message, path)
            .expected("source or package_name, or install: false"));
    }
    check_properties(context, fields, &path)?;
    let mut result = Map::new();
    result.insert("source", or_null(fields, "source"));
    result.insert("executor", executor.into());
    result.insert("install", install.into());
    for key in TEXTS {
        result.insert(key.to_owned(), or_null(fields, key));
    }
    let description = or_null(fields, "properties_description");
    result.insert("properties_description", description);
    let properties = map(fields.get("properties")).clone();
    result.insert("properties", Value::Object(properties));
    result.insert("name", name.into());
    Ok(Plugin {
        name: name.into(),
        executor: executor.to_owned(),
        fields: result,
    })
}

fn check_properties(context: &Context<'_>, fields: &Map, path: &Path) -> Result<(), Diagnostic> {
    let mut properties = map(fields.get("properties")).iter();
    let Some((name, _)) = properties.find(|(_, property)| !property.is_object()) else {
        return Ok(());
    };
    let message = format!("the property '{name}' has no schema");
    let exception = Exception::Uncontrolled("ValueError");
    let path = path.then("properties").then(name);
    Err(context
        .diagnostic(exception, None, message, path)
        .expected("a map"))
}

impl Plugin {
    /// The plugin with the executor an operation asks for.
    pub(super) fn with_executor(&self, executor: &str) -> Self {
        let mut plugin = self.clone();
        plugin.executor = executor.to_owned();
        plugin.fields.insert("executor", executor.into());
        plugin
    }

    pub(super) fn to_value(&self) -> Value {
        Value::Object(self.fields.clone())
    }
}
