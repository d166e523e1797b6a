//! `/deployments`
use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, StoredRow, View as ViewName,
    views::{blueprints::Blueprint, deployments::Deployment},
};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        deployments::{CreateDeployment, DeleteDeployment, MODEL, PatchDeployment},
        labels,
    },
    context::Context,
    error::{Error, ErrorCode},
    rest::{
        Answer, Request, Route, Segment, body, extract, list::Listing, one_of,
        remembered::remembered, reply, wire,
    },
    store::View,
};

mod dependencies;
mod metrics;
mod restore;
mod site;
mod workdir;

/// `/deployments`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("deployments")
        .and(one_of(vec![
            dependencies::routes(ctx),
            list(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
            set_visibility(ctx),
            site::set_site(ctx),
            outputs(ctx),
            capabilities(ctx),
            metrics::metrics(ctx),
        ]))
        .boxed()
}

/// `GET /deployments`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            remembered(&req, &ViewName::ALL, Box::pin(page(&req))).await
        })
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::DeploymentList)?;
    let mut listing = Listing::parse(req, ViewName::Deployments, scope)?;
    let is_expanded = req.query().flag("_get_data")?;
    let view = req.view().await?;
    let visible = listing.narrow(req, &view, None).await?;
    let listed = listing.find(req, &view).await?;
    let include = listing.include.as_ref();
    let documents = match is_expanded {
        true => wire::deployments::expanded(&view, &listed.rows, include).await?,
        false => wire::deployments::join(&view, &listed.rows, include).await?,
    };
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    let filtered = visible.map(|visible| visible - listed.total);
    Ok(listing
        .filtered_envelope(documents, &listed, filtered)?
        .at(position))
}

/// `GET /deployments/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            remembered(&req, &ViewName::ALL, Box::pin(one(&req, &id))).await
        })
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::DeploymentGet)?;
    let with_workdir = req.query().flag("include_workdir")?;
    let view = req.view().await?;
    let mut row = req.caller.get(&view, MODEL, id).await?;
    let since = row.since;
    let tenant = row.owner.tenant.clone().unwrap_or_default();
    let include = req.include(ViewName::Deployments)?;
    let documents = match req.query().optional_flag("all_sub_deployments")? {
        Some(false) => {
            row.doc = wire::deployments::with_children_only(&row)?;
            wire::deployments::join(&view, &[row], include.as_ref()).await?
        }
        _ => wire::deployments::expanded(&view, &[row], include.as_ref()).await?,
    };
    let mut document = documents.into_iter().next().unwrap_or_default();
    if with_workdir {
        let zip = workdir::zipped(req, &tenant, id).await?;
        let mut members: Map<String, Value> =
            serde_json::from_str(&document).map_err(Error::internal)?;
        members.insert("workdir_zip".to_owned(), BASE64_STANDARD.encode(zip).into());
        document = Value::Object(members).to_string();
    }
    let answer = req.document(&view, ViewName::Deployments, &document)?;
    Ok(answer.since(since))
}

/// The deployment after a change, as lists show it.
async fn changed<B>(req: &Request<B>, id: &str) -> Result<Answer, Error> {
    let view = req.ctx.store.read(At::Now).await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    let since = row.since;
    let documents = wire::deployments::join(&view, &[row], None).await?;
    let document = documents.into_iter().next().unwrap_or_default();
    let answer = req.document(&view, ViewName::Deployments, &document)?;
    Ok(answer.since(since))
}

/// Body of a creation.
#[derive(Debug, Deserialize)]
struct NewDeployment {
    blueprint_id: String,
    #[serde(default)]
    inputs: Option<Map<String, Value>>,
    #[serde(default)]
    skip_plugins_validation: Option<bool>,
    #[serde(default)]
    site_name: Option<String>,
    #[serde(default)]
    runtime_only_evaluation: Option<bool>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    labels: Option<Value>,
    #[serde(default)]
    visibility: Option<String>,
    #[serde(default)]
    created_at: Option<Value>,
    #[serde(default)]
    created_by: Option<String>,
    #[serde(flatten)]
    restored: restore::Attributes,
}

/// `PUT /deployments/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::DeploymentCreate))
        .then(
            async |Segment(id), req: Result<Request<NewDeployment>, Error>| create(req?, id).await,
        )
        .map(reply::created)
        .boxed()
}

