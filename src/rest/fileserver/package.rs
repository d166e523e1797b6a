//! The package that hosts install their agent from: this very program, packed when it is first
//! asked for.
use std::{
    io,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, header};
use tokio_util::io::ReaderStream;
use warp::{Reply, reply::Response};

use crate::{context::Context, error::Error, files::path::ResourcePath, rest::extract::Head};

/// The program's name within the package.
const PROGRAM: &str = "stratalogd";

/// What a host of this manager's architecture asks for, as `uname -m` calls it.
fn name() -> String {
    format!("stratalog-agent-{}.tar.gz", std::env::consts::ARCH)
}

/// The package, if that is what is asked for.
pub(super) async fn answer(
    ctx: &Context,
    head: &Head,
    path: &ResourcePath,
) -> Result<Option<Response>, Error> {
    let name = name();
    if path.segments().collect::<Vec<_>>() != ["cloudify_agent", &name] {
        return Ok(None);
    }
    let program = match &ctx.settings.agent_program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(Error::internal)?,
    };
    let directory = ctx.settings.data_dir.join("packages");
    let packing = move || packed(&program, &directory);
    let packed = tokio::task::spawn_blocking(packing).await;
    let packed = packed.map_err(Error::internal)?.map_err(Error::internal)?;
    let file = tokio::fs::File::open(&packed).await;
    let file = file.map_err(Error::internal)?;
    let size_bytes = file.metadata().await.map_err(Error::internal)?.len();
    let mut response = match head.is_head {
        true => Response::new("".into()),
        false => warp::reply::stream(ReaderStream::new(file)).into_response(),
    };
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/gzip");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, size_bytes.into());
    Ok(Some(response))
}

/// Where the package is. It is made anew for every program, which its size and time of change tell
/// from another; whoever makes it at the same time makes the same.
fn packed(program: &Path, directory: &Path) -> io::Result<PathBuf> {
    let about = std::fs::metadata(program)?;
    let changed = about.modified()?.duration_since(std::time::UNIX_EPOCH);
    let changed_ms = changed.map_err(io::Error::other)?.as_millis();
    let path = directory.join(format!("agent-{}-{changed_ms}.tar.gz", about.len()));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(directory)?;
    let new = tempfile::NamedTempFile::new_in(directory)?;
    let mut archive = tar::Builder::new(GzEncoder::new(&new, Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(about.len());
    header.set_mode(0o755);
    archive.append_data(&mut header, PROGRAM, std::fs::File::open(program)?)?;
    archive.into_inner()?.finish()?;
    new.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}
