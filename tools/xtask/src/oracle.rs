//! Comparison with the answers of the reference, recorded beside the checkout (`../shared`, or
//! where `STRATALOG_SHARED` says).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::Result;

use crate::packages;
use crate::workspace::{self, DataDir};

/// Lets the release build answer every case of a folder.
pub(crate) fn answer(cases: &Path, out: &Path) -> Result<()> {
    let mut command = workspace::cargo();
    command
        .args([
            "run",
            "--quiet",
            "--release",
            "-p",
            "stratalog-ops",
            "--bin",
            "stratalog",
            "--",
        ])
        .args(["blueprint", "cases", "--cases"])
        .arg(std::path::absolute(cases)?)
        .arg("--out")
        .arg(std::path::absolute(out)?);
    workspace::run(&mut command)
}

/// Answers the recorded blueprint cases and compares; says so where there are none.
pub(crate) fn run(data: &DataDir) -> Result<bool> {
    let dsl = shared().join("conformance/dsl");
    let archive = dsl.join("cases.tar.zst");
    if !archive.is_file() {
        println!(
            "no comparison with the reference: {} is not there",
            archive.display()
        );
        return Ok(true);
    }
    packages::ensure(&[packages::ZSTD])?;
    let work = data.join("oracle");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let (cases, answers) = (work.join("cases"), work.join("answers"));
    fs::create_dir_all(&cases)?;
    fs::create_dir_all(&answers)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&cases);
    workspace::run(&mut tar)?;
    let cases = only_folder(&cases)?;
    answer(&cases, &answers)?;
    let mut compare = Command::new("python3");
    let status = compare
        .arg(dsl.join("compare.py"))
        .arg(&cases)
        .arg(&answers)
        .status()?;
    Ok(status.success())
}

fn shared() -> PathBuf {
    env::var_os("STRATALOG_SHARED")
        .map_or_else(|| workspace::root().join("../shared"), PathBuf::from)
}

/// An archive may hold its files in one folder of its own.
fn only_folder(dir: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    match (entries.pop(), entries.is_empty()) {
        (Some(entry), true) if entry.path().is_dir() => Ok(entry.path()),
        _ => Ok(dir.to_path_buf()),
    }
}
