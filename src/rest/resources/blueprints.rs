//! `/blueprints`
mod icon;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{
    At, Condition, StoredRow, View as ViewName,
    views::{blueprints::Blueprint, scoped},
};
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::{
        self,
        blueprints::{MODEL, PatchBlueprint, UploadBlueprint},
        labels,
    },
    context::Context,
    error::{Error, ErrorCode},
    files::path::ResourcePath,
    rest::{
        Answer, BodyStream, Request, Route, Segment, body, extract, list::Listing, one_of,
        remembered::remembered, reply, uploads, wire,
    },
};

/// `/blueprints`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("blueprints")
        .and(one_of(vec![
            list(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
            validate(ctx),
            archive(ctx),
            put_archive(ctx),
            icon::patch(ctx),
            set_visibility(ctx),
        ]))
        .boxed()
}

/// `GET /blueprints`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            remembered(&req, &ViewName::ALL, page(&req)).await
        })
        .map(reply::ok)
        .boxed()
}

/// A page of blueprints; hidden ones only when they are asked for.
async fn page(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::BlueprintList)?;
    let mut listing = Listing::parse(req, ViewName::Blueprints, scope)?;
    if req.query().get("is_hidden").is_none() {
        let shown = Condition::AnyOf("is_hidden".to_owned(), vec!["false".to_owned()]);
        listing.query.conditions.push(shown);
    }
    let view = req.view().await?;
    let visible = listing.narrow(req, &view, None).await?;
    let listed = listing.find(req, &view).await?;
    let documents = wire::blueprints::join(&view, &listed.rows, listing.include.as_ref()).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    let filtered = visible.map(|visible| visible - listed.total);
    Ok(listing
        .filtered_envelope(documents, &listed, filtered)?
        .at(position))
}

/// `GET /blueprints/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::BlueprintGet)?;
            let view = req.view().await?;
            let row = req.caller.get(&view, MODEL, &id).await?;
            document(&req, &view, row).await
        })
        .map(reply::ok)
        .boxed()
}

async fn document<B>(
    req: &Request<B>,
    view: &crate::store::View,
    row: StoredRow,
) -> Result<Answer, Error> {
    let since = row.since;
    let mut documents = wire::blueprints::join(view, &[row], None).await?;
    let document = documents.pop().unwrap_or_default();
    let answer = req.document(view, ViewName::Blueprints, &document)?;
    Ok(answer.since(since))
}

/// The blueprint after a change.
async fn changed<B>(req: &Request<B>, id: &str) -> Result<Answer, Error> {
    let view = req.ctx.store.read(At::Now).await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    document(req, &view, row).await
}

/// Parameters of an upload: a part of a form, or the query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    visibility: Option<String>,
    private_resource: Option<bool>,
    application_file_name: Option<String>,
    blueprint_archive_url: Option<String>,
    #[serde(deserialize_with = "crate::rest::body::flag")]
    async_upload: bool,
    #[serde(deserialize_with = "crate::rest::body::flag")]
    skip_execution: bool,
    labels: Option<Value>,
    state: Option<String>,
    created_at: Option<Value>,
    created_by: Option<String>,
}

/// `PUT /blueprints/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(
            async |Segment(id), req: Result<Request<BodyStream>, Error>| {
                upload(req?, id, false).await
            },
        )
        .map(reply::created)
        .boxed()
}

/// `PUT /blueprints/{id}/validate`
fn validate(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "validate")
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(
            async |Segment(id), req: Result<Request<BodyStream>, Error>| {
                upload(req?, id, true).await
            },
        )
        .map(reply::created)
        .boxed()
}

async fn upload(
    req: Request<BodyStream>,
    id: String,
    validate_only: bool,
) -> Result<Answer, Error> {
    req.caller.require(Permission::BlueprintUpload)?;
    req.caller.tenant()?;
    let (req, parameters, archive) = received(req).await?;
    let is_async = parameters.async_upload || parameters.skip_execution || validate_only;
    let given = parameters.labels.as_ref().map(labels::parse).transpose()?;
    let created_at = parameters.created_at.as_ref().map(labels::moment);
    // the client escapes the name, whichever way it is sent
    let main_file = parameters.application_file_name.map(|name| {
        percent_encoding::percent_decode_str(&name)
            .decode_utf8_lossy()
            .into_owned()
    });
    let upload = UploadBlueprint {
        id: id.clone(),
        visibility: parameters.visibility,
        private_resource: parameters.private_resource,
        application_file_name: main_file.filter(|name| !name.is_empty()),
        url: parameters
            .blueprint_archive_url
            .filter(|url| !url.is_empty()),
        archive,
        labels: given.unwrap_or_default(),
        skip_execution: parameters.skip_execution,
        validate_only,
        state: parameters.state,
        created_at_ms: created_at.transpose()?.flatten(),
        created_by: parameters.created_by,
    };
    let accepted = commands::blueprints::upload(&req.ctx, &req.caller, upload).await?;
    if let Some(execution) = accepted.execution.filter(|_| !is_async) {
        let tenant = req.caller.tenant()?;
        let of = (tenant, execution.as_str());
        commands::execution_end(&req.ctx, of, accepted.position).await?;
        refuse_failed(&req, &id).await?;
    }
    changed(&req, &id).await
}

