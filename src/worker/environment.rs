//! The working directory and the environment of the processes that operations run in.
use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use tokio::process::Command;
use url::Url;

use super::{Error, Options, Worker, python, text};
use crate::broker::wire::OperationContext;

/// Settings of our own process, which may hold passwords.
const OWN_PREFIX: &str = "STRATALOG_";
const COMMAND_DIR: &str = "bin";
const LOG_DIR: &str = "logs";
const RESOURCES_DIR: &str = "resources";
const LIBRARY_DIR: &str = "library";
/// Stands in for the CA file that the library wants to exist even when it speaks plain HTTP.
const NO_CA_FILE: &str = "no_authorities.pem";

/// Makes the directories and the `ctx` command.
pub(super) async fn prepare(options: &Options) -> Result<(), Error> {
    let root = &options.work_dir;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::WorkDir { path, source }
    };
    for name in [COMMAND_DIR, LOG_DIR, RESOURCES_DIR] {
        let path = root.join(name);
        tokio::fs::create_dir_all(&path)
            .await
            .map_err(failed(&path))?;
    }
    let empty = root.join(NO_CA_FILE);
    tokio::fs::write(&empty, "").await.map_err(failed(&empty))?;
    if !options.is_agent() {
        let library = root.join(LIBRARY_DIR);
        let prepared = python::prepare(&library).await;
        prepared.map_err(failed(&library))?;
    }
    let link = root.join(COMMAND_DIR).join("ctx");
    let command = match &options.ctx_command {
        Some(command) => command.clone(),
        None => std::env::current_exe().map_err(failed(&link))?,
    };
    match tokio::fs::remove_file(&link).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(&link)(error));
        }
        Ok(()) | Err(_) => {}
    }
    tokio::fs::symlink(command, &link)
        .await
        .map_err(failed(&link))
}

/// Takes our own settings out of a process's environment.
pub(super) fn hide_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OWN_PREFIX) {
            command.env_remove(name);
        }
    }
}

/// The whole environment that a command would get. What is no UTF-8 cannot be told and is left out.
pub(super) fn of(command: &Command) -> HashMap<String, String> {
    let mut all: HashMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => all.insert(name.to_owned(), value.to_owned()),
            None => all.remove(name),
        };
    }
    all.into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Worker {
    pub(super) fn log_dir(&self) -> PathBuf {
        self.options.work_dir.join(LOG_DIR)
    }

    /// What every operation's process gets: our environment without our own settings, what the
    /// execution adds, and the `ctx` command first in the path.
    pub(super) fn environment(&self, command: &mut Command, context: &OperationContext) {
        hide_settings(command);
        for (name, value) in context.execution_env.iter().flatten() {
            command.env(name, text::str(value));
        }
        let commands = self.options.work_dir.join(COMMAND_DIR);
        command.env("PATH", path(&[&commands], python_dir(&self.options.python)));
        let names = ["AGENT_NAME", "MANAGER_NAME"];
        let [own, other] = match self.options.is_agent() {
            true => names,
            false => [names[1], names[0]],
        };
        command.env(own, &self.options.name).env_remove(other);
    }

    /// What the library's dispatcher needs on top.
    pub(super) fn python_environment(
        &self,
        command: &mut Command,
        python: &Path,
        context: &OperationContext,
    ) {
        let options = &self.options;
        let root = &options.work_dir;
        let resources = root.join(RESOURCES_DIR);
        let ca_file = options
            .ca_file
            .clone()
            .unwrap_or_else(|| root.join(NO_CA_FILE));
        let commands = root.join(COMMAND_DIR);
        let mut first = Vec::from_iter(python_dir(python));
        first.insert(0, &commands);
        command
            .env("PATH", path(&first, None))
            .env("CLOUDIFY_DISPATCH", "true")
            .env("LOCAL_REST_CERT_FILE", ca_file)
            .env("AGENT_WORK_DIR", root)
            .env("AGENT_LOG_DIR", self.log_dir())
            .env("MANAGER_FILE_SERVER_URL", file_servers(&options.rest_urls))
            .env("CFY_RESOURCES_ROOT", &resources)
            .env("CFY_PLUGINS_ROOT", root)
            .env("KERBEROS_ENV", "false");
        if !options.is_agent() {
            // Equal roots tell the library that there is nothing to synchronise.
            command.env("MANAGER_FILE_SERVER_ROOT", &resources);
            command.env("PYTHONPATH", library(root));
        }
        if context.bypass_maintenance == Some(true) {
            command.env("BYPASS_MAINTENANCE", "True");
        }
        let urls = options.rest_urls.iter();
        let urls: Vec<Url> = urls.filter_map(|url| Url::parse(url).ok()).collect();
        let Some(first) = urls.first() else { return };
        let host = |url: &Url| {
            url.host_str()
                .map(|host| host.trim_matches(['[', ']']).to_owned())
        };
        let hosts: Vec<String> = urls.iter().filter_map(host).collect();
        command
            .env("REST_PROTOCOL", first.scheme())
            .env("MANAGER_FILE_SERVER_SCHEME", first.scheme())
            .env("REST_HOST", hosts.join(","))
            .env(
                "REST_PORT",
                first.port_or_known_default().unwrap_or(80).to_string(),
            );
    }
}

fn file_servers(urls: &[String]) -> String {
    let urls = urls.iter();
    let servers = urls.map(|url| format!("{}/resources", url.trim_end_matches('/')));
    servers.collect::<Vec<_>>().join(",")
}

/// Where interpreters look first; what the process itself was told stays.
fn library(root: &Path) -> OsString {
    let own = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let own = std::env::split_paths(&own).filter(|path| !path.as_os_str().is_empty());
    let all = std::iter::once(root.join(LIBRARY_DIR)).chain(own.collect::<Vec<_>>());
    // fails on a directory with a colon in its name, which no path can hold
    std::env::join_paths(all).unwrap_or_default()
}

fn python_dir(python: &Path) -> Option<&Path> {
    python
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
}

/// Our own path with something before and behind it.
fn path(first: &[&Path], last: Option<&Path>) -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let all = first
        .iter()
        .map(|path| path.to_path_buf())
        .chain(std::env::split_paths(&own))
        .chain(last.map(Path::to_path_buf));
    // Fails on a directory with a colon in its name, which no path can hold.
    std::env::join_paths(all).unwrap_or(own)
}

/// Whether a program is found by its name.
pub(super) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}
