//! `stratalog verify`: the log against its hashes.
use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use stratalog::log::verify::{Checkpoint, Verified, verify};

use crate::{
    console::{self, Output},
    database::Target,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// A file that an earlier run saved: the log must still hold what was verified then.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Save how far the log was verified, for later runs. Keep the file elsewhere.
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let checkpoint = arguments.checkpoint.as_ref().map(read).transpose()?;
    let mut client = arguments.target.connect().await?;
    let bar = console::bar("verifying");
    let progress = |seen: &stratalog::log::verify::Progress| {
        bar.set_length(u64::try_from(seen.head).unwrap_or(0));
        bar.set_position(u64::try_from(seen.position).unwrap_or(0));
    };
    let verified = verify(&mut client, checkpoint.as_ref(), &progress).await?;
    bar.finish_and_clear();
    match arguments.target.output {
        Output::Json => console::print_json(&as_json(&verified))?,
        Output::Table => console::print_text(as_text(&verified))?,
    }
    if verified.fault.is_some() {
        return Ok(ExitCode::from(console::FOUND_WRONG));
    }
    if let Some(file) = &arguments.save_checkpoint {
        let text = serde_json::to_vec(&verified.checkpoint)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &PathBuf) -> anyhow::Result<Checkpoint> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is no saved checkpoint", file.display()))
}

fn as_json(verified: &Verified) -> serde_json::Value {
    let progress = &verified.progress;
    let fault = verified.fault.as_ref().map(|fault| {
        json!({
            "position": fault.position,
            "upto": fault.upto,
            "reason": fault.reason.to_string(),
        })
    });
    json!({
        "ok": fault.is_none(),
        "position": progress.position,
        "head": progress.head,
        "chain": verified.checkpoint.chain,
        "batches": progress.batches,
        "events": progress.events,
        "records": progress.records,
        "fault": fault,
    })
}

fn as_text(verified: &Verified) -> String {
    let progress = &verified.progress;
    let seen = format!(
        "{} batches with {} events and {} telemetry records up to position {}",
        progress.batches, progress.events, progress.records, progress.position
    );
    match &verified.fault {
        None => format!(
            "The log is intact: {seen}.\nchain {}",
            verified.checkpoint.chain
        ),
        Some(fault) if fault.position == fault.upto => {
            format!(
                "Position {}: {}.\nIntact: {seen}.",
                fault.position, fault.reason
            )
        }
        Some(fault) => format!(
            "Positions {} to {}: {}.\nIntact: {seen}.",
            fault.position, fault.upto, fault.reason
        ),
    }
}
