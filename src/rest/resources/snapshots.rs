//! `/snapshots` and `/snapshot-status`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope, View,
    views::{executions::Execution, snapshots::Snapshot},
};
use warp::{Filter, reply::Response};

use crate::{
    auth::{DEFAULT_TENANT, Permission},
    commands::{
        executions,
        snapshots::{self, Archive, MODEL},
    },
    context::{Context, Restoring},
    error::Error,
    rest::{
        Answer, BodyStream, Include, Request, Route, Segment, body, extract, list, one_of, reply,
        uploads,
    },
};

/// Both.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    let snapshots = warp::path("snapshots").and(one_of(vec![
        all(ctx),
        get(ctx),
        put(ctx),
        patch(ctx),
        delete(ctx),
        archive(ctx),
        put_archive(ctx),
        restore(ctx),
    ]));
    one_of(vec![snapshots.boxed(), status(ctx)])
}

/// `GET /snapshots`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, View::Snapshots, Permission::SnapshotList).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /snapshots/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::SnapshotGet)?;
            req.resource(req.view().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// What a snapshot is asked to hold. It always holds everything: the log is one.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Create {
    include_credentials: bool,
    include_logs: bool,
    include_events: bool,
    queue: bool,
    tempdir_path: Option<String>,
    legacy: bool,
    listener_timeout: Option<f64>,
}

impl Default for Create {
    fn default() -> Self {
        Self {
            include_credentials: true,
            include_logs: true,
            include_events: true,
            queue: false,
            tempdir_path: None,
            legacy: false,
            listener_timeout: None,
        }
    }
}

/// `PUT /snapshots/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::SnapshotCreate))
        .then(async |Segment(id), req: Result<Request<Create>, Error>| {
            let (req, body) = req?.split();
            let parameters = map(json!({
                "snapshot_id": id,
                "include_credentials": body.include_credentials,
                "include_logs": body.include_logs,
                "include_events": body.include_events,
                "queue": body.queue,
                "tempdir_path": body.tempdir_path,
                "legacy": body.legacy,
                "listener_timeout": body.listener_timeout,
            }));
            let asked = snapshots::create(&req.ctx, &req.caller, &id, parameters).await?;
            let (execution, position) = asked;
            let view = req.ctx.store.read(At::Position(position)).await?;
            req.resource(view, executions::MODEL, &execution).await
        })
        .map(reply::created)
        .boxed()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `PATCH /snapshots/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::SnapshotStatusUpdate))
        .then(
            async |Segment(id), req: Result<Request<body::SetStatus>, Error>| {
                let (req, body) = req?.split();
                let status = (body.status.as_str(), body.error.as_deref());
                let position = snapshots::set_status(&req.ctx, &req.caller, &id, status).await?;
                Ok(Answer::null().at(position))
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /snapshots/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            let (document, position) = snapshots::delete(&req.ctx, &req.caller, &id).await?;
            Ok(Answer::text(document).at(position))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /snapshots/{id}/archive`
fn archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| download(req?, &id).await)
        .map(reply::any)
        .boxed()
}

async fn download(req: Request, id: &str) -> Result<Response, Error> {
    req.caller.require(Permission::SnapshotDownload)?;
    let view = req.ctx.store.read(At::Now).await?;
    let snapshot: Snapshot = req.caller.get(&view, MODEL, id).await?.resource()?;
    drop(view.finish().await?);
    let entry = snapshots::archive(&req.ctx, &snapshot).await?;
    req.download(&entry, &format!("{id}.zip")).await
}

/// `PUT /snapshots/{id}/archive`
fn put_archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(async |Segment(id), req: Result<Request<BodyStream>, Error>| upload(req?, &id).await)
        .map(reply::created)
        .boxed()
}

