//! `/managers`, `/brokers`, `/db-nodes`: what clients and agents connect to.
use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;
use warp::Filter;

use super::version::API_VERSION;
use crate::{
    auth::Permission,
    clock,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, list, one_of, reply},
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
    one_of(vec![managers(ctx), brokers(ctx), db_nodes(ctx)])
}

/// `GET /managers`
fn managers(ctx: &Arc<Context>) -> Route {
    warp::path!("managers")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ManagerGet)?;
            let manager = manager(&req.ctx).await?;
            list::of_values(&req, &[manager], &MANAGER).await
        })
        .map(reply::ok)
        .boxed()
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
    let settings = &req.ctx.settings;
    let Some(address) = &settings.amqp_url else {
        return list::of_values(req, &[], &BROKER).await;
    };
    let url = Url::parse(&address.0).map_err(Error::internal)?;
    let host = url.host_str().unwrap_or_default();
    let knows = req.caller.may(Permission::BrokerCredentials);
    let ca = match &settings.amqp_ca_file {
        Some(path) => Some(
            tokio::fs::read_to_string(path)
                .await
                .map_err(Error::internal)?,
        ),
        None => None,
    };
    let port = url.port().unwrap_or_default();
    let (reached, port) = match settings.amqp_agents_address.as_deref() {
        None => (host, port),
        Some(address) => match address.rsplit_once(':') {
            Some((host, given)) => (host, given.parse().unwrap_or(port)),
            None => (address, port),
        },
    };
    let broker = json!({
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
    });
    list::of_values(req, &[broker], &BROKER).await
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
