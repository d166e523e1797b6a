//! Managers and brokers besides those that this manager knows of itself: what was said of them, for
//! clients and agents that want to know the whole cluster.
use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope, View as ViewName, views::cluster_nodes::ClusterNode,
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{ClusterNodeRemoved, ClusterNodeStored},
};

use super::agents;
use crate::{
    auth::Caller,
    broker::wire::{ServiceTask, service::CLUSTER_UPDATE},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
    tls,
};

/// Longest name.
const CHARS_MAX: usize = 256;
/// Where brokers listen unless it is said.
const BROKER_PORT: u16 = 5671;

/// What a node of the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A manager.
    Manager,
    /// A message broker.
    Broker,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Broker => "broker",
        }
    }

    /// How it is called in messages.
    fn model(self) -> &'static str {
        match self {
            Self::Manager => "Manager",
            Self::Broker => "RabbitMQBroker",
        }
    }
}

/// A further manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manager {
    /// Its host's name, by which it is known.
    pub hostname: String,
    /// Address inside the cluster.
    pub private_ip: String,
    /// Address for everybody else.
    pub public_ip: String,
    /// Its version.
    pub version: String,
    /// Its edition.
    pub edition: String,
    /// Operating system.
    pub distribution: String,
    /// Release of that.
    pub distro_release: String,
    /// Id with which its files are replicated elsewhere.
    #[serde(default)]
    pub fs_sync_node_id: Option<String>,
    /// Addresses by network.
    #[serde(default)]
    pub networks: Option<Map<String, Value>>,
    /// Who signs its certificate, in PEM.
    #[serde(default, alias = "ca_cert")]
    pub ca_cert_content: Option<String>,
}

/// A further broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broker {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// Its port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Addresses by network.
    #[serde(default)]
    pub networks: Option<Map<String, Value>>,
    /// For whoever connects.
    #[serde(default)]
    pub params: Option<Value>,
}

/// A node with the position at which it became known.
#[derive(Debug, Clone)]
pub struct Known<T> {
    /// The position.
    pub born: i64,
    /// The position since which it is what it is.
    pub since: i64,
    /// When something was said of it last; milliseconds since the epoch.
    pub at_ms: i64,
    /// What was said.
    pub node: T,
}

fn stream(kind: Kind, name: &str) -> StreamId {
    let key = ClusterNode::key_of(kind.name(), name);
    StreamId::global(Category::ClusterNode, &key)
}

/// All further managers, the first one first.
///
/// # Errors
/// Database errors.
pub async fn managers(view: &View) -> Result<Vec<Known<Manager>>, Error> {
    all(view, Kind::Manager).await
}

/// All further brokers, the first one first.
///
/// # Errors
/// Database errors.
pub async fn brokers(view: &View) -> Result<Vec<Known<Broker>>, Error> {
    all(view, Kind::Broker).await
}

async fn all<T: DeserializeOwned>(view: &View, kind: Kind) -> Result<Vec<Known<T>>, Error> {
    let kind = vec![kind.name().to_owned()];
    let query = ListQuery::all(ViewName::ClusterNodes, Scope::Everything)
        .with(Condition::AnyOf("kind".to_owned(), kind));
    let mut found = Vec::new();
    for row in view.select(&query).await? {
        let stored: ClusterNode = row.resource()?;
        found.push(Known {
            born: row.born,
            since: row.since,
            at_ms: stored.at_ms,
            node: facts(&stored)?,
        });
    }
    found.sort_by_key(|known| known.born);
    Ok(found)
}

fn facts<T: DeserializeOwned>(stored: &ClusterNode) -> Result<T, Error> {
    let facts = stored.facts.as_ref().map_or("null", |facts| facts.get());
    serde_json::from_str(facts).map_err(Error::internal)
}

