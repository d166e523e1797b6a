//! Archives that only a row names: snapshots and bundles for support. They are contents of the blob
//! store beside the resource directory, so no snapshot contains one.
use stratalog_projections::{
    At, ListQuery, Scope, View,
    views::{log_bundles::LogBundle, snapshots::Snapshot},
};
use tokio::sync::Mutex;

use crate::{
    context::Context,
    error::Error,
    files::{Digest, manifest::Entry},
    snapshot,
};

/// Held while archives are committed and named, or found to be named by nobody and removed: the
/// same content may belong to two rows.
pub(super) static ARCHIVES: Mutex<()> = Mutex::const_new(());

/// A file for downloads of the archive with this digest (in hexadecimal) from this moment
/// (milliseconds since the epoch); nothing when it is not on this manager.
///
/// # Errors
/// A digest that is none; the blob store's.
pub(super) async fn entry(
    ctx: &Context,
    digest: &str,
    created_at_ms: i64,
) -> Result<Option<Entry>, Error> {
    let digest: Digest = digest.parse().map_err(Error::internal)?;
    // the row of a restored manager may speak of an archive that stayed behind
    let stored = ctx.blobs.size_bytes(&digest).await;
    let stored = stored.map_err(Error::internal)?;
    Ok(stored.map(|size_bytes| Entry {
        digest,
        size_bytes,
        mode: 0o600,
        mtime_us: created_at_ms * 1_000,
    }))
}

/// Removes an archive that no row and no file names any more. Under [`ARCHIVES`].
///
/// # Errors
/// A digest that is none; database errors, and the blob store's.
pub(super) async fn remove(ctx: &Context, archive: Option<String>) -> Result<(), Error> {
    let Some(archive) = archive else {
        return Ok(());
    };
    let view = ctx.store.read(At::Now).await?;
    let snapshots = ListQuery::all(View::Snapshots, Scope::Everything);
    let snapshots: Vec<Snapshot> = view.select_as(&snapshots).await?;
    let bundles = ListQuery::all(View::LogBundles, Scope::Everything);
    let bundles: Vec<LogBundle> = view.select_as(&bundles).await?;
    let digest: Digest = archive.parse().map_err(Error::internal)?;
    let is_file = snapshot::is_content_of_files(view.client(), &digest).await?;
    drop(view.finish().await?);
    let snapshots = snapshots
        .into_iter()
        .map(|other| other.taken.archive_digest);
    let bundles = bundles.into_iter().map(|other| other.own.archive_digest);
    let is_named = snapshots
        .chain(bundles)
        .any(|named| named.as_ref() == Some(&archive));
    if is_file || is_named {
        return Ok(());
    }
    ctx.blobs.remove(&digest).await.map_err(Error::internal)
}
