//! `/resources/…`: the resource directory over HTTP, also for a proxy in front of the manager
//! (`/file-server-proxy/…`). Who may do what is decided once, on the canonical path.
use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, header::CONTENT_TYPE};
use stratalog_projections::{At, View as ViewName, views::scoped};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{BodyStream, Request, Route, extract, one_of, reply};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    dsl::types::BuiltIn,
    error::{Error, ErrorCode},
    files::{
        manifest::{Entry, Manifest},
        pack::{Content, PackFormat, PackedFile, pack},
        path::{Class, Requested, ResourcePath, TenantArea},
        serve::{Download, index_json},
    },
    store::View,
};

mod package;
mod write;

/// The map of a directory's files, inside its archive.
const INDEX_NAME: &str = ".cloudify-index.json";

/// Where a proxy sends what it was asked for.
const PROXY: &str = "file-server-proxy";
/// In which header it says what that was.
const ORIGINAL_URI: &str = "x-original-uri";

/// How long is waited for what other processes have appended.
const PATIENCE: Duration = Duration::from_secs(5);

/// `/resources`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    let below = warp::path("resources").and(tail()).boxed();
    one_of(vec![public(ctx), all(ctx, &below)])
}

/// `/file-server-proxy`, below the API
pub(super) fn proxied(ctx: &Arc<Context>) -> Route {
    all(ctx, &warp::path(PROXY).and(tail()).boxed())
}

fn tail() -> impl Filter<Extract = (), Error = Infallible> + Clone {
    warp::path::tail().map(|_| ()).untuple_one()
}

/// All methods of the paths below one.
fn all(ctx: &Arc<Context>, below: &BoxedFilter<()>) -> Route {
    let read = below
        .clone()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| read(&req?).await)
        .map(reply::any);
    let put = below
        .clone()
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(async |req: Result<Request<BodyStream>, Error>| write::put(req?).await)
        .map(reply::ok);
    let post = below
        .clone()
        .and(warp::post())
        .and(extract::upload(ctx))
        .then(async |req: Result<Request<BodyStream>, Error>| write::post(req?).await)
        .map(reply::ok);
    let delete = below
        .clone()
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| write::delete(&req?).await)
        .map(reply::no_content);
    one_of(vec![
        read.boxed(),
        put.boxed(),
        post.boxed(),
        delete.boxed(),
    ])
}

/// Agent packages: fetched before there are credentials.
fn public(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("resources" / "cloudify_agent" / ..)
        .and(warp::path::tail())
        .map(|_| ())
        .untuple_one()
        .and(warp::get())
        .and(extract::open())
        .then(move |head: Arc<extract::Head>| {
            let ctx = ctx.clone();
            async move {
                let requested = parse(&head.path)?;
                match requested.path.class() {
                    Class::Public => {
                        let entry = ctx.files.get(&requested.path);
                        // what somebody has put there goes before
                        if entry.is_none()
                            && let Some(found) =
                                package::answer(&ctx, &head, &requested.path).await?
                        {
                            return Ok(found);
                        }
                        file(&ctx, &head, &requested.path, entry).await
                    }
                    _ => Err(missing(&requested.path)),
                }
            }
        })
        .map(reply::any)
        .boxed()
}

/// The path a request means: that of the request to the proxy, if it came through one.
fn requested<B>(req: &Request<B>) -> Result<Requested, Error> {
    let Some((_, own)) = req.head.path.split_once(PROXY).filter(|(before, _)| {
        // a file may be called so
        before.starts_with("/api/")
    }) else {
        return parse(&req.head.path);
    };
    let original = req.head.headers.get(ORIGINAL_URI);
    let original = original.and_then(|uri| uri.to_str().ok());
    let path = original.and_then(|uri| uri.split('?').next());
    parse(path.unwrap_or(own))
}

fn parse(path: &str) -> Result<Requested, Error> {
    let raw = path.trim_start_matches('/');
    let raw = raw.strip_prefix("resources").unwrap_or(raw);
    ResourcePath::from_url(raw).map_err(|error| match error {
        crate::files::path::PathError::Empty => Error::refused(
            ErrorCode::NotFound,
            "The requested URL was not found on the server.",
        ),
        other => Error::bad_parameters(other.to_string()),
    })
}

fn missing(path: &ResourcePath) -> Error {
    Error::refused(
        ErrorCode::NotFound,
        format!("The requested resource {path} was not found"),
    )
}