async fn create(req: Request<NewDeployment>, id: String) -> Result<Answer, Error> {
    let (req, body) = req.split();
    req.caller.require(Permission::DeploymentCreate)?;
    let is_async = req.query().flag("async_create")?;
    let given = body.labels.as_ref().map(labels::parse).transpose()?;
    let created_at = body.created_at.as_ref().map(labels::moment);
    let restored = body.restored.restored(&req, body.inputs.as_ref()).await?;
    if restored.is_some() && is_async {
        return Err(Error::bad_parameters(
            "A deployment with workdir_zip cannot be created with async_create",
        ));
    }
    if is_async {
        await_blueprint(&req, &body.blueprint_id).await?;
    }
    let new = CreateDeployment {
        id: id.clone(),
        blueprint_id: body.blueprint_id,
        inputs: body.inputs.unwrap_or_default(),
        display_name: body.display_name,
        labels: given.unwrap_or_default(),
        visibility: body.visibility,
        private_resource: req.query().optional_flag("private_resource")?,
        site_name: body.site_name,
        runtime_only_evaluation: body.runtime_only_evaluation.unwrap_or(false),
        skip_plugins_validation: body.skip_plugins_validation.unwrap_or(false),
        created_at_ms: created_at.transpose()?.flatten(),
        created_by: body.created_by,
        restored,
    };
    let created = commands::deployments::create(&req.ctx, &req.caller, &new).await?;
    if let Some(execution) = created.execution.filter(|_| !is_async) {
        let of = (req.caller.tenant()?, execution.as_str());
        let ended = commands::execution_end(&req.ctx, of, created.position).await?;
        refuse_failed(ended, &id)?;
    }
    changed(&req, &id).await
}

/// Waits for a blueprint that is still being uploaded.
async fn await_blueprint(req: &Request, id: &str) -> Result<(), Error> {
    let view = req.ctx.store.read(At::Now).await?;
    let row = req
        .caller
        .get(&view, commands::blueprints::MODEL, id)
        .await?;
    let position = view.position();
    drop(view.finish().await?);
    let blueprint: Blueprint = row.resource()?;
    let Some(execution) = blueprint.own.upload_execution else {
        return Ok(());
    };
    if !commands::blueprints::is_end(&blueprint.state) {
        let of = (blueprint.tenant_name.as_str(), execution.as_str());
        commands::execution_end(&req.ctx, of, position).await?;
    }
    Ok(())
}

fn refuse_failed(ended: Option<commands::Ended>, id: &str) -> Result<(), Error> {
    let Some(ended) = ended else {
        return Err(Error::refused(
            ErrorCode::EnvironmentCreationInProgress,
            format!("Deployment environment creation is still in progress. Deployment: {id}"),
        ));
    };
    if ended.status == "terminated" {
        return Ok(());
    }
    let error = ended.error.filter(|error| !error.is_empty());
    let error = error.unwrap_or_else(|| format!("the environment's creation {}", ended.status));
    let last = error.trim_end().lines().next_back().unwrap_or_default();
    Err(Error::refused(ErrorCode::DeploymentCreation, last))
}

/// `PATCH /deployments/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::DeploymentUpdate))
        .then(
            async |Segment(id), req: Result<Request<PatchDeployment>, Error>| {
                let (req, body) = req?.split();
                commands::deployments::patch(&req.ctx, &req.caller, &id, &body).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /deployments/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            let how = DeleteDeployment {
                force: req.query().flag("force")?,
                delete_logs: req.query().flag("delete_logs")?,
                recursive: req.query().flag("recursive")?,
            };
            commands::deployments::delete(&req.ctx, &req.caller, &id, how).await?;
            Ok(())
        })
        .map(reply::no_content)
        .boxed()
}

/// `PATCH /deployments/{id}/set-visibility`
fn set_visibility(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "set-visibility")
        .and(warp::patch())
        .and(extract::write(ctx, Permission::DeploymentSetVisibility))
        .then(
            async |Segment(id), req: Result<Request<body::SetVisibility>, Error>| {
                let (req, body) = req?.split();
                commands::deployments::set_visibility(&req.ctx, &req.caller, &id, &body.visibility)
                    .await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// A deployment to evaluate something of.
pub(super) async fn resource<B>(
    req: &Request<B>,
    view: &View,
    id: &str,
) -> Result<Deployment, Error> {
    let row: StoredRow = req.caller.get(view, MODEL, id).await?;
    Ok(row.resource()?)
}

/// `GET /deployments/{id}/outputs`
fn outputs(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "outputs")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller
                .require(Permission::DeploymentModificationOutputs)?;
            let view = req.view().await?;
            let deployment = resource(&req, &view, &id).await?;
            let outputs =
                commands::deployments::outputs((&view, req.opener()), &deployment).await?;
            let answer = req.answer(&json!({ "deployment_id": id, "outputs": outputs }))?;
            Ok(answer.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /deployments/{id}/capabilities`
fn capabilities(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "capabilities")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeploymentCapabilities)?;
            let view = req.view().await?;
            let deployment = resource(&req, &view, &id).await?;
            let values =
                commands::deployments::capabilities((&view, req.opener()), &deployment).await?;
            let answer = req.answer(&json!({ "deployment_id": id, "capabilities": values }))?;
            Ok(answer.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}
