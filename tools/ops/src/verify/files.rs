//! File contents against the digests that the log names.
use std::path::{Path, PathBuf};

use clap::Args;
use stratalog::{
    files::{Digest, Error, blobs::BlobStore},
    log::verify::{Content, Fault, Files},
};

use crate::console;

/// Flags that say where file contents are.
#[derive(Debug, Args)]
pub(super) struct FileStore {
    /// The manager's data directory: file contents in it are verified, too.
    #[arg(long, env = "STRATALOG_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where file contents are, if not in the data directory: a directory or s3://bucket/prefix.
    #[arg(long, env = "STRATALOG_BLOB_STORE", value_name = "ADDRESS")]
    blob_store: Option<String>,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// File contents whose digest is right.
    pub(super) contents: usize,
    /// Their bytes.
    pub(super) size_bytes: u64,
    /// Contents that only former files had and that are gone.
    pub(super) former_missing: usize,
}

impl FileStore {
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The blob store; `None` when none is named.
    pub(super) fn open(&self) -> anyhow::Result<Option<BlobStore>> {
        let local = |dir: &PathBuf| dir.join("blobs").display().to_string();
        let address = self.blob_store.clone();
        let Some(address) = address.or_else(|| self.data_dir.as_ref().map(local)) else {
            return Ok(None);
        };
        let is_there = address.contains("://") || Path::new(&address).is_dir();
        anyhow::ensure!(is_there, "there is no blob store {address}");
        let spool = self.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Some(BlobStore::open_url(&address, &spool)?))
    }
}

/// Reads every content. Those of the resource directory have to be there; those of former files may
/// be gone, but not be others.
pub(super) async fn check(
    store: &BlobStore,
    files: &Files,
) -> anyhow::Result<(Seen, Option<Fault>)> {
    let (current, former) = (files.current(), files.former());
    let bar = console::bar("verifying files");
    bar.set_length(u64::try_from(current.len() + former.len())?);
    let mut seen = Seen::default();
    for content in &current {
        if let Some(fault) = one(store, content, &mut seen).await? {
            return Ok((seen, Some(fault)));
        }
        bar.inc(1);
    }
    for content in &former {
        match one(store, content, &mut seen).await? {
            Some(fault) if fault == content.missing() => seen.former_missing += 1,
            Some(fault) => return Ok((seen, Some(fault))),
            None => {}
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((seen, None))
}

async fn one(
    store: &BlobStore,
    content: &Content,
    seen: &mut Seen,
) -> anyhow::Result<Option<Fault>> {
    let digest = Digest::from_slice(&content.digest).expect("a hash has 32 bytes");
    match store.verify(&digest).await {
        Ok(size_bytes) => {
            seen.contents += 1;
            seen.size_bytes += size_bytes;
            Ok(None)
        }
        Err(Error::BlobMissing(_)) => Ok(Some(content.missing())),
        Err(Error::BlobDamaged { .. }) => Ok(Some(content.changed())),
        Err(error) => Err(error.into()),
    }
}
