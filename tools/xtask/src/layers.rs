//! `cargo xtask layers`: checks the modules' imports against the table in `layers.toml`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use regex::Regex;
use serde::Deserialize;

use crate::workspace;

const TABLE: &str = include_str!("../layers.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    layer: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    name: String,
    modules: Vec<String>,
    #[serde(default)]
    together: bool,
}

/// Fails when a module of the server uses one that it must not know.
pub(crate) fn run() -> Result<()> {
    let rules = Rules::new(toml::from_str(TABLE).context("layers.toml")?);
    let src = workspace::root().join("src");
    let mut problems = Vec::new();
    let mut files = 0;
    for entry in walkdir::WalkDir::new(&src).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path().strip_prefix(&src)?;
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let module = module_of(path);
        // The tour of the modules names them all and uses none.
        if module == "lib" {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(entry.path())?;
        for (line, used) in uses(&text) {
            if let Some(problem) = rules.problem(&module, &used) {
                problems.push(format!("src/{}:{line}: {problem}", path.display()));
            }
        }
    }
    if problems.is_empty() {
        println!("layers: {files} files, no module uses one it must not know");
        return Ok(());
    }
    problems.dedup();
    bail!("layers:\n{}", problems.join("\n"))
}

/// `broker/wire.rs` and `broker.rs` both belong to `broker`.
fn module_of(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .map(|part| part.as_os_str().to_string_lossy());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

#[derive(Debug)]
struct Rules {
    layers: Vec<Layer>,
    rank: HashMap<String, usize>,
}

impl Rules {
    fn new(table: Table) -> Self {
        let ranked = table.layer.iter().enumerate();
        let rank = ranked
            .flat_map(|(rank, layer)| layer.modules.iter().map(move |name| (name.clone(), rank)))
            .collect();
        Self {
            layers: table.layer,
            rank,
        }
    }

    fn problem(&self, module: &str, used: &str) -> Option<String> {
        if module == used {
            return None;
        }
        let Some(rank) = self.rank.get(module) else {
            return Some(format!(
                "`{module}` stands in no layer of tools/xtask/layers.toml"
            ));
        };
        // Anything else at the root of the crate is a function or a type of its own.
        let used_rank = self.rank.get(used)?;
        let layer = self.layers.get(*rank)?;
        if used_rank < rank || (used_rank == rank && layer.together) {
            return None;
        }
        let used_layer = self.layers.get(*used_rank)?;
        Some(format!(
            "`{module}` ({}) must not know `{used}` ({})",
            layer.name, used_layer.name
        ))
    }
}

/// The modules a file names after `crate::`, with the numbers of the lines.
fn uses(text: &str) -> Vec<(usize, String)> {
    // Comments may speak of anybody.
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let path = Regex::new(r"\b(?:crate|stratalog)::(\{|[a-z_0-9]+)").expect("a valid pattern");
    let mut found = Vec::new();
    for capture in path.captures_iter(&code) {
        let Some(target) = capture.get(1) else {
            continue;
        };
        let line = code
            .get(..target.start())
            .map_or(0, |before| before.matches('\n').count())
            + 1;
        if target.as_str() == "{" {
            let group = code.get(target.end()..).unwrap_or_default();
            found.extend(group_names(group).into_iter().map(|name| (line, name)));
        } else {
            found.push((line, target.as_str().to_owned()));
        }
    }
    found
}

/// The first names in `a, b::{c, d}, e::f}`: a, b and e.
fn group_names(group: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0_usize;
    let mut inside_path = false;
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(String::new());
                inside_path = false;
            }
            ':' | ' ' if depth == 0 => {
                inside_path |= names.last().is_some_and(|name| !name.is_empty());
            }
            _ if depth == 0 && !inside_path && !character.is_whitespace() => {
                if let Some(name) = names.last_mut() {
                    name.push(character);
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        uses(text).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn finds_every_kind_of_path() {
        let text = "use crate::log::Position;\nuse crate::{\n    db, files::{blobs, path},\n    \
                    store::Store as Unit,\n};\nfn f() { crate::clock::now() } // crate::rest::x\n";
        assert_eq!(names(text), ["log", "db", "files", "store", "clock"]);
    }

    #[test]
    fn upwards_and_sideways_is_a_problem() {
        let rules = Rules::new(toml::from_str(TABLE).unwrap());
        assert!(rules.problem("rest", "commands").is_none());
        assert!(rules.problem("config", "error").is_none());
        assert!(rules.problem("rest", "rest").is_none());
        assert!(rules.problem("rest", "workflow").is_some());
        assert!(rules.problem("files", "store").is_some());
        assert!(rules.problem("nobody_knows_me", "log").is_some());
    }

    #[test]
    fn a_file_belongs_to_its_first_folder() {
        assert_eq!(module_of(Path::new("broker/wire.rs")), "broker");
        assert_eq!(module_of(Path::new("store.rs")), "store");
    }
}
