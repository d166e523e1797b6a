//! Constraints of searches: what the blueprint language lets an input of type `node_id`,
//! `deployment_id` and the like be limited to.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::Condition;

use crate::error::Error;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// A stored filter.
    pub filter_id: Option<String>,
    /// Labels, as filter rules.
    pub rules: Vec<Value>,
    /// Tenants.
    pub tenants: Option<Vec<String>>,
    /// Within a deployment.
    pub deployment_id: Option<String>,
    /// Within a blueprint.
    pub blueprint_id: Option<String>,
    /// Names by a pattern.
    pub pattern: Vec<Pattern>,
    /// Names, or values, that are listed.
    pub valid_values: Option<Vec<Value>>,
    /// Names of operations instead of nodes.
    pub operations: Option<Names>,
    /// Names of capabilities.
    pub capabilities: Option<Names>,
}

/// Names by patterns and from a list.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pattern: Vec<Pattern>,
    valid_values: Option<Vec<Value>>,
}

/// How a name has to look.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// With this in it.
    Contains(String),
    /// With this at its beginning.
    StartsWith(String),
    /// With this at its end.
    EndsWith(String),
    /// Exactly so.
    EqualsTo(String),
}

impl Pattern {
    fn parse(value: &Value) -> Result<Vec<Self>, Error> {
        let refuse = || {
            Error::bad_parameters(format!(
                "name_pattern must map contains, starts_with, ends_with or equals_to to a text, \
                 got {value}"
            ))
        };
        let map = value.as_object().ok_or_else(refuse)?;
        map.iter()
            .map(|(operator, text)| {
                let text = text.as_str().ok_or_else(refuse)?.to_owned();
                Ok(match operator.as_str() {
                    "contains" => Self::Contains(text),
                    "starts_with" => Self::StartsWith(text),
                    "ends_with" => Self::EndsWith(text),
                    "equals_to" => Self::EqualsTo(text),
                    _ => return Err(refuse()),
                })
            })
            .collect()
    }

    fn admits(&self, name: &str) -> bool {
        match self {
            Self::Contains(text) => name.contains(text),
            Self::StartsWith(text) => name.starts_with(text),
            Self::EndsWith(text) => name.ends_with(text),
            Self::EqualsTo(text) => name == text,
        }
    }

    /// The condition on a field.
    fn condition(&self, field: &str) -> Condition {
        let field = field.to_owned();
        match self {
            Self::Contains(text) => Condition::Contains(field, vec![text.clone()]),
            Self::StartsWith(text) => Condition::StartsWith(field, vec![text.clone()]),
            Self::EndsWith(text) => Condition::EndsWith(field, vec![text.clone()]),
            Self::EqualsTo(text) => Condition::AnyOf(field, vec![text.clone()]),
        }
    }
}

impl Names {
    fn parse(value: &Value) -> Result<Self, Error> {
        let map = value.as_object().ok_or_else(|| {
            Error::bad_parameters(format!("specifications of names are a dict, got {value}"))
        })?;
        let mut names = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "name_pattern" => names.pattern = Pattern::parse(value)?,
                "valid_values" => names.valid_values = Some(list(key, value)?),
                _ => return Err(unknown(key)),
            }
        }
        Ok(names)
    }

    /// Whether a name is wanted.
    pub fn admit(&self, name: &str) -> bool {
        let is_listed = |listed: &Vec<Value>| listed.iter().any(|value| value == name);
        self.pattern.iter().all(|pattern| pattern.admits(name))
            && self.valid_values.as_ref().is_none_or(is_listed)
    }
}

