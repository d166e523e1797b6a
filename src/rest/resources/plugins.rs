//! `/plugins`
use std::sync::Arc;

use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{
    Condition, ListQuery, Scope, StoredRow, View as ViewName,
    views::{plugins::Plugin, scoped},
};
use tokio_util::io::ReaderStream;
use warp::{
    Filter,
    reply::{Reply, Response},
};

use crate::{
    auth::Permission,
    commands::{
        labels,
        plugins::{self, Install, MODEL, PatchPlugin, Report, UploadPlugin, Uploaded},
    },
    context::Context,
    error::Error,
    files::{
        manifest::Manifest,
        pack::{Content, PackFormat, PackedFile, pack_stream},
        path::ResourcePath,
    },
    rest::{
        Answer, BodyStream, Request, Route, Segment, body, extract, list, list::Listing, one_of,
        reply, uploads,
    },
};

/// `/plugins`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("plugins")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            upload(ctx),
            delete(ctx),
            archive(ctx),
            yaml(ctx),
            install(ctx),
            report(ctx),
            patch(ctx),
            set_visibility(ctx),
        ]))
        .boxed()
}

/// `GET /plugins`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, ViewName::Plugins, Permission::PluginList).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /plugins/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::PluginGet)?;
            req.resource(req.view().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// The plugin after a change.
async fn changed(req: &Request, id: &str) -> Result<Answer, Error> {
    req.resource(req.now().await?, MODEL, id).await
}

/// `POST /plugins`
fn upload(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::upload(ctx))
        .then(async |req: Result<Request<BodyStream>, Error>| taken_in(req?).await)
        .map(reply::created)
        .boxed()
}

async fn taken_in(req: Request<BodyStream>) -> Result<Answer, Error> {
    req.caller.require(Permission::PluginUpload)?;
    req.caller.tenant()?;
    let (req, archive) = received(req).await?;
    let query = req.query();
    let text = |key: &str| query.get(key).filter(|text| !text.is_empty());
    let uploaded_at = text("uploaded_at").map(|text| Value::String(text.to_owned()));
    let uploaded_at = uploaded_at.as_ref().map(labels::moment).transpose()?;
    let asked = UploadPlugin {
        id: text("id").map(str::to_owned),
        title: text("title").map(str::to_owned),
        visibility: text("visibility").map(str::to_owned),
        private_resource: query.optional_flag("private_resource")?,
        uploaded_at_ms: uploaded_at.flatten(),
        created_by: text("created_by").map(str::to_owned),
        url: text("plugin_archive_url").map(str::to_owned),
        archive,
    };
    match plugins::upload(&req.ctx, &req.caller, asked).await? {
        Uploaded::One(id) => changed(&req, &id).await,
        Uploaded::Many(ids) => several(&req, ids).await,
    }
}

/// The archive: a body, or the file of a form.
async fn received(
    req: Request<BodyStream>,
) -> Result<(Request, Option<crate::files::blobs::Staged>), Error> {
    match uploads::boundary(&req) {
        None => uploads::whole(req).await,
        Some(boundary) => {
            let (req, mut form) = uploads::form(req, boundary).await?;
            let archive = form.files.pop().map(|(_, staged)| staged);
            Ok((req, archive))
        }
    }
}

/// Those plugins of a caravan that are new.
async fn several(req: &Request, ids: Vec<String>) -> Result<Answer, Error> {
    let tenant = req.caller.tenant()?;
    let keys = ids.iter().map(|id| scoped(tenant, id)).collect();
    let listing = Listing {
        query: ListQuery::all(ViewName::Plugins, Scope::Everything).with(Condition::Keys(keys)),
        include: None,
        size: i64::try_from(ids.len()).map_err(Error::internal)?,
        offset: 0,
        has_cursor: false,
    };
    let view = req.now().await?;
    let rows = view.select(&listing.query).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = rows.iter().map(|row| row.doc.as_str());
    Ok(listing.envelope(documents, listing.size)?.at(position))
}

/// `force` may be a word, too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delete {
    #[serde(deserialize_with = "body::flag")]
    force: bool,
}

/// `DELETE /plugins/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::write_optional(ctx, Permission::PluginDelete))
        .then(async |Segment(id), req: Result<Request<Delete>, Error>| {
            let (req, asked) = req?.split();
            plugins::delete(&req.ctx, &req.caller, &id, asked.force).await
        })
        .map(reply::no_content)
        .boxed()
}

