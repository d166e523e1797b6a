//! `script_runner.tasks.run` for everything that is not Python: runs a script as a process, with
//! its inputs in the environment and `ctx` at hand.
mod execute;
mod inputs;

use std::path::{Path, PathBuf};

pub(super) use inputs::{Script, Source, dedent};

use super::{
    operation::Job,
    resources::{base_name, temporary_directory},
};
use crate::broker::wire::{Cause, Response, TaskError};

pub(super) const TASK_NAME: &str = "script_runner.tasks.run";

/// What became of a script.
#[derive(Debug)]
pub(super) enum Done {
    Response(Response),
    Killed,
}

impl From<TaskError> for Done {
    fn from(error: TaskError) -> Self {
        Self::Response(Response::Error(error))
    }
}

/// Runs the script and writes the runtime properties back, whatever became of it.
pub(super) async fn run(job: &Job, script: &Script) -> Done {
    let file = match fetch(job, script).await {
        Ok(file) => file,
        Err(error) => return error.into(),
    };
    let (done, context) = execute::execute(job, script, &file).await;
    if let Err(error) = tokio::fs::remove_file(&file).await {
        job.logger
            .debug(format!("the script cannot be removed: {error}"))
            .await;
    }
    if let Some(directory) = file.parent() {
        // Not empty when the script has put something beside itself.
        let _ = tokio::fs::remove_dir(directory).await;
    }
    match context {
        Some(mut context) => match context.store().await {
            Ok(()) => done,
            Err(error) => unstored(job, done, &error.to_string()).await,
        },
        None => done,
    }
}

/// A success without its runtime properties is none.
async fn unstored(job: &Job, done: Done, why: &str) -> Done {
    job.logger
        .log(
            "error",
            format!("the runtime properties were not stored: {why}"),
        )
        .await;
    match done {
        Done::Response(Response::Ok(_)) => failed("CloudifyClientError", why.to_owned()).into(),
        other => other,
    }
}

async fn fetch(job: &Job, script: &Script) -> Result<PathBuf, TaskError> {
    let unwritable = |error: std::io::Error| failed("OSError", error.to_string());
    let directory = temporary_directory()
        .await
        .map_err(|error| failed("OSError", error.to_string()))?;
    let file = match &script.source {
        Source::Inline(source) => {
            let file = directory.join("script.sh");
            tokio::fs::write(&file, dedent(source))
                .await
                .map_err(unwritable)?;
            file
        }
        Source::Path(path) => {
            let file = directory.join(base_name(path));
            download(job, script, path, &file).await?;
            file
        }
    };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    tokio::fs::set_permissions(&file, mode)
        .await
        .map_err(unwritable)?;
    Ok(file)
}

async fn download(job: &Job, script: &Script, path: &str, file: &Path) -> Result<(), TaskError> {
    let unwritable = |error: std::io::Error| failed("OSError", error.to_string());
    match path.split_once("://") {
        Some(("http" | "https", _)) => {
            let certificate = script.ssl_cert_content.as_deref();
            let content = job
                .session
                .rest()
                .fetch(path, certificate)
                .await
                .map_err(|error| match error.status() {
                    Some(status) => TaskError::non_recoverable(format!(
                        "Failed downloading script: {path} (status code: {})",
                        status.as_u16()
                    )),
                    None => failed("ConnectionError", error.to_string()),
                })?;
            tokio::fs::write(file, &content).await.map_err(unwritable)
        }
        Some(("file", local)) => tokio::fs::copy(local, file)
            .await
            .map(drop)
            .map_err(unwritable),
        _ => {
            let saved = job.resources().download(path, Some(file)).await;
            saved.map_err(|error| failed("HttpException", error.to_string()))?;
            job.logger
                .info(format!("Downloaded {path} to {}", file.display()))
                .await;
            Ok(())
        }
    }
}

/// An ordinary exception: reported under its own name among the causes, and worth another try.
pub(super) fn failed(kind: &str, message: String) -> TaskError {
    let cause = Cause {
        message: message.clone(),
        kind: kind.to_owned(),
        traceback: None,
    };
    let mut error = TaskError::recoverable(message);
    error.known_exception_type_args.clear();
    error.caused_by(cause)
}
