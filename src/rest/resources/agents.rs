//! `/agents`
use std::sync::Arc;

use serde_json::{Value, json};
use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        agents::{NewAgent, NewCertificates, UpdateAgent},
    },
    context::Context,
    error::Error,
    rest::{Answer, Include, Request, Route, Segment, extract, list::Listing, one_of, reply},
};

/// What a list tells of each agent unless it is asked for more.
const LISTED: [&str; 15] = [
    "id",
    "host_id",
    "node_instance_id",
    "ip",
    "install_method",
    "system",
    "version",
    "node",
    "deployment",
    "tenant_name",
    "created_at",
    "rabbitmq_exchange",
    "created_by",
    "visibility",
    "state",
];

/// `/agents`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("agents")
        .and(one_of(vec![
            list(ctx),
            replace_ca_certs(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
        ]))
        .boxed()
}

/// `GET /agents`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| page(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::AgentList)?;
    let mut listing = Listing::parse(req, ViewName::Agents, scope)?;
    if listing.include.is_none() && !req.query().flag("_get_data")? {
        listing.include = Some(Include::of(LISTED));
    }
    listing.read(req).await
}

/// `PATCH /agents`
fn replace_ca_certs(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::patch())
        .and(extract::write(ctx, Permission::AgentReplaceCerts))
        .then(async |req: Result<Request<NewCertificates>, Error>| {
            let (req, new) = req?.split();
            let told = commands::agents::replace_ca_certs(&req.ctx, &req.caller, &new).await?;
            Answer::json(&json!({"number_of_updated_agents": told}))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /agents/{name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| one(&req?, &name).await)
        .map(reply::ok)
        .boxed()
}

async fn one<B>(req: &Request<B>, name: &str) -> Result<Answer, Error> {
    let view = req.view().await?;
    let (agent, since) = commands::agents::get(&req.ctx, &view, &req.caller, name).await?;
    let answer = req.answer(&agent)?.at(view.position());
    Ok(answer.since(since))
}

/// `PUT /agents/{name}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::AgentCreate))
        .then(
            async |Segment(name), req: Result<Request<NewAgent>, Error>| {
                let (req, new) = req?.split();
                match commands::agents::create(&req.ctx, &req.caller, &name, &new).await? {
                    Some(agent) => req.answer(&agent),
                    None => req.answer(&nulls()),
                }
            },
        )
        .map(reply::ok)
        .boxed()
}

/// What is answered for an agent that was there already: all fields, none with a value.
fn nulls() -> Value {
    let fields = ViewName::Agents.def().fields.iter();
    fields
        .map(|field| (field.name.to_owned(), Value::Null))
        .collect()
}

/// `PATCH /agents/{name}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::AgentUpdate))
        .then(
            async |Segment(name), req: Result<Request<UpdateAgent>, Error>| {
                let (req, change) = req?.split();
                commands::agents::update(&req.ctx, &req.caller, &name, &change).await?;
                let view = req.now().await?;
                let agent = req
                    .caller
                    .get(&view, commands::agents::MODEL, &name)
                    .await?;
                let answer = req.document(&view, ViewName::Agents, &agent.doc)?;
                Ok(answer.since(agent.since))
            },
        )
        .map(reply::ok)
        .boxed()
}
