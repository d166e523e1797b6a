//! Saved checkpoints: position and chain value, sealed with the manager's key where it is at hand,
//! so that whoever rewrites the log cannot write a checkpoint that goes with it.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use stratalog::{log::verify::Checkpoint, seal::Sealer};

/// What the seal is for: nothing sealed for another purpose passes.
const PURPOSE: &str = "checkpoint of the log";

/// Flags about checkpoints.
#[derive(Debug, Args)]
pub(super) struct Checkpoints {
    /// A file that an earlier run saved: the log must still hold what was verified then.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Save how far the log was verified, for later runs. Keep the file elsewhere.
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
    /// The manager's key, if not in its data directory: it seals checkpoints that are saved, and
    /// those given must have its seal.
    #[arg(long, env = "STRATALOG_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<String>,
}

/// What an earlier run left.
pub(super) enum Saved {
    /// Nothing was asked for.
    None,
    /// A checkpoint to verify against.
    Checkpoint(Checkpoint),
    /// Nobody with the manager's key saved it.
    Forged(&'static str),
}

fn sealed_text(checkpoint: &Checkpoint) -> String {
    format!("{} {}", checkpoint.position, checkpoint.chain)
}

impl Checkpoints {
    /// The manager's key: the one named, else that of the data directory when there is one.
    pub(super) fn key(&self, data_dir: Option<&Path>) -> anyhow::Result<Option<Sealer>> {
        let path = match (&self.key_file, data_dir) {
            (Some(path), _) => {
                anyhow::ensure!(path.exists(), "there is no key file {}", path.display());
                path.clone()
            }
            (None, Some(data_dir)) => data_dir.join("keys/master.key"),
            (None, None) => return Ok(None),
        };
        match path.exists() {
            true => Ok(Some(Sealer::load_or_create(&path)?)),
            false => Ok(None),
        }
    }

    /// The checkpoint to verify against.
    pub(super) fn read(&self, key: Option<&Sealer>) -> anyhow::Result<Saved> {
        let Some(path) = &self.checkpoint else {
            return Ok(Saved::None);
        };
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: File = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no saved checkpoint", path.display()))?;
        let Some(key) = key else {
            return Ok(Saved::Checkpoint(file.checkpoint));
        };
        let Some(seal) = &file.seal else {
            return Ok(Saved::Forged("is not sealed with the manager's key"));
        };
        let opened = hex::decode(seal).ok();
        let opened = opened.and_then(|seal| key.open(PURPOSE, &seal).ok());
        match opened {
            Some(text) if text == sealed_text(&file.checkpoint) => {
                Ok(Saved::Checkpoint(file.checkpoint))
            }
            _ => Ok(Saved::Forged("does not go with its seal")),
        }
    }

    /// Saves how far the log was verified.
    pub(super) fn save(&self, reached: &Checkpoint, key: Option<&Sealer>) -> anyhow::Result<()> {
        let Some(path) = &self.save_checkpoint else {
            return Ok(());
        };
        let seal = key.map(|key| hex::encode(key.seal(PURPOSE, &sealed_text(reached))));
        let file = File {
            checkpoint: reached.clone(),
            seal,
        };
        let text = serde_json::to_vec(&file)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
