//! `outputs`, `capabilities` and labels.

use std::sync::Arc;

use crate::dsl::value::{List, Map, Value, object};

use super::context::{Context, map};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// Outputs or capabilities, as written.
pub(super) fn read(context: &Context<'_>, section: &str) -> Value {
    let fields = |(name, fields): (&Arc<str>, &Value)| {
        (name.clone(), Value::Object(map(Some(fields)).clone()))
    };
    Value::Object(context.section(section).iter().map(fields).collect())
}

/// Labels: of deployments, whose values may be functions, or of blueprints, whose values may not.
pub(super) fn labels(context: &Context<'_>, section: &str, may_be_functions: bool) -> Value {
    let mut labels = Map::new();
    for (name, fields) in context.section(section) {
        let values = map(Some(fields)).get("values").and_then(Value::as_array);
        let values = values.map_or(&[][..], List::as_slice);
        let path = Path::from([section, name, "values"]);
        for (position, value) in values.iter().enumerate() {
            let checked = check_label(context, value, may_be_functions, &path.then(position));
            context.take(checked);
        }
        labels.insert(name.clone(), Value::Object(object! { "values": values }));
    }
    Value::Object(labels)
}

fn check_label(
    context: &Context<'_>,
    value: &Value,
    may_be_functions: bool,
    path: &Path,
) -> Result<(), Diagnostic> {
    let problem = match value {
        Value::String(_) => return Ok(()),
        Value::Object(items) if may_be_functions => {
            if !items.contains_key("get_attribute") {
                return Ok(());
            }
            "a label cannot be an attribute: it is set before there are any"
        }
        _ => "this is no value for a label",
    };
    let expected = if may_be_functions {
        "a string, or a function other than get_attribute"
    } else {
        "a string"
    };
    Err(context
        .diagnostic(Exception::Parsing, 1, problem.to_owned(), path.clone())
        .expected(expected))
}
