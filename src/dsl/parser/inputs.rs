//! Inputs of deployments and of operations: one schema for both.

use crate::dsl::value::{Map, Value};

use super::context::{Context, map, text};
use super::properties::{self, Default};
use super::values::{DataTypes, is_primitive_type, is_required};
use crate::dsl::constraints;
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// The deployment inputs.
pub(super) fn read(context: &Context<'_>, types: &DataTypes) -> Map {
    let mut inputs = Map::new();
    let path = Path::from(["inputs"]);
    for (name, fields) in context.section("inputs") {
        let schema = one(context, map(Some(fields)), types, &path.then(name));
        if let Some(schema) = context.take(schema) {
            inputs.insert(name.clone(), Value::Object(schema));
        }
    }
    inputs
}

/// The inputs an operation of a type declares.
pub(super) fn schemas(
    context: &Context<'_>,
    written: &Map,
    types: &DataTypes,
    path: &Path,
) -> Result<Map, Diagnostic> {
    let mut schemas = Map::new();
    for (name, fields) in written {
        let schema = one(context, map(Some(fields)), types, &path.then(name))?;
        schemas.insert(name.clone(), Value::Object(schema));
    }
    Ok(schemas)
}

fn one(
    context: &Context<'_>,
    fields: &Map,
    types: &DataTypes,
    path: &Path,
) -> Result<Map, Diagnostic> {
    let schema = properties::one(context, fields, types, Default::Complete, path)?;
    check_item_type(context, fields, path)?;
    check_constraints(context, fields, true, path)?;
    let is_hidden = fields
        .get("hidden")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    if is_hidden && is_required(fields) && !fields.contains_key("default") {
        let message = "a hidden input is required and has no default".to_owned();
        return Err(context
            .logic(215, message, path.clone())
            .expected("a default, or required: false"));
    }
    let has_display = fields
        .get("display")
        .is_some_and(|display| !display.is_null());
    if has_display && text(fields, "type") != Some("textarea") {
        let message = "only inputs of the type textarea have a display".to_owned();
        return Err(context
            .diagnostic(Exception::InputType, 216, message, path.then("display"))
            .expected("type: textarea"));
    }
    Ok(schema)
}

/// Items of a list may have a type of their own.
pub(super) fn check_item_type(
    context: &Context<'_>,
    fields: &Map,
    path: &Path,
) -> Result<(), Diagnostic> {
    let Some(item_type) = text(fields, "item_type") else {
        return Ok(());
    };
    let below = path.then("item_type");
    if text(fields, "type") != Some("list") {
        let message = "only lists have an item_type".to_owned();
        return Err(context.logic(218, message, below).expected("type: list"));
    }
    if !is_primitive_type(item_type) {
        let message = format!("'{item_type}' is not a primitive type");
        return Err(context
            .logic(217, message, below)
            .expected("a primitive type"));
    }
    Ok(())
}

/// The constraints must be well formed; what they admit is checked when there are values.
///
/// Where messages are allowed, a constraint may carry one from version 1_5 on.
pub(super) fn check_constraints(
    context: &Context<'_>,
    fields: &Map,
    allows_messages: bool,
    path: &Path,
) -> Result<(), Diagnostic> {
    let Some(items) = fields.get("constraints").and_then(Value::as_array) else {
        return Ok(());
    };
    let below = path.then("constraints");
    let minor_version = context.version().minor();
    let check_versions = allows_messages && context.options.validate_version;
    constraints::check_definition(items, minor_version, check_versions)
        .map_err(|diagnostic| located(context, diagnostic, &below))
}

/// A diagnostic whose path starts at some place of the document.
fn located(context: &Context<'_>, mut diagnostic: Diagnostic, path: &Path) -> Diagnostic {
    let mut full = path.clone();
    full.0.append(&mut diagnostic.path.0);
    diagnostic.location = context.document.root.locate(&full).location();
    diagnostic.path = full;
    diagnostic
}
