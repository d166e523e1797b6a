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
        let marker = self.noted_as(MARKER);
        let begun = object(self.runtime().await?.get(&marker));
        let same = begun.get("workflow_id").and_then(Value::as_str) == Some(workflow);
        let begun = begun.get("id").and_then(Value::as_str);
        let id = match begun.filter(|_| same && self.job.resume) {
            Some(id) => id.to_owned(),
            None => {
                let mut body = arguments;
                body.insert("deployment_id".to_owned(), deployment.into());
                body.insert("workflow_id".to_owned(), workflow.into());
                let started = self.there.post(&["executions"], &body.into()).await?;
                self.begun(workflow, started.get("id")).await?
            }
        };
        self.followed(&id).await
    }

    /// Updates a deployment as [`Self::workflow`] runs a workflow.
    pub(super) async fn deployment_update(
        &mut self,
        deployment: &str,
        body: Map<String, Value>,
    ) -> Result<bool, Failure> {
        let marker = self.noted_as(MARKER);
        let begun = object(self.runtime().await?.get(&marker));
        let begun = begun.get("id").and_then(Value::as_str);
        let id = match begun.filter(|_| self.job.resume) {
            Some(id) => id.to_owned(),
            None => {
                let path = ["deployment-updates", deployment, "update", "initiate"];
                let started = self.there.post(&path, &body.into()).await?;
                self.begun("update", started.get("execution_id")).await?
            }
        };
        self.followed(&id).await
    }

    /// Notes what was started.
    async fn begun(&mut self, workflow: &str, id: Option<&Value>) -> Result<String, Failure> {
        let Some(id) = id.and_then(Value::as_str) else {
            return definite(format!("the workflow {workflow} was not started"));
        };
        let marker = self.noted_as(MARKER);
        self.set(&marker, json!({"id": id, "workflow_id": workflow}))
            .await?;
        self.note().await?;
        Ok(id.to_owned())
    }

    /// Waits for the end of what was noted.
    async fn followed(&mut self, id: &str) -> Result<bool, Failure> {
        let outcome = self.ended(id).await;
        if !matches!(outcome, Err(Failure::Killed)) {
            let (marker, noted_as) = (self.noted_as(MARKER), self.noted_as(RECEIVED));
            let runtime = self.runtime().await?;
            runtime.shift_remove(&marker);
            // nobody goes on with it, and there will be many
            let mut received = object(runtime.get(&noted_as));
            received.shift_remove(id);
            match received.is_empty() {
                true => runtime.shift_remove(&noted_as),
                false => runtime.insert(noted_as, received.into()),
            };
        }
        outcome
    }

    /// Waits for the end of an execution, and passes on what it says.
    pub(super) async fn ended(&mut self, id: &str) -> Result<bool, Failure> {
        let passes_on = self.passes_on().await?;
        loop {
            let found = self.there.get(&["executions", id], &[]).await?;
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

    /// Whether lines of other executions are passed on.
    async fn passes_on(&mut self) -> Result<bool, Failure> {
        let said = match self.is_relationship() {
            true => self.job.task.inputs.get("redirect_logs").cloned(),
            false => self.config("deployment").await?.get("logs").cloned(),
        };
        Ok(said != Some(Value::Bool(false)))
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
        let noted_as = self.noted_as(RECEIVED);
        let mut received = object(self.runtime().await?.get(&noted_as));
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
            let listed = self.there.get(&["events"], &query).await?;
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
        self.set(&noted_as, received).await
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