/// Notes a further manager.
///
/// # Errors
/// 400 for what cannot be reached, 409 when it is known.
pub async fn add_manager(ctx: &Context, caller: &Caller, new: Manager) -> Result<(), Error> {
    for address in [&new.private_ip, &new.public_ip] {
        check_address(address)?;
    }
    if let Some(pem) = &new.ca_cert_content {
        check_certificate(pem)?;
    }
    let networks = networks_of(new.networks.clone(), &new.private_ip)?;
    let name = new.hostname.clone();
    let facts = Manager {
        networks: Some(networks),
        ..new
    };
    add(ctx, caller, (Kind::Manager, &name), &facts).await
}

/// Notes a further broker.
///
/// # Errors
/// 400 for what cannot be reached, 409 when it is known.
pub async fn add_broker(ctx: &Context, caller: &Caller, new: Broker) -> Result<(), Error> {
    check_address(&new.address)?;
    let networks = networks_of(new.networks.clone(), &new.address)?;
    let name = new.name.clone();
    let facts = Broker {
        networks: Some(networks),
        port: Some(new.port.unwrap_or(BROKER_PORT)),
        ..new
    };
    add(ctx, caller, (Kind::Broker, &name), &facts).await
}

/// Whether this manager knows the node of itself.
fn is_own(ctx: &Context, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Manager => ctx.settings.manager_name() == name,
        Kind::Broker => ctx.settings.broker_host().as_deref() == Some(name),
    }
}

