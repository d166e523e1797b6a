//! `stratalog replay`: the views from the log, beside the live ones.
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use stratalog::log::replay::{self, Replayed};
use stratalog_projections::{View, rebuild::Compared};

use crate::{
    console::{self, Output},
    database::Target,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  the views were rebuilt, or are what the log says\n  \
                        1  a view differs from what the log says (--check)\n  \
                        2  wrong usage\n  3  it could not be done"
)]
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
    let bar = console::bar("rebuilding");
    let progress = |position: i64, head: i64| {
        bar.set_length(u64::try_from(head).unwrap_or(0));
        bar.set_position(u64::try_from(position).unwrap_or(0));
    };
    let output = arguments.target.output;
    if !arguments.check {
        let replayed = replay::replay(&mut client, &progress).await?;
        bar.finish_and_clear();
        print_replayed(output, &replayed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (head, compared) = replay::check(&mut client, &progress).await?;
    bar.finish_and_clear();
    match output {
        Output::Json => console::print_json(&as_json(head, &compared))?,
        Output::Table => print_table(head, &compared)?,
    }
    match compared.iter().all(Compared::agrees) {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(console::FOUND_WRONG)),
    }
}

fn print_replayed(output: Output, replayed: &Replayed) -> anyhow::Result<()> {
    let (position, pause_ms) = (replayed.position, replayed.pause.as_millis());
    match output {
        Output::Json => console::print_json(&json!({
            "position": position,
            "swapped": true,
            "pause_ms": u64::try_from(pause_ms)?,
            "views": View::ALL.map(View::name).to_vec(),
        })),
        Output::Table => console::print_text(format!(
            "{} views were rebuilt from the log up to position {position}; appends waited \
             {pause_ms} ms.",
            View::ALL.len()
        )),
    }
}

fn as_json(head: i64, compared: &[Compared]) -> serde_json::Value {
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
        "swapped": false,
        "ok": compared.iter().all(Compared::agrees),
        "views": views,
    })
}

fn print_table(head: i64, compared: &[Compared]) -> anyhow::Result<()> {
    let mut table = console::table(&["view", "live", "rebuilt", ""]);
    for view in compared {
        let word = if view.agrees() { "same" } else { "DIFFERS" };
        table.add_row([
            view.view.name(),
            view.live.as_deref().map_or("missing", short),
            short(&view.rebuilt),
            word,
        ]);
    }
    console::print_text(table)?;
    let differ = compared.iter().filter(|view| !view.agrees()).count();
    console::print_text(format!(
        "The views were compared with the log up to position {head}; {differ} differed."
    ))
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
