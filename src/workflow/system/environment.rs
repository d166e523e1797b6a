//! `delete_deployment_environment`.
use stratalog_projections::views::executions::Execution;

use crate::{
    auth::Caller, commands::executions::telemetry, context::Context, error::Error, store::Decision,
};

/// Says what happens: the deployment goes together with the end of this execution.
pub(super) async fn delete(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<(), Error> {
    let id = execution.deployment_id.as_deref().unwrap_or_default();
    let line = telemetry::log(
        execution,
        "info",
        format!("Deleting the environment of {id}"),
    );
    ctx.store
        .command(&caller.meta(), None, async |_| {
            let mut decision = Decision::nothing();
            decision.telemetry.push(line.clone());
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
