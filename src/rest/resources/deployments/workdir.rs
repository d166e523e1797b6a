//! The working directory of a deployment as a zip.
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use stratalog_schema::events::File;

use crate::{
    clock,
    commands::deployments,
    context::Context,
    error::Error,
    files::{
        self,
        archive::{Limits, unpack_to_blobs},
        pack::{Content, PackFormat, PackedFile, pack},
        path::ResourcePath,
    },
    rest::Request,
};

/// A zip without entries, as some clients send it: they cut its last bytes.
const EMPTY_ZIP: &[u8] = b"PK\x05\x06";

/// Unpacks a zip into the blob store; gives its files.
///
/// # Errors
/// 400 when it is none.
pub(super) async fn unzipped(ctx: &Context, zip: &str) -> Result<Vec<File>, Error> {
    let refuse = |what: &dyn std::fmt::Display| {
        Error::bad_parameters(format!("workdir_zip cannot be unpacked: {what}"))
    };
    let zip = BASE64_STANDARD
        .decode(zip.trim())
        .map_err(|error| refuse(&error))?;
    if zip.is_empty() || zip.starts_with(EMPTY_ZIP) {
        return Ok(Vec::new());
    }
    let bytes_max = zip.len() as u64;
    let staged = ctx
        .blobs
        .stage_stream(
            futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(zip))]),
            bytes_max,
        )
        .await
        .map_err(Error::internal)?;
    let file = staged.open().map_err(Error::internal)?;
    let unpacked = unpack_to_blobs(file, Limits::default(), &ctx.blobs)
        .await
        .map_err(|error| match error {
            files::Error::Archive(error) => refuse(&error),
            other => Error::internal(other),
        })?;
    let now_ms = clock::now_ms();
    Ok(unpacked
        .files
        .into_iter()
        .map(|file| File {
            path: file.member.path.as_str().to_owned(),
            digest: file.stored.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(file.stored.size_bytes).unwrap_or(i64::MAX),
            mode: file.member.mode,
            modified_at_ms: file.member.mtime_us.map_or(now_ms, |us| us / 1000),
        })
        .collect())
}

/// The working directory packed.
///
/// # Errors
/// `Internal` when a file cannot be read.
pub(super) async fn zipped(req: &Request, tenant: &str, id: &str) -> Result<Vec<u8>, Error> {
    let tree = ResourcePath::parse(&deployments::tree(tenant, id)).map_err(Error::internal)?;
    let (manifest, _) = req.files(&tree).await?;
    let files: Vec<PackedFile> = manifest
        .below(&tree)
        .filter_map(|(path, entry)| {
            Some(PackedFile {
                path: ResourcePath::parse(path.below(&tree)?).ok()?,
                mode: entry.mode,
                mtime_s: entry.mtime_us.div_euclid(1_000_000),
                size_bytes: entry.size_bytes,
                content: Content::Blob(entry.digest),
            })
        })
        .collect();
    let blobs = req.ctx.blobs.clone();
    tokio::task::spawn_blocking(move || {
        let mut zip = Vec::new();
        pack(&blobs, PackFormat::Zip, files, &mut zip).map(|()| zip)
    })
    .await
    .map_err(Error::internal)?
    .map_err(Error::internal)
}
