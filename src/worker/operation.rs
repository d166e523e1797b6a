//! One operation from its arrival to its response.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Worker,
    context::Context,
    extensions,
    log::{self, Logger, OperationLog},
    outcomes,
    resources::Resources,
    rest::{RestError, Session},
    runner::Runner,
    script::{Done, failed},
    workflow,
};
use crate::broker::wire::{OperationTask, Response, TaskError};

const STARTED: &str = "started";
/// Before asking again for an operation, after all that the session tried.
const CLAIM_PAUSE: Duration = Duration::from_secs(2);
const RESPONSE_SENT: &str = "response-sent";

/// What is to be done about the message.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Respond(Response),
    /// Nobody waits: the execution was cancelled or is gone, or the operation was killed.
    Silent,
}

/// Everything a runner needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) worker: Arc<Worker>,
    pub(super) task: Arc<OperationTask>,
    pub(super) session: Session,
    pub(super) logger: Logger,
    pub(super) kill: CancellationToken,
    /// An earlier run of the same operation was interrupted.
    pub(super) resume: bool,
}

impl Job {
    pub(super) fn resources(&self) -> Resources {
        Resources::new(self.session.clone(), &self.task.context)
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let seconds = self.task.context.timeout.filter(|seconds| *seconds > 0.0)?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    pub(super) fn timed_out(&self) -> TaskError {
        let seconds = self.task.context.timeout.unwrap_or_default();
        let message = format!("Process killed due to timeout of {seconds} seconds");
        if self.task.context.timeout_recoverable == Some(true) {
            TaskError::recoverable(message)
        } else {
            TaskError::non_recoverable(message)
        }
    }
}

/// Runs the operation for a message unless there is no need to, and keeps its stored row up to
/// date. The response is kept under `key`.
pub(super) async fn perform(
    worker: &Arc<Worker>,
    task: Arc<OperationTask>,
    kill: &CancellationToken,
    (key, message): (&str, Option<&str>),
) -> Outcome {
    let context = &task.context;
    let Some(token) = context.token() else {
        let message = "The operation's context has no execution token";
        return Outcome::Respond(Response::Error(TaskError::non_recoverable(message)));
    };
    let bypass = context.bypass_maintenance == Some(true);
    let session = Session::new(worker.rest.clone(), token, &context.tenant.name, bypass);
    let known = match task.task_id() {
        // whoever claims it learns the rest
        Some(_) if !workflow::is_one(context) => Ok(Before::Run { resume: false }),
        _ => before(&session, &task).await,
    };
    match known {
        Ok(Before::Nobody) => Outcome::Silent,
        Ok(Before::Run { resume }) => {
            let run = Run {
                worker,
                task: &task,
                session: &session,
                kill,
                key,
                message: message.unwrap_or_default(),
                is_stored: AtomicBool::new(false),
            };
            run.whole(resume).await
        }
        Err(error) => {
            let error = failed("CloudifyClientError", error.to_string());
            Outcome::Respond(Response::Error(error))
        }
    }
}

enum Before {
    Nobody,
    Run { resume: bool },
}

/// Asks the manager whether what cannot be claimed is still wanted, and whether it was begun
/// before.
async fn before(session: &Session, task: &OperationTask) -> Result<Before, RestError> {
    let Some(execution) = task.context.execution_id.as_deref() else {
        return Ok(Before::Run { resume: false });
    };
    let found = match session.get(&["executions", execution], &[]).await {
        Ok(found) => found,
        Err(error) if gone(&error) => {
            info!(execution, %error, "nobody waits for the operation");
            return Ok(Before::Nobody);
        }
        Err(error) => return Err(error),
    };
    let is_workflow = workflow::is_one(&task.context);
    Ok(match status(&found, "status") {
        Some("cancelled") => Before::Nobody,
        Some("terminated" | "failed" | "kill_cancelling") if is_workflow => Before::Nobody,
        status => Before::Run {
            resume: is_workflow && status == Some(STARTED),
        },
    })
}

fn status<'a>(fields: &'a Value, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str)
}

/// The execution has ended or does not exist, so its token is worth nothing.
fn gone(error: &RestError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)
    )
}

/// The parts that a run goes through.
struct Run<'a> {
    worker: &'a Arc<Worker>,
    task: &'a Arc<OperationTask>,
    session: &'a Session,
    kill: &'a CancellationToken,
    key: &'a str,
    message: &'a str,
    /// The manager knows the operation.
    is_stored: AtomicBool,
}

