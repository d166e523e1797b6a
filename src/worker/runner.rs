//! Which way an operation is run.
use serde_json::Value;

use super::{
    installer::{self, Action},
    operation::Job,
    plugins, python,
    script::{self, Done, Script, Source, dedent},
};
use crate::broker::wire::{Response, TaskError};

/// Asks an agent to end.
pub(super) const STOP_AGENT: &str = "cloudify_agent.operations.stop";
/// Asks an agent to end, and to start again.
pub(super) const RESTART_AGENT: &str = "cloudify_agent.operations.restart";
/// Asks an agent to install or remove plugins ahead of the operations that need them.
const INSTALL_PLUGINS: &str = "cloudify_agent.operations.install_plugins";
const UNINSTALL_PLUGINS: &str = "cloudify_agent.operations.uninstall_plugins";

/// A script that is no Python runs natively; everything else is Python and goes to the library's
/// dispatcher.
#[derive(Debug)]
pub(super) enum Runner {
    Script(Box<Script>),
    Python,
    /// The agent of a host is dealt with.
    Installer(Action),
    /// The agent ends once this is answered; it may be to start again.
    Stop,
    /// Plugins are installed, or removed.
    Plugins {
        is_install: bool,
    },
}

impl Runner {
    pub(super) async fn choose(job: &Job) -> Result<Self, TaskError> {
        match job.task.context.task_name.as_str() {
            script::TASK_NAME => {}
            STOP_AGENT | RESTART_AGENT if job.worker.options.is_agent() => return Ok(Self::Stop),
            INSTALL_PLUGINS => return Ok(Self::Plugins { is_install: true }),
            UNINSTALL_PLUGINS => return Ok(Self::Plugins { is_install: false }),
            name => {
                let action = Action::of_task(name).filter(|_| !job.worker.options.is_agent());
                return Ok(action.map_or(Self::Python, Self::Installer));
            }
        }
        let script = Script::from_inputs(&job.task.inputs).map_err(TaskError::non_recoverable)?;
        let is_python = match (script.eval_python(), &script.source) {
            (Some(said), Source::Inline(_)) => said,
            (Some(true), Source::Path(_)) => true,
            (Some(false), Source::Path(_)) => false,
            (None, Source::Path(path)) => path.to_ascii_lowercase().ends_with(".py"),
            (None, Source::Inline(source)) => inline_is_python(job, source).await?,
        };
        Ok(if is_python {
            Self::Python
        } else {
            Self::Script(Box::new(script))
        })
    }

    /// Nothing of a native script survives its interruption, so it is never run a second time by
    /// itself. The dispatcher asks the Python function whether it can be resumed.
    pub(super) fn can_resume(&self) -> bool {
        !matches!(self, Self::Script(_))
    }

    pub(super) async fn run(&self, job: &Job) -> Done {
        match self {
            Self::Script(script) => script::run(job, script).await,
            Self::Python => python::run(job).await,
            Self::Installer(action) => installer::run(job, *action).await,
            Self::Stop => Done::Response(Response::Ok(Value::Null)),
            Self::Plugins { is_install } => plugins::listed(job, *is_install).await,
        }
    }
}

/// A first line that names an interpreter decides; otherwise what Python can parse is Python.
async fn inline_is_python(job: &Job, source: &str) -> Result<bool, TaskError> {
    let source = dedent(source);
    if let Some(interpreter) = source
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("#!"))
    {
        return Ok(interpreter.contains("python"));
    }
    let parsed = python::is_python(&job.worker.options.python, &source).await;
    parsed.map_err(|error| script::failed("OSError", error.to_string()))
}
