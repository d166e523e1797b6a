//! Properties given with an import: they become values of the properties that the imported plugins
//! declare.

use std::collections::HashSet;
use std::sync::Arc;

use super::statement::is_function;
use crate::dsl::diagnostics::{Diagnostic, DslError, Exception, Path};
use crate::dsl::yaml::{Entry, Key, Kind, Mapping, Node};

/// The file with the given properties set on every plugin in it that declares any.
pub(super) fn apply(root: &Node, given: &Node) -> Result<Node, DslError> {
    let (Some(sections), Some(given_map)) = (root.as_map(), given.as_map()) else {
        return Ok(root.clone());
    };
    let Some(plugins) = root.get("plugins").and_then(Node::as_map) else {
        return Ok(root.clone());
    };
    let mut changed = plugins.clone();
    for (name, plugin) in &mut changed {
        let Kind::Map(fields) = &mut plugin.value.kind else {
            continue;
        };
        let fields = Arc::make_mut(fields);
        let Some(properties) = fields.get_mut("properties") else {
            continue;
        };
        let Kind::Map(properties) = &mut properties.value.kind else {
            continue;
        };
        set(name, Arc::make_mut(properties), given_map)?;
    }
    let mut sections = sections.clone();
    if let Some(entry) = sections.get_mut("plugins") {
        entry.value.kind = Kind::Map(Arc::new(changed));
    }
    Ok(Node::new(Kind::Map(Arc::new(sections)), root.mark.clone()))
}

fn set(plugin: &Key, properties: &mut Mapping, given: &Mapping) -> Result<(), DslError> {
    if properties.is_empty() {
        return Ok(());
    }
    let mut unknown: HashSet<&Key> = given.keys().collect();
    for (name, property) in properties.iter_mut() {
        let Some(value) = given.get(name) else {
            continue;
        };
        unknown.remove(name);
        let declared = property
            .value
            .get("type")
            .and_then(Node::as_str)
            .unwrap_or_default();
        if !is_function(&value.value) {
            check(name, declared, &value.value)?;
        }
        let Kind::Map(fields) = &mut property.value.kind else {
            continue;
        };
        Arc::make_mut(fields).insert(
            Key::Str("value".into()),
            Entry {
                key_mark: value.key_mark.clone(),
                value: value.value.clone(),
            },
        );
    }
    let Some((name, entry)) = given.iter().find(|(name, _)| unknown.contains(name)) else {
        return Ok(());
    };
    let message = format!(
        "the plugin '{}' has no property '{}'",
        plugin.text(),
        name.text()
    );
    Err(Diagnostic::new(Exception::Logic, 221, message)
        .at(entry.key_mark.location())
        .path(Path::from([
            "plugins",
            plugin.text().as_ref(),
            "properties",
        ]))
        .did_you_mean(name.text(), properties.keys().filter_map(Key::as_str))
        .into())
}

fn check(name: &Key, declared: &str, value: &Node) -> Result<(), DslError> {
    let fits = match (declared, &value.kind) {
        ("string", Kind::Str(_) | Kind::Int(_) | Kind::Bool(_))
        | ("integer", Kind::Int(_) | Kind::Bool(_))
        | ("float", Kind::Int(_) | Kind::Float(_))
        | ("boolean", Kind::Bool(_))
        | ("list", Kind::List(_)) => true,
        ("string" | "integer" | "float" | "boolean" | "list", _) => false,
        _ => {
            let message = format!("the property '{}' has the type '{declared}'", name.text());
            return Err(Diagnostic::new(Exception::Format, 220, message)
                .at(value.mark.location())
                .expected("string, integer, float, boolean or list as the declared type")
                .into());
        }
    };
    if fits {
        return Ok(());
    }
    let message = format!(
        "the import property '{}' is {}",
        name.text(),
        value.describe()
    );
    Err(Diagnostic::new(Exception::Logic, 221, message)
        .at(value.mark.location())
        .expected(declared)
        .into())
}