async fn add(
    ctx: &Context,
    caller: &Caller,
    (kind, name): (Kind, &str),
    facts: &impl Serialize,
) -> Result<(), Error> {
    if name.is_empty() || name.chars().count() > CHARS_MAX {
        return Err(Error::bad_parameters(
            "The name of a node must have from 1 to 256 characters",
        ));
    }
    let exists = || {
        let text = format!("{} with name={name} already exists", kind.model());
        Error::refused(ErrorCode::Conflict, text)
    };
    if is_own(ctx, kind, name) {
        return Err(exists());
    }
    let facts_json = serde_json::to_string(facts).map_err(Error::internal)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let known: Option<ClusterNode> = view.get(&ClusterNode::key_of(kind.name(), name)).await?;
        if known.is_some() {
            return Err(exists());
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(kind, name)).await?;
        let event = stored((kind, name), &facts_json);
        decision.event(stream(kind, name), Event::ClusterNodeStored(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    tell(ctx).await;
    Ok(())
}

fn stored((kind, name): (Kind, &str), facts_json: &str) -> ClusterNodeStored {
    ClusterNodeStored {
        kind: kind.name().to_owned(),
        name: name.to_owned(),
        facts_json: facts_json.to_owned(),
        at_ms: clock::now_ms(),
    }
}

/// Changes what is known of a further node.
async fn change<T: Serialize + DeserializeOwned + Send>(
    ctx: &Context,
    caller: &Caller,
    (kind, name): (Kind, &str),
    change: impl Fn(&mut T) + Send + Sync,
) -> Result<(), Error> {
    refuse_own(ctx, kind, name)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let known = find(view, kind, name).await?;
        let mut node: T = facts(&known)?;
        change(&mut node);
        let facts_json = serde_json::to_string(&node).map_err(Error::internal)?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(kind, name)).await?;
        let event = stored((kind, name), &facts_json);
        decision.event(stream(kind, name), Event::ClusterNodeStored(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    tell(ctx).await;
    Ok(())
}

/// Notes under which id the files of a further manager are replicated.
///
/// # Errors
/// 400, 404.
pub async fn set_sync_id(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    id: &str,
) -> Result<(), Error> {
    let joined = |manager: &mut Manager| manager.fs_sync_node_id = Some(id.to_owned());
    change(ctx, caller, (Kind::Manager, name), joined).await
}

/// Adds networks to a further broker, or changes their addresses.
///
/// # Errors
/// 400, 404.
pub async fn set_networks(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    networks: &Map<String, Value>,
) -> Result<(), Error> {
    check_networks(networks)?;
    change(ctx, caller, (Kind::Broker, name), |broker: &mut Broker| {
        let known = broker.networks.get_or_insert_default();
        known.extend(networks.clone());
    })
    .await
}

/// Forgets a further node.
///
/// # Errors
/// 400 for one that the manager knows of itself, 404.
pub async fn remove(
    ctx: &Context,
    caller: &Caller,
    (kind, name): (Kind, &str),
) -> Result<(), Error> {
    refuse_own(ctx, kind, name)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        find(view, kind, name).await?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(kind, name)).await?;
        let event = ClusterNodeRemoved {
            kind: kind.name().to_owned(),
            name: name.to_owned(),
        };
        decision.event(stream(kind, name), Event::ClusterNodeRemoved(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    tell(ctx).await;
    Ok(())
}

async fn find(view: &View, kind: Kind, name: &str) -> Result<ClusterNode, Error> {
    let known = view.get(&ClusterNode::key_of(kind.name(), name)).await?;
    known.ok_or_else(|| Error::not_found(kind.model(), name))
}

fn refuse_own(ctx: &Context, kind: Kind, name: &str) -> Result<(), Error> {
    if !is_own(ctx, kind, name) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        format!("`{name}` follows from the manager's settings: it is changed there"),
    ))
}

/// Tells agents which managers and brokers there are now. What was stored is stored: agents that
/// RabbitMQ keeps this from hear of it with the next change, which tells them everything.
async fn tell(ctx: &Context) {
    match tell_agents(ctx).await {
        Ok(told) => tracing::info!(agents = told, "the cluster has changed"),
        Err(error) => tracing::warn!(%error, "the cluster has changed, and no agent knows"),
    }
}

/// Gives how many agents were told.
async fn tell_agents(ctx: &Context) -> Result<usize, Error> {
    let view = ctx.store.read(At::Now).await?;
    let (managers, brokers) = (managers(&view).await?, brokers(&view).await?);
    drop(view.finish().await?);
    let mut hosts = vec![ctx.settings.advertised_host.clone()];
    hosts.extend(managers.into_iter().map(|known| known.node.private_ip));
    let mut kwargs = Map::from_iter([("managers".to_owned(), json!(hosts))]);
    if let Some(own) = ctx.settings.agents_broker() {
        let mut hosts = vec![own.0];
        hosts.extend(brokers.into_iter().map(|known| known.node.address));
        kwargs.insert("brokers".to_owned(), json!(hosts));
    }
    agents::tell_all(ctx, ServiceTask::new(CLUSTER_UPDATE, kwargs)).await
}

/// An IP address, or a name that may be a host's.
fn check_address(address: &str) -> Result<(), Error> {
    let is_name = !address.is_empty()
        && address.chars().count() <= CHARS_MAX
        && address
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_name || address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Error::bad_parameters(format!(
        "`{address}` is neither an address nor the name of a host"
    )))
}

fn check_networks(networks: &Map<String, Value>) -> Result<(), Error> {
    for (name, address) in networks {
        let address = address.as_str().ok_or_else(|| {
            Error::bad_parameters(format!("The address in network `{name}` is no text"))
        })?;
        check_address(address)?;
    }
    Ok(())
}

/// The networks of a node, in one of which its address is.
fn networks_of(
    given: Option<Map<String, Value>>,
    address: &str,
) -> Result<Map<String, Value>, Error> {
    let Some(networks) = given.filter(|networks| !networks.is_empty()) else {
        return Ok(Map::from_iter([("default".to_owned(), json!(address))]));
    };
    check_networks(&networks)?;
    if networks.values().any(|known| known == address) {
        return Ok(networks);
    }
    Err(Error::bad_parameters(format!(
        "`{address}` is in none of the networks"
    )))
}

fn check_certificate(pem: &str) -> Result<(), Error> {
    match tls::holds_certificates(pem) {
        true => Ok(()),
        false => Err(Error::bad_parameters("`ca_cert_content` is no certificate")),
    }
}
