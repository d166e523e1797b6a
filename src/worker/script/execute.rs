//! The process of a script, from its start to the meaning of its end.
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;

use super::{Done, Script, failed};
use crate::{
    broker::wire::{Response, TaskError},
    worker::{
        context::{Context, Ending},
        operation::Job,
        process::{End, Output, Process},
        proxy::Proxy,
    },
};

const STILL_RUNNING_EVERY: Duration = Duration::from_secs(20);
/// How often a script is tried to be started that is still being written, and between that.
const BUSY_ATTEMPTS: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn execute(job: &Job, script: &Script, file: &Path) -> (Done, Option<Context>) {
    let context = Context::new(job.task.clone(), job.session.clone(), job.logger.clone());
    let proxy = match script.text("ctx_proxy_type").as_deref() {
        None | Some("auto" | "http") => match Proxy::start(&job.worker.tasks, context).await {
            Ok(proxy) => Some(proxy),
            Err(error) => return (failed("OSError", error.to_string()).into(), None),
        },
        Some("none") => None,
        Some(other) => {
            let message = format!("Unsupported proxy type: {other}");
            return (TaskError::non_recoverable(message).into(), None);
        }
    };
    let ran = execute_with(job, script, file, proxy.as_ref()).await;
    let context = match proxy {
        None => None,
        Some(proxy) => match proxy.stop().await {
            Ok(context) => Some(context),
            Err(error) => return (failed("RuntimeError", error.to_string()).into(), None),
        },
    };
    let done = match ran {
        Ok(ran) => conclude(job, ran, context.as_ref()),
        Err(error) => failed("OSError", error.to_string()).into(),
    };
    (done, context)
}

/// How the process ended, with what its failure's message needs.
#[derive(Debug)]
struct Ran {
    end: End,
    command: String,
    stdout: String,
    stderr: String,
}

async fn execute_with(
    job: &Job,
    script: &Script,
    file: &Path,
    proxy: Option<&Proxy>,
) -> std::io::Result<Ran> {
    let command = script.command(file);
    let log_stdout = script.flag("log_stdout", true);
    let log_stderr = script.flag("log_stderr", true);
    let merged = log_stderr && script.flag("stderr_to_stdout", false);
    let line = if merged {
        format!("exec 2>&1\n{command}")
    } else {
        command.clone()
    };
    let directly = match !merged && script.is_plain(file) {
        true => start_directly(job, script, file, proxy).await,
        false => None,
    };
    let mut process = match directly {
        Some(process) => process,
        None => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            Process::spawn(equip(&mut shell, job, script, proxy))?
        }
    };
    let pid = process.pid();
    job.logger
        .info(format!("Process created, PID: {pid}"))
        .await;
    let tasks = &job.worker.tasks;
    let (stdout, stderr) = process.output();
    let out = stdout.map(|stream| {
        Output::read(
            tasks,
            stream,
            job.logger.clone(),
            log_stdout.then_some("<out> "),
        )
    });
    let err = stderr.map(|stream| {
        Output::read(
            tasks,
            stream,
            job.logger.clone(),
            log_stderr.then_some("<err> "),
        )
    });
    let end = tokio::select! {
        end = process.wait(job.timeout(), &job.kill) => end?,
        never = report(job, pid) => match never {},
    };
    let mut ran = Ran {
        end,
        command,
        stdout: String::new(),
        stderr: String::new(),
    };
    if let Some(out) = out {
        ran.stdout = out.finish().await;
    }
    if let Some(err) = err {
        ran.stderr = err.finish().await;
    }
    if let End::Exited(code) = end {
        let command = &ran.command;
        job.logger
            .info(format!(
                "Execution done (PID={pid}, return_code={code}): {command}"
            ))
            .await;
    }
    Ok(ran)
}

/// Starts what the shell would do no more than start, which takes half of the time. `None` where
/// it does not do (the file names no interpreter, for example): the shell knows what to make of it.
async fn start_directly(
    job: &Job,
    script: &Script,
    file: &Path,
    proxy: Option<&Proxy>,
) -> Option<Process> {
    for _ in 0..BUSY_ATTEMPTS {
        let mut command = Command::new(file);
        equip(&mut command, job, script, proxy);
        // as the shell would tell it
        let directory = script.text("cwd").map(Into::into);
        let directory = directory.or_else(|| std::env::current_dir().ok());
        command.envs(directory.map(|directory: PathBuf| ("PWD", directory)));
        match Process::spawn(&mut command) {
            Ok(process) => return Some(process),
            // a process that was begun at the same moment has yet to let go of the file
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(_) => return None,
        }
    }
    None
}

/// Gives a script's process what it is to find.
fn equip<'c>(
    command: &'c mut Command,
    job: &Job,
    script: &Script,
    proxy: Option<&Proxy>,
) -> &'c mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    job.worker.environment(command, &job.task.context);
    command.envs(script.env.iter().map(|(name, value)| (name, value)));
    command.env("CTX_SOCKET_URL", proxy.map(Proxy::url).unwrap_or_default());
    if let Some(directory) = script.text("cwd") {
        command.current_dir(directory);
    }
    command
}

async fn report(job: &Job, pid: i32) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(STILL_RUNNING_EVERY).await;
        job.logger
            .info(format!("Waiting for process {pid} to end..."))
            .await;
    }
}

/// What the end of the process and the script's own words together mean.
fn conclude(job: &Job, ran: Ran, context: Option<&Context>) -> Done {
    let code = match ran.end {
        End::Killed => return Done::Killed,
        End::TimedOut => return job.timed_out().into(),
        End::Exited(code) => code,
    };
    let ending = context.and_then(|context| context.ending.clone());
    let retry = context.and_then(|context| context.retry.clone());
    match (ending, retry) {
        (Some(Ending::Illegal), _) => {
            TaskError::non_recoverable("ctx may only abort or return once")
                .relayed()
                .into()
        }
        (Some(Ending::Aborted(message)), _) => TaskError::non_recoverable(message).relayed().into(),
        (ending, Some(retry)) if code == 0 || ending == Some(Ending::Retried) => {
            TaskError::operation_retry(&retry.message, retry.after_s)
                .relayed()
                .into()
        }
        _ if code != 0 => {
            let mut message = format!("command: {}, exit_code: {code}", ran.command);
            for (name, output) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
                if !output.is_empty() {
                    message.push_str(&format!(", {name}: {output}"));
                }
            }
            failed("ProcessException", message).into()
        }
        (Some(Ending::Returned(value)), _) => Done::Response(Response::Ok(value)),
        _ => Done::Response(Response::Ok(Value::Null)),
    }
}
