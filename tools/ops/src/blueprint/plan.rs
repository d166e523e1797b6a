//! `stratalog blueprint plan`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use stratalog::dsl::planner::{self, CountedIds, Getters, PrepareOptions};
use stratalog::dsl::{self, DslError, ParseOptions};

/// Prints the plan of a deployment, or of the blueprint alone.
pub(super) fn run(file: &Path, inputs: &[String], parse_only: bool) -> anyhow::Result<ExitCode> {
    let (source, directory) = super::open(file)?;
    let inputs = read_inputs(inputs)?;
    let plan = dsl::parse(&source, &directory, &ParseOptions::default()).and_then(|plan| {
        if parse_only {
            return Ok(plan);
        }
        let options = PrepareOptions {
            inputs: inputs.into(),
            ..PrepareOptions::default()
        };
        planner::prepare(&plan, &options, &Offline, &mut CountedIds::default())
    });
    let mut out = std::io::stdout().lock();
    match plan {
        Ok(plan) => {
            serde_json::to_writer_pretty(&mut out, &plan)?;
            writeln!(out)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(std::io::stderr(), "{error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Away from a manager every secret is taken to exist.
#[derive(Debug)]
struct Offline;

impl Getters for Offline {
    fn has_secret(&self, _name: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(true))
    }
}

/// Inputs as `name=value`, as JSON text, or as a file of JSON; later ones win.
fn read_inputs(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut inputs = Map::new();
    for argument in given {
        if Path::new(argument).is_file() {
            let text = std::fs::read_to_string(argument)?;
            inputs.extend(object(&text).with_context(|| format!("in {argument}"))?);
        } else if argument.trim_start().starts_with('{') {
            inputs.extend(object(argument)?);
        } else if let Some((name, value)) = argument.split_once('=') {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            inputs.insert(name.to_owned(), value);
        } else {
            bail!("'{argument}' is neither a file, nor JSON, nor name=value");
        }
    }
    Ok(inputs)
}

fn object(text: &str) -> anyhow::Result<Map<String, Value>> {
    match serde_json::from_str(text)? {
        Value::Object(inputs) => Ok(inputs),
        _ => bail!("inputs are a JSON object"),
    }
}
