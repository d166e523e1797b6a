//! `/deployment-groups`
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use stratalog_projections::{StoredRow, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        deployment_groups::{self, MODEL, PatchGroup, PutGroup},
        deployments::DeleteDeployment,
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, one_of, reply, wire},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("deployment-groups")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /deployment-groups`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| page(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let permission = Permission::DeploymentGroupList;
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    let listing = Listing::parse(req, MODEL.0, scope)?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let documents = wire::groups::of_deployments(&view, &listed.rows).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    Ok(listing.envelope(documents, &listed)?.at(position))
}

async fn document(req: &Request, view: &View, row: StoredRow) -> Result<Answer, Error> {
    let since = row.since;
    let documents = wire::groups::of_deployments(view, &[row]).await?;
    let document = documents.into_iter().next().unwrap_or_default();
    let answer = req.document(view, ViewName::DeploymentGroups, &document)?;
    Ok(answer.since(since))
}

/// The group after a change.
async fn changed(req: &Request, id: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    document(req, &view, row).await
}

/// `GET /deployment-groups/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeploymentGroupGet)?;
            let view = req.view().await?;
            let row = req.caller.get(&view, MODEL, &id).await?;
            document(&req, &view, row).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /deployment-groups/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::DeploymentGroupCreate))
        .then(async |Segment(id), req: Result<Request<PutGroup>, Error>| {
            let (req, group) = req?.split();
            deployment_groups::put(&req.ctx, &req.caller, &id, &group).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /deployment-groups/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::DeploymentGroupUpdate))
        .then(
            async |Segment(id), req: Result<Request<PatchGroup>, Error>| {
                let (req, change) = req?.split();
                deployment_groups::patch(&req.ctx, &req.caller, &id, &change).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /deployment-groups/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(id), req: Result<Request, Error>| match gone(req, &id).await {
                Ok(None) => reply::no_content(Ok(())),
                Ok(Some(answer)) => reply::with(StatusCode::OK, Ok(answer)),
                Err(error) => reply::error(&error),
            },
        )
        .boxed()
}

async fn gone(req: Result<Request, Error>, id: &str) -> Result<Option<Answer>, Error> {
    let req = req?;
    let how = DeleteDeployment {
        force: req.query().flag("force")?,
        delete_logs: req.query().flag("delete_logs")?,
        recursive: req.query().flag("recursive")?,
    };
    let members = req.query().flag("delete_deployments")?.then_some(how);
    let executions = deployment_groups::delete(&req.ctx, &req.caller, id, members).await?;
    executions
        .map(|id| Answer::json(&json!({ "execution_group_id": id })))
        .transpose()
}
