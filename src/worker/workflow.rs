//! Workflows written in Python: run as operations are, but they report for themselves to the
//! manager, and send operations over RabbitMQ.
use std::{os::unix::fs::OpenOptionsExt, path::Path};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};
use tracing::warn;

use super::{operation::Job, python, script::Done};
use crate::broker::wire::{OperationContext, Response};

/// Where the library looks for RabbitMQ, within `AGENT_WORK_DIR`.
const BROKER_CONFIG: &str = "broker_config.json";
const ENDED: [&str; 3] = ["terminated", "failed", "cancelled"];

/// Whether a task is a workflow.
pub(super) fn is_one(context: &OperationContext) -> bool {
    context.kind == "workflow"
}

/// Tells the library where RabbitMQ is, in a file that only this run sees.
pub(super) async fn prepare(
    job: &Job,
    command: &mut Command,
    directory: &Path,
) -> std::io::Result<()> {
    let config = job.worker.door.open().await?;
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    let file = tokio::fs::OpenOptions::from(options);
    let mut file = file.open(directory.join(BROKER_CONFIG)).await?;
    file.write_all(config.to_string().as_bytes()).await?;
    file.flush().await?;
    command.env("AGENT_WORK_DIR", directory);
    Ok(())
}

/// Runs one. Whatever becomes of its process, its execution has an end then.
pub(super) async fn run(job: &Job) -> Done {
    let done = python::run(job).await;
    if let Done::Response(response) = &done {
        settle(job, response).await;
    }
    done
}

/// Says how it ended where it did not say so itself.
async fn settle(job: &Job, response: &Response) {
    let Some(id) = job.task.context.execution_id.as_deref() else {
        return;
    };
    let found = match job.session.get(&["executions", id], &[]).await {
        Ok(found) => found,
        // its token is void: it has ended, or somebody else runs it
        Err(error) => return warn!(execution = id, %error, "not known how a workflow ended"),
    };
    let status = found
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (ended, error) = match response {
        _ if ENDED.contains(&status) => return,
        Response::Ok(_) if status.ends_with("cancelling") => ("cancelled", None),
        Response::Ok(_) => ("terminated", None),
        Response::Error(error) => ("failed", Some(error.message.as_str())),
    };
    let body = json!({"status": ended, "error": error});
    if let Err(error) = job.session.patch(&["executions", id], &body).await {
        warn!(execution = id, %error, "the end of a workflow is not told");
    }
}