async fn read(req: &Request) -> Result<Response, Error> {
    let Requested { path, is_directory } = requested(req)?;
    allow_reading(req, &path).await?;
    let mut paths = Vec::new();
    let mut last = path;
    // a worker looks in several places: all of them are one question
    for other in req.query().all("or").filter(|_| !is_directory) {
        let other = ResourcePath::parse(other);
        let other = other.map_err(|error| Error::bad_parameters(format!("or: {error}")))?;
        allow_reading(req, &other).await?;
        paths.push(std::mem::replace(&mut last, other));
    }
    let (path, manifest, position) = found(req, (&paths, &last)).await?;
    let response = match is_directory {
        true => directory(req, path, &manifest).await?,
        false => match plugin_of_blueprint(req, path, &manifest)? {
            Some(zip) => zip,
            None => file(&req.ctx, &req.head, path, manifest.get(path).copied()).await?,
        },
    };
    Ok(reply::at(response, position))
}

/// The first of several paths at which something lies, or else the last of them, with what lies
/// there and below, and its position. That there is nothing is believed only once this process
/// knows what others have appended: a file may have been put there through another manager just
/// now.
async fn found<'p>(
    req: &Request,
    (others, last): (&'p [ResourcePath], &'p ResourcePath),
) -> Result<(&'p ResourcePath, Manifest, Option<i64>), Error> {
    let paths = || others.iter().chain([last]);
    if let Some(found) = first(req, paths()).await? {
        return Ok(found);
    }
    let reached = req.ctx.reach(req.ctx.store.head().await?);
    // what is not reached in time is not waited for
    if tokio::time::timeout(PATIENCE, reached).await.is_ok()
        && let Some(found) = first(req, paths()).await?
    {
        return Ok(found);
    }
    let (manifest, position) = req.files(last).await?;
    Ok((last, manifest, position))
}

async fn first<'p>(
    req: &Request,
    paths: impl Iterator<Item = &'p ResourcePath>,
) -> Result<Option<(&'p ResourcePath, Manifest, Option<i64>)>, Error> {
    for path in paths {
        let (manifest, position) = req.files(path).await?;
        if manifest.get(path).is_some() || manifest.below(path).next().is_some() {
            return Ok(Some((path, manifest, position)));
        }
    }
    Ok(None)
}

