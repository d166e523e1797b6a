//! SQL's `ILIKE`: the caller supplies the wildcards `%` and `_`; a backslash makes them plain.
use regex::{Regex, RegexBuilder, bytes};
use stratalog_schema::events::TelemetryRecord;

use crate::{error::Error, log::telemetry::Test};

/// Bytes that a set of patterns may take when compiled.
const COMPILED_MAX: usize = 1024 * 1024;

/// A pattern as a regular expression, ends aside.
fn expression(pattern: &str) -> String {
    let mut expression = String::with_capacity(pattern.len() * 2);
    let mut symbols = pattern.chars();
    while let Some(symbol) = symbols.next() {
        match symbol {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            '\\' => expression.push_str(&escaped(symbols.next().unwrap_or('\\'))),
            other => expression.push_str(&escaped(other)),
        }
    }
    expression
}

fn escaped(symbol: char) -> String {
    regex::escape(symbol.encode_utf8(&mut [0; 4]))
}

fn refused(error: &impl std::fmt::Display) -> Error {
    Error::bad_parameters(format!(
        "The text to look for cannot be looked for: {error}"
    ))
}

/// Whether a field is like one of these patterns, and what is in the encoded form of every record
/// where it is.
///
/// # Errors
/// 400 for patterns that are too large.
pub(super) fn test(
    patterns: &[String],
    field: fn(&TelemetryRecord) -> Option<&str>,
) -> Result<(Test, Option<bytes::Regex>), Error> {
    let regex = whole(patterns)?;
    let test: Test =
        Box::new(move |record| field(record).is_some_and(|value| regex.is_match(value)));
    Ok((test, Some(mark(patterns)?)))
}

fn whole(patterns: &[String]) -> Result<Regex, Error> {
    let all: Vec<String> = patterns.iter().map(|p| expression(p)).collect();
    RegexBuilder::new(&format!("^(?:{})$", all.join("|")))
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_MAX)
        .build()
        .map_err(|error| refused(&error))
}

fn mark(patterns: &[String]) -> Result<bytes::Regex, Error> {
    let inner = |pattern: &String| {
        let inner = pattern.trim_start_matches('%');
        // a backslash before it takes its meaning away
        match inner.strip_suffix('%') {
            Some(inner) if !inner.ends_with('\\') => expression(inner),
            _ => expression(pattern),
        }
    };
    let all: Vec<String> = patterns.iter().map(inner).collect();
    bytes::RegexBuilder::new(&all.join("|"))
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_MAX)
        .build()
        .map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_like(pattern: &str, text: &str) -> bool {
        let patterns = [pattern.to_owned()];
        let is_like = whole(&patterns).unwrap().is_match(text);
        let framed = format!("before{text}after");
        let is_marked = mark(&patterns).unwrap().is_match(framed.as_bytes());
        assert!(is_marked || !is_like, "{pattern:?} {text:?}");
        is_like
    }

    #[test]
    fn wildcards_stand_for_anything_and_for_one_character() {
        assert!(is_like("%", ""));
        assert!(is_like("%five%", "line FIVE of six"));
        assert!(is_like("line%", "line\nfive"));
        assert!(is_like("l_ne", "line"));
        assert!(is_like("l_ne", "l\u{e9}ne"));
        assert!(!is_like("l_ne", "lne"));
        assert!(!is_like("five", "line five"));
    }

    #[test]
    fn what_is_escaped_and_what_means_something_elsewhere_is_itself() {
        assert!(is_like("100\\%", "100%"));
        assert!(!is_like("100\\%", "1000"));
        assert!(is_like("%a.b(c)*%", "see A.B(C)*!"));
        assert!(!is_like("a.b", "axb"));
        assert!(is_like("a\\", "a\\"));
    }
}
