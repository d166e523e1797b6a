//! `/deployment-updates`
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::View as ViewName;
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::{
        self,
        deployment_updates::{self, Initiate, MODEL, Options, PatchUpdate, PutUpdate},
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, body, extract, list, one_of, reply},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("deployment-updates")
        .and(one_of(vec![
            all(ctx),
            restore(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            initiate(ctx),
            finalize(ctx),
        ]))
        .boxed()
}

/// `GET /deployment-updates`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let permission = Permission::DeploymentUpdateList;
            list::answer_where(&req?, MODEL.0, permission, Vec::new()).await
        })
        .map(reply::ok)
        .boxed()
}

async fn document(req: &Request, view: &View, id: &str) -> Result<Answer, Error> {
    let row = req.caller.get(view, MODEL, id).await?;
    let answer = req.document(view, ViewName::DeploymentUpdates, &row.doc)?;
    Ok(answer.since(row.since))
}

/// The update after a change.
async fn changed(req: &Request, id: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    document(req, &view, id).await
}

/// `GET /deployment-updates/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeploymentUpdateGet)?;
            let view = req.view().await?;
            document(&req, &view, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// Somebody who wants a deployment updated; null is what is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    blueprint_id: Option<String>,
    inputs: Option<Map<String, Value>>,
    reinstall_list: Option<Vec<String>>,
    workflow_id: Option<String>,
    #[serde(deserialize_with = "body::flag")]
    preview: bool,
    #[serde(deserialize_with = "body::flag")]
    force: bool,
    #[serde(deserialize_with = "body::optional_flag")]
    runtime_only_evaluation: Option<bool>,
    #[serde(deserialize_with = "body::flag")]
    reevaluate_active_statuses: bool,
    #[serde(deserialize_with = "body::flag")]
    auto_correct_types: bool,
    #[serde(deserialize_with = "body::optional_flag")]
    update_plugins: Option<bool>,
    #[serde(deserialize_with = "body::flag")]
    install_first: bool,
    #[serde(deserialize_with = "body::flag")]
    ignore_failure: bool,
    #[serde(deserialize_with = "body::flag")]
    skip_reinstall: bool,
    #[serde(deserialize_with = "body::flag")]
    skip_uninstall: bool,
    #[serde(deserialize_with = "body::flag")]
    skip_install: bool,
    #[serde(deserialize_with = "body::flag")]
    skip_drift_check: bool,
    #[serde(deserialize_with = "body::flag")]
    force_reinstall: bool,
    #[serde(deserialize_with = "body::flag")]
    skip_heal: bool,
}

impl From<Wanted> for Initiate {
    fn from(wanted: Wanted) -> Self {
        Self {
            blueprint_id: wanted.blueprint_id.filter(|id| !id.is_empty()),
            inputs: wanted.inputs.unwrap_or_default(),
            runtime_only_evaluation: wanted.runtime_only_evaluation,
            options: Options {
                preview: wanted.preview,
                force: wanted.force,
                workflow_id: wanted.workflow_id,
                reinstall_list: wanted.reinstall_list.unwrap_or_default(),
                reevaluate_active_statuses: wanted.reevaluate_active_statuses,
                auto_correct_types: wanted.auto_correct_types,
                update_plugins: wanted.update_plugins.unwrap_or(true),
                install_first: wanted.install_first,
                ignore_failure: wanted.ignore_failure,
                skip_reinstall: wanted.skip_reinstall,
                skip_uninstall: wanted.skip_uninstall,
                skip_install: wanted.skip_install,
                skip_drift_check: wanted.skip_drift_check,
                force_reinstall: wanted.force_reinstall,
                skip_heal: wanted.skip_heal,
                // what was before counts where nothing is given
                runtime_only_evaluation: false,
            },
        }
    }
}

/// `POST /deployment-updates/{deployment_id}/update/initiate`: a preview is waited for.
fn initiate(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "update" / "initiate")
        .and(warp::post())
        .and(extract::write_optional(
            ctx,
            Permission::DeploymentUpdateCreate,
        ))
        .then(
            async |Segment(deployment): Segment, req: Result<Request<Wanted>, Error>| {
                let (req, wanted) = req?.split();
                let new = Initiate::from(wanted);
                let started =
                    deployment_updates::initiate(&req.ctx, &req.caller, &deployment, &new).await?;
                if new.options.preview {
                    let of = (req.caller.tenant()?, started.execution.as_str());
                    commands::execution_end(&req.ctx, of, started.position).await?;
                }
                changed(&req, &started.id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `POST /deployment-updates/{id}/update/finalize`: there is nothing left to be done.
fn finalize(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "update" / "finalize")
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |Segment(id): Segment, req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeploymentUpdateCreate)?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /deployment-updates/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::DeploymentUpdateCreate))
        .then(
            async |Segment(id): Segment, req: Result<Request<PutUpdate>, Error>| {
                let (req, update) = req?.split();
                deployment_updates::put(&req.ctx, &req.caller, (&id, &update)).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `PATCH /deployment-updates/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::DeploymentUpdateUpdate))
        .then(
            async |Segment(id): Segment, req: Result<Request<PatchUpdate>, Error>| {
                let (req, patch) = req?.split();
                deployment_updates::patch(&req.ctx, &req.caller, (&id, &patch)).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// Updates of the past.
#[derive(Debug, Deserialize)]
struct Restored {
    deployment_updates: Vec<PutUpdate>,
}

/// `POST /deployment-updates`: updates as they were.
fn restore(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::DeploymentUpdateCreate))
        .then(async |req: Result<Request<Restored>, Error>| restored(req?).await)
        .map(reply::any)
        .boxed()
}

async fn restored(req: Request<Restored>) -> Result<Response, Error> {
    let (req, body) = req.split();
    let named: Option<Vec<(String, PutUpdate)>> = body
        .deployment_updates
        .into_iter()
        .map(|update| Some((update.id.clone()?, update)))
        .collect();
    let Some(named) = named else {
        return Err(Error::bad_parameters("Missing id in json request body"));
    };
    deployment_updates::restore(&req.ctx, &req.caller, &named).await?;
    if named.is_empty() {
        return Ok(reply::no_content(Ok(())));
    }
    Ok(reply::with(StatusCode::CREATED, Ok(Answer::null())))
}
