//! Property schemas: of node types, relationships, data types, policies, and the inputs of
//! operations.

use crate::dsl::value::{Map, Value};

use super::Version;
use super::context::{Context, map, text};
use super::values::{DataTypes, Misfit, PRIMITIVES, fit, fit_default, is_primitive_type, overlay};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// A schema and the defaults as they were written, before data types filled them in.
pub(super) type Schema = Map;

/// Reads a map of property schemas.
pub(super) fn read(
    context: &Context<'_>,
    written: &Map,
    types: &DataTypes,
    path: &Path,
) -> Result<Schema, Diagnostic> {
    let mut schema = Map::new();
    for (name, property) in written {
        let below = path.then(name);
        let Some(fields) = property.as_object() else {
            let message = format!("the property '{name}' has no schema");
            return Err(context
                .diagnostic(Exception::ElementMatch, None, message, below)
                .expected("a map; {} for a property without a type"));
        };
        let is_data = text(fields, "type").is_some_and(|name| types.contains_key(name));
        let has_default = fields
            .get("default")
            .is_some_and(|default| !default.is_null());
        let mut property = one(context, fields, types, Default::MayMiss, &below)?;
        if is_data && !has_default {
            let empty = Value::Object(Map::new());
            let default = fit_default(&empty, text(fields, "type"), types)
                .map_err(|misfit| misfit_at(context, misfit, &below))?;
            property.insert("default", default);
        }
        schema.insert(name.clone(), Value::Object(property));
    }
    Ok(schema)
}

/// Whether the default of a data type must have every required property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// Of properties: whoever sets them adds what is missing.
    MayMiss,
    /// Of inputs and parameters: it is used as it is.
    Complete,
}

/// Reads one schema: its type must be known and its default must fit.
pub(super) fn one(
    context: &Context<'_>,
    fields: &Map,
    types: &DataTypes,
    default_rule: Default,
    path: &Path,
) -> Result<Map, Diagnostic> {
    let mut result = fields.clone();
    let Some(declared) = text(fields, "type").filter(|declared| !declared.is_empty()) else {
        return Ok(result);
    };
    check_type(context, declared, types, &path.then("type"))?;
    let default = fields.get("default").filter(|default| !default.is_null());
    if let Some(default) = default {
        let fitted = match default_rule {
            Default::MayMiss => fit_default(default, Some(declared), types),
            Default::Complete => fit(default, Some(declared), types),
        };
        let fitted = fitted.map_err(|misfit| misfit_at(context, misfit, &path.then("default")))?;
        result.insert("default", fitted);
    }
    Ok(result)
}

/// The name of a type must be one of a primitive (of this version) or of a data type.
pub(super) fn check_type(
    context: &Context<'_>,
    declared: &str,
    types: &DataTypes,
    path: &Path,
) -> Result<(), Diagnostic> {
    if is_primitive_type(declared) {
        let since = type_since(declared);
        if context.supports(since) {
            return Ok(());
        }
        let message = format!("the type '{declared}' needs {}", since.name());
        return Err(context.logic(102, message, path.clone()));
    }
    if types.contains_key(declared) {
        return Ok(());
    }
    let message = format!("there is no type '{declared}'");
    let known = PRIMITIVES.into_iter().chain(types.names());
    Err(context
        .logic(103, message, path.clone())
        .expected("a primitive type or the name of a data type")
        .did_you_mean(declared, known))
}

fn type_since(declared: &str) -> Version {
    match declared {
        "blueprint_id" | "deployment_id" | "capability_value" | "scaling_group" | "node_id"
        | "node_type" | "node_instance" | "secret_key" => Version::V1_4,
        "operation_name" => Version::V1_5,
        _ => Version::V1_0,
    }
}

/// A type's schema over its parent's: own properties first, then the parent's that it does not
/// redefine.
///
/// `written` holds the type's own properties before defaults were filled in: redefining a property
/// with the same data type lays only what was written over the parent's default.
pub(super) fn inherit(own: Schema, written: &Map, parent: &Schema, types: &DataTypes) -> Schema {
    let mut result = own;
    for (name, inherited) in parent {
        let Some(property) = result.get_mut(name).and_then(Value::as_object_mut) else {
            result.insert(name.clone(), inherited.clone());
            continue;
        };
        let inherited = map(Some(inherited));
        let declared = text(property, "type").map(str::to_owned);
        let Some(declared) = declared.filter(|declared| {
            types.contains_key(declared) && text(inherited, "type") == Some(declared)
        }) else {
            continue;
        };
        let lower = inherited
            .get("default")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        let upper = map(written.get(name))
            .get("default")
            .filter(|value| !value.is_null());
        let default = upper.map_or_else(
            || lower.clone(),
            |upper| overlay(&lower, upper, &declared, types),
        );
        property.insert("default", default);
    }
    result
}

/// A misfit below some place of the document, as a diagnostic.
pub(super) fn misfit_at(context: &Context<'_>, misfit: Misfit, path: &Path) -> Diagnostic {
    let mut full = path.clone();
    full.0.extend(misfit.path.0);
    let mut diagnostic = context.logic(misfit.err_code, misfit.message, full);
    diagnostic.expected = misfit.expected;
    diagnostic.suggestion = misfit.suggestion;
    diagnostic
}