/// Its row and files, for a caller who may download it.
async fn files(
    req: &Request,
    id: &str,
) -> Result<(StoredRow, ResourcePath, Manifest, Option<i64>), Error> {
    req.caller.require(Permission::PluginDownload)?;
    let view = req.view().await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    drop(view.finish().await?);
    let directory = plugins::tree(id)?;
    let (manifest, position) = req.files(&directory).await?;
    Ok((row, directory, manifest, position))
}

/// `GET /plugins/{id}/archive`
fn archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            match req.query().get("full_archive") {
                Some(_) => whole(&req, &id).await,
                None => wagon(&req, &id).await,
            }
        })
        .map(reply::any)
        .boxed()
}

async fn wagon(req: &Request, id: &str) -> Result<Response, Error> {
    let (row, directory, manifest, position) = files(req, id).await?;
    let plugin: Plugin = row.resource()?;
    let path = directory.join(&plugin.archive_name);
    file(req, &manifest, path.map_err(Error::internal)?, position).await
}

async fn file(
    req: &Request,
    manifest: &Manifest,
    path: ResourcePath,
    position: Option<i64>,
) -> Result<Response, Error> {
    let entry = manifest.get(&path);
    let entry = entry.ok_or_else(|| Error::not_found("Plugin archive", path.as_str()))?;
    let response = req.download(entry, path.file_name()).await?;
    Ok(reply::at(response, position))
}

/// Everything that was uploaded, in a zip.
async fn whole(req: &Request, id: &str) -> Result<Response, Error> {
    const DISPOSITION: &str = "attachment; filename=\"plugin_archive.zip\"";
    let (_, directory, manifest, position) = files(req, id).await?;
    let mut packed = Vec::new();
    for (path, entry) in manifest.below(&directory) {
        let name = path.below(&directory).unwrap_or_default();
        packed.push(PackedFile {
            path: ResourcePath::parse(name).map_err(Error::internal)?,
            mode: entry.mode,
            mtime_s: 0,
            size_bytes: entry.size_bytes,
            content: Content::Blob(entry.digest),
        });
    }
    // clients want to know its size before they read it
    let stream = pack_stream(req.ctx.blobs.clone(), PackFormat::Zip, packed);
    let staged = req.ctx.blobs.stage_stream(stream, u64::MAX).await;
    let staged = staged.map_err(Error::internal)?;
    let mut response = if req.head.is_head {
        Response::default()
    } else {
        let file = staged.open().map_err(Error::internal)?;
        let chunks = ReaderStream::new(tokio::fs::File::from_std(file));
        warp::reply::stream(chunks).into_response()
    };
    let size_bytes = staged.stored().size_bytes;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size_bytes));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(DISPOSITION));
    Ok(reply::at(response, position))
}

/// `GET /plugins/{id}/yaml`
fn yaml(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "yaml")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            let (row, _, manifest, position) = files(&req, &id).await?;
            let plugin: Plugin = row.resource()?;
            let version = req.query().get("dsl_version").unwrap_or_default();
            let path = plugins::yaml_for(&plugin, version)
                .ok_or_else(|| Error::not_found("Plugin YAML", &id))?;
            let path = ResourcePath::parse(&path).map_err(Error::internal)?;
            file(&req, &manifest, path, position).await
        })
        .map(reply::any)
        .boxed()
}

/// `POST /plugins/{id}`
fn install(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::PluginUpload))
        .then(async |Segment(id), req: Result<Request<Install>, Error>| {
            let (req, asked) = req?.split();
            plugins::install(&req.ctx, &req.caller, &id, &asked).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /plugins/{id}`
fn report(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(
            ctx,
            extract::Gate::OrExecution(Permission::PluginUpload),
        ))
        .then(async |Segment(id), req: Result<Request<Report>, Error>| {
            let (req, report) = req?.split();
            plugins::report(&req.ctx, &req.caller, &id, &report).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /plugins/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::PluginUpload))
        .then(
            async |Segment(id), req: Result<Request<PatchPlugin>, Error>| {
                let (req, patch) = req?.split();
                plugins::patch(&req.ctx, &req.caller, &id, &patch).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `PATCH /plugins/{id}/set-visibility`
fn set_visibility(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "set-visibility")
        .and(warp::patch())
        .and(extract::write(ctx, Permission::ResourceSetVisibility))
        .then(
            async |Segment(id), req: Result<Request<body::SetVisibility>, Error>| {
                let (req, body) = req?.split();
                plugins::set_visibility(&req.ctx, &req.caller, &id, &body.visibility).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}
