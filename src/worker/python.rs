//! Operations written in Python: one run of `cloudify.dispatch`, the unmodified library's own entry
//! point, in a process of its own. Input and output are files in a directory made for the run.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};
use tracing::debug;

use super::{
    context::Context,
    environment, interpreter,
    operation::Job,
    process::{End, Process},
    proxy::Proxy,
    resident::Start,
    script::{Done, failed},
    workflow,
};
use crate::broker::wire::{OperationContext, Response, TaskError};

const STOP_AGENT: &str = "StopAgent";
/// Where our own part of the library asks what only the worker knows.
const CTX_URL: &str = "STRATALOG_CTX_URL";
/// What the library imports from the agent's installer, which managers of ours do not have.
const LIBRARY: [(&str, &str); 3] = [
    ("cloudify_agent/__init__.py", PACKAGE),
    ("cloudify_agent/installer/__init__.py", PACKAGE),
    (
        "cloudify_agent/installer/script.py",
        include_str!("python/script.py"),
    ),
];
const PACKAGE: &str = include_str!("python/package.py");

/// Puts our own part of the library where interpreters find it.
pub(super) async fn prepare(directory: &Path) -> std::io::Result<()> {
    for (path, text) in LIBRARY {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        tokio::fs::write(path, text).await?;
    }
    Ok(())
}

pub(super) async fn run(job: &Job) -> Done {
    let python = tokio::select! {
        python = interpreter::find(job) => python,
        () = job.kill.cancelled() => return Done::Killed,
    };
    let python = match python {
        Ok(python) => python,
        Err(message) => return TaskError::non_recoverable(message).into(),
    };
    match dispatch(job, &python).await {
        Ok(done) => done,
        Err(error) => failed("OSError", error.to_string()).into(),
    }
}

async fn dispatch(job: &Job, python: &Path) -> std::io::Result<Done> {
    let prefix = format!("task-{}-", short_name(&job.task.context.task_name));
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir()?;
    let mut context = job.task.raw_context.clone();
    if job.resume {
        context.insert("resume".to_owned(), json!(true));
    }
    let input = json!({
        "cloudify_context": context, "args": job.task.args, "kwargs": job.task.inputs,
    });
    tokio::fs::write(directory.path().join("input.json"), input.to_string()).await?;
    let proxy = match job.worker.options.is_agent() || workflow::is_one(&job.task.context) {
        true => None,
        false => {
            let context = Context::new(job.task.clone(), job.session.clone(), job.logger.clone());
            Some(Proxy::start(&job.worker.tasks, context).await?)
        }
    };
    let ran = execute(job, python, directory.path(), proxy.as_ref()).await;
    if let Some(proxy) = proxy {
        proxy.stop().await.map_err(std::io::Error::other)?;
    }
    let code = match ran? {
        End::Killed => return Ok(Done::Killed),
        End::TimedOut => return Ok(job.timed_out().into()),
        End::Exited(code) => code,
    };
    if code < 0 {
        let message = format!("Process terminated (rc={code})");
        return Ok(TaskError::non_recoverable(message).into());
    }
    if code != 0 {
        let message = format!("Unhandled exception occurred in operation dispatch (rc={code})");
        return Ok(TaskError::non_recoverable(message).into());
    }
    let output = tokio::fs::read(directory.path().join("output.json")).await?;
    Ok(Done::Response(response(&output)))
}

async fn execute(
    job: &Job,
    python: &Path,
    directory: &Path,
    proxy: Option<&Proxy>,
) -> std::io::Result<End> {
    let mut process = start(job, python, directory, proxy).await?;
    process.wait(job.timeout(), &job.kill).await
}

/// Has an interpreter that stays start it, or starts one for it alone.
async fn start(
    job: &Job,
    python: &Path,
    directory: &Path,
    proxy: Option<&Proxy>,
) -> std::io::Result<Process> {
    let worker = &job.worker;
    let log = log_file(job);
    let context = &job.task.context;
    let mut command = Command::new(python);
    worker.environment(&mut command, context);
    worker.python_environment(&mut command, python, context);
    if let Some(proxy) = proxy {
        command.env(CTX_URL, proxy.url());
    }
    if workflow::is_one(context) {
        // interpreters that stay have read another configuration
        workflow::prepare(job, &mut command, directory).await?;
        return alone(command, directory, &log).await;
    }
    let start = Start {
        directory,
        log: &log,
        environment: environment::of(&command),
    };
    let mut first = Command::new(python);
    worker.environment(&mut first, &OperationContext::default());
    worker.python_environment(&mut first, python, &OperationContext::default());
    let resident = worker
        .residents
        .start(&worker.tasks, (python, first), &start);
    match resident.await {
        Ok(process) => return Ok(process),
        Err(error) => debug!(python = %python.display(), %error, "starting an interpreter anew"),
    }
    alone(command, directory, &log).await
}

async fn alone(mut command: Command, directory: &Path, log: &Path) -> std::io::Result<Process> {
    let log = tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .await?
        .into_std()
        .await;
    command
        .args(["-u", "-m", "cloudify.dispatch"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Process::spawn(&mut command)
}

/// The child's own account of how it went.
pub(super) fn response(output: &[u8]) -> Response {
    let unreadable = |why: String| {
        Response::Error(TaskError::non_recoverable(format!(
            "The operation's result is no JSON: {why}"
        )))
    };
    let mut output: Value = match serde_json::from_slice(output) {
        Ok(output) => output,
        Err(error) => return unreadable(error.to_string()),
    };
    let payload = output
        .get_mut("payload")
        .map(Value::take)
        .unwrap_or_default();
    if output.get("type").and_then(Value::as_str) != Some("error") {
        return Response::Ok(payload);
    }
    match serde_json::from_value::<TaskError>(payload) {
        Ok(error) if error.known_exception_type == STOP_AGENT => Response::Ok(Value::Null),
        Ok(error) => Response::Error(error.relayed()),
        Err(error) => unreadable(error.to_string()),
    }
}

/// `first.last` of a dotted name.
fn short_name(task_name: &str) -> String {
    match (task_name.split('.').next(), task_name.rsplit('.').next()) {
        (Some(first), Some(last)) => format!("{first}.{last}").replace('/', "_"),
        _ => "unnamed".to_owned(),
    }
}

/// What the child prints goes straight to the deployment's log file, so that nobody waits for a
/// pipe.
fn log_file(job: &Job) -> PathBuf {
    let deployment = job
        .task
        .context
        .deployment_id
        .as_deref()
        .unwrap_or("__system__");
    let name: String = deployment
        .chars()
        .map(|c| if c == '/' { '_' } else { c })
        .collect();
    job.worker.log_dir().join(format!("{name}.log"))
}

/// Whether Python's own parser takes it for Python.
pub(super) async fn is_python(python: &Path, source: &str) -> std::io::Result<bool> {
    let mut child = Command::new(python)
        .args(["-c", "import ast, sys; ast.parse(sys.stdin.buffer.read())"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(source.as_bytes()).await?;
    }
    Ok(child.wait().await?.success())
}
