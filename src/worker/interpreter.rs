//! Which interpreter an operation is run with: the worker's own, or the one of its plugin's
//! environment, which is made when the first operation needs it.
use std::path::{Path, PathBuf};

use super::{Worker, operation::Job, plugins};
use crate::{broker::wire::OperationContext, dsl::imports::Version};

/// Plugins that come with the worker's own interpreter.
const OWN_PLUGINS: [&str; 8] = [
    "agent",
    "diamond",
    "script",
    "cfy_extensions",
    "default_workflows",
    "worker_installer",
    "cloudify_system_workflows",
    "agent_installer",
];
/// Only a finished installation has it; it holds the plugin's id.
pub(super) const MARKER: &str = "plugin.id";

/// The interpreter that has the job's plugin.
///
/// # Errors
/// Why there is none: what the operation fails with.
pub(super) async fn find(job: &Job) -> Result<PathBuf, String> {
    let context = &job.task.context;
    if let Some(python) = known(&job.worker, context).await {
        return Ok(python);
    }
    let plugin = &context.plugin;
    let wanted = plugin.package_name.as_deref();
    let version = plugin.package_version.as_deref();
    if let Some(package) = wanted
        && let Some(python) = plugins::provide(
            &job.worker,
            &job.session,
            tenant(context),
            (package, version),
        )
        .await?
    {
        return Ok(python);
    }
    let brought = plugins::provide_source(job, tenant(context)).await?;
    brought.ok_or_else(|| {
        format!(
            "No source or managed plugin found for {} [current platform=linux_{}]",
            plugin.name.as_deref().unwrap_or_default(),
            std::env::consts::ARCH
        )
    })
}

/// Whose directory the plugin is in.
fn tenant(context: &OperationContext) -> &str {
    let of_plugin = context.plugin.tenant_name.as_deref();
    of_plugin.unwrap_or(&context.tenant.name)
}

/// What is there already.
async fn known(worker: &Worker, context: &OperationContext) -> Option<PathBuf> {
    let plugin = &context.plugin;
    let name = plugin.name.as_deref().unwrap_or_default();
    if name.is_empty() || OWN_PLUGINS.contains(&name) {
        return Some(worker.options.python.clone());
    }
    let root = &worker.options.work_dir;
    let tenant = tenant(context);
    if let Some(package) = &plugin.package_name {
        let versions = plugins::directory(root, tenant).join(package);
        let managed = match &plugin.package_version {
            Some(version) => Some(versions.join(version)),
            None => newest(&versions).await,
        };
        if let Some(python) = installed(managed).await {
            return Some(python);
        }
    }
    None
}

async fn installed(directory: Option<PathBuf>) -> Option<PathBuf> {
    let directory = directory?;
    let is_marked = tokio::fs::try_exists(directory.join(MARKER)).await;
    is_marked
        .unwrap_or(false)
        .then(|| plugins::python(&directory))
}

/// The directory of the newest finished installation, as Python packages order their versions.
pub(super) async fn newest(versions: &Path) -> Option<PathBuf> {
    let mut found = tokio::fs::read_dir(versions).await.ok()?;
    let mut newest: Option<(Option<Version>, PathBuf)> = None;
    while let Ok(Some(entry)) = found.next_entry().await {
        let path = entry.path();
        if installed(Some(path.clone())).await.is_none() {
            continue;
        }
        let version = Version::parse(&entry.file_name().to_string_lossy());
        if newest.as_ref().is_none_or(|(best, _)| version > *best) {
            newest = Some((version, path));
        }
    }
    newest.map(|(_, path)| path)
}
