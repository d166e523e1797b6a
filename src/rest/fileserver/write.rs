//! Storing and removing files under `/resources`: working directories of deployments, and what
//! administrators put into the directories meant for it.
use chrono::DateTime;
use stratalog_projections::At;
use stratalog_schema::events::File;

use super::{INDEX_NAME, allow_seen, known_tenant, missing, requested};
use crate::{
    auth::{Caller, Permission},
    clock, commands,
    error::{Error, ErrorCode},
    files::{
        self,
        archive::{Limits, unpack_to_blobs},
        blobs::Staged,
        path::{Class, ResourcePath, TenantArea},
    },
    rest::{Answer, BodyStream, Request, uploads},
};

/// Permission bits of stored files: working directories hold scripts, too.
const MODE: u32 = 0o755;

/// `PUT`: one file, or an archive to unpack.
pub(super) async fn put(req: Request<BodyStream>) -> Result<Answer, Error> {
    let target = requested(&req)?;
    let caller = writer(&req, &target.path)?;
    let view = req.ctx.clone().store.read(At::Now).await?;
    allow_seen(view, &caller, &target.path).await?;
    let is_extracted = req
        .query()
        .get("extract")
        .is_some_and(|flag| !flag.is_empty());
    let (req, staged, mtime) = match uploads::boundary(&req) {
        Some(boundary) => {
            let (req, mut form) = uploads::form(req, boundary).await?;
            let mtime = form.field("mtime").map(modified).transpose()?;
            if form.files.len() > 1 {
                return Err(Error::bad_parameters("Only one file can be stored by PUT"));
            }
            (req, form.files.pop().map(|(_, staged)| staged), mtime)
        }
        None => {
            let (req, staged) = uploads::whole(req).await?;
            (req, staged, None)
        }
    };
    let staged = match staged {
        Some(staged) => staged,
        None => empty(&req).await?,
    };
    if is_extracted {
        let directory = match target.is_directory {
            true => target.path,
            false => parent(&target.path)?,
        };
        extract(&req, &caller, &directory, staged).await?;
        return Ok(Answer::text("\"\""));
    }
    if target.is_directory {
        return Err(Error::bad_parameters(
            "A directory cannot be stored as a file",
        ));
    }
    store(&req, &caller, vec![(target.path, staged)], mtime).await?;
    Ok(Answer::text("\"\""))
}

/// `POST`: several files of a form into a directory.
pub(super) async fn post(req: Request<BodyStream>) -> Result<Answer, Error> {
    let target = requested(&req)?;
    let caller = writer(&req, &target.path)?;
    let view = req.ctx.clone().store.read(At::Now).await?;
    allow_seen(view, &caller, &target.path).await?;
    let none = || Error::refused(ErrorCode::UploadMissingFile, "No file was uploaded");
    let boundary = uploads::boundary(&req).ok_or_else(none)?;
    let (req, form) = uploads::form(req, boundary).await?;
    if form.files.is_empty() {
        return Err(none());
    }
    let mut files = Vec::with_capacity(form.files.len());
    for (name, staged) in form.files {
        let path = target.path.join(&name);
        files.push((
            path.map_err(|e| Error::bad_parameters(e.to_string()))?,
            staged,
        ));
    }
    store(&req, &caller, files, None).await?;
    Ok(Answer::text("\"\""))
}

/// `DELETE`: one file.
pub(super) async fn delete(req: &Request) -> Result<(), Error> {
    let target = requested(req)?;
    let caller = writer(req, &target.path)?;
    allow_seen(req.now().await?, &caller, &target.path).await?;
    if target.is_directory {
        return Err(Error::bad_parameters("A directory cannot be deleted"));
    }
    commands::files::remove(&req.ctx, &caller, &target.path).await
}

