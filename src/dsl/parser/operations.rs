//! From what an operation or workflow says it runs to the plugin that runs it.

use std::sync::Arc;

use indexmap::IndexMap;

use super::context::{Context, map};
use super::interfaces::{self, Interfaces, OfType, Operation, Owner, Settings};
use super::plugins::{Plugin, Plugins};
use crate::dsl::diagnostics::{Diagnostic, Path};
use crate::dsl::value::{Map, Value, object};

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

/// A plugin's name, and the executor it is needed with.
pub(super) type Need = (Arc<str>, Arc<str>);

/// Operations as the plan has them.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolved {
    pub named: Map,
    /// The plugins they need, each once.
    pub plugins: Vec<Need>,
}

/// The interfaces and operations of a node, or of one side of a relationship, as the plan has them.
/// What needs no more than its type shares them with all that do not either.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub interfaces: Value,
    pub operations: Map,
    pub plugins: Arc<[Need]>,
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
                    .strip_prefix(&*plugin.name)
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
            .did_you_mean(plugin, self.plugins.keys().map(|name| &**name))
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
    ) -> Result<(Value, Option<Need>), Diagnostic> {
        let mapping = operation.implementation.as_str();
        if mapping.is_empty() {
            let settings = &Settings::default();
            let fields = plan_operation("", "", Value::Null, Map::new(), settings);
            return Ok((fields, None));
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
        Ok((fields, Some((plugin.name.clone(), executor.into()))))
    }

    fn script_input(
        &self,
        inputs: &mut Map,
        key: &str,
        mapping: &str,
        path: &Path,
    ) -> Result<(), Diagnostic> {
        self.check_script_inputs(inputs, path)?;
        inputs.insert(key, mapping.into());
        Ok(())
    }

    /// A script's own inputs must leave room for what names the script.
    pub(super) fn check_script_inputs(&self, inputs: &Map, path: &Path) -> Result<(), Diagnostic> {
        let taken = ["script_path", "script_source"]
            .into_iter()
            .find(|key| inputs.contains_key(key));
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
    ) -> Result<Resolved, Diagnostic> {
        let mut uses: IndexMap<&str, usize> = IndexMap::new();
        for name in interfaces.values().flat_map(IndexMap::keys) {
            *uses.entry(name).or_default() += 1;
        }
        let mut resolved = Resolved::default();
        for (interface, operations) in interfaces {
            for (name, operation) in operations {
                let below = path.then(interface).then(name);
                let (fields, plugin) = self.resolve(operation, missing, &below)?;
                if uses.get(&**name) == Some(&1) {
                    resolved.named.insert(Arc::clone(name), fields.clone());
                }
                resolved.named.insert(format!("{interface}.{name}"), fields);
                if let Some(plugin) = plugin.filter(|plugin| !resolved.plugins.contains(plugin)) {
                    resolved.plugins.push(plugin);
                }
            }
        }
        Ok(resolved)
    }

    /// What a template makes of the interfaces of its type. `kind` is the code when nobody can run
    /// an operation; `path` leads to the template's own interfaces.
    pub(super) fn apply(
        &self,
        written: Option<&Value>,
        of_type: &OfType,
        missing: i32,
        path: &Path,
    ) -> Result<Applied, Diagnostic> {
        let is_plain = map(written).is_empty();
        if let (true, Some(known)) = (is_plain, of_type.plain.get()) {
            return Ok(known.clone());
        }
        let own = interfaces::read(self.context, written, Owner::Template, path)?;
        let all = interfaces::apply(self.context, &own, &of_type.interfaces, path)?;
        let resolved = self.resolve_all(&all, missing, path)?;
        let applied = Applied {
            interfaces: interfaces::to_value(&all),
            operations: resolved.named,
            plugins: resolved.plugins.into(),
        };
        if is_plain {
            return Ok(of_type.plain.get_or_init(|| applied).clone());
        }
        Ok(applied)
    }
}

fn plan_operation(
    plugin: &str,
    name: &str,
    executor: Value,
    inputs: Map,
    settings: &Settings,
) -> Value {
    let types: Map = inputs
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_object()?.get("type")?.clone())))
        .collect();

    let mut fields = Value::Object(object! {
        "plugin": plugin,
        "operation": name,
        "executor": executor,
        "inputs": inputs,
        "has_intrinsic_functions": false,
        "max_retries": &settings.max_retries,
        "retry_interval": &settings.retry_interval,
        "timeout": &settings.timeout,
        "timeout_recoverable": &settings.timeout_recoverable,
    });
    if let (false, Some(fields)) = (types.is_empty(), fields.as_object_mut()) {
        fields.insert("inputs_types", Value::Object(types));
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
