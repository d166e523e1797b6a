//! Events of executions as the manager itself writes them.
use serde_json::Value;
use stratalog_projections::views::executions::Execution;
use stratalog_schema::events::TelemetryRecord;

use crate::commands::logs::{Said, record};

/// What the manager calls itself in operations and events.
pub const MANAGER: &str = "cloudify-manager";

/// An event of an execution.
pub fn event(
    execution: &Execution,
    event_type: &str,
    message: impl Into<String>,
) -> TelemetryRecord {
    let said = Said {
        event_type: event_type.to_owned(),
        message: message.into(),
        manager_name: Some(MANAGER.to_owned()),
        ..Said::default()
    };
    record(execution, None, said)
}

/// A log line of an execution.
pub fn log(execution: &Execution, level: &str, message: impl Into<String>) -> TelemetryRecord {
    let said = Said {
        is_log: true,
        logger: format!("ctx.{}", execution.id),
        level: level.to_owned(),
        message: message.into(),
        manager_name: Some(MANAGER.to_owned()),
        ..Said::default()
    };
    record(execution, None, said)
}

/// What the state of a task is told as.
#[derive(Debug)]
pub struct TaskEvent<'a> {
    /// Its name.
    pub name: &'a str,
    /// Type of its operation.
    pub operation_type: &'a str,
    /// State it has taken.
    pub state: &'a str,
    /// Parameters of its operation.
    pub parameters: &'a Value,
    /// Of a success.
    pub result: &'a Value,
    /// Of a failure.
    pub exception: Option<&'a str>,
    /// What led to it.
    pub causes: Option<&'a Value>,
}

impl TaskEvent<'_> {
    /// The event, for those states and tasks that have one.
    pub fn record(&self, execution: &Execution) -> Option<TelemetryRecord> {
        let what = match self.operation_type {
            "RemoteWorkflowTask" => "Task",
            "SubgraphTask" => "Subgraph",
            _ => return None,
        };
        if self.parameters.get("send_task_events") == Some(&Value::Bool(false))
            && self.state != "failed"
        {
            return None;
        }
        let name = self.name;
        let exception = self
            .exception
            .map(|e| format!(" -> {e}"))
            .unwrap_or_default();
        let (event_type, mut text) = match self.state {
            "sending" => ("sending_task", format!("Sending task '{name}'")),
            "started" => ("task_started", format!("{what} started '{name}'")),
            "succeeded" => {
                let result = shown(self.result);
                (
                    "task_succeeded",
                    format!("{what} succeeded '{name}'{result}"),
                )
            }
            "rescheduled" => (
                "task_rescheduled",
                format!("{what} rescheduled '{name}'{exception}"),
            ),
            "failed" => ("task_failed", format!("{what} failed '{name}'{exception}")),
            _ => return None,
        };
        if execution.is_dry_run {
            text.push_str(" (dry run)");
        }
        text.push_str(&self.retries());
        let mut record = event(execution, event_type, text);
        self.place(&mut record);
        record.error_causes_json = self.causes.filter(|c| !c.is_null()).map(Value::to_string);
        Some(record)
    }

    fn retries(&self) -> String {
        let number = |key: &str| self.parameters.get(key).and_then(Value::as_i64);
        match (number("current_retries"), number("total_retries")) {
            (Some(current), Some(total)) if current > 0 && total >= 0 => {
                format!(" [retry {current}/{total}]")
            }
            (Some(current), _) if current > 0 => format!(" [retry {current}]"),
            _ => String::new(),
        }
    }

    /// Where it happens: instance, operation, and the ends of a relationship.
    fn place(&self, record: &mut TelemetryRecord) {
        let context = self
            .parameters
            .pointer("/task_kwargs/kwargs/__cloudify_context");
        let Some(context) = context else { return };
        let text = |pointer: &str| {
            context
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        record.operation = text("/operation/name");
        record.node_instance_id = text("/node_id");
        record.node_name = text("/node_name");
        let Some(related) = text("/related/node_id") else {
            return;
        };
        let own = record.node_instance_id.clone();
        let related_is_target = context.pointer("/related/is_target") == Some(&Value::Bool(true));
        (record.source_id, record.target_id) = match related_is_target {
            true => (own, Some(related)),
            false => (Some(related), own),
        };
    }
}

/// A result behind the text, as clients of the reference read it.
fn shown(result: &Value) -> String {
    let text = match result {
        Value::Null => return String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!(" - {text}")
}

/// Something is told about a node instance.
pub fn node_event(
    execution: &Execution,
    (instance_id, node_name): (&str, Option<&str>),
    text: &str,
) -> TelemetryRecord {
    let mut record = event(execution, "workflow_node_event", text);
    record.node_instance_id = Some(instance_id.to_owned());
    record.node_name = node_name.map(str::to_owned);
    record
}
