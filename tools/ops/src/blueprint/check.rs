//! `stratalog blueprint check`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use stratalog::dsl::{self, DslError, ParseOptions};

use super::Output;

/// Checks every file; succeeds when all are clean.
pub(super) fn run(files: &[PathBuf], output: Output) -> anyhow::Result<ExitCode> {
    let mut reports = Vec::with_capacity(files.len());
    for file in files {
        let (source, directory) = super::open(file)?;
        let error = dsl::parse(&source, &directory, &ParseOptions::default()).err();
        reports.push((file, error));
    }
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            let files: Vec<_> = reports.iter().map(|(file, error)| {
                json!({ "file": file, "ok": error.is_none(), "diagnostics": diagnostics(error.as_ref()) })
            }).collect();
            writeln!(out, "{:#}", Value::from(files))?;
        }
        Output::Text => {
            for (file, error) in &reports {
                match error {
                    Some(error) => writeln!(out, "{error}")?,
                    None => writeln!(out, "{}: ok", file.display())?,
                }
            }
        }
    }
    let is_clean = reports.iter().all(|(_, error)| error.is_none());
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn diagnostics(error: Option<&DslError>) -> Value {
    json!(error.map(DslError::diagnostics).unwrap_or_default())
}
