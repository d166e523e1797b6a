//! Plugins that a blueprint brings along in its directory `plugins`, or names the address of. They
//! belong to one deployment, and are installed on a worker when the first operation there needs
//! them.
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::{BUILD_LIMIT, below, build, lock_of, marked, python, remove};
use crate::worker::{interpreter::MARKER, operation::Job};

/// The version of a plugin that names none.
const NO_VERSION: &str = "0.0.0";
/// Says beside the marker where the plugin came from: another blueprint may bring another one.
const ORIGIN: &str = "plugin.source";

/// Installs the plugin of the job, unless it is installed. Nothing for one that has no source.
///
/// # Errors
/// What the operation that needs it fails with.
pub(in crate::worker) async fn provide(job: &Job, tenant: &str) -> Result<Option<PathBuf>, String> {
    let context = &job.task.context;
    let plugin = &context.plugin;
    let Some(source) = plugin.source.as_deref().filter(|source| !source.is_empty()) else {
        return Ok(None);
    };
    let name = plugin.name.as_deref().unwrap_or_default();
    let failed = |why: String| format!("Failed installing source plugin: {name} [{source}][{why}]");
    let deployment = context.deployment_id.as_deref().unwrap_or_default();
    let version = plugin.package_version.as_deref().unwrap_or(NO_VERSION);
    let root = job.worker.options.work_dir.join("source_plugins");
    let directory = below(&root, &[tenant, deployment, name, version])
        .ok_or_else(|| failed("its names cannot be those of directories".to_owned()))?;
    let marker = format!("source-{deployment}");
    let blueprint = context.blueprint_id.as_deref().unwrap_or_default();
    let origin = format!("{blueprint}\n{source}\n");

    let turn = job.worker.plugins.turn(&directory);
    let _turn = turn.lock().await;
    let lock = lock_of(&directory).await;
    let _lock = lock.map_err(|error| failed(error.to_string()))?;
    if marked(&directory).await.as_ref() == Some(&marker)
        && came_from(&directory).await.as_ref() == Some(&origin)
    {
        return Ok(Some(python(&directory)));
    }
    let made = tokio::time::timeout(BUILD_LIMIT, make(job, source, &directory)).await;
    let made = made.unwrap_or_else(|_| Err(anyhow::anyhow!("it took too long")));
    let made = match made {
        Ok(()) => mark(&directory, &origin, &marker).await,
        Err(error) => Err(error),
    };
    if let Err(error) = made {
        if let Err(error) = remove(&directory).await {
            warn!(directory = %directory.display(), %error, "half an environment is left");
        }
        return Err(failed(format!("{error:#}")));
    }
    info!(name, deployment, directory = %directory.display(), "installed a source plugin");
    Ok(Some(python(&directory)))
}

async fn came_from(directory: &Path) -> Option<String> {
    tokio::fs::read_to_string(directory.join(ORIGIN)).await.ok()
}

/// The marker comes last.
async fn mark(directory: &Path, origin: &str, marker: &str) -> anyhow::Result<()> {
    tokio::fs::write(directory.join(ORIGIN), origin).await?;
    tokio::fs::write(directory.join(MARKER), marker).await?;
    Ok(())
}

async fn make(job: &Job, source: &str, directory: &Path) -> anyhow::Result<()> {
    let worker = &job.worker;
    worker.residents.forget(&python(directory));
    remove(directory).await?;
    let scratch = tempfile::tempdir()?;
    let archive = scratch.path().join("archive");
    tokio::fs::write(&archive, fetch(job, source).await?).await?;
    let arguments = job.task.context.plugin.extra.get("install_arguments");
    let arguments = arguments.and_then(serde_json::Value::as_str);
    let plan = build::Plan {
        base: &worker.options.python,
        pythons: &[],
        directory,
        archive: &archive,
        kind: build::Kind::Source(arguments.unwrap_or_default()),
        scratch: scratch.path(),
    };
    plan.build().await
}

/// The archive of a source.
async fn fetch(job: &Job, source: &str) -> anyhow::Result<bytes::Bytes> {
    match source.split_once("://") {
        Some(("http" | "https", _)) => Ok(job.session.rest().fetch(source, None).await?),
        Some((scheme, _)) => anyhow::bail!("invalid scheme: {scheme}"),
        // managers pack the directory
        None => Ok(job
            .resources()
            .get(&format!("plugins/{source}.zip"))
            .await?),
    }
}
