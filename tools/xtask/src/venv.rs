//! Python environments with packages from the package index, as pip is configured here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::packages;
use crate::workspace::{self, DataDir};

/// Where the environment of `data` is.
pub(crate) fn dir(data: &DataDir) -> PathBuf {
    data.join("python")
}

/// Makes the environment of `data` with exactly `requirements`, unless it is there already.
/// Returns its Python.
pub(crate) fn ensure(data: &DataDir, requirements: &[&str]) -> Result<PathBuf> {
    let dir = dir(data);
    let python = dir.join("bin/python");
    let wanted = requirements.join("\n");
    let stamp = dir.join("stratalog-requirements");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    packages::ensure(&[packages::PYTHON_VENV])?;
    println!(
        "making a Python environment with {}",
        requirements.join(", ")
    );
    let _partial = fs::remove_dir_all(&dir);
    workspace::run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    workspace::run_quietly(pip.args(requirements))?;
    if !python.exists() {
        bail!("{} was not made", python.display());
    }
    fs::write(&stamp, wanted)?;
    Ok(python)
}
