//! Operations written in Python: one run of `cloudify.dispatch`, the unmodified library's own entry
//! point, in a process of its own. Input and output are files in a directory made for the run.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    Worker,
    operation::Job,
    process::{End, Process},
    script::{Done, failed},
};
use crate::broker::wire::{OperationContext, Response, TaskError};

const STOP_AGENT: &str = "StopAgent";
/// Plugins that come with the worker's own interpreter.
const OWN_PLUGINS: [&str; 8] = [
    "agent",
    "diamond",
    "script",
    "cfy_extensions",
    "default_workflows",
    "worker_installer",
    "cloudify_system_workflows",
    "agent_installer",
];
/// The version of a source plugin that names none.
const NO_VERSION: &str = "0.0.0";

pub(super) async fn run(job: &Job) -> Done {
    let Some(python) = interpreter(&job.worker, &job.task.context).await else {
        let name = job.task.context.plugin.name.as_deref().unwrap_or_default();
        let arch = std::env::consts::ARCH;
        return TaskError::non_recoverable(format!(
            "No source or managed plugin found for {name} [current platform=linux_{arch}]"
        ))
        .into();
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
    let log = log_file(job).await?;
    let mut command = Command::new(python);
    command
        .args(["-u", "-m", "cloudify.dispatch"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    job.worker.environment(&mut command, &job.task.context);
    job.worker
        .python_environment(&mut command, python, &job.task.context);
    let mut process = Process::spawn(&mut command)?;
    let code = match process.wait(job.timeout(), &job.kill).await? {
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
async fn log_file(job: &Job) -> std::io::Result<std::fs::File> {
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
    let path = job.worker.log_dir().join(format!("{name}.log"));
    let file = tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .await?;
    Ok(file.into_std().await)
}

/// The interpreter that has the operation's plugin: the worker's own, or the one of the plugin's
/// environment.
pub(super) async fn interpreter(worker: &Worker, context: &OperationContext) -> Option<PathBuf> {
    let plugin = &context.plugin;
    let name = plugin.name.as_deref().unwrap_or_default();
    if name.is_empty() || OWN_PLUGINS.contains(&name) {
        return Some(worker.options.python.clone());
    }
    let root = &worker.options.work_dir;
    let tenant = plugin
        .tenant_name
        .as_deref()
        .unwrap_or(&context.tenant.name);
    if let Some(package) = &plugin.package_name {
        let versions = root.join("plugins").join(tenant).join(package);
        let managed = match &plugin.package_version {
            Some(version) => Some(versions.join(version)),
            None => newest(&versions).await,
        };
        if let Some(python) = installed(managed).await {
            return Some(python);
        }
    }
    let version = plugin.package_version.as_deref().unwrap_or(NO_VERSION);
    let deployment = context.deployment_id.as_deref().unwrap_or_default();
    let sources = root.join("source_plugins").join(tenant).join(deployment);
    installed(Some(sources.join(name).join(version))).await
}

/// Only a finished installation has the marker.
async fn installed(directory: Option<PathBuf>) -> Option<PathBuf> {
    let directory = directory?;
    let marked = tokio::fs::try_exists(directory.join("plugin.id"))
        .await
        .unwrap_or(false);
    marked.then(|| directory.join("bin/python"))
}

async fn newest(versions: &Path) -> Option<PathBuf> {
    let mut found = tokio::fs::read_dir(versions).await.ok()?;
    let mut newest: Option<(Vec<u64>, PathBuf)> = None;
    while let Ok(Some(entry)) = found.next_entry().await {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbers = |part: &str| part.parse::<u64>().unwrap_or(0);
        let version: Vec<_> = name.split('.').map(numbers).collect();
        if newest.as_ref().is_none_or(|(best, _)| version > *best) {
            newest = Some((version, entry.path()));
        }
    }
    newest.map(|(_, path)| path)
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
