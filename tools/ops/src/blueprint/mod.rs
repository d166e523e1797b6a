//! `stratalog blueprint`: checking and planning blueprints without a manager.
mod cases;
mod check;
mod plan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use stratalog::dsl::{Directory, Source};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say everything that is wrong with blueprints. Fails when something is.
    Check {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the plan of a deployment made of a blueprint.
    Plan {
        file: PathBuf,
        /// `name=value`, JSON text, or a file of JSON.
        #[arg(long, short)]
        inputs: Vec<String>,
        /// Stop at the plan of the blueprint, whatever its inputs.
        #[arg(long)]
        parse_only: bool,
    },
    /// Run a folder of conformance cases.
    #[command(hide = true)]
    Cases {
        #[arg(long)]
        cases: PathBuf,
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { files, output } => check::run(&files, output),
        Command::Plan {
            file,
            inputs,
            parse_only,
        } => plan::run(&file, &inputs, parse_only),
        Command::Cases { cases, out } => cases::run(&cases, &out),
    }
}

/// A blueprint file, and the resolver over the folder it is in.
fn open(file: &Path) -> anyhow::Result<(Source, Directory)> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let directory = Directory::new(folder.unwrap_or(Path::new(".")));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let source = directory
        .source(&name)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok((
        Source {
            name: file.to_string_lossy().into(),
            ..source
        },
        directory,
    ))
}
