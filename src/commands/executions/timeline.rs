//! The story of an execution: what was decided, by whom, and what was seen then. Told from the log
//! alone, so it is the same whenever it is asked for.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stratalog_projections::views::executions::Execution;
use stratalog_schema::Category;

use super::{TAKEN_OVER, stream};
use crate::{
    error::Error,
    log::audit::{self, Entry, Filter, Question},
    store,
};

/// Steps on a page at most.
const SIZE_MAX: i64 = 1_000;

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Place in the log.
    pub position: i64,
    /// When.
    pub at: String,
    /// What happened, as the log calls it.
    pub event: String,
    /// Who asked for it; `system` for the manager itself.
    pub actor: String,
    /// The same in words.
    pub text: String,
    /// What was seen and decided.
    pub inputs: Value,
}

/// A page of the story.
#[derive(Debug)]
pub struct Timeline {
    /// The steps, oldest first.
    pub steps: Vec<Step>,
    /// Position to go on after, if there is more.
    pub next: Option<i64>,
}

/// The steps of an execution after a position.
///
/// # Errors
/// Database errors.
pub async fn timeline(
    view: &store::View,
    execution: &Execution,
    (after, size): (Option<i64>, Option<i64>),
) -> Result<Timeline, Error> {
    let of = stream(&execution.tenant_name, &execution.id);
    let filter = Filter {
        category: Some(Category::Execution),
        stream: Some(of.key),
        upto: Some(view.position()),
        ..Filter::default()
    };
    let size = size.unwrap_or(SIZE_MAX).clamp(1, SIZE_MAX);
    let size = usize::try_from(size).map_err(Error::internal)?;
    let mut question = Question::new(filter, false, size);
    question.beyond = after;
    let page = audit::page(view.client(), &question).await?;
    Ok(Timeline {
        steps: page.entries.into_iter().map(Step::of).collect(),
        next: page.next,
    })
}

impl Step {
    /// What an entry of the audit log tells of its execution.
    pub fn of(entry: Entry) -> Self {
        let inputs = inputs(&entry.data);
        Self {
            position: entry.position,
            text: told(&entry.kind, &inputs),
            at: entry.recorded_at,
            event: entry.kind,
            actor: entry.actor,
            inputs,
        }
    }
}

/// The fields of an event, documents in it as documents.
fn inputs(data: &Value) -> Value {
    match data {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| !value.is_null() && *name != "scope")
            .map(|(name, value)| match (name.strip_suffix("_json"), value) {
                (Some(name), Value::String(text)) => {
                    let parsed = serde_json::from_str(text).unwrap_or_else(|_| value.clone());
                    (name.to_owned(), parsed)
                }
                _ => (name.clone(), inputs(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(inputs).collect(),
        other => other.clone(),
    }
}

fn told(kind: &str, inputs: &Value) -> String {
    let text = |name: &str| inputs.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "execution_created" => {
            format!(
                "created as {}: workflow {}",
                text("status"),
                text("workflow_id")
            )
        }
        "execution_status_changed" if text("error").is_empty() => {
            format!("became {}", text("status"))
        }
        "execution_status_changed" => format!("became {}: {}", text("status"), text("error")),
        "execution_token_issued" => "got a token for its operations".to_owned(),
        "execution_resumed" if inputs.get("force") == Some(&Value::Bool(true)) => {
            "was resumed by force".to_owned()
        }
        "execution_resumed" => "was resumed".to_owned(),
        "decision_noted" if text("kind") == TAKEN_OVER => {
            let by = inputs.pointer("/inputs/manager_name");
            let by = by.and_then(Value::as_str).unwrap_or_default();
            format!("taken over by {by}")
        }
        "decision_noted" => {
            let seen = inputs.get("inputs").unwrap_or(&Value::Null);
            format!("{} because of {seen}", text("kind"))
        }
        "tasks_graph_created" => format!(
            "graph {} with {} operations",
            text("name"),
            count(inputs, "operations")
        ),
        "operations_added" => format!("{} operations added", count(inputs, "operations")),
        "operations_changed" => changes(inputs),
        other => other.replace('_', " "),
    }
}

fn count(inputs: &Value, name: &str) -> usize {
    inputs
        .get(name)
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

fn changes(inputs: &Value) -> String {
    let changes = inputs.get("changes").and_then(Value::as_array);
    let told = changes.into_iter().flatten().map(|change| {
        let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
        let retries = change.pointer("/parameters/current_retries");
        let retries = retries.and_then(Value::as_i64).filter(|number| *number > 0);
        let retries = retries.map_or(String::new(), |number| format!(" (retry {number})"));
        let exception = match text("exception") {
            "" => String::new(),
            exception => format!(": {exception}"),
        };
        format!(
            "operation {} {}{retries}{exception}",
            text("id"),
            text("state")
        )
    });
    told.collect::<Vec<String>>().join("; ")
}
