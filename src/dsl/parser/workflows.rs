//! `workflows`: what can be run on a deployment.

use std::sync::Arc;

use crate::dsl::value::{Map, Value, object};
use indexmap::IndexSet;

use super::context::{Context, map, or_null, text};
use super::inputs;
use super::operations::{Finder, Target};
use super::properties::{self, Default};
use super::values::DataTypes;
use crate::dsl::diagnostics::{Diagnostic, Path};

/// The workflows of the plan, and the plugins that run them.
#[derive(Debug, Default)]
pub(super) struct Workflows {
    pub workflows: Map,
    pub plugins_to_install: Vec<Value>,
}

pub(super) fn read(
    context: &Context<'_>,
    finder: &Finder<'_>,
    data_types: &DataTypes,
) -> Workflows {
    let mut result = Map::new();
    let mut used = IndexSet::new();
    for (name, written) in context.section("workflows") {
        let path = Path::from(["workflows", name]);
        let workflow = one(context, finder, data_types, written, &path);
        if let Some((plugin, workflow)) = context.take(workflow) {
            used.insert(plugin);
            result.insert(name.clone(), workflow);
        }
    }
    let plugins = used.iter().filter_map(|name| finder.plugins.get(name));
    let plugins_to_install = plugins.map(super::plugins::Plugin::to_value).collect();
    Workflows {
        workflows: result,
        plugins_to_install,
    }
}

fn one(
    context: &Context<'_>,
    finder: &Finder<'_>,
    data_types: &DataTypes,
    written: &Value,
    path: &Path,
) -> Result<(Arc<str>, Value), Diagnostic> {
    let fields = map(Some(written));
    let mapping = written
        .as_str()
        .or_else(|| text(fields, "mapping"))
        .unwrap_or_default();
    let mut parameters = parameters(context, map(fields.get("parameters")), data_types, path)?;
    check_rules(context, map(fields.get("availability_rules")), path)?;
    if mapping.is_empty() {
        let message = "the workflow runs nothing".to_owned();
        let exception = crate::dsl::diagnostics::Exception::Uncontrolled("RuntimeError");
        return Err(context
            .diagnostic(exception, None, message, path.then("mapping"))
            .expected("a script, or plugin.module.function"));
    }
    let mut script = |key: &str| -> Result<(), Diagnostic> {
        finder.check_script_inputs(&parameters, path)?;
        let description = "Workflow script executed by the script plugin";
        let parameter = Value::Object(object! { "default": mapping, "description": description });
        parameters.insert(key.to_owned(), parameter);
        Ok(())
    };
    let (plugin, operation) = match finder.find(mapping, 21, path)? {
        Target::Plugin { plugin, operation } => (plugin, operation),
        Target::Script(plugin) => {
            script("script_path")?;
            (plugin, "script_runner.tasks.execute_workflow".to_owned())
        }
        Target::Inline(plugin) => {
            script("script_source")?;
            (plugin, "script_runner.tasks.execute_workflow".to_owned())
        }
    };
    let is_cascading = fields
        .get("is_cascading")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let workflow = Value::Object(object! {
        "plugin": &plugin.name,
        "operation": operation,
        "parameters": parameters,
        "is_cascading": is_cascading,
        "availability_rules": or_null(fields, "availability_rules"),
    });
    Ok((plugin.name.clone(), workflow))
}

fn parameters(
    context: &Context<'_>,
    written: &Map,
    data_types: &DataTypes,
    path: &Path,
) -> Result<Map, Diagnostic> {
    let path = path.then("parameters");
    let mut parameters = Map::new();
    for (name, fields) in written {
        let below = path.then(name);
        let fields = map(Some(fields));
        let schema = properties::one(context, fields, data_types, Default::Complete, &below)?;
        inputs::check_item_type(context, fields, &below)?;
        inputs::check_constraints(context, fields, false, &below)?;
        parameters.insert(name.clone(), Value::Object(schema));
    }
    Ok(parameters)
}

fn check_rules(context: &Context<'_>, rules: &Map, path: &Path) -> Result<(), Diagnostic> {
    let active = rules.get("node_instances_active").and_then(Value::as_array);
    for (position, item) in active.into_iter().flatten().enumerate() {
        let known = ["all", "partial", "none"];
        let value = item.as_str().unwrap_or_default();
        if !known.contains(&value) {
            let message = format!("'{value}' is no rule about active instances");
            let path = path
                .then("availability_rules")
                .then("node_instances_active")
                .then(position);
            return Err(context
                .logic(103, message, path)
                .expected("all, partial or none")
                .did_you_mean(value, known));
        }
    }
    Ok(())
}
