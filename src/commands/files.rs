//! Files of the resource directory that people and workers put there themselves.
use stratalog_projections::views::files::tree;
use stratalog_schema::{
    Category, Event, StreamId,
    events::{File, FilesRemoved, FilesStored},
};

use crate::{
    auth::Caller,
    context::Context,
    error::{Error, ErrorCode},
    files::path::ResourcePath,
    log::{Append, NewEvent},
};

/// Files named in one event.
const FILES_PER_EVENT: usize = 10_000;

/// Stores files whose content is in the blob store already.
///
/// # Errors
/// 409 where a directory has the name of a file, or the other way round; database errors.
pub async fn store(ctx: &Context, caller: &Caller, files: Vec<File>) -> Result<(), Error> {
    let current = ctx.files.load();
    for file in &files {
        let path = ResourcePath::parse(&file.path).map_err(Error::internal)?;
        if let Some(other) = current.manifest.conflict(&path) {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("{path} cannot be stored: there is {other}"),
            ));
        }
    }
    let Some(stream) = files.first().map(|file| stream(&file.path)) else {
        return Ok(());
    };
    let events = files.chunks(FILES_PER_EVENT).map(|files| {
        let stored = FilesStored {
            files: files.to_vec(),
        };
        NewEvent::new(stream.clone(), Event::FilesStored(stored))
    });
    append(ctx, caller, events.collect()).await
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// Database errors.
pub async fn remove(ctx: &Context, caller: &Caller, path: &ResourcePath) -> Result<(), Error> {
    if ctx.files.get(path).is_none() {
        return Ok(());
    }
    let removed = FilesRemoved {
        paths: vec![path.as_str().to_owned()],
        prefixes: Vec::new(),
    };
    let event = NewEvent::new(stream(path.as_str()), Event::FilesRemoved(removed));
    append(ctx, caller, vec![event]).await
}

fn stream(path: &str) -> StreamId {
    StreamId::global(Category::Files, tree(path))
}

async fn append(ctx: &Context, caller: &Caller, events: Vec<NewEvent>) -> Result<(), Error> {
    let append = Append {
        meta: caller.meta(),
        events,
        ..Append::default()
    };
    ctx.store.append(append).await?;
    Ok(())
}
