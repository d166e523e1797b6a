//! Filter rules: what searches look for, as conditions on rows.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{Condition, View};

use crate::error::{Error, ErrorCode};

/// The attributes that rules may name.
fn attributes(view: View) -> &'static [&'static str] {
    match view {
        View::Blueprints => &["created_by", "state", "id", "tenant_name"],
        View::Deployments => &[
            "id",
            "blueprint_id",
            "created_by",
            "site_name",
            "tenant_name",
            "display_name",
            "installation_status",
        ],
        View::Nodes => &["id", "type"],
        View::Secrets => &["key", "provider_name"],
        _ => &["id"],
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    key: String,
    values: Vec<String>,
    operator: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The conditions that rules come to; all of them must hold.
///
/// # Errors
/// 400 for a rule that is none.
pub fn conditions(view: View, rules: &[Value]) -> Result<Vec<Condition>, Error> {
    rules.iter().map(|rule| condition(view, rule)).collect()
}

fn condition(view: View, given: &Value) -> Result<Condition, Error> {
    let refuse = |reason: &str| invalid(given, reason);
    let rule: Rule = Rule::deserialize(given).map_err(|error| refuse(&error.to_string()))?;
    let needs_none = matches!(
        rule.operator.as_str(),
        "is_null" | "is_not_null" | "is_not_empty"
    );
    if needs_none != rule.values.is_empty() {
        return Err(refuse(match needs_none {
            true => "this operator takes an empty list of values",
            false => "this operator takes at least one value",
        }));
    }
    match rule.kind.as_str() {
        "label" if view.def().column("labels").is_none() => {
            Err(refuse("there are no labels to filter by"))
        }
        "label" => label(rule).ok_or_else(|| refuse("there is no such operator for labels")),
        "attribute" if !attributes(view).contains(&rule.key.as_str()) => {
            Err(refuse("there is no such attribute to filter by"))
        }
        "attribute" => {
            attribute(rule).ok_or_else(|| refuse("there is no such operator for attributes"))
        }
        _ => Err(refuse("the type must be label or attribute")),
    }
}

fn label(rule: Rule) -> Option<Condition> {
    let key = rule.key.to_lowercase();
    let pairs = |values: Vec<String>| -> Vec<String> {
        values
            .iter()
            .map(|value| format!("{key}={value}"))
            .collect()
    };
    let column = "labels".to_owned();
    Some(match rule.operator.as_str() {
        "any_of" => Condition::Has(column, pairs(rule.values)),
        "not_any_of" => Condition::HasOther(column, format!("{key}="), pairs(rule.values)),
        "is_not" => Condition::HasNone(column, pairs(rule.values)),
        "is_null" => Condition::HasNone(column, vec![key]),
        "is_not_null" => Condition::Has(column, vec![key]),
        _ => return None,
    })
}

fn attribute(rule: Rule) -> Option<Condition> {
    let Rule { key, values, .. } = rule;
    Some(match rule.operator.as_str() {
        "any_of" => Condition::AnyOf(key, values),
        "not_any_of" => Condition::NotAnyOf(key, values),
        "contains" => Condition::Contains(key, values),
        "not_contains" => Condition::NotContains(key, values),
        "starts_with" => Condition::StartsWith(key, values),
        "ends_with" => Condition::EndsWith(key, values),
        "is_not_empty" => Condition::NotEmpty(key),
        _ => return None,
    })
}

fn invalid(rule: &Value, reason: &str) -> Error {
    let mut extra = Map::new();
    extra.insert("err_filter_rule".to_owned(), rule.clone());
    extra.insert("err_reason".to_owned(), json!(reason));
    Error::Refused {
        code: ErrorCode::InvalidFilterRule,
        message: format!("The filter rule {rule} is not in the right format. {reason}"),
        extra: Some(Box::new(extra)),
    }
}
