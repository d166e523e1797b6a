//! `/blueprints/{id}/icon`
use std::sync::Arc;

use stratalog_projections::views::blueprints::Blueprint;
use stratalog_schema::events::File;
use warp::Filter;

use super::changed;
use crate::{
    auth::Permission,
    clock,
    commands::{
        self,
        blueprints::{MODEL, tree},
    },
    context::Context,
    error::Error,
    files::{blobs::Staged, path::ResourcePath},
    rest::{Answer, BodyStream, Request, Route, Segment, extract, reply, uploads},
};

/// What an image of that kind begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Largest icon.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const NAME: &str = "icon.png";
const MODE: u32 = 0o644;

/// `PATCH /blueprints/{id}/icon`: a PNG; nothing takes the icon away.
pub(super) fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "icon")
        .and(warp::patch())
        .and(extract::upload(ctx))
        .then(
            async |Segment(id): Segment, req: Result<Request<BodyStream>, Error>| {
                put(req?, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

async fn put(req: Request<BodyStream>, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::BlueprintUpload)?;
    let view = req.ctx.store.read(stratalog_projections::At::Now).await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    let blueprint: Blueprint = row.resource()?;
    drop(view.finish().await?);
    let directory = ResourcePath::parse(&tree(&blueprint.tenant_name, id));
    let path = directory.and_then(|directory| directory.join(NAME));
    let path = path.map_err(Error::internal)?;
    let (req, staged) = uploads::whole(req).await?;
    match staged.filter(|staged| staged.stored().size_bytes > 0) {
        Some(staged) => store(&req, &path, staged).await?,
        None => commands::files::remove(&req.ctx, &req.caller, &path).await?,
    }
    changed(&req, id).await
}

async fn store(req: &Request, path: &ResourcePath, staged: Staged) -> Result<(), Error> {
    let stored = staged.stored();
    if stored.size_bytes > BYTES_MAX {
        return Err(Error::bad_parameters(format!(
            "An icon has at most {BYTES_MAX} bytes"
        )));
    }
    let mut file = staged.open().map_err(Error::internal)?;
    let begins = tokio::task::spawn_blocking(move || {
        let mut begins = [0; PNG.len()];
        let read = std::io::Read::read_exact(&mut file, &mut begins);
        read.map(|()| begins == *PNG).unwrap_or(false)
    });
    if !begins.await.map_err(Error::internal)? {
        return Err(Error::bad_parameters("An icon must be a PNG image"));
    }
    let file = File {
        path: path.as_str().to_owned(),
        digest: stored.digest.as_bytes().to_vec(),
        size_bytes: i64::try_from(stored.size_bytes).map_err(Error::internal)?,
        mode: MODE,
        modified_at_ms: clock::now_ms(),
    };
    let committed = req.ctx.blobs.commit(vec![staged]).await;
    committed.map_err(Error::internal)?;
    commands::files::store(&req.ctx, &req.caller, vec![file]).await
}
