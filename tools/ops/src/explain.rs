//! `stratalog explain`: what was decided of an execution, when, by whom, and what was seen then.
use std::process::ExitCode;

use clap::Args;
use stratalog::{
    commands::executions::Step,
    log::audit::{Filter, Question},
};
use stratalog_schema::Category;

use crate::{
    audit::source::Where,
    console::{self, Output},
};

/// Steps asked for at a time.
const PAGE_STEPS: usize = 1_000;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  the story was told\n  \
                        1  there is no such execution\n  2  wrong usage\n  \
                        3  it could not be done")]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Where,
    /// The execution.
    execution: String,
    /// Its tenant.
    #[arg(long, default_value = "default_tenant")]
    tenant: String,
    /// How the result is printed; JSON tells what was seen in full.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.source.open().await?;
    let filter = Filter {
        category: Some(Category::Execution),
        stream: Some(format!("{}/{}", arguments.tenant, arguments.execution)),
        ..Filter::default()
    };
    let mut question = Question::new(filter, false, PAGE_STEPS);
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let (entries, next) = source.page(&question).await?;
        steps.extend(entries.into_iter().map(Step::of));
        if next.is_none() {
            break;
        }
        question.beyond = next;
    }
    if steps.is_empty() {
        let Arguments {
            execution, tenant, ..
        } = arguments;
        eprintln!("The tenant {tenant} has no execution {execution}");
        return Ok(ExitCode::from(console::FOUND_WRONG));
    }
    match arguments.output {
        Output::Json => console::print_text(serde_json::to_string_pretty(&steps)?)?,
        Output::Table => console::print_text(table(&steps))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(steps: &[Step]) -> comfy_table::Table {
    let mut table = console::table(&["position", "when", "who", "what"]);
    for step in steps {
        table.add_row([
            step.position.to_string(),
            step.at.clone(),
            step.actor.clone(),
            step.text.clone(),
        ]);
    }
    table
}