async fn upload(req: Request<BodyStream>, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::SnapshotUpload)?;
    if req.query().get("snapshot_archive_url").is_some() {
        return Err(Error::bad_parameters(
            "Snapshots cannot be fetched from a URL: upload the archive",
        ));
    }
    let (req, staged) = uploads::whole(req).await?;
    let staged = staged.ok_or_else(|| Error::bad_parameters("Missing snapshot archive"))?;
    let (outcome, position) = snapshots::upload(&req.ctx, &req.caller, id, staged).await?;
    if outcome == Archive::Replaced {
        return Ok(Answer::json(&nothing())?.at(position));
    }
    req.resource(req.now().await?, MODEL, id).await
}

/// A snapshot none of whose fields is known: clients expect one.
fn nothing() -> Map<String, Value> {
    let fields = View::Snapshots.def().fields.iter();
    fields
        .map(|field| (field.name.to_owned(), Value::Null))
        .collect()
}

/// `ignore_plugin_failure` comes from clients and means nothing.
#[derive(Debug, Deserialize)]
struct Restore {
    force: Option<bool>,
    #[serde(default)]
    restore_certificates: bool,
    #[serde(default)]
    no_reboot: bool,
    timeout: Option<i64>,
}

/// Seconds that are written down when the client says nothing.
const TIMEOUT_S: i64 = 300;

/// `POST /snapshots/{id}/restore`
fn restore(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "restore")
        .and(warp::post())
        .and(extract::write(ctx, Permission::SnapshotRestore))
        .then(async |Segment(id), req: Result<Request<Restore>, Error>| {
            let (req, body) = req?.split();
            start(req, &id, &body).await
        })
        .map(reply::ok)
        .boxed()
}

async fn start(req: Request, id: &str, body: &Restore) -> Result<Answer, Error> {
    let force = body
        .force
        .ok_or_else(|| Error::bad_parameters("Missing force in json request body"))?;
    if body.no_reboot && !body.restore_certificates {
        return Err(Error::bad_parameters(
            "`no_reboot` is only relevant when `restore_certificates` is set",
        ));
    }
    let caller = match req.caller.tenant() {
        Ok(_) => req.caller.clone(),
        // a restore is about the whole manager, and clients may leave the tenant out
        Err(_) => req.caller.in_tenant(DEFAULT_TENANT),
    };
    let parameters = map(json!({
        "snapshot_id": id,
        "force": force,
        "restore_certificates": body.restore_certificates,
        "no_reboot": body.no_reboot,
        "timeout": body.timeout.unwrap_or(TIMEOUT_S),
    }));
    let asked = snapshots::start_restore(&req.ctx, &caller, id, parameters).await?;
    let (execution, position) = asked;
    let view = req.ctx.store.read(At::Position(position)).await?;
    let row = caller.get(&view, executions::MODEL, &execution).await?;
    // the reference answers with those fields of the execution that a snapshot has, too
    let fields = View::Snapshots.def().fields.iter();
    let include = Include::of(fields.map(|field| field.name));
    let document = include.project(&row.doc)?;
    let position = view.position();
    drop(view.finish().await?);
    Ok(Answer::text(document).at(position))
}

/// `GET /snapshot-status`: whoever asks, for clients ask while nobody can be authenticated.
fn status(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("snapshot-status")
        .and(warp::get())
        .then(move || {
            let ctx = ctx.clone();
            async move {
                let word = match is_restoring(&ctx).await? {
                    true => "running",
                    false => "not-running",
                };
                Answer::json(&json!({ "status": word }))
            }
        })
        .map(reply::ok)
        .boxed()
}

async fn is_restoring(ctx: &Context) -> Result<bool, Error> {
    if *ctx.restoring.borrow() == Restoring::Replacing {
        return Ok(true);
    }
    let statuses = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    let workflow = vec![snapshots::RESTORE_WORKFLOW.to_owned()];
    let query = ListQuery::all(View::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
        .with(Condition::AnyOf("workflow_id".to_owned(), workflow));
    let view = ctx.store.read(At::Now).await?;
    let restoring: Vec<Execution> = view.select_as(&query).await?;
    drop(view.finish().await?);
    Ok(!restoring.is_empty())
}
