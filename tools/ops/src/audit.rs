//! `stratalog audit`: who did what.
use std::{io::Write as _, process::ExitCode};

use chrono::{DateTime, Utc};
use clap::Args;
use stratalog::log::audit::{Entry, Filter, Question};
use stratalog_schema::{Category, events::TYPES};

use self::source::{Source, Where};
use crate::console::{self, Output};

pub(crate) mod source;

/// Entries asked for at a time.
const PAGE_ENTRIES: usize = 1_000;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  the entries were printed, if there are any\n  \
                        2  wrong usage\n  3  it could not be done"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Where,
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
    /// Not before this position.
    #[arg(long, value_name = "POSITION")]
    from: Option<i64>,
    /// Not after this position.
    #[arg(long, value_name = "POSITION")]
    upto: Option<i64>,
    /// Kind of thing it was done to.
    #[arg(long, value_parser = category)]
    category: Option<Category>,
    /// What it was done to: an id, or tenant/id for what belongs to a tenant.
    #[arg(long)]
    stream: Option<String>,
    /// What happened, as deployment_created.
    #[arg(long = "type", value_name = "EVENT", value_parser = event_type)]
    event_type: Option<String>,
    /// Execution on whose behalf it was done.
    #[arg(long)]
    execution: Option<String>,
    /// The newest so many; 0: all of them.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.source.open().await?;
    let filter = Filter {
        actor: arguments.actor,
        tenant: arguments.tenant,
        execution: arguments.execution,
        category: arguments.category,
        stream: arguments.stream,
        event_type: arguments.event_type,
        since: arguments.since,
        until: arguments.until,
        from: arguments.from,
        upto: arguments.upto,
    };
    let mut printer = Printer::new(arguments.output);
    if arguments.limit == 0 {
        all(&source, filter, &mut printer).await?;
    } else {
        let entries = newest(&source, filter, arguments.limit).await?;
        printer.page(&entries)?;
    }
    printer.end()?;
    Ok(ExitCode::SUCCESS)
}

/// Everything, oldest first, printed as it comes.
async fn all(source: &Source, filter: Filter, printer: &mut Printer) -> anyhow::Result<()> {
    let mut question = Question::new(filter, false, PAGE_ENTRIES);
    loop {
        let (entries, next) = source.page(&question).await?;
        printer.page(&entries)?;
        if next.is_none() {
            return Ok(());
        }
        question.beyond = next;
    }
}

/// The newest so many, oldest of them first.
async fn newest(source: &Source, filter: Filter, limit: usize) -> anyhow::Result<Vec<Entry>> {
    let bar = console::spinner("searching");
    let mut found = Vec::new();
    let mut question = Question::new(filter, true, limit.min(PAGE_ENTRIES));
    while found.len() < limit {
        let (entries, next) = source.page(&question).await?;
        found.extend(entries);
        let Some(next) = next else { break };
        bar.set_message(format!("searching below position {next}"));
        question.beyond = Some(next);
    }
    bar.finish_and_clear();
    found.truncate(limit);
    found.reverse();
    Ok(found)
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

fn event_type(word: &str) -> Result<String, String> {
    match TYPES.iter().any(|(name, _)| *name == word) {
        true => Ok(word.to_owned()),
        false => {
            let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
            Err(format!("one of {}", names.join(", ")))
        }
    }
}

/// Prints pages one after the other: an array of JSON objects, or one table.
struct Printer {
    output: Output,
    printed: usize,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self { output, printed: 0 }
    }

    fn page(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => {
                for entry in entries {
                    let before = if self.printed == 0 { "[" } else { ",\n" };
                    out.write_all(before.as_bytes())?;
                    serde_json::to_writer(&mut out, entry)?;
                    self.printed += 1;
                }
            }
            Output::Table => {
                if !entries.is_empty() {
                    writeln!(out, "{}", table(entries))?;
                    self.printed += entries.len();
                }
            }
        }
        Ok(())
    }

    fn end(&self) -> anyhow::Result<()> {
        match self.output {
            Output::Json if self.printed == 0 => console::print_text("[]"),
            Output::Json => console::print_text("]"),
            Output::Table => console::print_text(format!("{} entries", self.printed)),
        }
    }
}

fn table(entries: &[Entry]) -> comfy_table::Table {
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
    for entry in entries {
        table.add_row([
            entry.position.to_string(),
            entry.recorded_at.clone(),
            entry.actor.clone(),
            entry.tenant.clone(),
            entry.kind.clone(),
            format!("{}:{}", entry.category, entry.stream),
            entry.execution_id.clone(),
        ]);
    }
    table
}
