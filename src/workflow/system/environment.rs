//! `delete_deployment_environment`.
use stratalog_projections::views::executions::Execution;

use crate::{
    auth::Caller,
    broker::{
        Message,
        topology::{SERVICE_EXCHANGE, SERVICE_ROUTING_KEY},
        wire::ServiceTask,
    },
    commands::{agents, executions::telemetry},
    context::Context,
    error::Error,
    store::Decision,
};

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
    forget_plugins(ctx, (&execution.tenant_name, id)).await;
    agents::clear_deployment(ctx, (&execution.tenant_name, id)).await
}

/// Has workers remove the plugins that came with the deployment's blueprint. Who does not hear it
/// keeps files that nobody uses.
async fn forget_plugins(ctx: &Context, (tenant, id): (&str, &str)) {
    let Some(broker) = &ctx.broker else { return };
    let body = ServiceTask::delete_source_plugins(tenant, id).to_body();
    let message = Message::document(SERVICE_EXCHANGE, SERVICE_ROUTING_KEY, &body);
    if let Err(error) = broker.publish(&message).await {
        tracing::warn!(deployment = id, %error, "workers keep the plugins of a deployment");
    }
}
