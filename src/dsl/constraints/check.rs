//! Whether a value satisfies the constraints of its input or parameter.

use crate::dsl::value::{List, Map, Value};

use super::define::ERROR_MESSAGE;
use super::operator::{Operator, belongs_to_deployment, is_object_type, needs_deployment};
use super::types::is_of_primitive_type;
use crate::dsl::functions::{is_call, text};
use crate::dsl::{Diagnostic, DslError, Exception, Path, Plan};

/// What a manager says about the objects that inputs may name.
pub trait ValuesGetter {
    fn has_blueprint_id(&self) -> bool;

    fn has_deployment_id(&self) -> bool;

    /// The names of a type that answer to the query; `value` is the one that is looked for.
    fn get(&self, declared: &str, value: &Value, query: &Map) -> Result<Vec<Value>, DslError>;
}

/// Checks the defaults of the deployment inputs, all of them. The `error_message` of a checked
/// constraint is gone from the plan afterwards, as it is from the reference's.
pub fn check_defaults(plan: &mut Plan) -> Result<(), DslError> {
    let Some(inputs) = plan.section_mut("inputs").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let mut found = Vec::new();
    for (name, schema) in inputs {
        let Some(default) = schema.get("default").cloned() else {
            continue;
        };
        if let Err(error) = check_value(name, schema, &default, None) {
            let path = Path::from(["inputs", name, "default"]);
            let diagnostics = error.into_diagnostics().into_iter();
            found.extend(diagnostics.map(|diagnostic| diagnostic.path(path.clone())));
            continue;
        }
        let constraints = schema.get_mut("constraints").and_then(Value::as_array_mut);
        for constraint in constraints.into_iter().flatten() {
            if let Some(constraint) = constraint.as_object_mut() {
                constraint.shift_remove(ERROR_MESSAGE);
            }
        }
    }
    DslError::from_all(found).map_or(Ok(()), Err)
}

/// Checks a value against the constraints of its schema: the items, for a list with declared items.
pub fn check_value(
    name: &str,
    schema: &Value,
    value: &Value,
    getter: Option<&dyn ValuesGetter>,
) -> Result<(), DslError> {
    let declared = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let constraints = schema
        .get("constraints")
        .and_then(Value::as_array)
        .map_or(&[][..], List::as_slice);
    let item_type = schema.get("item_type").and_then(Value::as_str);
    let Some(item_type) = item_type.filter(|_| declared == "list") else {
        return Checked {
            name,
            declared,
            constraints,
            getter,
        }
        .check(value);
    };
    let keys: Vec<Value>;
    let items = match value {
        Value::Array(items) => items.as_slice(),
        // Whatever Python can iterate over is read as a list.
        Value::String(text) => {
            keys = text
                .chars()
                .map(|item| Value::from(item.to_string()))
                .collect();
            keys.as_slice()
        }
        Value::Object(map) => {
            keys = map.keys().map(Value::from).collect();
            keys.as_slice()
        }
        other => {
            return Err(DslError::new(
                Exception::Uncontrolled("TypeError"),
                None,
                format!("input '{name}' is a list, but got {}", text::repr(other)),
            ));
        }
    };
    for item in items {
        if is_call(item) || !is_of_primitive_type(item, item_type) {
            return Err(DslError::new(
                Exception::Logic,
                105,
                format!(
                    "input '{name}' lists values of type '{item_type}', but got {}",
                    text::repr(item)
                ),
            ));
        }
        Checked {
            name,
            declared: item_type,
            constraints,
            getter,
        }
        .check(item)?;
    }
    Ok(())
}

/// A value's declaration, and whom to ask about it.
struct Checked<'c> {
    name: &'c str,
    declared: &'c str,
    constraints: &'c [Value],
    getter: Option<&'c dyn ValuesGetter>,
}

/// An operator with its argument and the message for its failure.
struct Rule<'c> {
    operator: Operator,
    name: &'c str,
    argument: &'c Value,
    message: Option<&'c Value>,
}

impl<'c> Checked<'c> {
    fn check(&self, value: &Value) -> Result<(), DslError> {
        if !self.constraints.is_empty() && is_call(value) {
            return Err(DslError::new(
                Exception::Parsing,
                213,
                format!(
                    "input '{}' has constraints, so it cannot be a function",
                    self.name
                ),
            ));
        }
        let rules: Vec<Rule<'_>> = self.constraints.iter().filter_map(rule).collect();
        let (asked, plain): (Vec<&Rule<'_>>, Vec<&Rule<'_>>) = rules
            .iter()
            .partition(|rule| rule.operator.asks_manager(self.declared));
        if is_object_type(self.declared) || !asked.is_empty() {
            self.ask(value, &asked)?;
        }
        for rule in plain {
            if !rule.operator.holds(value, rule.argument) {
                return Err(self.violated(value, rule));
            }
        }
        Ok(())
    }

    fn ask(&self, value: &Value, rules: &[&Rule<'_>]) -> Result<(), DslError> {
        let declared = self.declared;
        let mut query = Map::new();
        for rule in rules {
            let key = rule.operator.query(declared).ok_or_else(|| {
                self.refused(format!(
                    "constraint '{}' does not apply to the type '{declared}'",
                    rule.name
                ))
            })?;
            query.insert(key.to_owned(), rule.argument.clone());
        }
        let getter = self.getter.ok_or_else(|| {
            self.refused(format!(
                "values of type '{declared}' cannot be looked up here"
            ))
        })?;
        let names_deployment = query.contains_key("deployment_id");
        let in_deployment = names_deployment || getter.has_deployment_id();
        let reachable = in_deployment
            || !belongs_to_deployment(declared)
            || (!needs_deployment(declared) && getter.has_blueprint_id());
        if !reachable {
            return Err(self.refused(format!(
                "values of type '{declared}' need a deployment to be looked up in"
            )));
        }
        let has_query = !query.is_empty();
        let by_name =
            !belongs_to_deployment(declared) || (getter.has_deployment_id() && !names_deployment);
        if by_name && !getter.get(declared, value, &Map::new())?.contains(value) {
            return Err(self.refused(format!("no {declared} is named {}", text::repr(value))));
        }
        if (has_query || needs_deployment(declared))
            && !getter.get(declared, value, &query)?.contains(value)
        {
            return Err(match rules.first() {
                Some(rule) => self.violated(value, rule),
                None => self.refused(format!("no {declared} is named {}", text::repr(value))),
            });
        }
        Ok(())
    }

    fn violated(&self, value: &Value, rule: &Rule<'_>) -> DslError {
        if let Some(message) = rule.message.and_then(Value::as_str) {
            return self.refused(message.to_owned());
        }
        self.refused(format!(
            "value {} of input '{}' violates {}: {}",
            text::repr(value),
            self.name,
            rule.name,
            text::repr(rule.argument)
        ))
    }

    fn refused(&self, message: String) -> DslError {
        Diagnostic::new(Exception::Constraint, None, message)
            .path(Path::from(["inputs", self.name]))
            .into()
    }
}

/// The last key that is no message counts.
fn rule(constraint: &Value) -> Option<Rule<'_>> {
    let map = constraint.as_object()?;
    let (name, argument) = map.iter().rfind(|(key, _)| &***key != ERROR_MESSAGE)?;
    Some(Rule {
        operator: Operator::from_name(name)?,
        name,
        argument,
        message: map.get(ERROR_MESSAGE),
    })
}
