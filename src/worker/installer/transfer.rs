//! A new agent beside an old one, put there by the old one: how hosts get from one version to
//! another without anybody logging in.
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failure, Installer, never, not_now, seconds};
use crate::{
    broker::{
        Peer,
        topology::OPERATION_ROUTING_KEY,
        wire::{CONTEXT_KEY, Response},
    },
    worker::{runner::STOP_AGENT, script},
};

/// How long the old agent may take to install the new one, unless an input says otherwise.
const LIMIT: Duration = Duration::from_secs(300);

/// Replaces the host's agent by a new one.
pub(super) async fn transfer(installer: &Installer<'_>) -> Result<(), Failure> {
    let host = &installer.host;
    let (old, old_queue) = host.known()?;
    let is_alive = host.was_alive();
    if !is_alive {
        return Err(never(format!(
            "The agent {old} was not found to be alive; validate it first"
        )));
    }
    let limit = installer.input("install_agent_timeout").and_then(seconds);
    let limit = limit.unwrap_or(LIMIT);
    let peer = installer.peer()?;
    host.state(&old, "upgrading").await?;
    let base = old.rsplit_once('_').map_or(old.as_str(), |(base, end)| {
        // the name of an agent that has replaced another one ends with an id
        if Uuid::parse_str(end).is_ok() {
            base
        } else {
            &old
        }
    });
    let name = format!("{base}_{}", Uuid::now_v7());
    let agent = host.register_as(&name, "starting").await?;
    let path = host.publish(&host.script_beside(&agent).await?).await?;
    let installed = async {
        // it belongs to the deployment, where the old agent finds it
        let file = path.rsplit('/').next().unwrap_or(&path);
        let script = json!({"script_path": file});
        ask(
            installer,
            (&peer, &old_queue),
            (script::TASK_NAME, script),
            limit,
        )
        .await?;
        installer.answers(&name, &agent.queue).await
    };
    let installed = installed.await;
    host.remove(&path).await?;
    if let Err(error) = installed {
        host.state(&name, "failed").await?;
        return Err(error);
    }
    host.state(&name, "started").await?;
    host.state(&old, "upgraded").await?;
    host.replace(&agent).await?;
    let stops = installer.input("stop_old_agent").and_then(Value::as_bool);
    if stops == Some(true) {
        let stop = (STOP_AGENT, json!({}));
        ask(installer, (&peer, &old_queue), stop, limit).await?;
        host.state(&old, "stopped").await?;
    }
    Ok(())
}

/// Has an agent run an operation that no workflow knows.
async fn ask(
    installer: &Installer<'_>,
    (peer, queue): (&Peer, &str),
    (task_name, inputs): (&str, Value),
    limit: Duration,
) -> Result<(), Failure> {
    let context = &installer.job.task.context;
    let mut kwargs = inputs;
    kwargs[CONTEXT_KEY] = json!({
        "type": "operation", "task_name": task_name, "task_target": queue,
        "node_id": context.node_id, "workflow_id": context.workflow_id,
        "execution_id": context.execution_id, "deployment_id": context.deployment_id,
        "blueprint_id": context.blueprint_id, "tenant": context.tenant,
        "execution_token": context.token(), "rest_token": context.token(),
        "rest_host": context.rest_host, "rest_port": context.rest_port,
    });
    let body = json!({"cloudify_task": {"kwargs": kwargs}});
    let asked = peer.ask((queue, OPERATION_ROUTING_KEY), &body, limit);
    let answer = asked.await.map_err(|error| not_now(error.to_string()))?;
    let answer = Response::parse(answer.to_string().as_bytes());
    match answer.map_err(|error| not_now(error.to_string()))? {
        Response::Ok(_) => Ok(()),
        Response::Error(error) => Err(Failure(error)),
    }
}