impl Run<'_> {
    async fn whole(&self, resume: bool) -> Outcome {
        let (done, log) = self.logged(resume).await;
        let Done::Response(response) = done else {
            log.close().await;
            return Outcome::Silent;
        };
        // first, so that nobody sees an end whose result could still be lost
        let kept = self.worker.outcomes.keep(self.key, &response);
        let (said, ()) = tokio::join!(log.ended(), kept);
        self.mark(RESPONSE_SENT, said).await;
        Outcome::Respond(response)
    }

    /// Stores a state of the operation together with what has been said last. The operation does
    /// not fail for want of them.
    async fn mark(&self, state: &str, said: Option<Value>) {
        let mut unsaid = said;
        if self.is_stored.load(Ordering::Relaxed) {
            let id = self.task.task_id().unwrap_or_default();
            let told = (state, unsaid.as_ref());
            let worker = &self.worker.options;
            match self.session.set_operation_state(id, told, worker).await {
                Ok(()) => unsaid = None,
                Err(error) => {
                    warn!(operation = id, state, %error, "the operation's state was not stored");
                }
            }
        }
        if let Some(said) = unsaid {
            log::send(self.session, &said).await;
        }
    }

    /// Shows the operation as started for this message, and learns whether an earlier run of it was
    /// interrupted. Without that nothing is begun: what could not be shown as started would be run
    /// again by the next worker. What it comes to instead, when it is not to be run here.
    async fn claim(&self, job: &mut Job) -> Result<(), Done> {
        let Some(id) = self.task.task_id() else {
            return Ok(());
        };
        let claim = json!({
            "token": outcomes::token_digest(self.task),
            "message": self.message,
            "run": format!("{:032x}", rand::random::<u128>()),
        });
        loop {
            let options = &self.worker.options;
            let error = match self.session.claim_operation(id, &claim, options).await {
                Ok(resumes) => {
                    self.is_stored.store(true, Ordering::Relaxed);
                    job.resume |= resumes;
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.status() {
                Some(StatusCode::CONFLICT) => {
                    info!(operation = id, %error, "the operation is another's");
                    return Err(Done::Killed);
                }
                Some(StatusCode::UNAUTHORIZED) => {
                    info!(operation = id, %error, "nobody waits for the operation");
                    return Err(Done::Killed);
                }
                // some tasks are not stored; then there is nothing to keep up to date
                Some(StatusCode::NOT_FOUND) => return self.unstored().await,
                Some(status) if !status.is_server_error() => {
                    return Err(failed("CloudifyClientError", error.to_string()).into());
                }
                _ => warn!(operation = id, %error, "the operation waits for the manager"),
            }
            tokio::select! {
                () = self.kill.cancelled() => return Err(Done::Killed),
                () = tokio::time::sleep(CLAIM_PAUSE) => {}
            }
        }
    }

    /// An operation that the manager does not know is run as long as somebody waits for it.
    async fn unstored(&self) -> Result<(), Done> {
        match before(self.session, self.task).await {
            Ok(Before::Run { .. }) => Ok(()),
            Ok(Before::Nobody) => Err(Done::Killed),
            Err(error) => Err(failed("CloudifyClientError", error.to_string()).into()),
        }
    }

    /// What the operation comes to, and its log, which is not closed yet.
    async fn logged(&self, resume: bool) -> (Done, OperationLog) {
        let tasks = &self.worker.tasks;
        let options = &self.worker.options;
        let log = OperationLog::open(tasks, self.session.clone(), options, &self.task.context);
        let job = Job {
            worker: self.worker.clone(),
            task: self.task.clone(),
            session: self.session.clone(),
            logger: log.logger(),
            kill: self.kill.clone(),
            resume,
        };
        (self.with_a_slot(job).await, log)
    }

    /// No more processes at once than allowed, however many messages a reconnect brings.
    async fn with_a_slot(&self, mut job: Job) -> Done {
        if workflow::is_one(&job.task.context) {
            // it waits for operations, which need slots themselves
            return workflow::run(&job).await;
        }
        if let Some(operation) = extensions::Operation::of(&job.task.context) {
            return self.waiting(operation, job).await;
        }
        let slot = tokio::select! {
            slot = self.worker.slots.acquire() => slot,
            () = self.kill.cancelled() => return Done::Killed,
        };
        debug_assert!(slot.is_ok(), "the semaphore is never closed");
        // not before: what was still waiting when the worker ended can begin with the next
        if let Err(done) = self.claim(&mut job).await {
            return done;
        }
        match chosen(job).await {
            Ok((runner, job)) => runner.run(&job).await,
            Err(error) => error.into(),
        }
    }
}

impl Run<'_> {
    /// Runs what may wait for other executions, as long as enough messages can still be taken for
    /// those.
    async fn waiting(&self, operation: extensions::Operation, mut job: Job) -> Done {
        let Ok(_place) = self.worker.waits.try_acquire() else {
            let why = "Too many operations wait for other executions";
            return TaskError::operation_retry(why, None).into();
        };
        if let Err(done) = self.claim(&mut job).await {
            return done;
        }
        if job.task.context.has_intrinsic_functions {
            match evaluated(&job).await {
                Ok(inputs) => {
                    job.task = Arc::new(OperationTask {
                        inputs,
                        ..OperationTask::clone(&job.task)
                    });
                }
                Err(error) => return error.into(),
            }
        }
        operation.run(&job).await
    }
}

async fn chosen(mut job: Job) -> Result<(Runner, Job), TaskError> {
    let name = &job.task.context.task_name;
    let runner = Runner::choose(&job).await?;
    if job.resume && !runner.can_resume() {
        return Err(TaskError::non_recoverable(format!(
            "Cannot resume - operation not resumable: {name}"
        ))
        .relayed());
    }
    // The dispatcher evaluates for itself.
    if job.task.context.has_intrinsic_functions && matches!(runner, Runner::Script(_)) {
        let inputs = evaluated(&job).await?;
        job.task = Arc::new(OperationTask {
            inputs,
            ..OperationTask::clone(&job.task)
        });
        let runner = Runner::choose(&job).await?;
        return Ok((runner, job));
    }
    Ok((runner, job))
}

async fn evaluated(job: &Job) -> Result<Map<String, Value>, TaskError> {
    let context = Context::new(job.task.clone(), job.session.clone(), job.logger.clone());
    let body = json!({
        "deployment_id": job.task.context.deployment_id,
        "context": context.evaluation_context(),
        "payload": job.task.inputs,
    });
    let answer = job.session.post(&["evaluate", "functions"], &body).await;
    let answer = answer.map_err(|error| failed("CloudifyClientError", error.to_string()))?;
    match answer.get("payload") {
        Some(Value::Object(inputs)) => Ok(inputs.clone()),
        _ => Err(failed(
            "CloudifyClientError",
            "the inputs were not evaluated".to_owned(),
        )),
    }
}
