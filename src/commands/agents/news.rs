//! What all agents are told: other certificates, and how the cluster has changed. It is left in
//! their queues, so an agent that is away takes it when it comes back.
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope, View as ViewName, views::agents::Agent,
};

use crate::{
    auth::{Caller, Permission},
    broker::{
        AskError, Tenants,
        topology::SERVICE_ROUTING_KEY,
        wire::{ServiceTask, service::REPLACE_CA_CERTS},
    },
    context::Context,
    error::Error,
    tls,
};

/// Agents in these states have no queue, or will have none.
const ABSENT: [&str; 4] = ["creating", "deleting", "deleted", "failed"];
/// Agents told at the same time.
const PARALLEL: usize = 32;

/// Certificates that agents are to trust.
#[derive(Debug, Deserialize)]
pub struct NewCertificates {
    /// Whether they go on trusting the present ones, too.
    pub bundle: bool,
    /// Of those that sign RabbitMQ's certificate, in PEM.
    pub broker_ca_cert: Option<String>,
    /// Of those that sign the manager's certificate, in PEM.
    pub manager_ca_cert: Option<String>,
}

/// Lets all agents of all tenants trust other certificates; gives how many were told.
///
/// # Errors
/// 400 for what is no certificate, 403; `Internal` when RabbitMQ cannot be reached.
pub async fn replace_ca_certs(
    ctx: &Context,
    caller: &Caller,
    new: &NewCertificates,
) -> Result<usize, Error> {
    caller.require(Permission::AgentReplaceCerts)?;
    let settings = &ctx.settings;
    let manager = settings.data_dir.join("tls").join(tls::CA_CERT_FILE);
    let present = [settings.amqp_ca_file.clone(), Some(manager)];
    let wanted = [
        ("broker_ca_cert", &new.broker_ca_cert),
        ("manager_ca_cert", &new.manager_ca_cert),
    ];
    let mut kwargs = Map::new();
    for ((name, pem), present) in wanted.into_iter().zip(present) {
        let Some(pem) = pem.as_deref().filter(|pem| !pem.is_empty()) else {
            continue;
        };
        check(name, pem)?;
        let key = format!("new_{}", name.trim_end_matches("_cert"));
        let old = match present.filter(|_| new.bundle) {
            Some(path) => tokio::fs::read_to_string(path).await,
            None => Ok(String::new()),
        };
        let old = old.map_err(Error::internal)?;
        kwargs.insert(key, json!(format!("{}\n{old}", pem.trim_end())));
    }
    if kwargs.is_empty() {
        return Err(Error::bad_parameters(
            "Neither `broker_ca_cert` nor `manager_ca_cert` is given",
        ));
    }
    tell_all(ctx, ServiceTask::new(REPLACE_CA_CERTS, kwargs)).await
}

fn check(name: &str, pem: &str) -> Result<(), Error> {
    match tls::holds_certificates(pem) {
        true => Ok(()),
        false => Err(Error::bad_parameters(format!(
            "`{name}` holds no certificate"
        ))),
    }
}

/// Leaves a task with all agents that there are; gives with how many.
///
/// # Errors
/// Database errors; `Internal` when RabbitMQ cannot be reached.
pub(in crate::commands) async fn tell_all(
    ctx: &Context,
    task: ServiceTask,
) -> Result<usize, Error> {
    let Some(tenants) = ctx.tenants.clone() else {
        return Ok(0);
    };
    let absent = ABSENT.map(str::to_owned).to_vec();
    let query = ListQuery::all(ViewName::Agents, Scope::Everything)
        .with(Condition::NotAnyOf("state".to_owned(), absent));
    let view = ctx.store.read(At::Now).await?;
    let agents: Vec<Agent> = view.select_as(&query).await?;
    drop(view.finish().await?);
    let body = Arc::new(task.to_body());
    let told = stream::iter(agents).map(|agent| {
        let (tenants, body) = (tenants.clone(), body.clone());
        async move { tell(&tenants, &agent, &body).await }
    });
    let told: Vec<Result<bool, Error>> = told.buffer_unordered(PARALLEL).collect().await;
    let told: Vec<bool> = told.into_iter().collect::<Result<_, _>>()?;
    Ok(told.into_iter().filter(|is_told| *is_told).count())
}

/// Leaves a task with one agent. False when there is no queue to leave it in.
///
/// # Errors
/// `Internal` when RabbitMQ cannot be reached.
pub(in crate::commands) async fn tell(
    tenants: &Tenants,
    agent: &Agent,
    body: &Value,
) -> Result<bool, Error> {
    let exchange = agent.rabbitmq_exchange.as_deref().unwrap_or(&agent.name);
    let peer = tenants.of(&agent.tenant_name);
    match peer.tell((exchange, SERVICE_ROUTING_KEY), body).await {
        Ok(()) => Ok(true),
        Err(AskError::Nobody(_) | AskError::Silent(_)) => {
            tracing::info!(agent = agent.name, "an agent has no queue to be told in");
            Ok(false)
        }
        Err(error @ AskError::Broker(_)) => Err(Error::internal(error)),
    }
}
