//! `stratalog replay`: the views from the log, beside the live ones.
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use stratalog::log::LOG_LOCK;
use stratalog_projections::rebuild::{self, Compared};
use tokio_postgres::{Client, IsolationLevel};

use crate::{
    console::{self, Output},
    database::Target,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Only compare: fail and name the views that differ from what the log says. Nothing is
    /// changed, and the manager goes on writing.
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut client = arguments.target.connect().await?;
    let (head, compared) = rebuild_beside(&mut client, arguments.check).await?;
    match arguments.target.output {
        Output::Json => console::print_json(&as_json(head, &compared, &arguments))?,
        Output::Table => print_table(head, &compared, &arguments)?,
    }
    if arguments.check && !compared.iter().all(Compared::agrees) {
        return Ok(ExitCode::from(console::FOUND_WRONG));
    }
    Ok(ExitCode::SUCCESS)
}

/// A check sees one snapshot of log and views and rolls back. A replay holds the log's lock, so
/// that nothing is appended between reading the log and the swap.
async fn rebuild_beside(client: &mut Client, check: bool) -> anyhow::Result<(i64, Vec<Compared>)> {
    let isolation = if check {
        IsolationLevel::RepeatableRead
    } else {
        IsolationLevel::ReadCommitted
    };
    let transaction = client
        .build_transaction()
        .isolation_level(isolation)
        .start()
        .await?;
    if !check {
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&LOG_LOCK])
            .await?;
    }
    let head = rebuild::head(&transaction).await?;
    let bar = console::bar("rebuilding");
    bar.set_length(u64::try_from(head).unwrap_or(0));
    let progress = |position: i64| bar.set_position(u64::try_from(position).unwrap_or(0));
    rebuild::build_beside(&transaction, head, &progress).await?;
    bar.finish_and_clear();
    if check {
        let compared = rebuild::compare(&transaction).await?;
        transaction.rollback().await?;
        return Ok((head, compared));
    }
    // the live views may be missing: a replay is what brings them back
    let live = stratalog_projections::tables::outdated(&transaction).await?;
    let compared = if live.is_empty() {
        rebuild::compare(&transaction).await?
    } else {
        Vec::new()
    };
    rebuild::swap(&transaction, head).await?;
    transaction.commit().await?;
    Ok((head, compared))
}

fn as_json(head: i64, compared: &[Compared], arguments: &Arguments) -> serde_json::Value {
    let views: Vec<_> = compared
        .iter()
        .map(|view| {
            json!({
                "view": view.view.name(),
                "live": view.live,
                "rebuilt": view.rebuilt,
                "agrees": view.agrees(),
            })
        })
        .collect();
    json!({
        "position": head,
        "swapped": !arguments.check,
        "ok": compared.iter().all(Compared::agrees),
        "views": views,
    })
}

fn print_table(head: i64, compared: &[Compared], arguments: &Arguments) -> anyhow::Result<()> {
    let mut table = console::table(&["view", "live", "rebuilt", ""]);
    for view in compared {
        let word = if view.agrees() { "same" } else { "DIFFERS" };
        table.add_row([
            view.view.name(),
            short(&view.live),
            short(&view.rebuilt),
            word,
        ]);
    }
    if !compared.is_empty() {
        console::print_text(table)?;
    }
    let differ = compared.iter().filter(|view| !view.agrees()).count();
    let done = if arguments.check {
        "compared with"
    } else {
        "rebuilt from"
    };
    console::print_text(format!(
        "The views were {done} the log up to position {head}; {differ} differed."
    ))
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
