//! The answer to an operation: a result, or an error that says whether trying again makes sense.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::WireError;

/// A worker's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Ok(Value),
    Error(TaskError),
}

/// One step of what went wrong, innermost last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub traceback: Option<String>,
}

/// The requester rebuilds an exception of the class `known_exception_type` from this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    #[serde(default)]
    pub exception_type: String,
    #[serde(default)]
    pub message: String,
    #[serde(default = "recoverable_type")]
    pub known_exception_type: String,
    #[serde(default)]
    pub known_exception_type_args: Vec<Value>,
    #[serde(default)]
    pub known_exception_type_kwargs: Map<String, Value>,
    #[serde(default)]
    pub append_message: bool,
    #[serde(default)]
    pub traceback: Option<String>,
}

/// What an error asks of the workflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Retry {
    Never,
    /// After the given seconds, or after the workflow's own interval; counts as a failure.
    Failure {
        after_s: Option<f64>,
    },
    /// The operation itself asked to be run again.
    Asked {
        after_s: Option<f64>,
    },
}

const RECOVERABLE: &str = "RecoverableError";
const NON_RECOVERABLE: &str = "NonRecoverableError";
const OPERATION_RETRY: &str = "OperationRetry";
const CAUSES: &str = "causes";

fn recoverable_type() -> String {
    RECOVERABLE.to_owned()
}

impl TaskError {
    pub fn non_recoverable(message: impl Into<String>) -> Self {
        Self::known(NON_RECOVERABLE, message.into(), Vec::new())
    }

    pub fn recoverable(message: impl Into<String>) -> Self {
        Self::known(RECOVERABLE, message.into(), vec![Value::Null])
    }

    /// The operation asks to be run again, after `retry_after_s` seconds or the workflow's own
    /// interval.
    pub fn operation_retry(message: &str, retry_after_s: Option<f64>) -> Self {
        let after = retry_after_s.map_or(Value::Null, seconds);
        let message = match &after {
            Value::Null => message.to_owned(),
            after => format!("{message} [retry_after={after}]"),
        };
        Self::known(OPERATION_RETRY, message, vec![after])
    }

    fn known(class: &str, message: String, args: Vec<Value>) -> Self {
        Self {
            exception_type: class.to_owned(),
            message,
            known_exception_type: class.to_owned(),
            known_exception_type_args: args,
            known_exception_type_kwargs: Map::from_iter([(CAUSES.to_owned(), json!([]))]),
            append_message: false,
            traceback: None,
        }
    }

    /// Adds the innermost cause.
    #[must_use]
    pub fn caused_by(mut self, cause: Cause) -> Self {
        let mut causes = self.causes();
        causes.push(cause);
        self.known_exception_type_kwargs
            .insert(CAUSES.to_owned(), json!(causes));
        self
    }

    pub fn causes(&self) -> Vec<Cause> {
        let listed = self
            .known_exception_type_kwargs
            .get(CAUSES)
            .cloned()
            .unwrap_or_default();
        serde_json::from_value(listed).unwrap_or_default()
    }

    /// What a worker sends on for an error that its dispatched process wrote: the class becomes the
    /// known one, and the original error joins the causes.
    #[must_use]
    pub fn relayed(mut self) -> Self {
        let cause = Cause {
            message: self.message.clone(),
            kind: self.exception_type.clone(),
            traceback: self.traceback.clone(),
        };
        self.exception_type = self.known_exception_type.clone();
        self.caused_by(cause)
    }

    /// Classes derived from `NonRecoverableError` arrive under its name.
    pub fn retry(&self) -> Retry {
        let after_s = self
            .known_exception_type_args
            .first()
            .and_then(Value::as_f64);
        match self.known_exception_type.as_str() {
            NON_RECOVERABLE | "WorkflowFailed" => Retry::Never,
            OPERATION_RETRY => Retry::Asked { after_s },
            RECOVERABLE => Retry::Failure { after_s },
            // HttpException's arguments are no seconds; unknown classes are ordinary exceptions.
            _ => Retry::Failure { after_s: None },
        }
    }
}

/// Whole seconds are written without a fraction, as the peers do.
fn seconds(after_s: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and small"
    )]
    if after_s.fract() == 0.0 && after_s.abs() < 1e15 {
        json!(after_s as i64)
    } else {
        json!(after_s)
    }
}

impl Response {
    /// Reads every form there is: `error` may be a plain string, and answers to service tasks have
    /// no wrapper.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let value: Value = serde_json::from_slice(body)?;
        let Value::Object(mut fields) = value else {
            return Ok(Self::Ok(value));
        };
        match fields.get("ok").and_then(Value::as_bool) {
            None => Ok(Self::Ok(Value::Object(fields))),
            Some(true) => Ok(Self::Ok(fields.shift_remove("result").unwrap_or_default())),
            Some(false) => Ok(Self::Error(match fields.shift_remove("error") {
                Some(error @ Value::Object(_)) => TaskError::deserialize(error)?,
                Some(Value::String(text)) => TaskError::recoverable(text),
                other => TaskError::recoverable(format!("{}", other.unwrap_or_default())),
            })),
        }
    }

    pub fn to_body(&self) -> Value {
        match self {
            Self::Ok(result) => json!({"ok": true, "result": result}),
            Self::Error(error) => json!({"ok": false, "error": error}),
        }
    }
}