/// Who may write there: operators into working directories, managers into what belongs to their
/// tenant, administrators into what everybody shares. Everything else is the manager's own.
fn writer<B>(req: &Request<B>, path: &ResourcePath) -> Result<Caller, Error> {
    match path.class() {
        Class::Tenant {
            area,
            tenant,
            item: Some(_),
        } => {
            known_tenant(req, tenant, path)?;
            let inside = req.caller.in_tenant(tenant);
            let permission = match area {
                TenantArea::Deployments => Permission::DeploymentUpdate,
                TenantArea::TenantResources => Permission::Administrators,
                TenantArea::Blueprints | TenantArea::UploadedBlueprints => {
                    return Err(read_only(path));
                }
            };
            inside.require(permission)?;
            Ok(inside)
        }
        Class::Shared if path.as_str().starts_with("global-resources/") => {
            req.caller.require(Permission::CreateGlobalResource)?;
            Ok(req.caller.clone())
        }
        Class::Denied => Err(missing(path)),
        _ => Err(read_only(path)),
    }
}

fn read_only(path: &ResourcePath) -> Error {
    Error::refused(
        ErrorCode::Forbidden,
        format!("{path} cannot be changed through the file server"),
    )
}

fn modified(text: &str) -> Result<i64, Error> {
    let moment = DateTime::parse_from_rfc3339(text.trim());
    let moment = moment.map_err(|_| Error::bad_parameters(format!("`{text}` is not a time")))?;
    Ok(moment.timestamp_millis())
}

fn parent(path: &ResourcePath) -> Result<ResourcePath, Error> {
    let (directory, _) = path.as_str().rsplit_once('/').unwrap_or_default();
    ResourcePath::parse(directory).map_err(|_| missing(path))
}

async fn empty(req: &Request) -> Result<Staged, Error> {
    let nothing = futures::stream::empty::<Result<bytes::Bytes, std::io::Error>>();
    let staged = req.ctx.blobs.stage_stream(nothing, 0).await;
    staged.map_err(Error::internal)
}

async fn store(
    req: &Request,
    caller: &Caller,
    files: Vec<(ResourcePath, Staged)>,
    mtime: Option<i64>,
) -> Result<(), Error> {
    let modified_at_ms = mtime.unwrap_or_else(clock::now_ms);
    let mut named = Vec::with_capacity(files.len());
    let mut staged = Vec::with_capacity(files.len());
    for (path, content) in files {
        let stored = content.stored();
        named.push(File {
            path: path.as_str().to_owned(),
            digest: stored.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(stored.size_bytes).map_err(Error::internal)?,
            mode: MODE,
            modified_at_ms,
        });
        staged.push(content);
    }
    let committed = req.ctx.blobs.commit(staged).await;
    committed.map_err(Error::internal)?;
    commands::files::store(&req.ctx, caller, named).await
}

async fn extract(
    req: &Request,
    caller: &Caller,
    directory: &ResourcePath,
    staged: Staged,
) -> Result<(), Error> {
    let file = staged.open().map_err(Error::internal)?;
    let unpacked = unpack_to_blobs(file, Limits::default(), &req.ctx.blobs)
        .await
        .map_err(|error| match error {
            files::Error::Archive(error) => Error::bad_parameters(error.to_string()),
            other => Error::internal(other),
        })?;
    let now_ms = clock::now_ms();
    let mut named = Vec::with_capacity(unpacked.files.len());
    for file in unpacked.files {
        if file.member.path.as_str() == INDEX_NAME {
            continue;
        }
        let path = directory.join(file.member.path.as_str());
        let path = path.map_err(|error| Error::bad_parameters(error.to_string()))?;
        named.push(File {
            path: path.as_str().to_owned(),
            digest: file.stored.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(file.stored.size_bytes).map_err(Error::internal)?,
            mode: file.member.mode,
            modified_at_ms: file.member.mtime_us.map_or(now_ms, |us| us / 1000),
        });
    }
    commands::files::store(&req.ctx, caller, named).await
}
