//! Constraints on inputs: their definitions and the values they admit.

use serde_json::Value;

use super::diagnostics::Diagnostic;

/// Whether the list of constraints of an input is well formed. Paths of the diagnostic start at the list.
///
/// Without `check_versions` more than one key in a constraint is an unknown constraint (103) in every version.
pub(crate) fn check_definition(
    _constraints: &[Value],
    _minor_version: u64,
    _check_versions: bool,
) -> Result<(), Diagnostic> {
    Ok(())
}

/// Whether a text is a regular expression.
pub(crate) fn is_pattern(text: &str) -> bool {
    regex::Regex::new(text).is_ok()
}
