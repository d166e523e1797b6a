//! Shorthands for the errors functions raise.

use crate::dsl::{DslError, Exception};

pub(super) fn value_error(message: String) -> DslError {
    DslError::new(Exception::Uncontrolled("ValueError"), None, message)
}

pub(super) fn type_error(message: String) -> DslError {
    DslError::new(Exception::Uncontrolled("TypeError"), None, message)
}

pub(super) fn key_error(message: String) -> DslError {
    DslError::new(Exception::Uncontrolled("KeyError"), None, message)
}

pub(super) fn invalid(message: String) -> DslError {
    DslError::new(Exception::FunctionValidation, None, message)
}

pub(super) fn failed(message: String) -> DslError {
    DslError::new(Exception::FunctionEvaluation, None, message)
}

pub(super) fn bad_input(message: String) -> DslError {
    DslError::new(Exception::InputEvaluation, None, message)
}

pub(super) fn too_deep(message: String) -> DslError {
    DslError::new(Exception::EvaluationRecursionLimitReached, None, message)
}
