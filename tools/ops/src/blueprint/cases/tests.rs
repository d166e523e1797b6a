//! All recorded cases, when they are there: beside the checkout (`../shared`) or where
//! `STRATALOG_SHARED` says.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Cases that differ from the reference, each with the reason: the name, a tab, the reason.
const KNOWN: &str = include_str!("known_differences.tsv");

fn shared() -> PathBuf {
    std::env::var_os("STRATALOG_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    )
}

#[test]
fn the_language_agrees_with_the_reference() {
    let recorded = shared().join("conformance/dsl");
    let archive = recorded.join("cases.tar.zst");
    if !archive.is_file() {
        eprintln!("skipped: {} is not there", archive.display());
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let mut reader = zstd::Decoder::new(File::open(&archive).unwrap()).unwrap();
    reader.window_log_max(27).unwrap();
    tar::Archive::new(reader).unpack(work.path()).unwrap();
    let (cases, answers) = (work.path().join("cases-open"), work.path().join("answers"));
    super::run(&cases, &answers).unwrap();
    let report = work.path().join("report.json");
    Command::new("python3")
        .arg(recorded.join("compare.py"))
        .args([&cases, &answers])
        .args(["--show", "0", "--json"])
        .arg(&report)
        .output()
        .unwrap();
    let report: Vec<Value> = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let names = |failed: &[Value]| -> BTreeSet<String> {
        failed
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let failed: Vec<Value> = report
        .iter()
        .filter(|row| row["status"] != "pass")
        .cloned()
        .collect();
    let known: BTreeSet<String> = KNOWN
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(report.len() > 4000, "only {} cases ran", report.len());
    let new: Vec<_> = failed
        .iter()
        .filter(|row| !known.contains(row["name"].as_str().unwrap()))
        .map(|row| format!("{}: {}", row["name"], row["reason"]))
        .collect();
    assert!(new.is_empty(), "new differences:\n{}", new.join("\n"));
    let gone: Vec<_> = known.difference(&names(&failed)).cloned().collect();
    assert!(
        gone.is_empty(),
        "no longer different, take them off the list: {gone:?}"
    );
}
