//! The execution behind a request, where what may be done depends on it.
use stratalog_projections::views::{executions::Execution, scoped};

use uuid::Uuid;

use crate::{
    auth::Caller,
    error::{Error, ErrorCode},
    store::View,
};

/// Workflows that may change what is fixed otherwise.
const UPDATES: [&str; 2] = ["update", "csys_new_deployment_update"];

/// Identity of a new execution.
#[allow(
    clippy::disallowed_methods,
    reason = "identities are minted where commands are made"
)]
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// The execution, if there is one.
///
/// # Errors
/// Database errors.
pub(crate) async fn load(view: &View, caller: &Caller) -> Result<Option<Execution>, Error> {
    match &caller.execution {
        Some(execution) => Ok(view.get(&scoped(&execution.tenant, &execution.id)).await?),
        None => Ok(None),
    }
}

/// Whether it is a deployment update.
pub(crate) fn is_update(execution: Option<&Execution>) -> bool {
    execution.is_some_and(|execution| UPDATES.contains(&execution.workflow_id.as_str()))
}

/// Refuses whoever is not a deployment update.
///
/// # Errors
/// 403.
pub(crate) async fn require_update(view: &View, caller: &Caller) -> Result<(), Error> {
    if is_update(load(view, caller).await?.as_ref()) {
        return Ok(());
    }
    Err(only_update())
}

/// 403: this takes a deployment update.
pub(crate) fn only_update() -> Error {
    Error::refused(
        ErrorCode::OnlyDeploymentUpdate,
        "This can only be done by a deployment update",
    )
}
