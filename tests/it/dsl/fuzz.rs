//! Nonsense: bytes, YAML-like text, and blueprints that were damaged. The parser refuses or
//! accepts; it neither panics nor hangs. `PROPTEST_CASES` says how many of each.

use proptest::prelude::*;
use stratalog::dsl::{
    self, DslError, ParseOptions, Plan,
    planner::{CountedIds, Getters, PrepareOptions, prepare},
};

use super::{
    Files,
    generator::{MAIN, case},
};

const CASES: u32 = 200;
/// What YAML and the language are made of.
const WORDS: [&str; 44] = [
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    ": ",
    " ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a ",
    "*a",
    "<<: *a",
    "? ",
    "| ",
    "> ",
    "!!str ",
    "!!set ",
    "---",
    "'",
    "\"",
    "#",
    "0x1F",
    "010",
    "1:30",
    "1e3",
    ".5",
    "2026-01-01",
    "yes",
    "~",
    "tosca_definitions_version: cloudify_dsl_1_5\n",
    "imports:",
    "cloudify/types/types.yaml",
    "node_templates:",
    "node_types:",
    "type: cloudify.nodes.Root",
    "relationships:",
    "inputs:",
    "get_input",
    "get_attribute",
    "concat",
    "plugins:",
    "workflows:",
];

struct Manager;

impl Getters for Manager {
    fn has_secret(&self, _name: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(false))
    }
}

/// Parses, and plans what parses; either may refuse.
fn read(text: &str) -> Option<Plan> {
    let mut files = Files::default();
    files.0.insert(MAIN.to_owned(), text.into());
    let plan = dsl::parse(&files.source(MAIN), &files, &ParseOptions::default());
    match plan {
        Ok(plan) => {
            let options = PrepareOptions::default();
            prepare(&plan, &options, &Manager, &mut CountedIds::default()).ok()
        }
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Cuts, doubles or overwrites a piece of a text.
fn damage(text: &mut String, at: prop::sample::Index, word: &str, how: u8) {
    let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
    if places.is_empty() {
        return;
    }
    let place = at.get(&places).to_owned();
    let end = places
        .iter()
        .copied()
        .find(|&other| other >= place + 9)
        .unwrap_or(text.len());
    match how {
        0 => text.replace_range(place..end, ""),
        1 => text.insert_str(place, word),
        2 => text.replace_range(place..end, word),
        _ => {
            let piece = text[place..end].to_owned();
            text.insert_str(place, &piece);
        }
    }
}

fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(CASES),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn words_are_refused_or_read(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..80)) {
        read(&words.concat());
    }

    #[test]
    fn damaged_blueprints_are_refused_or_read(
        seed in any::<u64>(),
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&WORDS[..]), 0_u8..4), 1..5),
    ) {
        let case = case(seed, 3);
        let mut text = case.files[MAIN].as_str().unwrap().to_owned();
        for (at, word, how) in damages {
            damage(&mut text, at, word, how);
        }
        read(&text);
    }
}
