//! `/managers`, `/brokers`, `/db-nodes`: what clients and agents connect to.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;
use warp::Filter;

use super::version::API_VERSION;
use crate::{
    auth::Permission,
    clock,
    commands::cluster_nodes::{self, Broker, Kind, Known, Manager},
    context::Context,
    error::{Error, ErrorCode},
    rest::{Answer, Request, Route, Segment, extract, list, one_of, query::shown, reply},
    tls,
};

const MANAGER: [&str; 13] = [
    "id",
    "hostname",
    "private_ip",
    "public_ip",
    "version",
    "edition",
    "distribution",
    "distro_release",
    "fs_sync_node_id",
    "networks",
    "last_seen",
    "status_report_frequency",
    "ca_cert_content",
];
const BROKER: [&str; 10] = [
    "name",
    "host",
    "management_host",
    "port",
    "username",
    "password",
    "params",
    "networks",
    "is_external",
    "ca_cert_content",
];
const DB_NODE: [&str; 3] = ["name", "host", "is_external"];

/// All three.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        managers(ctx),
        post_manager(ctx),
        put_manager(ctx),
        delete_manager(ctx),
        brokers(ctx),
        post_broker(ctx),
        put_broker(ctx),
        delete_broker(ctx),
        db_nodes(ctx),
        post_db_nodes(ctx),
    ])
}

/// `GET /managers`
fn managers(ctx: &Arc<Context>) -> Route {
    warp::path!("managers")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ManagerGet)?;
            let view = req.view().await?;
            let others = cluster_nodes::managers(&view).await?;
            drop(view.finish().await?);
            let mut managers = vec![manager(&req.ctx).await?];
            managers.extend(others.iter().map(other_manager));
            list::of_values(&req, &managers, &MANAGER).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /managers`
fn post_manager(ctx: &Arc<Context>) -> Route {
    warp::path!("managers")
        .and(warp::post())
        .and(extract::write(ctx, Permission::ManagerManage))
        .then(async |req: Result<Request<Manager>, Error>| {
            let (req, new) = req?.split();
            req.caller.require(Permission::ManagerManage)?;
            let name = new.hostname.clone();
            cluster_nodes::add_manager(&req.ctx, &req.caller, new).await?;
            one_manager(&req, &name).await
        })
        .map(reply::ok)
        .boxed()
}

/// What is said of a manager that has joined; `bootstrap_cluster` comes from clients and changes
/// nothing.
#[derive(Debug, Deserialize)]
struct Joined {
    fs_sync_node_id: String,
}

/// `PUT /managers/{name}`
fn put_manager(ctx: &Arc<Context>) -> Route {
    warp::path!("managers" / Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::ManagerManage))
        .then(async |Segment(name), req: Result<Request<Joined>, Error>| {
            let (req, joined) = req?.split();
            req.caller.require(Permission::ManagerManage)?;
            let id = &joined.fs_sync_node_id;
            cluster_nodes::set_sync_id(&req.ctx, &req.caller, &name, id).await?;
            one_manager(&req, &name).await
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /managers/{name}`
fn delete_manager(ctx: &Arc<Context>) -> Route {
    warp::path!("managers" / Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ManagerManage)?;
            cluster_nodes::remove(&req.ctx, &req.caller, (Kind::Manager, &name)).await
        })
        .map(reply::no_content)
        .boxed()
}

async fn one_manager(req: &Request, name: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    let known = cluster_nodes::managers(&view).await?;
    let position = view.position();
    drop(view.finish().await?);
    let found = known.iter().find(|known| known.node.hostname == name);
    let found = found.ok_or_else(|| Error::not_found("Manager", name))?;
    let answer = req.answer(&other_manager(found))?.at(position);
    Ok(answer.since(found.since))
}

/// A manager that was told of. Its id is its position in the log; this manager's is 1.
fn other_manager(known: &Known<Manager>) -> Value {
    let node = &known.node;
    json!({
        "id": known.born,
        "hostname": node.hostname,
        "private_ip": node.private_ip,
        "public_ip": node.public_ip,
        "version": node.version,
        "edition": node.edition,
        "distribution": node.distribution,
        "distro_release": node.distro_release,
        "fs_sync_node_id": node.fs_sync_node_id,
        "networks": node.networks,
        "last_seen": stratalog_schema::time::wire(known.at_ms),
        "status_report_frequency": 0,
        "ca_cert_content": node.ca_cert_content,
    })
}

async fn manager(ctx: &Context) -> Result<Value, Error> {
    let host = &ctx.settings.advertised_host;
    let ca = ctx.settings.data_dir.join("tls").join(tls::CA_CERT_FILE);
    let ca = tokio::fs::read_to_string(ca)
        .await
        .map_err(Error::internal)?;
    Ok(json!({
        "id": 1,
        "hostname": ctx.settings.manager_name(),
        "private_ip": host,
        "public_ip": host,
        "version": API_VERSION,
        "edition": "community",
        "distribution": std::env::consts::OS,
        "distro_release": env!("CARGO_PKG_VERSION"),
        "fs_sync_node_id": null,
        "networks": {"default": host},
        "last_seen": stratalog_schema::time::wire(clock::now_ms()),
        "status_report_frequency": 0,
        "ca_cert_content": ca,
    }))
}

