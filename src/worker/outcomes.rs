//! Responses on disk between the end of an operation and the broker's confirmation. What an
//! operation did must not be lost to a crash of the worker, and must not be done again to get its
//! result.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::warn;

use crate::broker::wire::Response;

const KEPT_AT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A directory with one file per unsent response.
#[derive(Debug)]
pub(super) struct Outcomes {
    directory: PathBuf,
}

impl Outcomes {
    pub(super) async fn open(directory: PathBuf) -> std::io::Result<Self> {
        tokio::fs::create_dir_all(&directory).await?;
        remove_old(&directory).await?;
        Ok(Self { directory })
    }

    /// On disk when this returns. A worker that cannot write goes on with what it has in memory.
    pub(super) async fn keep(&self, task_id: &str, response: &Response) {
        let Some(path) = self.path(task_id) else {
            return;
        };
        let body = response.to_body().to_string();
        let written = tokio::task::spawn_blocking(move || write_durably(&path, body.as_bytes()));
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(task_id, %error, "an operation's response is only in memory"),
            Err(error) => warn!(task_id, %error, "an operation's response is only in memory"),
        }
    }

    pub(super) async fn find(&self, task_id: &str) -> Option<Response> {
        let content = tokio::fs::read(self.path(task_id)?).await.ok()?;
        match Response::parse(&content) {
            Ok(response) => Some(response),
            Err(error) => {
                warn!(task_id, %error, "a kept response is damaged");
                None
            }
        }
    }

    pub(super) async fn forget(&self, task_id: &str) {
        let Some(path) = self.path(task_id) else {
            return;
        };
        if let Err(error) = tokio::fs::remove_file(path).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(task_id, %error, "a sent response is still on disk");
        }
    }

    /// Task ids come from messages; one that is no plain name is not kept.
    fn path(&self, task_id: &str) -> Option<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let valid = !task_id.is_empty() && task_id.len() <= 128 && task_id.chars().all(plain);
        valid.then(|| self.directory.join(format!("{task_id}.json")))
    }
}

/// A response stays behind when another worker was given the message; nobody asks for it any more.
async fn remove_old(directory: &Path) -> std::io::Result<()> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let age = entry
            .metadata()
            .await?
            .modified()?
            .elapsed()
            .unwrap_or_default();
        if age > KEPT_AT_MOST {
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
