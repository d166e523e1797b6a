//! Fitting values to declared types: properties of nodes, values of data types, inputs.

use crate::dsl::value::{Map, Value};

use super::context::{is_function, map, text};
use crate::dsl::diagnostics::{Path, Step, closest};

/// Types that are built in; any other name is a data type.
pub(crate) fn is_primitive_type(name: &str) -> bool {
    PRIMITIVES.contains(&name)
}

pub(super) const PRIMITIVES: [&str; 17] = [
    "string",
    "integer",
    "float",
    "boolean",
    "list",
    "dict",
    "regex",
    "textarea",
    "blueprint_id",
    "deployment_id",
    "capability_value",
    "scaling_group",
    "node_id",
    "node_type",
    "node_instance",
    "secret_key",
    "operation_name",
];

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// 105 wrong kind, 106 unknown property, 107 missing property, 219 a function decides what is
    /// required.
    pub err_code: i32,
    /// Where, below the value.
    pub path: Path,
    pub message: String,
    pub expected: Option<String>,
    pub suggestion: Option<String>,
}

impl Misfit {
    fn new(err_code: i32, message: String) -> Self {
        Self {
            err_code,
            path: Path::default(),
            message,
            expected: None,
            suggestion: None,
        }
    }

    fn below(mut self, step: &str) -> Self {
        self.path.0.insert(0, Step::from(step));
        self
    }
}

/// The data types of a plan: name to `{properties: {name: {type, default, required}}}`.
pub type DataTypes = Map;

/// Fits a value to a type. The result has the defaults of data types filled in.
pub fn fit(value: &Value, declared: Option<&str>, types: &DataTypes) -> Result<Value, Misfit> {
    Fitting {
        types,
        missing_is_error: true,
    }
    .fit(value, declared, None)
}

/// Fits a default while its type is being defined: inner properties may still be missing.
pub(super) fn fit_default(
    value: &Value,
    declared: Option<&str>,
    types: &DataTypes,
) -> Result<Value, Misfit> {
    Fitting {
        types,
        missing_is_error: false,
    }
    .fit(value, declared, None)
}

/// Merges given properties over the schema of a type: every required one must be there in the end.
pub(super) fn merge_properties(
    given: &Map,
    schema: &Map,
    types: &DataTypes,
) -> Result<Map, Misfit> {
    Fitting {
        types,
        missing_is_error: true,
    }
    .merge(given, schema, &Map::new())
}

/// The overlay of two values of one data type: the upper one wins, property by property.
pub(super) fn overlay(lower: &Value, upper: &Value, declared: &str, types: &DataTypes) -> Value {
    let (Some(below), Some(above)) = (lower.as_object(), upper.as_object()) else {
        return upper.clone();
    };
    if is_function(lower) || is_function(upper) {
        return upper.clone();
    }
    let schema = map(map(types.get(declared)).get("properties"));
    let mut result = below.clone();
    for (key, value) in above {
        let inner = text(map(schema.get(key)), "type").filter(|name| types.contains_key(name));
        let merged = match (inner, below.get(key)) {
            (Some(inner), Some(old)) => overlay(old, value, inner, types),
            _ => value.clone(),
        };
        result.insert(key.clone(), merged);
    }
    Value::Object(result)
}

struct Fitting<'a> {
    types: &'a DataTypes,
    missing_is_error: bool,
}

impl Fitting<'_> {
    /// `inherited` is the default at the place of use, for a data type.
    fn fit(
        &self,
        value: &Value,
        declared: Option<&str>,
        inherited: Option<&Value>,
    ) -> Result<Value, Misfit> {
        let Some(declared) = declared.filter(|declared| !declared.is_empty()) else {
            return Ok(value.clone());
        };
        if is_function(value) {
            return Ok(value.clone());
        }
        let fits = match declared {
            "integer" => value.is_i64() || value.is_u64() || is_large_integer(value),
            "float" => value.is_number(),
            "boolean" => value.is_boolean(),
            "list" => value.is_array(),
            "dict" => value.is_object(),
            "regex" => value.as_str().is_some_and(is_regex),
            _ if is_primitive_type(declared) => true,
            _ => return self.fit_data(value, declared, inherited),
        };
        if fits {
            Ok(value.clone())
        } else {
            Err(mismatch(value, declared))
        }
    }

    fn fit_data(
        &self,
        value: &Value,
        declared: &str,
        inherited: Option<&Value>,
    ) -> Result<Value, Misfit> {
        let Some(definition) = self.types.get(declared) else {
            return Ok(value.clone());
        };
        let Some(given) = value.as_object() else {
            return Err(mismatch(value, declared));
        };
        let inherited = inherited.filter(|value| !is_function(value));
        let schema = map(map(Some(definition)).get("properties"));
        self.merge(given, schema, map(inherited)).map(Value::Object)
    }

    /// Schema order; for each property the given value, else the inherited one, else the schema's
    /// default.
    fn merge(&self, given: &Map, schema: &Map, inherited: &Map) -> Result<Map, Misfit> {
        if let Some(unknown) = given.keys().find(|key| !schema.contains_key(key)) {
            let mut misfit = Misfit::new(106, format!("there is no property '{unknown}'"));
            misfit.suggestion = closest(unknown, schema.names());
            misfit.expected = Some(format!("one of {}", list(schema.names())));
            return Err(misfit.below(unknown));
        }
        let external = given
            .get("use_external_resource")
            .or_else(|| map(schema.get("use_external_resource")).get("default"));
        if let Some(function) = external.filter(|value| is_function(value)) {
            let message = format!("use_external_resource is the function {function}");
            let mut misfit = Misfit::new(219, message);
            misfit.expected = Some("a plain boolean".to_owned());
            return Err(misfit.below("use_external_resource"));
        }
        let is_external = external.is_some_and(is_truthy);
        let mut result = Map::new();
        for (name, property) in schema {
            let property = map(Some(property));
            let default = inherited.get(name).or_else(|| property.get("default"));
            let declared = text(property, "type");
            if let Some(value) = given.get(name).or(default) {
                let value = self
                    .fit(value, declared, default)
                    .map_err(|misfit| misfit.below(name))?;
                result.insert(name.clone(), value);
            } else if self.missing_is_error && !is_external && is_required(property) {
                let mut misfit = Misfit::new(107, format!("the property '{name}' has no value"));
                misfit.expected = Some(format!("a value for '{name}', which is required"));
                return Err(misfit.below(name));
            }
        }
        Ok(result)
    }
}

fn mismatch(value: &Value, declared: &str) -> Misfit {
    let mut misfit = Misfit::new(
        105,
        format!("the value {} is not of the type", brief(value)),
    );
    misfit.expected = Some(match declared {
        "integer" => "an integer".to_owned(),
        "float" => "a number".to_owned(),
        "boolean" => "a boolean".to_owned(),
        "list" => "a list".to_owned(),
        "dict" => "a map".to_owned(),
        "regex" => "a regular expression".to_owned(),
        _ => format!("a map for the data type '{declared}'"),
    });
    misfit
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Whether a property or input must have a value, as its schema says.
pub(super) fn is_required(schema: &Map) -> bool {
    schema
        .get("required")
        .and_then(Value::as_bool)
        .unwrap_or(true)
}

/// An integer beyond 64 bits, which only a float can carry.
fn is_large_integer(value: &Value) -> bool {
    value
        .as_f64()
        .is_some_and(|number| number.is_finite() && number.abs() >= 1e18)
}

fn is_regex(pattern: &str) -> bool {
    crate::dsl::constraints::is_pattern(pattern)
}

/// Truth as the reference's language has it.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}
