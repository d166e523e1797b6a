//! `stratalog verify`: the log against its hashes, and the files against the log.
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use stratalog::log::verify::{Fault, Progress, Verified, verify};

use self::{
    checkpoint::Checkpoints,
    files::{FileStore, Seen},
};
use crate::{
    console::{self, Output},
    database::Target,
};

mod checkpoint;
mod files;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  everything is what was appended\n  \
                        1  something is not; its position is named\n  \
                        2  wrong usage\n  3  it could not be done")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    checkpoints: Checkpoints,
    #[command(flatten)]
    files: FileStore,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let key = arguments.checkpoints.key(arguments.files.data_dir())?;
    let checkpoint = match arguments.checkpoints.read(key.as_ref())? {
        checkpoint::Saved::None => None,
        checkpoint::Saved::Checkpoint(checkpoint) => Some(checkpoint),
        checkpoint::Saved::Forged(why) => {
            match arguments.target.output {
                Output::Json => console::print_json(&json!({"ok": false, "checkpoint": why}))?,
                Output::Table => console::print_text(format!("The checkpoint {why}."))?,
            }
            return Ok(ExitCode::from(console::FOUND_WRONG));
        }
    };
    let store = arguments.files.open()?;
    let mut client = arguments.target.connect().await?;
    let bar = console::bar("verifying the log");
    let progress = |seen: &Progress| {
        bar.set_length(u64::try_from(seen.head).unwrap_or(0));
        bar.set_position(u64::try_from(seen.position).unwrap_or(0));
    };
    let mut verified = verify(&mut client, checkpoint.as_ref(), &progress).await?;
    bar.finish_and_clear();
    let mut seen = None;
    if let (None, Some(store)) = (&verified.fault, &store) {
        let (files, fault) = files::check(store, &verified.files).await?;
        seen = Some(files);
        verified.fault = fault;
    }
    match arguments.target.output {
        Output::Json => console::print_json(&as_json(&verified, seen.as_ref()))?,
        Output::Table => console::print_text(as_text(&verified, seen.as_ref()))?,
    }
    if verified.fault.is_some() {
        return Ok(ExitCode::from(console::FOUND_WRONG));
    }
    arguments
        .checkpoints
        .save(&verified.checkpoint, key.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(verified: &Verified, files: Option<&Seen>) -> serde_json::Value {
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
        "files": files.map(|seen| json!({
            "contents": seen.contents,
            "size_bytes": seen.size_bytes,
            "former_missing": seen.former_missing,
        })),
        "fault": fault,
    })
}

fn as_text(verified: &Verified, files: Option<&Seen>) -> String {
    let progress = &verified.progress;
    let mut seen = format!(
        "{} batches with {} events and {} telemetry records up to position {}",
        progress.batches, progress.events, progress.records, progress.position
    );
    seen += &match files {
        None => "; file contents were not looked at".to_owned(),
        Some(files) if files.former_missing == 0 => {
            format!(", {} file contents", files.contents)
        }
        Some(files) => format!(
            ", {} file contents ({} of former files are gone)",
            files.contents, files.former_missing
        ),
    };
    match &verified.fault {
        None => format!(
            "The log is intact: {seen}.\nchain {}",
            verified.checkpoint.chain
        ),
        Some(fault) => format!("{}: {}.\nIntact: {seen}.", place(fault), fault.reason),
    }
}

fn place(fault: &Fault) -> String {
    match (fault.position, fault.upto) {
        (0, _) => "No position".to_owned(),
        (position, upto) if position == upto => format!("Position {position}"),
        (position, upto) => format!("Positions {position} to {upto}"),
    }
}
