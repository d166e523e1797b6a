//! Secrets: values under a key, sealed wherever they are kept, and opened only for an answer or an
//! evaluation.
mod change;
mod fernet;
mod open;
mod providers;
mod remote;
mod share;

use serde_json::Value;
use stratalog_projections::{View as ViewName, views::secrets::Secret};
use stratalog_schema::{Category, StreamId};

pub use change::{NewSecret, UpdateSecret, create, delete, set_visibility, update};
pub use open::{Opener, provider_options, value};
pub(crate) use open::{existing, sees};
pub use providers::{
    NewProvider, PROVIDER, UpdateProvider, connection_parameters, create as create_provider,
    delete as delete_provider, update as update_provider,
};
pub use share::{Import, Outcome, export, import};

use crate::{
    auth::Caller,
    error::{Error, ErrorCode},
};

/// How the resource is called in messages.
pub const MODEL: (ViewName, &str) = (ViewName::Secrets, "Secret");

fn stream(tenant: &str, key: &str) -> StreamId {
    StreamId::scoped(Category::Secret, tenant, key)
}

/// What a value is sealed for: it opens in its own place only.
fn purpose(tenant: &str, key: &str) -> String {
    format!("value of secret {key} of tenant {tenant}")
}

/// What the options for a provider are sealed for.
fn options_purpose(tenant: &str, key: &str) -> String {
    format!("provider options of secret {key} of tenant {tenant}")
}

/// Whether a hidden value is open to the caller.
fn is_open(caller: &Caller, secret: &Secret) -> bool {
    !secret.is_hidden_value
        || caller.username == secret.created_by
        || caller.administers(&secret.tenant_name)
}

fn require_open(caller: &Caller, secret: &Secret) -> Result<(), Error> {
    if is_open(caller, secret) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Forbidden,
        format!(
            "User `{}` is not permitted to modify the hidden secret `{}`",
            caller.username, secret.key
        ),
    ))
}

/// Checks a value against a JSON schema; gives it as it is kept. A text that holds JSON is taken
/// for what it holds, if it does not fit as it is.
///
/// # Errors
/// 400 for a schema that is none, 409 for a value that does not fit.
fn fitting(key: &str, schema: &Value, value: &Value) -> Result<String, Error> {
    let validator = jsonschema::validator_for(schema).map_err(|error| {
        Error::bad_parameters(format!("The schema of secret `{key}` is none: {error}"))
    })?;
    if validator.is_valid(value) {
        return Ok(value.to_string());
    }
    let held = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    match held.filter(|held| validator.is_valid(held)) {
        Some(held) => Ok(Value::to_string(&held)),
        // what does not fit is not told: it is the secret
        None => Err(Error::refused(
            ErrorCode::Conflict,
            format!("The value of secret `{key}` does not fit its schema"),
        )),
    }
}

/// A value without a schema is a text.
///
/// # Errors
/// 400 for anything else.
fn text(key: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Error::bad_parameters(format!(
            "The value of secret `{key}` must be a string, or it needs a schema"
        ))),
    }
}
