//! Agents: what installers say of those they put on hosts, with their users on RabbitMQ.
use std::sync::Arc;

use serde::Deserialize;
use stratalog_projections::{
    At, Condition, View as ViewName,
    views::{agents::Agent, node_instances::NodeInstance, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{AgentChanged, AgentCreated, Scope},
};

mod news;

pub use news::{NewCertificates, replace_ca_certs};
pub(super) use news::{tell, tell_all};

use super::{deployments, ids, node_instances, visibility};
use crate::{
    auth::{Caller, Permission},
    broker::{Admin, AdminError, admin::AgentUser},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How the resource is called in messages.
pub(crate) const MODEL: (ViewName, &str) = (ViewName::Agents, "Agent");

/// States an agent can be in.
const STATES: [&str; 17] = [
    "creating",
    "created",
    "configuring",
    "configured",
    "starting",
    "started",
    "stopping",
    "stopped",
    "deleting",
    "deleted",
    "restarting",
    "restarted",
    "restored",
    "upgrading",
    "upgraded",
    "nonresponsive",
    "failed",
];

/// What is left of an agent is its name.
const DELETED: &str = "deleted";

/// An agent as its installer describes it.
#[derive(Debug, Deserialize)]
pub struct NewAgent {
    /// Node instance it stands on.
    pub node_instance_id: String,
    /// Where it stands in its life.
    pub state: String,
    /// Whether its user on RabbitMQ is to be made.
    pub create_rabbitmq_user: bool,
    /// How it came there.
    pub install_method: Option<String>,
    /// Address of its host.
    pub ip: Option<String>,
    /// Operating system of its host.
    pub system: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its user on RabbitMQ.
    pub rabbitmq_username: Option<String>,
    /// That user's password.
    pub rabbitmq_password: Option<String>,
    /// Where it takes its operations from.
    pub rabbitmq_exchange: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
}

/// What is to change of an agent.
#[derive(Debug, Default, Deserialize)]
pub struct UpdateAgent {
    /// Where it stands in its life.
    pub state: Option<String>,
    /// Operating system of its host.
    pub system: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

fn stream(tenant: &str, name: &str) -> StreamId {
    StreamId::scoped(Category::Agent, tenant, name)
}

fn purpose(tenant: &str, name: &str) -> String {
    format!("broker password of agent {tenant}/{name}")
}

fn check_state(state: &str) -> Result<(), Error> {
    if STATES.contains(&state) {
        return Ok(());
    }
    let states = STATES.join(", ");
    Err(Error::bad_parameters(format!(
        "Invalid agent state: `{state}`. Valid agent states are: {states}"
    )))
}

/// Records a new agent. `None` when one of that name is there already: it stays as it is.
///
/// # Errors
/// 400 for an unknown state, 403, 404 without its node instance; `Internal` when its user on
/// RabbitMQ cannot be made.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    new: &NewAgent,
) -> Result<Option<Agent>, Error> {
    caller.require(Permission::AgentCreate)?;
    ids::check_any_start("name", name)?;
    check_state(&new.state)?;
    let tenant = caller.tenant()?;
    let visibility = visibility::of_new(caller, new.visibility.as_deref(), None)?;
    let user = match new.create_rabbitmq_user {
        true => Some(user_of(ctx, tenant, new).await?),
        false => None,
    };
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        if caller.find(view, MODEL.0, name).await?.is_some() {
            return Ok((decision, false));
        }
        let instance = caller.get(view, node_instances::MODEL, &new.node_instance_id);
        let instance: NodeInstance = instance.await?.resource()?;
        decision.rests_on(view, stream(tenant, name)).await?;
        let password = new.rabbitmq_password.as_deref();
        let event = AgentCreated {
            id: name.to_owned(),
            name: name.to_owned(),
            scope: Some(Scope {
                tenant: tenant.to_owned(),
                visibility: visibility.clone(),
                created_by: caller.username.clone(),
            }),
            created_at_ms: clock::now_ms(),
            node_instance_id: instance.id,
            node_id: instance.node_id,
            deployment_id: instance.deployment_id,
            state: new.state.clone(),
            ip: new.ip.clone(),
            install_method: new.install_method.clone(),
            system: new.system.clone(),
            version: new.version.clone(),
            rabbitmq_username: new.rabbitmq_username.clone(),
            rabbitmq_password_sealed: password
                .map(|password| ctx.sealer.seal(&purpose(tenant, name), password))
                .unwrap_or_default(),
            rabbitmq_exchange: new.rabbitmq_exchange.clone(),
        };
        decision.event(stream(tenant, name), Event::AgentCreated(event));
        Ok((decision, true))
    };
    let (_, is_new) = ctx.store.command(&caller.meta(), None, decide).await?;
    // the installer waits for it, so a failure is told
    if let Some((admin, user)) = user {
        admin.ensure_agent(&user).await.map_err(refused)?;
    }
    if !is_new {
        return Ok(None);
    }
    let view = ctx.store.read(At::Now).await?;
    let row = caller.get(&view, MODEL, name).await?;
    drop(view.finish().await?);
    Ok(Some(row.resource()?))
}

/// The user that an agent is to have on RabbitMQ, with who makes it; nothing is made yet.
///
/// # Errors
/// 400 where something is missing, 409 for a user who is no agent of the tenant.
async fn user_of<'a>(
    ctx: &'a Context,
    tenant: &'a str,
    new: &'a NewAgent,
) -> Result<(&'a Admin, AgentUser<'a>), Error> {
    let Some(admin) = &ctx.broker_admin else {
        return Err(Error::bad_parameters(
            "The message broker's management interface is not configured",
        ));
    };
    let (Some(username), Some(password), Some(exchange)) = (
        &new.rabbitmq_username,
        &new.rabbitmq_password,
        &new.rabbitmq_exchange,
    ) else {
        return Err(Error::bad_parameters(
            "A user on RabbitMQ needs `rabbitmq_username`, `rabbitmq_password` and \
             `rabbitmq_exchange`",
        ));
    };
    let user = AgentUser {
        tenant,
        username,
        password,
        exchange,
    };
    admin.check_agent(&user).await.map_err(refused)?;
    Ok((admin, user))
}

