//! `/status`, `/cluster-status`, `/ok`: how the manager's parts are.
use std::sync::{Arc, atomic::Ordering};

use http::StatusCode;
use serde_json::{Map, Value, json};
use stratalog_projections::At;
use warp::Filter;

use super::version::API_VERSION;
use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, one_of, reply},
};

/// All three.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![status(ctx), cluster(ctx), ok(ctx)])
}

/// What was found out.
#[derive(Debug, Clone, Copy)]
struct Probes {
    database: bool,
    broker: bool,
    worker: bool,
    executor: bool,
    /// Whether this process is to have the last two at all.
    runs_executions: bool,
}

impl Probes {
    async fn take(ctx: &Context) -> Self {
        let database = match ctx.store.read(At::Now).await {
            Ok(view) => view.finish().await.is_ok(),
            Err(_) => false,
        };
        let broker = ctx.broker.as_ref();
        let broker = broker.is_some_and(|broker| broker.state().borrow().is_up());
        Self {
            database,
            broker,
            worker: broker && ctx.roles.worker.load(Ordering::Relaxed),
            executor: ctx.roles.executor.load(Ordering::Relaxed),
            runs_executions: ctx.settings.run_executions,
        }
    }

    fn is_good(self) -> bool {
        let runs = self.broker && self.worker && self.executor;
        self.database && (runs || !self.runs_executions)
    }

    /// Under the names the console and the command line know. Whoever answers this is active.
    fn services(self) -> Vec<(&'static str, bool, bool)> {
        let mut services = vec![
            ("Webserver", true, false),
            ("Management Worker", self.worker, false),
            ("Manager Rest-Service", true, false),
            ("Cloudify API", true, false),
            ("Cloudify Execution Scheduler", self.executor, false),
            ("PostgreSQL", self.database, true),
            ("RabbitMQ", self.broker, true),
        ];
        let of_executions = ["Management Worker", "Cloudify Execution Scheduler"];
        services.retain(|(name, ..)| self.runs_executions || !of_executions.contains(name));
        services
    }

    fn described(self, is_wanted: impl Fn(&str) -> bool) -> Value {
        let wanted = self
            .services()
            .into_iter()
            .filter(|(name, ..)| is_wanted(name));
        let services = wanted.map(|(name, active, is_remote)| {
            let status = if active { "Active" } else { "Inactive" };
            let extra = match name {
                "RabbitMQ" if active => json!({"connection_check": "OK"}),
                _ => json!({}),
            };
            let service = json!({"status": status, "is_remote": is_remote, "extra_info": extra});
            (name.to_owned(), service)
        });
        Value::Object(services.collect::<Map<_, _>>())
    }
}

fn word(is_good: bool) -> &'static str {
    if is_good { "OK" } else { "Fail" }
}

/// `GET /status`
fn status(ctx: &Arc<Context>) -> Route {
    warp::path!("status")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::StatusGet)?;
            let probes = Probes::take(&req.ctx).await;
            let services = match req.query().flag("summary")? {
                true => json!({}),
                false => probes.described(|_| true),
            };
            Answer::json(&json!({"status": word(probes.is_good()), "services": services}))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /ok`, for load balancers: nobody is asked who they are.
fn ok(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("ok")
        .and(warp::get())
        .then(move || {
            let ctx = ctx.clone();
            async move {
                match Probes::take(&ctx).await.database {
                    true => reply::ok(Answer::json("OK")),
                    false => reply::with(StatusCode::INTERNAL_SERVER_ERROR, Answer::json("FAIL")),
                }
            }
        })
        .boxed()
}

/// `GET /cluster-status`
fn cluster(ctx: &Arc<Context>) -> Route {
    warp::path!("cluster-status")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(
            async |req: Result<Request, Error>| match described(req).await {
                Ok((status, answer)) => reply::with(status, Ok(answer)),
                Err(error) => reply::error(&error),
            },
        )
        .boxed()
}

async fn described(req: Result<Request, Error>) -> Result<(StatusCode, Answer), Error> {
    let req = req?;
    req.caller.require(Permission::ClusterStatusGet)?;
    let probes = Probes::take(&req.ctx).await;
    let status = word(probes.is_good());
    if req.query().flag("summary")? {
        let code = match probes.is_good() {
            true => StatusCode::OK,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = json!({"status": status, "services": {}});
        return Ok((code, Answer::json(&body)?));
    }
    let host = &req.ctx.settings.advertised_host;
    let node = |name: &str, is_good: bool, services: Value| {
        json!({
            "status": word(is_good),
            "is_external": false,
            "nodes": {name: {
                "status": word(is_good),
                "private_ip": host,
                "public_ip": host,
                "version": API_VERSION,
                "services": services,
                "metrics": [],
                "failures": [],
            }},
        })
    };
    let is_remote = |name: &str| matches!(name, "PostgreSQL" | "RabbitMQ");
    let manager = probes.described(|name| !is_remote(name));
    let body = json!({"status": status, "services": {
        "manager": node("manager", probes.worker && probes.executor, manager),
        "db": node("database", probes.database, probes.described(|name| name == "PostgreSQL")),
        "broker": node("broker", probes.broker, probes.described(|name| name == "RabbitMQ")),
    }});
    Ok((StatusCode::OK, Answer::json(&body)?))
}
