//! How an execution ends.
use stratalog_projections::views::executions::{Execution, is_end};
use stratalog_schema::events::TelemetryRecord;

use super::{Runner, line};
use crate::{
    broker::{
        Message,
        topology::{SERVICE_EXCHANGE, SERVICE_ROUTING_KEY},
        wire::ServiceTask,
    },
    commands::{
        executions::{self, telemetry},
        secrets::Opener,
    },
    error::Error,
    store::Decision,
};

impl Runner {
    /// The workflow has done everything.
    pub(super) async fn terminated(&self) -> Result<(), Error> {
        self.end("terminated", None).await
    }

    /// The workflow cannot go on.
    pub(super) async fn failed(&self, error: &Error) -> Result<(), Error> {
        let text = match error {
            Error::Internal(source) => {
                tracing::error!(execution = self.id, error = format!("{source:#}"), "failed");
                format!("Internal error: {source:#}")
            }
            other => other.to_string(),
        };
        self.end("failed", Some(&text)).await
    }

    /// It was asked to end. Killed operations end with it, others go on without it.
    pub(super) async fn cancelled(&self, status: &str) -> Result<(), Error> {
        if status == "kill_cancelling" {
            self.kill_operations().await;
        }
        self.end("cancelled", None).await
    }

    /// Workers are told once; whoever does not hear it finds the execution cancelled.
    async fn kill_operations(&self) {
        self.errands.kill(&self.id).await;
        let Some(broker) = &self.ctx.broker else {
            return;
        };
        let body = ServiceTask::cancel_operation(&self.id).to_body();
        let sent = match Message::json(SERVICE_EXCHANGE, SERVICE_ROUTING_KEY, &body) {
            Ok(message) => broker
                .publish(&message)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::warn!(execution = self.id, error, "operations are not told to end");
        }
    }

    async fn end(&self, status: &str, error: Option<&str>) -> Result<(), Error> {
        self.ctx
            .store
            .command(&self.caller().meta(), None, async |view| {
                let view = &*view;
                let found = executions::find(view, &self.tenant, &self.id).await?;
                let Some(mut execution) = found.filter(|e| !is_end(&e.status)) else {
                    return Ok((Decision::nothing(), ()));
                };
                let is_cancelling = execution.status.ends_with("cancelling");
                let (status, error) = match status {
                    // whoever asked for the end comes first
                    "terminated" if is_cancelling => ("cancelled", None),
                    _ => (status, error),
                };
                let caller = self.caller();
                let opener = Opener {
                    ctx: &self.ctx,
                    caller: &caller,
                };
                let changed = (status, error);
                let mut decision =
                    executions::reported(view, opener, &mut execution, changed).await?;
                let error = execution.error.as_deref();
                let told = outcome(&execution, &execution.status, error);
                decision.telemetry.extend(told);
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }
}

fn outcome(execution: &Execution, status: &str, error: Option<&str>) -> Vec<TelemetryRecord> {
    let name = &execution.workflow_id;
    let error = error.unwrap_or_default();
    let (event_type, text) = match status {
        "terminated" => (
            "workflow_succeeded",
            format!("'{name}' workflow execution succeeded"),
        ),
        "failed" => (
            "workflow_failed",
            format!("'{name}' workflow execution failed: {error}"),
        ),
        _ => (
            "workflow_cancelled",
            format!("'{name}' workflow execution cancelled"),
        ),
    };
    let mut records = vec![told(execution, event_type, text)];
    if status == "failed" && error.contains('\n') {
        records.insert(0, line(execution, "error", error.to_owned()));
    }
    records
}

/// An event of the workflow.
pub(super) fn told(execution: &Execution, event_type: &str, mut text: String) -> TelemetryRecord {
    if execution.is_dry_run && event_type != "workflow_failed" && event_type != "workflow_cancelled"
    {
        text.push_str(" (dry run)");
    }
    telemetry::event(execution, event_type, text)
}