/// What came with the request: a form, or a body with the parameters in the query.
async fn received(
    req: Request<BodyStream>,
) -> Result<(Request, Parameters, Option<crate::files::blobs::Staged>), Error> {
    if let Some(boundary) = uploads::boundary(&req) {
        let (req, mut form) = uploads::form(req, boundary).await?;
        let parameters = match form.field("params") {
            Some(text) => body::parse(text.as_bytes())?,
            None => Parameters::default(),
        };
        let archive = form.files.pop().map(|(_, staged)| staged);
        return Ok((req, parameters, archive));
    }
    let (req, archive) = uploads::whole(req).await?;
    let query = req.query();
    let text = |key: &str| query.get(key).map(str::to_owned);
    let labels: Vec<Value> = query
        .all("labels")
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| serde_json::json!({ (key): value }))
        .collect();
    let parameters = Parameters {
        visibility: text("visibility"),
        private_resource: query.optional_flag("private_resource")?,
        application_file_name: text("application_file_name"),
        blueprint_archive_url: text("blueprint_archive_url"),
        async_upload: query.flag("async_upload")?,
        skip_execution: query.flag("skip_execution")?,
        labels: Some(Value::Array(labels)),
        state: text("state"),
        created_at: text("created_at").map(Value::String),
        created_by: text("created_by"),
    };
    Ok((req, parameters, archive))
}

async fn refuse_failed(req: &Request, id: &str) -> Result<(), Error> {
    let view = req.ctx.store.read(At::Now).await?;
    let key = scoped(req.caller.tenant()?, id);
    let blueprint: Option<Blueprint> = view.get(&key).await?;
    drop(view.finish().await?);
    let Some(blueprint) = blueprint else {
        return Ok(());
    };
    if !commands::blueprints::is_failed(&blueprint.state) {
        return Ok(());
    }
    let what = match blueprint.state.as_str() {
        "invalid" => "is invalid",
        "failed_uploading" => "has failed uploading",
        "failed_parsing" => "has failed parsing",
        _ => "has failed extracting",
    };
    let error = blueprint.error.unwrap_or_default();
    Err(Error::refused(
        ErrorCode::InvalidBlueprint,
        format!("Blueprint `{id}` {what}. Error: {error}"),
    ))
}

/// `PATCH /blueprints/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::BlueprintUpload))
        .then(
            async |Segment(id), req: Result<Request<PatchBlueprint>, Error>| {
                let (req, patch) = req?.split();
                match commands::blueprints::patch(&req.ctx, &req.caller, &id, patch).await? {
                    None => changed(&req, &id).await,
                    Some(gone) => {
                        let view = req.ctx.store.read(At::Now).await?;
                        document(&req, &view, gone).await
                    }
                }
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /blueprints/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            let force = req.query().flag("force")?;
            commands::blueprints::delete(&req.ctx, &req.caller, &id, force).await
        })
        .map(reply::no_content)
        .boxed()
}

/// `GET /blueprints/{id}/archive`
fn archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| download(req?, &id).await)
        .map(reply::any)
        .boxed()
}

async fn download(req: Request, id: &str) -> Result<Response, Error> {
    req.caller.require(Permission::BlueprintDownload)?;
    let view = req.view().await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    drop(view.finish().await?);
    let tenant = row.owner.tenant.unwrap_or_default();
    let tree = commands::blueprints::uploaded_tree(&tenant, id);
    let directory = ResourcePath::parse(&tree).map_err(Error::internal)?;
    let (manifest, position) = req.files(&directory).await?;
    let Some((path, entry)) = manifest.below(&directory).next() else {
        return Err(Error::not_found("Blueprint archive", id));
    };
    let response = req.download(entry, path.file_name()).await?;
    Ok(reply::at(response, position))
}

/// `PUT /blueprints/{id}/archive`
fn put_archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(
            async |Segment(id), req: Result<Request<BodyStream>, Error>| {
                let req = req?;
                req.caller.require(Permission::BlueprintUpload)?;
                let (req, _, archive) = received(req).await?;
                let archive =
                    archive.ok_or_else(|| Error::bad_parameters("Missing blueprint archive"))?;
                commands::blueprints::put_archive(&req.ctx, &req.caller, &id, archive).await?;
                Ok(Answer::null())
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `PATCH /blueprints/{id}/set-visibility`
fn set_visibility(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "set-visibility")
        .and(warp::patch())
        .and(extract::write(ctx, Permission::ResourceSetVisibility))
        .then(
            async |Segment(id), req: Result<Request<body::SetVisibility>, Error>| {
                let (req, body) = req?.split();
                commands::blueprints::set_visibility(&req.ctx, &req.caller, &id, &body.visibility)
                    .await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}
