//! The archive of a blueprint in the resource directory.
use std::io::Read;

use stratalog_projections::At;
use stratalog_schema::{
    Category, Event, StreamId,
    events::{File, FilesStored},
};

use super::uploaded_tree;
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::visibility,
    context::Context,
    error::Error,
    files::{archive::Format, blobs::Staged},
    store::Decision,
};

/// Enough to recognise an archive.
const HEAD_BYTES: u64 = 512;
/// Permission bits of stored archives.
const MODE: u32 = 0o644;

/// An archive whose content is in the blob store, not yet in the log.
#[derive(Debug, Clone)]
pub(crate) struct StoredArchive {
    tree: String,
    file: File,
}

/// Recognises an archive and puts its content into the blob store.
///
/// # Errors
/// 400 for what is no archive.
pub(crate) async fn store(
    ctx: &Context,
    tenant: &str,
    id: &str,
    staged: Staged,
) -> Result<StoredArchive, Error> {
    let stored = staged.stored();
    let (staged, format) = tokio::task::spawn_blocking(move || {
        let format = detect(&staged);
        (staged, format)
    })
    .await
    .map_err(Error::internal)?;
    let format = format.map_err(Error::internal)?.ok_or_else(|| {
        Error::bad_parameters(
            "Blueprint archive is of an unrecognized format. Supported formats are: zip, tar, \
             tar.gz, tar.bz2",
        )
    })?;
    ctx.blobs
        .commit(vec![staged])
        .await
        .map_err(Error::internal)?;
    let tree = uploaded_tree(tenant, id);
    Ok(StoredArchive {
        file: File {
            path: format!("{tree}/{id}.{}", format.extension()),
            digest: stored.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(stored.size_bytes).map_err(Error::internal)?,
            mode: MODE,
            modified_at_ms: clock::now_ms(),
        },
        tree,
    })
}

fn detect(staged: &Staged) -> std::io::Result<Option<Format>> {
    let mut head = Vec::with_capacity(512);
    staged.open()?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(Format::detect(&head))
}

/// Adds the archive to the resource directory.
pub(crate) fn stored(decision: &mut Decision, archive: &StoredArchive) {
    decision.event(
        StreamId::global(Category::Files, &archive.tree),
        Event::FilesStored(FilesStored {
            files: vec![archive.file.clone()],
        }),
    );
}

/// Stores the archive of a blueprint that is being uploaded by a workflow elsewhere.
///
/// # Errors
/// 400 for what is no archive, 403, 404.
pub async fn put_archive(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    staged: Staged,
) -> Result<(), Error> {
    caller.require(Permission::BlueprintUpload)?;
    let tenant = caller.tenant()?.to_owned();
    let view = ctx.store.read(At::Now).await?;
    visibility::own(caller, &view, super::MODEL, id).await?;
    drop(view.finish().await?);
    let archive = store(ctx, &tenant, id, staged).await?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            // what a blueprint of somebody else's tenant holds is theirs, and a private one's, too
            visibility::own(caller, view, super::MODEL, id).await?;
            let mut decision = Decision::nothing();
            super::remove_tree(&mut decision, &archive.tree);
            stored(&mut decision, &archive);
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