/// `GET /brokers`
fn brokers(ctx: &Arc<Context>) -> Route {
    warp::path!("brokers")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| listed_brokers(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn listed_brokers(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::BrokerGet)?;
    let view = req.view().await?;
    let others = cluster_nodes::brokers(&view).await?;
    drop(view.finish().await?);
    let ca = broker_ca(&req.ctx).await?;
    let mut brokers: Vec<Value> = own_broker(req, ca.as_deref())?.into_iter().collect();
    brokers.extend(
        others
            .iter()
            .map(|known| other_broker(known, ca.as_deref())),
    );
    list::of_values(req, &brokers, &BROKER).await
}

/// Certificates that brokers' may be signed with.
async fn broker_ca(ctx: &Context) -> Result<Option<String>, Error> {
    let Some(path) = &ctx.settings.amqp_ca_file else {
        return Ok(None);
    };
    let ca = tokio::fs::read_to_string(path).await;
    ca.map(Some).map_err(Error::internal)
}

/// The broker of the settings.
fn own_broker(req: &Request, ca: Option<&str>) -> Result<Option<Value>, Error> {
    let settings = &req.ctx.settings;
    let (Some(address), Some((reached, port))) = (&settings.amqp_url, settings.agents_broker())
    else {
        return Ok(None);
    };
    let url = Url::parse(&address.0).map_err(Error::internal)?;
    let host = url.host_str().unwrap_or_default();
    let knows = req.caller.may(Permission::BrokerCredentials);
    Ok(Some(json!({
        "name": host,
        "host": reached,
        "management_host": host,
        "port": port,
        "username": knows.then(|| url.username()),
        "password": url.password().filter(|_| knows),
        "params": null,
        "networks": {"default": reached},
        "is_external": false,
        "ca_cert_content": ca,
    })))
}

/// A broker that was told of. Nobody told how to log in there.
fn other_broker(known: &Known<Broker>, ca: Option<&str>) -> Value {
    let node = &known.node;
    json!({
        "name": node.name,
        "host": node.address,
        "management_host": node.address,
        "port": node.port,
        "username": null,
        "password": null,
        "params": node.params,
        "networks": node.networks,
        "is_external": false,
        "ca_cert_content": ca,
    })
}

/// `POST /brokers`
fn post_broker(ctx: &Arc<Context>) -> Route {
    warp::path!("brokers")
        .and(warp::post())
        .and(extract::write(ctx, Permission::BrokerManage))
        .then(async |req: Result<Request<Broker>, Error>| {
            let (req, new) = req?.split();
            req.caller.require(Permission::BrokerManage)?;
            let name = new.name.clone();
            cluster_nodes::add_broker(&req.ctx, &req.caller, new).await?;
            one_broker(&req, &name).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Networks {
    networks: Map<String, Value>,
}

/// `PUT /brokers/{name}`
fn put_broker(ctx: &Arc<Context>) -> Route {
    warp::path!("brokers" / Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::BrokerManage))
        .then(
            async |Segment(name), req: Result<Request<Networks>, Error>| {
                let (req, body) = req?.split();
                req.caller.require(Permission::BrokerManage)?;
                let networks = &body.networks;
                cluster_nodes::set_networks(&req.ctx, &req.caller, &name, networks).await?;
                one_broker(&req, &name).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /brokers/{name}`
fn delete_broker(ctx: &Arc<Context>) -> Route {
    warp::path!("brokers" / Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::BrokerManage)?;
            cluster_nodes::remove(&req.ctx, &req.caller, (Kind::Broker, &name)).await
        })
        .map(reply::no_content)
        .boxed()
}

async fn one_broker(req: &Request, name: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    let known = cluster_nodes::brokers(&view).await?;
    let position = view.position();
    drop(view.finish().await?);
    let ca = broker_ca(&req.ctx).await?;
    let found = known.iter().find(|known| known.node.name == name);
    let found = found.ok_or_else(|| Error::not_found("RabbitMQBroker", name))?;
    let shown = other_broker(found, ca.as_deref());
    Ok(req.answer(&shown)?.at(position).since(found.since))
}

/// `GET /db-nodes`: nodes of a database cluster; one database is none.
fn db_nodes(ctx: &Arc<Context>) -> Route {
    warp::path!("db-nodes")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DbNodesGet)?;
            list::of_values(&req, &[], &DB_NODE).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct DbNodes {
    action: String,
}

/// `POST /db-nodes`: asks to look again which nodes there are; it is looked at every time.
fn post_db_nodes(ctx: &Arc<Context>) -> Route {
    warp::path!("db-nodes")
        .and(warp::post())
        .and(extract::write(ctx, Permission::ClusterNodeConfigUpdate))
        .then(async |req: Result<Request<DbNodes>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::ClusterNodeConfigUpdate)?;
            if body.action != "update" {
                let text = format!("Unknown action: `{}`", shown(&body.action));
                return Err(Error::refused(ErrorCode::UnknownAction, text));
            }
            list::of_values(&req, &[], &DB_NODE).await
        })
        .map(reply::ok)
        .boxed()
}
