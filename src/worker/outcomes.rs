//! Responses on disk. What an operation did must not be lost to a crash of the worker, and must not
//! be done again to get its result: a message that comes again gets the response that was kept,
//! whether it was sent before or not.
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tracing::warn;

use crate::broker::wire::{OperationTask, Response};

/// A response stays behind when another worker was given the message.
const UNSENT_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the sender may take to note that it was answered.
const SENT_KEPT: Duration = Duration::from_secs(3600);
const SENT: &str = "sent";
/// Responses between two looks at what has become old.
const SWEEP_EVERY: usize = 1_000;

/// Directories with one file per response: those that the broker has not confirmed, and below,
/// those that it has.
#[derive(Debug)]
pub(super) struct Outcomes {
    directory: PathBuf,
    sent: AtomicUsize,
}

/// Name of a kept response: the operation, and the token it was sent with. An execution that is
/// resumed has a new token, and then what failed is to be done again under the same id.
pub(super) fn key(task_id: &str, task: &OperationTask) -> String {
    format!("{task_id}-{}", token_digest(task))
}

/// What tells a token from others, and is none.
pub(super) fn token_digest(task: &OperationTask) -> String {
    let token = Sha256::digest(task.context.token().unwrap_or_default());
    hex::encode(token.get(..8).unwrap_or_default())
}

impl Outcomes {
    pub(super) async fn open(directory: PathBuf) -> std::io::Result<Self> {
        tokio::fs::create_dir_all(directory.join(SENT)).await?;
        remove_old(&directory, UNSENT_KEPT).await?;
        remove_old(&directory.join(SENT), SENT_KEPT).await?;
        Ok(Self {
            directory,
            sent: AtomicUsize::default(),
        })
    }

    /// On disk when this returns. A worker that cannot write goes on with what it has in memory.
    pub(super) async fn keep(&self, key: &str, response: &Response) {
        let Some(name) = file_name(key) else {
            return;
        };
        let path = self.directory.join(name);
        let body = response.to_body().to_string();
        let written = tokio::task::spawn_blocking(move || write_durably(&path, body.as_bytes()));
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(key, %error, "an operation's response is only in memory"),
            Err(error) => warn!(key, %error, "an operation's response is only in memory"),
        }
    }

    pub(super) async fn find(&self, key: &str) -> Option<Response> {
        let name = file_name(key)?;
        let content = match tokio::fs::read(self.directory.join(&name)).await {
            Ok(content) => content,
            Err(_) => tokio::fs::read(self.directory.join(SENT).join(&name))
                .await
                .ok()?,
        };
        match Response::parse(&content) {
            Ok(response) => Some(response),
            Err(error) => {
                warn!(key, %error, "a kept response is damaged");
                None
            }
        }
    }

    /// The broker has it, and the message it answers is gone.
    pub(super) async fn sent(&self, key: &str) {
        let Some(name) = file_name(key) else {
            return;
        };
        let sent = self.directory.join(SENT);
        let moved = tokio::fs::rename(self.directory.join(&name), sent.join(&name)).await;
        if let Err(error) = moved
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(key, %error, "a sent response is still kept as unsent");
        }
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        if count % SWEEP_EVERY == SWEEP_EVERY - 1
            && let Err(error) = remove_old(&sent, SENT_KEPT).await
        {
            warn!(%error, "old responses are still on disk");
        }
    }
}

/// Task ids come from messages; one that is no plain name is not kept.
fn file_name(key: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let valid = !key.is_empty() && key.len() <= 160 && key.chars().all(plain);
    valid.then(|| format!("{key}.json"))
}

async fn remove_old(directory: &Path, kept: Duration) -> std::io::Result<()> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let metadata = entry.metadata().await?;
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        if metadata.is_file() && age > kept {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

fn write_durably(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(parent)?.sync_all()
}