fn refused(error: AdminError) -> Error {
    match error {
        AdminError::NoAgent(_) => Error::refused(ErrorCode::Conflict, error.to_string()),
        other => Error::internal(other),
    }
}

/// The agent with its password on RabbitMQ, for those who reach it, and the position since which it
/// is what it is.
///
/// # Errors
/// 403, 404; `Internal` when the password was sealed with another key.
pub async fn get(
    ctx: &Context,
    view: &View,
    caller: &Caller,
    name: &str,
) -> Result<(Agent, i64), Error> {
    caller.require(Permission::AgentGet)?;
    let row = caller.get(view, MODEL, name).await?;
    let mut agent: Agent = row.resource()?;
    if !agent.own.rabbitmq_password_sealed.is_empty() {
        let purpose = purpose(&agent.tenant_name, &agent.name);
        let opened = ctx
            .sealer
            .open(&purpose, &agent.own.rabbitmq_password_sealed);
        agent.rabbitmq_password = Some(opened.map_err(Error::internal)?);
    }
    Ok((agent, row.since))
}

/// Changes an agent. What it had on RabbitMQ goes with the agent itself.
///
/// # Errors
/// 400 for an unknown state, 403, 404; `Unavailable` when RabbitMQ does not let it go.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    change: &UpdateAgent,
) -> Result<(), Error> {
    caller.require(Permission::AgentUpdate)?;
    if let Some(state) = &change.state {
        check_state(state)?;
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let agent: Agent = visibility::own(caller, view, MODEL, name)
            .await?
            .resource()?;
        let stream = stream(&agent.tenant_name, name);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        let event = AgentChanged {
            name: agent.name.clone(),
            tenant: agent.tenant_name.clone(),
            updated_at_ms: clock::now_ms(),
            state: change.state.clone(),
            system: change.system.clone(),
            version: change.version.clone(),
        };
        decision.event(stream, Event::AgentChanged(event));
        Ok((decision, agent))
    };
    let (_, agent) = ctx.store.command(&caller.meta(), None, decide).await?;
    if change.state.as_deref() == Some(DELETED) {
        clear_broker(ctx, &agent).await?;
    }
    Ok(())
}

/// Removes what the agents of a deployment have on RabbitMQ, before the deployment goes and they
/// with it. Those that were deleted have nothing left there.
///
/// # Errors
/// `Unavailable` when RabbitMQ does not let them go; database errors.
pub async fn clear_deployment(ctx: &Context, of: (&str, &str)) -> Result<(), Error> {
    let query = deployments::belonging(MODEL.0, of).with(Condition::NotAnyOf(
        "state".to_owned(),
        vec![DELETED.to_owned()],
    ));
    let view = ctx.store.read(At::Now).await?;
    let agents: Vec<Agent> = view.select_as(&query).await?;
    drop(view.finish().await?);
    for agent in agents {
        clear_broker(ctx, &agent).await?;
    }
    Ok(())
}

/// Removes an agent's exchange, queues and user. Asking again is harmless.
async fn clear_broker(ctx: &Context, agent: &Agent) -> Result<(), Error> {
    let exchange = agent.rabbitmq_exchange.as_deref().unwrap_or(&agent.name);
    let tenant = &agent.tenant_name;
    if let Some(tenants) = &ctx.tenants {
        tenants.of(tenant).forget(exchange);
    }
    let (Some(admin), Some(username)) = (&ctx.broker_admin, &agent.rabbitmq_username) else {
        return Ok(());
    };
    let cleared = admin.delete_agent(tenant, username, exchange).await;
    cleared.map_err(|error| Error::Unavailable(error.to_string()))
}

/// Notes what was found out about an agent, unless its state is another one by now.
///
/// # Errors
/// Database errors.
pub async fn observed(
    ctx: &Context,
    (tenant, name): (&str, &str),
    from: &str,
    to: &str,
) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        let agent: Option<Agent> = view.get(&scoped(tenant, name)).await?;
        if agent.is_some_and(|agent| agent.state == from) {
            let stream = stream(tenant, name);
            decision.rests_on(view, stream.clone()).await?;
            let event = AgentChanged {
                name: name.to_owned(),
                tenant: tenant.to_owned(),
                updated_at_ms: clock::now_ms(),
                state: Some(to.to_owned()),
                ..AgentChanged::default()
            };
            decision.event(stream, Event::AgentChanged(event));
        }
        Ok((decision, ()))
    };
    let meta = Caller::system(tenant).meta();
    ctx.store.command(&meta, None, decide).await?;
    Ok(())
}