/// A directory's index or archive.
async fn directory(
    req: &Request,
    path: &ResourcePath,
    manifest: &Manifest,
) -> Result<Response, Error> {
    let wants_archive = req
        .query()
        .get("archive")
        .is_some_and(|flag| !flag.is_empty());
    if wants_archive {
        let is_head = req.head.is_head;
        let archive = req.ctx.file_server.archive(manifest, path, is_head);
        if let Some(archive) = archive {
            return archive.map_err(Error::internal);
        }
        require_empty_workdir(req, path).await?;
        return empty_archive(req, path).await;
    }
    let index = match index_json(manifest, path) {
        Some(index) => index,
        None => {
            require_empty_workdir(req, path).await?;
            "{}".to_owned()
        }
    };
    let mut response = Response::new(index.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn file(
    ctx: &Context,
    head: &extract::Head,
    path: &ResourcePath,
    entry: Option<Entry>,
) -> Result<Response, Error> {
    let Some(entry) = entry else {
        return built_in(path).ok_or_else(|| missing(path));
    };
    let download = Download {
        entry: &entry,
        file_name: path.file_name(),
        headers: &head.headers,
        is_head: head.is_head,
    };
    ctx.file_server
        .file(download)
        .await
        .map_err(Error::internal)
}

/// `plugins/x.zip` of a blueprint that has a directory `plugins/x`: what workers and agents install
/// plugins from that come with a blueprint. A file that really is there goes before.
fn plugin_of_blueprint(
    req: &Request,
    path: &ResourcePath,
    manifest: &Manifest,
) -> Result<Option<Response>, Error> {
    let segments: Vec<&str> = path.segments().collect();
    let ["blueprints", _, _, "plugins", name] = segments.as_slice() else {
        return Ok(None);
    };
    if manifest.get(path).is_some() {
        return Ok(None);
    }
    let directory = name
        .strip_suffix(".zip")
        .and_then(|_| ResourcePath::parse(path.as_str().strip_suffix(".zip")?).ok());
    let zip = directory.and_then(|directory| {
        let server = &req.ctx.file_server;
        server.zipped(manifest, &directory, req.head.is_head)
    });
    zip.transpose().map_err(Error::internal)
}

/// The built-in types, where blueprints and tools look for them.
fn built_in(path: &ResourcePath) -> Option<Response> {
    let text = match path.segments().collect::<Vec<_>>().as_slice() {
        ["cloudify", "types", "types.yaml"] => BuiltIn::Latest.text(),
        ["spec", "cloudify", version, "types.yaml"]
        | ["cloudify", "types", "cache", version, "types.yaml"] => {
            BuiltIn::for_version(version).text()
        }
        _ => return None,
    };
    let mut response = Response::new(text.into());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Some(response)
}

/// A deployment that has stored nothing yet has a working directory all the same.
async fn require_empty_workdir(req: &Request, path: &ResourcePath) -> Result<(), Error> {
    let Class::Tenant {
        area: TenantArea::Deployments,
        tenant,
        item: Some(id),
    } = path.class()
    else {
        return Err(missing(path));
    };
    if path.segments().count() != 3 {
        return Err(missing(path));
    }
    let view = req.view().await?;
    let found = view.row(ViewName::Deployments, &scoped(tenant, id)).await?;
    drop(view.finish().await?);
    found.map(|_| ()).ok_or_else(|| missing(path))
}

/// An archive of nothing but its index.
async fn empty_archive(req: &Request, path: &ResourcePath) -> Result<Response, Error> {
    let files = vec![PackedFile {
        path: ResourcePath::parse(INDEX_NAME).map_err(Error::internal)?,
        mode: 0o644,
        mtime_s: 0,
        size_bytes: 2,
        content: Content::Bytes("{}".into()),
    }];
    let blobs = req.ctx.blobs.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let mut packed = Vec::new();
        pack(&blobs, PackFormat::TarGz, files, &mut packed).map(|()| packed)
    });
    let packed = packed
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)?;
    let mut response = Response::new(packed.into());
    let disposition = format!("attachment; filename=\"{}.tar.gz\"", path.file_name());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(http::header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Whether the caller may read what lies at a path as sent; for a proxy that serves it itself.
///
/// # Errors
/// 400 for a path that is none, 403, 404.
pub(super) async fn allow(req: &Request, path: &str) -> Result<(), Error> {
    allow_reading(req, &parse(path)?.path).await
}

/// Refuses who may not read a path.
async fn allow_reading(req: &Request, path: &ResourcePath) -> Result<(), Error> {
    match path.class() {
        Class::Shared | Class::Public => Ok(()),
        Class::Snapshot { .. } => req.caller.require(Permission::SnapshotDownload),
        Class::LogBundle { .. } => req.caller.require(Permission::LogBundleDownload),
        Class::Plugin { id } => allow_plugin(req, path, id).await,
        Class::Denied => Err(missing(path)),
        Class::Tenant { area, tenant, item } => {
            known_tenant(req, tenant, path)?;
            let inside = req.caller.in_tenant(tenant);
            match inside.require(Permission::FileServerAuth) {
                Ok(()) if inside.administers(tenant) => Ok(()),
                Ok(()) => allow_seen(req.view().await?, &inside, path).await,
                Err(refusal) => match (area, item) {
                    (TenantArea::Blueprints | TenantArea::UploadedBlueprints, Some(id))
                        if is_global(req, tenant, id).await? =>
                    {
                        Ok(())
                    }
                    _ => Err(refusal),
                },
            }
        }
    }
}

/// Files of a blueprint or deployment are for those who may see it; the directory of all of them is
/// for nobody else than the tenant's administrators. What has no row has no owner either.
async fn allow_seen(view: View, inside: &Caller, path: &ResourcePath) -> Result<(), Error> {
    let Class::Tenant { area, tenant, item } = path.class() else {
        return Ok(());
    };
    let of = match area {
        TenantArea::Blueprints | TenantArea::UploadedBlueprints => ViewName::Blueprints,
        TenantArea::Deployments => ViewName::Deployments,
        TenantArea::TenantResources => return Ok(()),
    };
    let row = match item {
        Some(id) => view.row(of, &scoped(tenant, id)).await?,
        None => return Err(missing(path)),
    };
    drop(view.finish().await?);
    match row {
        Some(row) if !inside.may_see(&row.owner) => Err(missing(path)),
        _ => Ok(()),
    }
}

/// Of a plugin may be read what `GET /plugins/{id}/archive` gives.
async fn allow_plugin(req: &Request, path: &ResourcePath, id: &str) -> Result<(), Error> {
    if req.caller.is_unbounded() {
        return Ok(());
    }
    req.caller.require(Permission::PluginDownload)?;
    let view = req.ctx.store.read(At::Now).await?;
    let row = req.caller.find(&view, ViewName::Plugins, id).await?;
    drop(view.finish().await?);
    row.map(|_| ()).ok_or_else(|| missing(path))
}

fn known_tenant<B>(req: &Request<B>, tenant: &str, path: &ResourcePath) -> Result<(), Error> {
    match req.ctx.directory.load().tenant(tenant) {
        Some(_) => Ok(()),
        None => Err(missing(path)),
    }
}

async fn is_global(req: &Request, tenant: &str, id: &str) -> Result<bool, Error> {
    let view = req.ctx.store.read(At::Now).await?;
    let row = view.row(ViewName::Blueprints, &scoped(tenant, id)).await?;
    drop(view.finish().await?);
    Ok(row.is_some_and(|row| row.owner.visibility.as_deref() == Some("global")))
}
