//! From what an operation or workflow says it runs to the plugin that runs it.

use serde_json::{Map, Value, json};

use indexmap::IndexMap;

use super::context::Context;
use super::interfaces::{Interfaces, Operation, Settings};
use super::plugins::{Plugin, Plugins};
use crate::dsl::diagnostics::{Diagnostic, Path};

/// The executor of a script whose author names none.
const AUTO: &str = "auto";

/// Finds plugins and scripts for mappings.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    pub context: &'a Context<'a>,
    pub plugins: &'a Plugins,
}

/// What a mapping stands for.
#[derive(Debug)]
pub(super) enum Target<'a> {
    Plugin {
        plugin: &'a Plugin,
        operation: String,
    },
    /// A file for the script plugin.
    Script(&'a Plugin),
    /// A script written out.
    Inline(&'a Plugin),
}

/// An operation of the plan, and the plugin it needs.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub fields: Value,
    /// The plugin's name, and the executor it needs it with.
    pub plugin: Option<(String, String)>,
}

impl<'a> Finder<'a> {
    /// What a mapping that is not empty stands for. `missing` is the code when nobody can run it.
    pub(super) fn find(
        &self,
        mapping: &str,
        missing: i32,
        path: &Path,
    ) -> Result<Target<'a>, Diagnostic> {
        let candidates: Vec<&'a Plugin> = self
            .plugins
            .values()
            .filter(|plugin| {
                mapping
                    .strip_prefix(plugin.name.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
            })
            .collect();
        let is_inline = mapping.trim().contains('\n');
        if has_scheme(mapping) || self.is_file(mapping) || is_inline {
            return self.script(mapping, is_inline, path);
        }
        match candidates.as_slice() {
            [plugin] => {
                let operation = mapping.get(plugin.name.len() + 1..).unwrap_or_default();
                Ok(Target::Plugin {
                    plugin,
                    operation: operation.to_owned(),
                })
            }
            [] if self.is_foreign(mapping) => self.script(mapping, is_inline, path),
            [] => Err(self.nobody(mapping, missing, path)),
            [first, second, ..] => {
                let message = format!(
                    "'{mapping}' may mean the plugin '{}' or '{}'",
                    first.name, second.name
                );
                Err(self.context.logic(91, message, path.clone()))
            }
        }
    }

    fn nobody(&self, mapping: &str, err_code: i32, path: &Path) -> Diagnostic {
        let plugin = mapping.split('.').next().unwrap_or_default();
        let message = format!("'{mapping}' is neither a script of the blueprint nor of a plugin");
        self.context
            .logic(err_code, message, path.clone())
            .expected("a file in the blueprint's folder, or plugin.module.function")
            .did_you_mean(plugin, self.plugins.keys().map(String::as_str))
    }

