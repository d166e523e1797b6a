//! The server's one error. Variants are what callers distinguish; the rest is `Internal`.
//!
//! A closed [`ErrorCode`] carries the wire's `error_code` and maps to its status in one place.
use std::borrow::Cow;

use http::StatusCode;
use tokio_postgres::error::SqlState;

/// What a request can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused, with the code and the message clients see.
    #[error("{message}")]
    Refused {
        /// Wire code.
        code: ErrorCode,
        /// Text clients may match on.
        message: String,
        /// Further members of the error body.
        extra: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    },
    /// Another command changed the stream first; commands load again and retry.
    #[error("stream {stream} is at version {actual}, expected {expected}")]
    Conflict {
        /// The stream.
        stream: String,
        /// The version the command was decided on.
        expected: i64,
        /// The version it has.
        actual: i64,
    },
    /// The database cannot be reached; the request may be retried.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Anything that is our fault.
    #[error("{0:#}")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// A refusal.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
            extra: None,
        }
    }

    /// 400 `bad_parameters_error`.
    pub fn bad_parameters(message: impl Into<String>) -> Self {
        Self::refused(ErrorCode::BadParameters, message)
    }

    /// 404 `not_found_error` for a resource: ``Requested `Model` with ID `x` was not found``.
    pub fn not_found(model: &str, id: &str) -> Self {
        Self::refused(
            ErrorCode::NotFound,
            format!("Requested `{model}` with ID `{id}` was not found"),
        )
    }

    /// 409 `conflict_error` for what there is already in its tenant, or as a global one: what it is
    /// called, whose it is, and in which tenant it was looked for.
    pub fn exists(what: &str, (owner, tenant): (&str, &str)) -> Self {
        Self::refused(
            ErrorCode::Conflict,
            format!(
                "<{what} tenant=`{owner}`> already exists on <Tenant name=`{tenant}`> or with \
                 global visibility"
            ),
        )
    }

    /// Whether it says nothing against what was tried, which may be tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict { .. })
    }

    /// An internal error with context.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(error.into())
    }

    /// The status of the reply.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused { code, .. } => code.status(),
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The wire's `error_code`.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Refused { code, .. } => code.wire().into(),
            Self::Conflict { .. } => ErrorCode::Conflict.wire().into(),
            Self::Unavailable(_) => "service_unavailable_error".into(),
            Self::Internal(_) => ErrorCode::Internal.wire().into(),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if is_outage(&error) {
            return Self::Unavailable(error.to_string());
        }
        Self::Internal(error.into())
    }
}

/// Whether the database (or the way to it) is at fault, not the statement.
fn is_outage(error: &tokio_postgres::Error) -> bool {
    let io = std::error::Error::source(error)
        .is_some_and(|source| source.downcast_ref::<std::io::Error>().is_some());
    let shutting_down = matches!(
        error.code(),
        Some(
            &SqlState::ADMIN_SHUTDOWN
                | &SqlState::CRASH_SHUTDOWN
                | &SqlState::CANNOT_CONNECT_NOW
                | &SqlState::TOO_MANY_CONNECTIONS
        )
    );
    error.is_closed() || io || shutting_down
}

impl From<stratalog_projections::Error> for Error {
    fn from(error: stratalog_projections::Error) -> Self {
        match error {
            stratalog_projections::Error::Database(error) => error.into(),
            stratalog_projections::Error::Place => {
                Self::bad_parameters("_cursor names no place in this list")
            }
            other => Self::Internal(other.into()),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

macro_rules! error_codes {
    ($($(#[$meta:meta])* $variant:ident = $wire:literal, $status:literal;)*) => {
        /// Codes of the wire's error bodies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $wire] $(#[$meta])* $variant,)*
        }

        impl ErrorCode {
            /// The code as clients see it.
            pub fn wire(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            fn number(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

error_codes! {
    Internal = "internal_server_error", 500;
    NotRunningLdapServer = "not_running_ldap_server", 500;
    Unauthorized = "unauthorized_error", 401;
    Forbidden = "forbidden_error", 403;
    ForbiddenWhileCancelling = "forbidden_while_cancelling", 403;
    OnlyDeploymentUpdate = "only_deployment_update", 403;
    NotFound = "not_found_error", 404;
    DeploymentParentNotFound = "deployment_parent_not_found_error", 404;
    ImportedBlueprintNotFound = "imported_blueprint_not_found", 404;
    Conflict = "conflict_error", 409;
    AmbiguousName = "ambiguous_name", 409;
    UnsupportedContentType = "unsupported_content_type_error", 415;
    MethodNotAllowed = "method_not_allowed_error", 405;
    PluginInUse = "plugin_in_use", 405;
    BlueprintInUse = "blueprint_in_use", 405;
    BadParameters = "bad_parameters_error", 400;
    IllegalAction = "illegal_action_error", 400;
    IllegalExecutionParameters = "illegal_execution_parameters_error", 400;
    NoSuchIncludeField = "no_such_include_field_error", 400;
    DependentExists = "dependent_exists_error", 400;
    ExistingRunningExecution = "existing_running_execution_error", 400;
    ExistingStartedDeploymentModification = "existing_started_deployment_modification_error", 400;
    DeploymentModificationAlreadyEnded = "deployment_modification_already_ended_error", 400;
    NonexistentWorkflow = "nonexistent_workflow_error", 400;
    UnavailableWorkflow = "unavailable_workflow_error", 400;
    InvalidExecutionStatusUpdate = "invalid_exception_status_update", 400;
    DeploymentCreation = "deployment_creation_error", 400;
    EnvironmentCreationInProgress = "deployment_environment_creation_in_progress_error", 400;
    EnvironmentCreationPending = "deployment_environment_creation_pending_error", 400;
    MissingRequiredInput = "missing_required_deployment_input_error", 400;
    UnknownInput = "unknown_deployment_input_error", 400;
    InputEvaluation = "deployment_input_evaluation_error", 400;
    Constraint = "constraint_error", 400;
    UnknownDeploymentSecret = "unknown_deployment_secret_error", 400;
    OutputsEvaluation = "deployment_outputs_evaluation_error", 400;
    CapabilitiesEvaluation = "deployment_capabilities_evaluation_error", 400;
    FunctionsEvaluation = "functions_evaluation_error", 400;
    DeploymentPluginNotFound = "deployment_plugin_not_found", 400;
    InvalidBlueprint = "invalid_blueprint_error", 400;
    InvalidPlugin = "invalid_plugin_error", 400;
    UnknownAction = "unknown_action", 400;
    SnapshotAction = "snapshot_action_error", 400;
    LogBundleAction = "log_bundle_action_error", 400;
    InvalidYamlFormat = "invalid_yaml_format", 400;
    ParamUrlNotFound = "param_url_not_found_error", 400;
    InvalidFilterRule = "invalid_filter_rule", 400;
    UploadMissingFile = "upload_missing_file", 400;
    PreconditionFailed = "precondition_failed_error", 412;
    IdempotencyKeyInUse = "idempotency_key_in_use_error", 409;
    IdempotencyKeyReused = "idempotency_key_reused_error", 422;
    AnswerLost = "answer_lost_error", 409;
    PositionNotReached = "position_not_reached_error", 503;
    PayloadTooLarge = "payload_too_large_error", 413;
    MaintenanceModeActive = "maintenance_mode_active", 503;
    EnteringMaintenanceMode = "entering_maintenance_mode", 503;
    SnapshotRestore = "in_snapshot_restore_error", 503;
}

impl ErrorCode {
    /// The status that goes with the code.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
