//! Plugins on this worker: one virtual environment for each version of a managed one, and one for
//! each deployment that brings its own, made when the first operation needs it or somebody asks for
//! it. A directory counts once its marker names the plugin;
//! everything else in its place is rubbish of an installation that did not end.
mod build;
mod source;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tracing::{info, warn};

use super::{
    Worker,
    interpreter::MARKER,
    operation::Job,
    rest::{RestError, Session},
    script::Done,
};
use crate::{
    broker::wire::{Response, TaskError},
    dsl::imports::Version,
};

pub(super) use source::provide as provide_source;

/// How long making an environment may take.
const BUILD_LIMIT: Duration = Duration::from_secs(1_800);

/// What of a plugin its installation needs, as `GET /plugins` tells it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Managed {
    pub(super) id: String,
    package_name: String,
    package_version: String,
    supported_platform: Option<String>,
    supported_py_versions: Option<Vec<String>>,
}

/// Whose turn it is to install into which directory.
#[derive(Debug, Default)]
pub(super) struct Installer {
    turns: Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>,
}

impl Installer {
    fn turn(&self, directory: &Path) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(directory.to_owned()).or_default().clone()
    }
}

/// Where the plugins of a tenant are installed.
pub(super) fn directory(root: &Path, tenant: &str) -> PathBuf {
    root.join("plugins").join(tenant)
}

/// The directory of these names; nothing for names that lead elsewhere.
fn below(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let is_plain = |name: &&str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let path = || {
        names
            .iter()
            .fold(root.to_owned(), |path, name| path.join(name))
    };
    names.iter().all(is_plain).then(path)
}

/// The interpreter of an environment.
pub(super) fn python(directory: &Path) -> PathBuf {
    directory.join("bin/python")
}

/// Installs the uploaded plugin that fits best, unless it is installed. Nothing when none fits.
///
/// # Errors
/// What the operation that needs it fails with.
pub(super) async fn provide(
    worker: &Worker,
    session: &Session,
    tenant: &str,
    (package, version): (&str, Option<&str>),
) -> Result<Option<PathBuf>, String> {
    let best = uploaded(session, (package, version))
        .await?
        .into_iter()
        .max_by_key(|plugin| (plugin.runs_here(), Version::parse(&plugin.package_version)));
    match best {
        None => Ok(None),
        Some(plugin) => install(worker, session, tenant, &plugin).await.map(Some),
    }
}

impl Managed {
    fn runs_here(&self) -> bool {
        match self.supported_platform.as_deref() {
            None | Some("any") => true,
            Some(platform) => {
                platform.starts_with("manylinux")
                    || platform == format!("linux_{}", std::env::consts::ARCH)
            }
        }
    }

    /// Where it is installed; nothing for names that lead elsewhere.
    fn directory(&self, root: &Path, tenant: &str) -> Option<PathBuf> {
        let names = [tenant, &self.package_name, &self.package_version];
        below(&root.join("plugins"), &names)
    }
}

/// Makes a plugin's environment, and tells the manager how it goes. Gives its interpreter.
///
/// # Errors
/// What the operation that needs it fails with.
pub(super) async fn install(
    worker: &Worker,
    session: &Session,
    tenant: &str,
    plugin: &Managed,
) -> Result<PathBuf, String> {
    let failed = |why: String| {
        format!(
            "Failed installing managed plugin: {} [{}][{why}]",
            plugin.id, plugin.package_name
        )
    };
    let directory = plugin
        .directory(&worker.options.work_dir, tenant)
        .ok_or_else(|| failed("its names cannot be those of directories".to_owned()))?;
    let turn = worker.plugins.turn(&directory);
    let _turn = turn.lock().await;
    let lock = lock_of(&directory).await;
    let _lock = lock.map_err(|error| failed(error.to_string()))?;
    if marked(&directory).await.as_ref() == Some(&plugin.id) {
        report(worker, session, plugin, ("installed", None))
            .await
            .map_err(|error| failed(error.to_string()))?;
        return Ok(python(&directory));
    }
    report(worker, session, plugin, ("installing", None))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let built = tokio::time::timeout(BUILD_LIMIT, make(worker, session, plugin, &directory)).await;
    let built = built.unwrap_or_else(|_| Err(anyhow::anyhow!("it took too long")));
    let Err(error) = built else {
        report(worker, session, plugin, ("installed", None))
            .await
            .map_err(|error| failed(error.to_string()))?;
        info!(plugin = %plugin.id, directory = %directory.display(), "installed a plugin");
        return Ok(python(&directory));
    };
    let why = format!("{error:#}");
    warn!(plugin = %plugin.id, why, "a plugin cannot be installed");
    if let Err(error) = remove(&directory).await {
        warn!(directory = %directory.display(), %error, "half an environment is left");
    }
    if let Err(error) = report(worker, session, plugin, ("error", Some(&why))).await {
        warn!(plugin = %plugin.id, %error, "the manager does not learn of a failed installation");
    }
    Err(failed(why))
}