    fn script(
        &self,
        mapping: &str,
        is_inline: bool,
        path: &Path,
    ) -> Result<Target<'a>, Diagnostic> {
        let runner = self
            .plugins
            .values()
            .find(|plugin| plugin.name.ends_with("script"));
        let Some(runner) = runner else {
            let what = if is_inline {
                "the inline script"
            } else {
                mapping
            };
            let message = format!("no plugin can run {what}");
            return Err(self
                .context
                .logic(61, message, path.clone())
                .expected("a plugin whose name ends with 'script', as the built-in types bring"));
        };
        Ok(if is_inline {
            Target::Inline(runner)
        } else {
            Target::Script(runner)
        })
    }

    fn is_file(&self, mapping: &str) -> bool {
        let name = mapping.rsplit_once("--").map_or(mapping, |(_, name)| name);
        !name.is_empty()
            && self
                .context
                .resolver
                .has_file(self.context.document.location.as_deref(), name)
    }

    /// Whether the mapping stands in another blueprint, whose scripts are not here to be seen.
    fn is_foreign(&self, mapping: &str) -> bool {
        mapping
            .split_once("--")
            .is_some_and(|(namespace, _)| self.context.document.namespaces.contains_key(namespace))
    }

    /// An operation as the plan has it.
    pub(super) fn resolve(
        &self,
        operation: &Operation,
        missing: i32,
        path: &Path,
    ) -> Result<Resolved, Diagnostic> {
        let mapping = operation.implementation.as_str();
        if mapping.is_empty() {
            let settings = &Settings::default();
            let fields = plan_operation("", "", Value::Null, Map::new(), settings);
            return Ok(Resolved {
                fields,
                plugin: None,
            });
        }
        let written = operation.settings.executor.as_str();
        let mut inputs = operation.inputs.clone();
        let (plugin, name, executor) = match self.find(mapping, missing, path)? {
            Target::Plugin { plugin, operation } => {
                (plugin, operation, written.unwrap_or(&plugin.executor))
            }
            Target::Script(plugin) => {
                self.script_input(&mut inputs, "script_path", mapping, path)?;
                (
                    plugin,
                    "script_runner.tasks.run".to_owned(),
                    written.unwrap_or(AUTO),
                )
            }
            Target::Inline(plugin) => {
                self.script_input(&mut inputs, "script_source", mapping, path)?;
                (
                    plugin,
                    "script_runner.tasks.run".to_owned(),
                    written.unwrap_or(AUTO),
                )
            }
        };
        let fields = plan_operation(
            &plugin.name,
            &name,
            executor.into(),
            inputs,
            &operation.settings,
        );
        Ok(Resolved {
            fields,
            plugin: Some((plugin.name.clone(), executor.to_owned())),
        })
    }

    fn script_input(
        &self,
        inputs: &mut Map<String, Value>,
        key: &str,
        mapping: &str,
        path: &Path,
    ) -> Result<(), Diagnostic> {
        self.check_script_inputs(inputs, path)?;
        inputs.insert(key.to_owned(), mapping.into());
        Ok(())
    }

    /// A script's own inputs must leave room for what names the script.
    pub(super) fn check_script_inputs(
        &self,
        inputs: &Map<String, Value>,
        path: &Path,
    ) -> Result<(), Diagnostic> {
        let taken = ["script_path", "script_source"]
            .into_iter()
            .find(|key| inputs.contains_key(*key));
        match taken {
            None => Ok(()),
            Some(taken) => {
                let message = format!("the input '{taken}' is set by the script itself");
                Err(self
                    .context
                    .logic(60, message, path.clone())
                    .expected("another name"))
            }
        }
    }

    /// All operations of some interfaces, under their qualified names and, where unique, their
    /// short ones.
    pub(super) fn resolve_all(
        &self,
        interfaces: &Interfaces,
        missing: i32,
        path: &Path,
    ) -> Result<Vec<(Vec<String>, Resolved)>, Diagnostic> {
        let mut uses: IndexMap<&str, usize> = IndexMap::new();
        for name in interfaces.values().flat_map(IndexMap::keys) {
            *uses.entry(name).or_default() += 1;
        }
        let mut resolved = Vec::new();
        for (interface, operations) in interfaces {
            for (name, operation) in operations {
                let below = path.then(interface.as_str()).then(name.as_str());
                let result = self.resolve(operation, missing, &below)?;
                let mut names = vec![format!("{interface}.{name}")];
                if uses.get(name.as_str()) == Some(&1) {
                    names.insert(0, name.clone());
                }
                resolved.push((names, result));
            }
        }
        Ok(resolved)
    }
}

/// The operations of a node or relationship, as the plan names them.
pub(super) fn named(resolved: &[(Vec<String>, Resolved)]) -> Map<String, Value> {
    let pairs = resolved.iter().flat_map(|(names, operation)| {
        names
            .iter()
            .map(|name| (name.clone(), operation.fields.clone()))
    });
    pairs.collect()
}

/// The plugins that operations need.
pub(super) fn needed(
    resolved: &[(Vec<String>, Resolved)],
) -> impl Iterator<Item = &(String, String)> {
    resolved
        .iter()
        .filter_map(|(_, operation)| operation.plugin.as_ref())
}

fn plan_operation(
    plugin: &str,
    name: &str,
    executor: Value,
    inputs: Map<String, Value>,
    settings: &Settings,
) -> Value {
    let types: Map<String, Value> = inputs
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_object()?.get("type")?.clone())))
        .collect();

    let mut fields = json!({
        "plugin": plugin,
        "operation": name,
        "executor": executor,
        "inputs": inputs,
        "has_intrinsic_functions": false,
        "max_retries": settings.max_retries,
        "retry_interval": settings.retry_interval,
        "timeout": settings.timeout,
        "timeout_recoverable": settings.timeout_recoverable,
    });
    if let (false, Some(fields)) = (types.is_empty(), fields.as_object_mut()) {
        fields.insert("inputs_types".to_owned(), Value::Object(types));
    }
    fields
}

/// A scheme, a colon, and something: `http:`, `file:`, also `a:b`.
fn has_scheme(mapping: &str) -> bool {
    mapping.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
    })
}
