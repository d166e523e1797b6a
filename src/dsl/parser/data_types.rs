//! `data_types`: structured values with properties of their own.

use crate::dsl::value::{Map, Value, object};

use super::context::{Context, map, or_null, text};
use super::values::{DataTypes, is_primitive_type};
use super::{derive, properties};
use crate::dsl::diagnostics::{Diagnostic, Path};

const SECTION: &str = "data_types";

/// All data types, in the form the plan has them.
pub(super) fn read(context: &Context<'_>) -> Result<DataTypes, Diagnostic> {
    let written = context.section(SECTION);
    let ordered = derive::order(context, SECTION, written, dependencies)?;
    let mut types = DataTypes::new();
    for name in ordered {
        let definition = one(context, name, written, &types)?;
        types.insert(name.to_owned(), definition);
    }
    Ok(types)
}

/// A data type needs its parent and the data types of its properties.
fn dependencies(fields: &Map) -> Vec<&str> {
    let properties = map(fields.get("properties"));
    let of_properties = properties
        .values()
        .filter_map(|property| text(map(Some(property)), "type"));
    text(fields, "derived_from")
        .into_iter()
        .chain(of_properties)
        .collect()
}

fn one(
    context: &Context<'_>,
    name: &str,
    written: &Map,
    types: &DataTypes,
) -> Result<Value, Diagnostic> {
    let path = Path::from([SECTION, name]);
    if is_primitive_type(name) {
        let message = format!("'{name}' is the name of a built-in type");
        return Err(context.logic(104, message, path).expected("another name"));
    }
    let fields = map(written.get(name));
    let parent = derive::parent(context, SECTION, name, written)?;
    let own_written = map(fields.get("properties"));
    let mut schema = properties::read(context, own_written, types, &path.then("properties"))?;
    if let Some(parent) = parent {
        let inherited = map(map(types.get(parent)).get("properties"));
        schema = properties::inherit(schema, own_written, inherited, types);
    }
    Ok(Value::Object(object! {
        "derived_from": or_null(fields, "derived_from"),
        "version": or_null(fields, "version"),
        "properties": schema,
        "description": or_null(fields, "description"),
    }))
}
