//! The `imports` section of one file.

use std::collections::HashSet;

use crate::dsl::diagnostics::{Diagnostic, DslError, Exception};
use crate::dsl::functions;
use crate::dsl::parser::Version;
use crate::dsl::yaml::{Kind, Mapping, Mark, Node};

/// One item of an `imports` section.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub namespace: Option<String>,
    pub spec: String,
    pub properties: Option<Node>,
    pub mark: Mark,
}

/// Reads the section of one file; nothing without one.
pub(super) fn read(
    root: &Node,
    version: Version,
    check_versions: bool,
) -> Result<Vec<Statement>, DslError> {
    let Some(imports) = root.get("imports").filter(|imports| !imports.is_null()) else {
        return Ok(Vec::new());
    };
    let Some(items) = imports.as_list() else {
        return Err(schema(imports, "a list of imports"));
    };
    items
        .iter()
        .map(|item| statement(item, version, check_versions))
        .collect()
}

/// No file may be named twice by the main file.
pub(super) fn check_duplicates(statements: &[Statement]) -> Result<(), DslError> {
    let mut seen = HashSet::new();
    for statement in statements {
        if !seen.insert((&statement.namespace, &statement.spec)) {
            let message = format!("'{}' is imported twice", statement.spec);
            return Err(Diagnostic::new(Exception::Format, 2, message)
                .at(statement.mark.location())
                .into());
        }
    }
    Ok(())
}

fn statement(item: &Node, version: Version, check_versions: bool) -> Result<Statement, DslError> {
    let (text, properties) = match &item.kind {
        Kind::Str(text) => (text.as_ref(), None),
        Kind::Map(mapping) => {
            let (text, properties) = with_properties(item, mapping)?;
            if check_versions && version < Version::V1_5 {
                let message = "properties of an import need cloudify_dsl_1_5".to_owned();
                return Err(Diagnostic::new(Exception::Logic, 102, message)
                    .at(item.mark.location())
                    .into());
            }
            (
                text,
                Some(properties).filter(|properties| !properties.is_null()),
            )
        }
        _ => {
            return Err(schema(
                item,
                "a string, or a map from the import to its properties",
            ));
        }
    };
    let (namespace, spec) = match text.rsplit_once("--") {
        Some((namespace, spec)) => (Some(namespace).filter(|text| !text.is_empty()), spec),
        None => (None, text),
    };
    if let Some(namespace) = namespace.filter(|namespace| namespace.contains("--")) {
        let message = format!("the namespace '{namespace}' contains '--'");
        return Err(Diagnostic::new(Exception::Logic, 212, message)
            .at(item.mark.location())
            .into());
    }
    Ok(Statement {
        namespace: namespace.map(str::to_owned),
        spec: spec.to_owned(),
        properties,
        mark: item.mark.clone(),
    })
}

fn with_properties<'a>(item: &Node, mapping: &'a Mapping) -> Result<(&'a str, Node), DslError> {
    let specification = |message: String, at: &Node| {
        Diagnostic::new(Exception::Format, 220, message)
            .at(at.mark.location())
            .expected("one import with a map of properties")
            .into()
    };
    let (Some((key, entry)), 1) = (mapping.first(), mapping.len()) else {
        return Err(specification(
            "an import with properties is a map of one key".to_owned(),
            item,
        ));
    };
    let text = key
        .as_str()
        .ok_or_else(|| schema(item, "a string as the import"))?;
    if entry.value.is_null() {
        return Ok((text, entry.value.clone()));
    }
    let Some(properties) = entry.value.as_map() else {
        return Err(schema(&entry.value, "a map of properties"));
    };
    for (name, property) in properties {
        let fits = match &property.value.kind {
            Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::List(_) => true,
            _ => is_function(&property.value),
        };
        if !fits {
            let message = format!(
                "the import property '{}' is {}",
                name.text(),
                property.value.describe()
            );
            return Err(specification(message, &property.value));
        }
    }
    Ok((text, entry.value.clone()))
}

/// Whether a value is a function call: one known name, perhaps with the type it returns.
pub(super) fn is_function(value: &Node) -> bool {
    let Some(mapping) = value.as_map() else {
        return false;
    };
    let is_call = |name: &str| functions::is_name(name);
    let keys: Vec<_> = mapping.keys().filter_map(|key| key.as_str()).collect();
    match keys.as_slice() {
        _ if keys.len() != mapping.len() => false,
        [name] => is_call(name),
        [first, second] => {
            [first, second]
                .iter()
                .all(|name| **name == "type" || is_call(name))
                && [first, second].iter().any(|name| is_call(name))
        }
        _ => false,
    }
}

fn schema(at: &Node, expected: &str) -> DslError {
    Diagnostic::new(Exception::Format, 1, format!("here is {}", at.describe()))
        .at(at.mark.location())
        .path(["imports"].into())
        .expected(expected)
        .into()
}
