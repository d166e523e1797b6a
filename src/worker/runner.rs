//! Which way an operation is run.
use super::{
    operation::Job,
    python,
    script::{self, Done, Script, Source, dedent},
};
use crate::broker::wire::TaskError;

/// A script that is no Python runs natively; everything else is Python and goes to the library's
/// dispatcher.
#[derive(Debug)]
pub(super) enum Runner {
    Script(Box<Script>),
    Python,
}

impl Runner {
    pub(super) async fn choose(job: &Job) -> Result<Self, TaskError> {
        if job.task.context.task_name != script::TASK_NAME {
            return Ok(Self::Python);
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
        matches!(self, Self::Python)
    }

    pub(super) async fn run(&self, job: &Job) -> Done {
        match self {
            Self::Script(script) => script::run(job, script).await,
            Self::Python => python::run(job).await,
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
