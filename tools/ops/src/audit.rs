//! `stratalog audit`: who did what.
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde_json::{Map, Value, json};
use stratalog::log::audit::{Filter, find};
use stratalog_schema::{Category, Recorded};

use crate::{
    console::{self, Output},
    database::Target,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Who did it: a user name, or "system".
    #[arg(long)]
    actor: Option<String>,
    /// Tenant of the request.
    #[arg(long)]
    tenant: Option<String>,
    /// Not before this moment, as 2026-11-22T17:59:51Z.
    #[arg(long, value_name = "RFC 3339")]
    since: Option<DateTime<Utc>>,
    /// Not after this moment.
    #[arg(long, value_name = "RFC 3339")]
    until: Option<DateTime<Utc>>,
    /// Kind of thing it was done to.
    #[arg(long, value_parser = category)]
    category: Option<Category>,
    /// What it was done to: an id, or tenant/id for what belongs to a tenant.
    #[arg(long)]
    stream: Option<String>,
    /// Execution on whose behalf it was done.
    #[arg(long)]
    execution: Option<String>,
    /// The newest so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.target.connect().await?;
    let filter = Filter {
        actor: arguments.actor,
        tenant: arguments.tenant,
        execution: arguments.execution,
        category: arguments.category,
        stream: arguments.stream,
        since: arguments.since,
        until: arguments.until,
    };
    let bar = console::bar("searching");
    let searched = |position: i64| bar.set_position(u64::try_from(position).unwrap_or(0));
    let events = find(&client, &filter, arguments.limit, &searched).await?;
    bar.finish_and_clear();
    match arguments.target.output {
        Output::Json => {
            let events = events.iter().map(as_json).collect::<Result<Value, _>>()?;
            console::print_json(&events)?;
        }
        Output::Table => print_table(&events)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn category(word: &str) -> Result<Category, String> {
    let known = Category::ALL.into_iter();
    known
        .clone()
        .find(|category| category.name() == word)
        .ok_or_else(|| {
            let names: Vec<_> = known.map(Category::name).collect();
            format!("one of {}", names.join(", "))
        })
}

/// The event's type and its fields; secrets are masked by the serialiser.
fn parts(event: &Recorded) -> serde_json::Result<(String, Value)> {
    let tagged: Map<String, Value> = serde_json::from_value(serde_json::to_value(&event.event)?)?;
    Ok(tagged.into_iter().next().unwrap_or_default())
}

fn moment(event: &Recorded) -> String {
    event
        .recorded_at
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn as_json(event: &Recorded) -> serde_json::Result<Value> {
    let (kind, data) = parts(event)?;
    let meta = &event.meta;
    Ok(json!({
        "position": event.position,
        "recorded_at": moment(event),
        "event_id": event.event_id.to_string(),
        "category": event.stream.category.name(),
        "stream": event.stream.key,
        "version": event.version,
        "type": kind,
        "actor": meta.actor,
        "auth_method": meta.auth_method,
        "tenant": meta.tenant,
        "request_id": meta.request_id,
        "execution_id": meta.execution_id,
        "causation_id": meta.causation_id.map(|id| id.to_string()),
        "correlation_id": meta.correlation_id.map(|id| id.to_string()),
        "data": data,
    }))
}

fn print_table(events: &[Recorded]) -> anyhow::Result<()> {
    let headings = [
        "position",
        "when",
        "who",
        "tenant",
        "what",
        "to",
        "execution",
    ];
    let mut table = console::table(&headings);
    for event in events {
        let (kind, _) = parts(event)?;
        table.add_row([
            event.position.to_string(),
            moment(event),
            event.meta.actor.clone(),
            event.meta.tenant.clone(),
            kind,
            event.stream.to_string(),
            event.meta.execution_id.clone(),
        ]);
    }
    console::print_text(table)
}
