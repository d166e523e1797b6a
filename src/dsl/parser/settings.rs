//! `deployment_settings`.

use serde_json::{Map, Value};

use super::context::Context;
use crate::dsl::diagnostics::Diagnostic;

pub(super) fn read(context: &Context<'_>) -> Result<Map<String, Value>, Diagnostic> {
    Ok(context.section("deployment_settings").clone())
}
