//! Whether the constraints of an input or parameter are written as they must be.

use crate::dsl::value::{Map, Value};

use super::operator::Operator;
use crate::dsl::functions::text;
use crate::dsl::{Diagnostic, Exception, Path};

pub(super) const ERROR_MESSAGE: &str = "error_message";

/// Checks a list of constraints. Paths of the diagnostic start at the list.
///
/// Without `check_versions` more than one key in a constraint is an unknown constraint in every
/// version.
#[expect(
    clippy::result_large_err,
    reason = "a diagnostic is made once per blueprint, and moved on"
)]
pub(crate) fn check_definition(
    constraints: &[Value],
    minor_version: u64,
    check_versions: bool,
) -> Result<(), Diagnostic> {
    let minor_version = check_versions.then_some(minor_version);
    for (index, constraint) in constraints.iter().enumerate() {
        if let Some(constraint) = constraint.as_object() {
            check_one(constraint, minor_version)
                .map_err(|diagnostic| diagnostic.path(Path::default().then(index)))?;
        }
    }
    Ok(())
}

#[expect(clippy::result_large_err, reason = "as above")]
fn check_one(constraint: &Map, minor_version: Option<u64>) -> Result<(), Diagnostic> {
    if constraint.len() > 1 {
        match minor_version {
            None => {
                return Err(unknown(
                    "a constraint is a map of one operator to its argument".to_owned(),
                ));
            }
            Some(0..5) => {
                return Err(Diagnostic::new(
                    Exception::Logic,
                    102,
                    "a constraint has a second key, which needs cloudify_dsl_1_5".to_owned(),
                ));
            }
            Some(_) => {}
        }
    }
    let Some((name, argument)) = constraint
        .iter()
        .find(|(name, _)| &***name != ERROR_MESSAGE)
    else {
        if constraint.is_empty() || minor_version.is_none_or(|minor| minor < 5) {
            return Err(unknown("constraint without an operator".to_owned()));
        }
        return Err(Diagnostic::new(
            Exception::Uncontrolled("IndexError"),
            None,
            "a constraint has an error_message but no operator".to_owned(),
        ));
    };
    let Some(operator) = Operator::from_name(name) else {
        return Err(unknown(format!("unknown constraint operator '{name}'"))
            .did_you_mean(name, KNOWN.iter().copied()));
    };
    if operator.accepts(argument) {
        return Ok(());
    }
    Err(Diagnostic::new(
        Exception::Logic,
        212,
        format!("constraint operator '{name}' got {}", text::repr(argument)),
    )
    .expected(operator.expects()))
}

fn unknown(message: String) -> Diagnostic {
    Diagnostic::new(Exception::Logic, 103, message)
}

const KNOWN: [&str; 16] = [
    "equal",
    "greater_than",
    "greater_or_equal",
    "less_than",
    "less_or_equal",
    "in_range",
    "valid_values",
    "length",
    "min_length",
    "max_length",
    "pattern",
    "filter_id",
    "labels",
    "tenants",
    "name_pattern",
    "deployment_id",
];
