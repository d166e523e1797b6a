//! Regular expressions as blueprints write them.

use fancy_regex::{Regex, RegexBuilder};

/// Steps a match may take before it is given up.
const STEPS_MAX: usize = 1_000_000;

fn compile(pattern: &str) -> Option<Regex> {
    // The end of the text has another name here.
    let pattern = pattern.replace("\\Z", "\\z");
    RegexBuilder::new(&pattern)
        .backtrack_limit(STEPS_MAX)
        .build()
        .ok()
}

pub(crate) fn compiles(pattern: &str) -> bool {
    compile(pattern).is_some()
}

/// Whether the pattern matches from the start of the text; it need not reach the end.
pub(super) fn matches_start(pattern: &str, text: &str) -> bool {
    compile(&format!("\\A(?:{pattern})")).is_some_and(|regex| regex.is_match(text).unwrap_or(false))
}