async fn make(
    worker: &Worker,
    session: &Session,
    plugin: &Managed,
    directory: &Path,
) -> anyhow::Result<()> {
    remove(directory).await?;
    let scratch = tempfile::tempdir()?;
    let wagon = scratch.path().join("archive.wgn");
    session
        .download(&["plugins", &plugin.id, "archive"], &wagon)
        .await?;
    let plan = build::Plan {
        base: &worker.options.python,
        pythons: plugin.supported_py_versions.as_deref().unwrap_or_default(),
        directory,
        archive: &wagon,
        kind: build::Kind::Wagon,
        scratch: scratch.path(),
    };
    plan.build().await?;
    worker.residents.forget(&python(directory));
    tokio::fs::write(directory.join(MARKER), &plugin.id).await?;
    Ok(())
}

/// Other workers on this machine wait as well.
async fn lock_of(directory: &Path) -> anyhow::Result<Flock<std::fs::File>> {
    let path = lock_path(directory);
    tokio::task::spawn_blocking(move || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    })
    .await?
}

fn lock_path(directory: &Path) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// The plugin whose finished environment this is.
async fn marked(directory: &Path) -> Option<String> {
    let text = tokio::fs::read_to_string(directory.join(MARKER))
        .await
        .ok()?;
    Some(text.trim().to_owned())
}

async fn remove(directory: &Path) -> std::io::Result<()> {
    // first the marker: what is half removed is no environment
    for gone in [
        tokio::fs::remove_file(directory.join(MARKER)).await,
        tokio::fs::remove_dir_all(directory).await,
    ] {
        match gone {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

async fn report(
    worker: &Worker,
    session: &Session,
    plugin: &Managed,
    (state, error): (&str, Option<&str>),
) -> Result<(), RestError> {
    let reporter = if worker.options.is_agent() {
        "agent"
    } else {
        "manager"
    };
    let body = json!({"state": state, reporter: worker.options.name, "error": error});
    session.put(&["plugins", &plugin.id], &body).await.map(drop)
}

/// Installs or removes the managed plugins that an operation lists in its argument `plugins`. Those
/// that come with the worker or from a blueprint are left to the operations that need them.
pub(super) async fn listed(job: &Job, is_install: bool) -> Done {
    let listed = job.task.inputs.get("plugins").and_then(Value::as_array);
    for plugin in listed.into_iter().flatten() {
        let text = |key: &str| plugin.get(key).and_then(Value::as_str);
        let Some(package) = text("package_name") else {
            continue;
        };
        let version = text("package_version");
        let work = async {
            if is_install {
                let tenant = text("tenant_name").unwrap_or(&job.task.context.tenant.name);
                let wanted = (package, version);
                return provide(&job.worker, &job.session, tenant, wanted)
                    .await
                    .map(drop);
            }
            for found in uploaded(&job.session, (package, version)).await? {
                uninstall(&job.worker, &job.session, &found).await;
            }
            Ok(())
        };
        match job.kill.run_until_cancelled(work).await {
            None => return Done::Killed,
            Some(Err(why)) => return TaskError::non_recoverable(why).into(),
            Some(Ok(())) => {}
        }
    }
    Done::Response(Response::Ok(Value::Null))
}

async fn uploaded(
    session: &Session,
    (package, version): (&str, Option<&str>),
) -> Result<Vec<Managed>, String> {
    let mut query = vec![("package_name", package)];
    query.extend(version.map(|version| ("package_version", version)));
    let found = session.get(&["plugins"], &query).await;
    let mut found = found.map_err(|error| format!("The manager's plugins are unknown: {error}"))?;
    let items = found.get_mut("items").map(Value::take).unwrap_or_default();
    serde_json::from_value(items).map_err(|error| error.to_string())
}

/// Removes the environments of a plugin, of whichever tenant.
pub(super) async fn uninstall(worker: &Worker, session: &Session, plugin: &Managed) {
    let root = worker.options.work_dir.join("plugins");
    let mut tenants = match tokio::fs::read_dir(&root).await {
        Ok(tenants) => tenants,
        Err(error) => return warn!(%error, "no plugin is installed here"),
    };
    while let Ok(Some(tenant)) = tenants.next_entry().await {
        let tenant = tenant.file_name().to_string_lossy().into_owned();
        let Some(directory) = plugin.directory(&worker.options.work_dir, &tenant) else {
            continue;
        };
        let turn = worker.plugins.turn(&directory);
        let _turn = turn.lock().await;
        if marked(&directory).await.as_ref() != Some(&plugin.id) {
            continue;
        }
        worker.residents.forget(&python(&directory));
        match remove(&directory).await {
            Ok(()) => info!(plugin = %plugin.id, tenant, "removed a plugin"),
            Err(error) => warn!(plugin = %plugin.id, tenant, %error, "a plugin was not removed"),
        }
        // whoever waits for it makes it anew
        let _ = tokio::fs::remove_file(lock_path(&directory)).await;
    }
    match report(worker, session, plugin, ("uninstalled", None)).await {
        Err(error) if !error.is_not_found() => {
            warn!(plugin = %plugin.id, %error, "the manager does not learn that a plugin is gone");
        }
        Ok(()) | Err(_) => {}
    }
}
