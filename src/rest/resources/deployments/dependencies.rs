//! What deployments depend on: `/deployments/inter-deployment-dependencies`.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::inter_deployment_dependencies::{
        self as dependencies, CreateDependency, DeleteDependency, MODEL, NewDependency,
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

const PATH: &str = "inter-deployment-dependencies";

/// All routes of the resource, below `/deployments`.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        warp::path(PATH)
            .and(warp::path::end())
            .and(one_of(vec![
                all(ctx),
                create(ctx),
                create_many(ctx),
                delete(ctx),
            ]))
            .boxed(),
        replace(ctx),
    ])
}

/// `GET /deployments/inter-deployment-dependencies`
fn all(ctx: &Arc<Context>) -> Route {
    warp::get()
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, MODEL.0, Permission::InterDeploymentDependencyList).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /deployments/inter-deployment-dependencies`
fn create(ctx: &Arc<Context>) -> Route {
    warp::put()
        .and(extract::write(
            ctx,
            Permission::InterDeploymentDependencyCreate,
        ))
        .then(async |req: Result<Request<CreateDependency>, Error>| {
            let (req, new) = req?.split();
            let id = dependencies::create(&req.ctx, &req.caller, &new).await?;
            req.resource(req.now().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Several {
    source_deployment_id: String,
    inter_deployment_dependencies: Vec<NewDependency>,
}

/// `POST /deployments/inter-deployment-dependencies`
fn create_many(ctx: &Arc<Context>) -> Route {
    warp::post()
        .and(extract::write(
            ctx,
            Permission::InterDeploymentDependencyCreate,
        ))
        .then(async |req: Result<Request<Several>, Error>| {
            let (req, new) = req?.split();
            let of = (
                new.source_deployment_id.as_str(),
                new.inter_deployment_dependencies.as_slice(),
            );
            let ids = dependencies::create_many(&req.ctx, &req.caller, of).await?;
            listed(&req, &ids)
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /deployments/inter-deployment-dependencies`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::delete()
        .and(extract::write(
            ctx,
            Permission::InterDeploymentDependencyDelete,
        ))
        .then(async |req: Result<Request<DeleteDependency>, Error>| {
            let (req, old) = req?.split();
            dependencies::delete(&req.ctx, &req.caller, &old).await
        })
        .map(reply::no_content)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct All {
    inter_deployment_dependencies: Vec<NewDependency>,
}

/// `PUT /deployments/{id}/inter-deployment-dependencies`
fn replace(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "inter-deployment-dependencies")
        .and(warp::put())
        .and(extract::write(
            ctx,
            Permission::InterDeploymentDependencyCreate,
        ))
        .then(async |Segment(id), req: Result<Request<All>, Error>| {
            let (req, new) = req?.split();
            let of = (id.as_str(), new.inter_deployment_dependencies.as_slice());
            let ids = dependencies::replace(&req.ctx, &req.caller, of).await?;
            listed(&req, &ids)
        })
        .map(reply::ok)
        .boxed()
}

/// The ids of what was made, all on one page.
fn listed(req: &Request, ids: &[String]) -> Result<Answer, Error> {
    let items: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let pagination = json!({"total": ids.len(), "size": ids.len(), "offset": 0});
    req.answer(&json!({"items": items, "metadata": {"pagination": pagination}}))
}
