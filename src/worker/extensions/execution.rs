//! Executions in other deployments, from their start to their end.
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, object};

/// The execution that was started, and its workflow; gone once it has ended.
const MARKER: &str = "_component_execution";
/// How many lines of each execution were passed on.
const RECEIVED: &str = "received_events";
/// Lines read at a time.
const LINES_MAX: usize = 100;

impl Run<'_> {
    /// Runs a workflow in a deployment and waits for its end. A run that was interrupted waits for
    /// what it had started.
    ///
    /// Gives false when it was cancelled together with the operation's own execution.
    pub(super) async fn workflow(
        &mut self,
        deployment: &str,
        (workflow, arguments): (&str, Map<String, Value>),
    ) -> Result<bool, Failure> {
        let begun = object(self.runtime().await?.get(MARKER));
        let same = begun.get("workflow_id").and_then(Value::as_str) == Some(workflow);
        let begun = begun.get("id").and_then(Value::as_str);
        let id = match begun.filter(|_| same && self.job.resume) {
            Some(id) => id.to_owned(),
            None => {
                let mut body = arguments;
                body.insert("deployment_id".to_owned(), deployment.into());
                body.insert("workflow_id".to_owned(), workflow.into());
                self.begin(workflow, Value::Object(body)).await?
            }
        };
        let outcome = self.ended(&id).await;
        if !matches!(outcome, Err(Failure::Killed)) {
            self.runtime().await?.shift_remove(MARKER);
        }
        outcome
    }

    async fn begin(&mut self, workflow: &str, body: Value) -> Result<String, Failure> {
        let started = self.job.session.post(&["executions"], &body).await?;
        let Some(id) = started.get("id").and_then(Value::as_str) else {
            return definite(format!("the workflow {workflow} was not started"));
        };
        self.set(MARKER, json!({"id": id, "workflow_id": workflow}))
            .await?;
        self.note().await?;
        Ok(id.to_owned())
    }

    /// Waits for the end of an execution, and passes on what it says.
    pub(super) async fn ended(&mut self, id: &str) -> Result<bool, Failure> {
        let config = self.config("deployment").await?;
        let passes_on = config.get("logs") != Some(&Value::Bool(false));
        loop {
            let found = self.job.session.get(&["executions", id], &[]).await?;
            let status = found.get("status").and_then(Value::as_str);
            let status = status.unwrap_or_default().to_owned();
            if passes_on {
                self.pass_on(id).await?;
            }
            match status.as_str() {
                "terminated" => return Ok(true),
                "cancelled" if self.is_cancelled().await? => return Ok(false),
                "failed" | "cancelled" => {
                    let error = found.get("error").and_then(Value::as_str);
                    let error = error.unwrap_or_default();
                    return definite(format!("the execution {id} is {status}: {error}"));
                }
                _ => self.pause("an execution to end").await?,
            }
        }
    }

    /// Whether the operation's own execution is being cancelled.
    async fn is_cancelled(&self) -> Result<bool, Failure> {
        let Some(id) = self.job.task.context.execution_id.as_deref() else {
            return Ok(false);
        };
        let own = self.job.session.get(&["executions", id], &[]).await?;
        let status = own
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Ok(status == "cancelled" || status.ends_with("cancelling"))
    }

    async fn pass_on(&mut self, id: &str) -> Result<(), Failure> {
        let mut received = object(self.runtime().await?.get(RECEIVED));
        let known = received.get(id).and_then(Value::as_u64).unwrap_or_default();
        let mut count = usize::try_from(known).unwrap_or_default();
        loop {
            let (offset, size) = (count.to_string(), LINES_MAX.to_string());
            let query = [
                ("execution_id", id),
                ("_offset", offset.as_str()),
                ("_size", size.as_str()),
                ("_sort", "reported_timestamp"),
            ];
            let listed = self.job.session.get(&["events"], &query).await?;
            let lines = listed.get("items").and_then(Value::as_array);
            let lines = lines.map(Vec::as_slice).unwrap_or_default();
            for line in lines {
                let said = |name: &str| line.get(name).and_then(Value::as_str);
                let level = match said("level") {
                    Some("error" | "critical") => "error",
                    Some("warning" | "warn") => "warning",
                    Some("debug") => "debug",
                    _ => "info",
                };
                let from = said("deployment_id").unwrap_or_default();
                let message = said("message").unwrap_or_default();
                self.job
                    .logger
                    .log(level, format!("[{from}] {message}"))
                    .await;
            }
            count += lines.len();
            if lines.len() < LINES_MAX {
                break;
            }
        }
        received.insert(id.to_owned(), count.into());
        self.set(RECEIVED, received).await
    }

    /// Parameters of the operation's own workflow, where the other one is the same.
    pub(super) fn own_parameters(&self, workflow: &str) -> Map<String, Value> {
        let context = &self.job.task.raw_context;
        match context.get("workflow_id").and_then(Value::as_str) == Some(workflow) {
            true => object(context.get("workflow_parameters")),
            false => Map::new(),
        }
    }
}