impl Constraints {
    /// Reads them from a body.
    ///
    /// # Errors
    /// 400 for what is none.
    pub fn parse(map: &Map<String, Value>) -> Result<Self, Error> {
        let mut found = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "filter_id" => found.filter_id = Some(text(key, value)?),
                "deployment_id" => found.deployment_id = Some(text(key, value)?),
                "blueprint_id" => found.blueprint_id = Some(text(key, value)?),
                "tenants" => found.tenants = Some(of_type(key, value)?),
                "labels" => found.rules = rules(value)?,
                "name_pattern" => found.pattern = Pattern::parse(value)?,
                "valid_values" => found.valid_values = Some(list(key, value)?),
                "operation_name_specs" => found.operations = Some(Names::parse(value)?),
                "capability_key_specs" => found.capabilities = Some(Names::parse(value)?),
                _ => return Err(unknown(key)),
            }
        }
        Ok(found)
    }

    /// Whether a name is wanted.
    pub fn admit(&self, name: &str) -> bool {
        let is_listed = |listed: &Vec<Value>| listed.iter().any(|value| value == name);
        self.is_like(name) && self.valid_values.as_ref().is_none_or(is_listed)
    }

    /// Whether a name fits the patterns.
    pub fn is_like(&self, name: &str) -> bool {
        self.pattern.iter().all(|pattern| pattern.admits(name))
    }

    /// The conditions on rows whose name stands in one field, and those values in another.
    pub fn conditions(&self, name: &str, value: &str) -> Vec<Condition> {
        let patterns = self.pattern.iter().map(|pattern| pattern.condition(name));
        let mut conditions: Vec<Condition> = patterns.collect();
        if let Some(listed) = &self.valid_values {
            let texts = listed.iter().map(shown).collect();
            conditions.push(any_of(value, texts));
        }
        if let Some(tenants) = &self.tenants {
            conditions.push(any_of("tenant_name", tenants.clone()));
        }
        conditions
    }
}

/// An empty list admits nothing.
fn any_of(field: &str, values: Vec<String>) -> Condition {
    match values.is_empty() {
        true => Condition::Keys(Vec::new()),
        false => Condition::AnyOf(field.to_owned(), values),
    }
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn unknown(key: &str) -> Error {
    Error::bad_parameters(format!("There is no constraint `{key}` for a search"))
}

fn text(key: &str, value: &Value) -> Result<String, Error> {
    of_type(key, value)
}

fn list(key: &str, value: &Value) -> Result<Vec<Value>, Error> {
    of_type(key, value)
}

fn of_type<T: for<'de> Deserialize<'de>>(key: &str, value: &Value) -> Result<T, Error> {
    T::deserialize(value)
        .map_err(|error| Error::bad_parameters(format!("The constraint `{key}`: {error}")))
}

/// `[{"key": "value"}]` as rules.
fn rules(value: &Value) -> Result<Vec<Value>, Error> {
    let labels = super::labels::parse(value)?;
    Ok(labels
        .into_iter()
        .map(|label| {
            json!({"key": label.key, "values": [label.value], "operator": "any_of",
                "type": "label"})
        })
        .collect())
}

#[cfg(test)]
mod tests {
    //! What constraints admit.
    use super::*;

    fn parse(value: Value) -> Result<Constraints, Error> {
        Constraints::parse(value.as_object().unwrap())
    }

    #[test]
    fn names_must_fit_and_be_listed() {
        let found = parse(json!({
            "name_pattern": {"starts_with": "db", "contains": "_"},
            "valid_values": ["db_1", "web_1", 5],
        }));
        let found = found.unwrap();
        assert!(found.admit("db_1"));
        assert!(found.is_like("db_2") && !found.admit("db_2"));
        assert!(!found.admit("web_1"));
    }

    #[test]
    fn what_is_no_constraint_is_refused() {
        for value in [
            json!({"nosuch": 1}),
            json!({"deployment_id": 5}),
            json!({"tenants": "t"}),
            json!({"labels": {"a": "b"}}),
            json!({"name_pattern": "x"}),
            json!({"name_pattern": {"like": "x"}}),
            json!({"valid_values": "x"}),
            json!({"operation_name_specs": {"x": 1}}),
        ] {
            assert_eq!(parse(value.clone()).unwrap_err().status(), 400, "{value}");
        }
    }
}
