//! Identifiers that people choose.
use crate::error::Error;

/// Longest identifier.
const CHARS_MAX: usize = 256;

/// Checks an identifier: letters, digits, `-`, `.`, `_` (and `~`, which clients do not escape), a
/// letter first.
///
/// # Errors
/// 400, naming the argument.
pub(crate) fn check(argument: &str, id: &str) -> Result<(), Error> {
    check_any_start(argument, id)?;
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(refuse(argument, "must begin with a letter"))
}

/// As [`check`], but any allowed character may come first.
///
/// # Errors
/// 400, naming the argument.
pub(crate) fn check_any_start(argument: &str, id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(refuse(argument, "is empty"));
    }
    if id.chars().count() > CHARS_MAX {
        return Err(refuse(
            argument,
            "is too long. Maximum allowed length is 256 characters",
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    if id.chars().all(allowed) {
        return Ok(());
    }
    Err(refuse(
        argument,
        "contains illegal characters. Only letters, digits and the characters \"-\", \".\" and \
         \"_\" are allowed",
    ))
}

fn refuse(argument: &str, what: &str) -> Error {
    Error::bad_parameters(format!("The `{argument}` argument {what}"))
}
