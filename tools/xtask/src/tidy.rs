//! `cargo xtask tidy`: the habits of the house that no other tool checks.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace;

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

/// Put together here, so that this file may be checked as well.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("#[ign", "ore"),
];

/// Fails with a line for each thing that is not as it should be.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root);
    let files = workspace::run_quietly(&mut list)?;
    let mut problems = Vec::new();
    let mut checked = 0;
    for name in files.lines() {
        let Ok(text) = fs::read_to_string(root.join(name)) else {
            continue;
        };
        checked += 1;
        problems.extend(
            check(name, &text)
                .into_iter()
                .map(|problem| format!("{name}{problem}")),
        );
    }
    if problems.is_empty() {
        println!("tidy: {checked} files");
        return Ok(());
    }
    bail!("tidy:\n{}", problems.join("\n"))
}

fn check(name: &str, text: &str) -> Vec<String> {
    let extension = Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str());
    let mut problems = Vec::new();
    if name.ends_with(".snap.new") {
        problems.push(": a snapshot nobody has looked at".to_owned());
    }
    if matches!(extension, Some("rs" | "sql" | "proto")) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!(": {lines} lines, {LINES_MAX} are allowed"));
        }
    }
    if extension == Some("rs") {
        if !text.starts_with("//!") {
            problems.push(":1: does not begin with `//!` and what lives here".to_owned());
        }
        for (number, line) in text.lines().enumerate() {
            let place = number + 1;
            problems.extend(check_line(line).map(|problem| format!(":{place}: {problem}")));
        }
    }
    problems
}

fn check_line(line: &str) -> Option<String> {
    if let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
        return Some(format!("`{word}`: finish it, or leave it out"));
    }
    let columns = line.chars().count();
    // Code is rustfmt's business; an address cannot be broken.
    let is_comment = line.trim_start().starts_with("//");
    if is_comment && columns > COLUMNS_MAX && !line.contains("://") {
        return Some(format!("{columns} columns, {COLUMNS_MAX} are allowed"));
    }
    (line.trim_end() != line).then(|| "ends in white space".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_has_no_problems() {
        assert_eq!(
            check("src/a.rs", "//! What lives here.\n\nfn a() {}\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_habit_is_checked() {
        let long = "//! Head.\n".repeat(LINES_MAX + 1);
        let wide = format!("//! Head.\n// {}\n", "x".repeat(COLUMNS_MAX));
        let unfinished = format!("//! Head.\n// {}\n", UNFINISHED.concat());
        for text in ["fn a() {}\n", &long, &wide, &unfinished, "//! Head. \n"] {
            assert_eq!(check("src/a.rs", text).len(), 1, "{text}");
        }
        assert_eq!(check("a/b.snap.new", "").len(), 1);
    }
}
