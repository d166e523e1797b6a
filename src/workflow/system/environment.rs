//! `create_deployment_environment` and `delete_deployment_environment`.
use stratalog_projections::{At, View, views::executions::Execution};

use crate::{
    auth::Caller,
    commands::{agents, deployments, executions::telemetry},
    context::Context,
    error::Error,
    store::Decision,
};

/// Nodes, instances and attributes of a deployment, from its blueprint's plan. They are made in one
/// append: if there are any, a former runner made them all.
pub(super) async fn create(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<(), Error> {
    let id = execution.deployment_id.as_deref().unwrap_or_default();
    let query = deployments::belonging(View::Nodes, (&execution.tenant_name, id));
    let view = ctx.store.read(At::Now).await?;
    let made = view.count(&query).await?;
    drop(view.finish().await?);
    if made > 0 {
        return Ok(());
    }
    deployments::create_environment(ctx, caller, execution).await
}

/// Says what happens, and removes what the deployment's agents have on RabbitMQ: the deployment
/// goes, and they with it, together with the end of this execution.
pub(super) async fn delete(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<(), Error> {
    let id = execution.deployment_id.as_deref().unwrap_or_default();
    let text = format!("Deleting the environment of deployment {id}");
    let line = telemetry::log(execution, "info", text);
    ctx.store
        .command(&caller.meta(), None, async |_| {
            let mut decision = Decision::nothing();
            decision.telemetry.push(line.clone());
            Ok((decision, ()))
        })
        .await?;
    agents::clear_deployment(ctx, (&execution.tenant_name, id)).await
}
