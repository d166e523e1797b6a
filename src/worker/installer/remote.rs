//! Scripts on hosts, by the system's own `ssh`.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt, process::Command};

use super::host::Host;
use crate::worker::environment;

/// Becomes root where that needs no password, and takes the script from the input.
const SHELL: &str = "if [ \"$(id -u)\" != 0 ] && sudo -n true 2> /dev/null; then exec sudo -n sh -s; else exec sh -s; fi";
/// What `ssh` exits with when it does not get to the host.
const NO_LOGIN: i32 = 255;
const KNOWN_HOSTS: &str = "known_hosts";
/// How much of what a failed script says is told; bytes.
const SAID_MAX: usize = 2_000;

/// How to get to a host.
#[derive(Debug)]
pub(super) struct Login {
    /// `ssh`, wherever it is.
    program: PathBuf,
    to: String,
    port: i64,
    key: Option<Key>,
    password: Option<crate::config::Hidden>,
    known_hosts: PathBuf,
    /// By what its key is remembered: another machine may get its address once it is gone.
    alias: String,
}

#[derive(Debug)]
enum Key {
    Path(PathBuf),
    Text(NamedTempFile),
}

impl Key {
    /// `key` may hold the path of a private key, or the key itself.
    fn of(given: &str) -> Result<Self, String> {
        if !given.contains("PRIVATE KEY") {
            return Ok(Self::Path(PathBuf::from(given)));
        }
        let written = || {
            let mut builder = tempfile::Builder::new();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            let mut file = builder.permissions(mode).tempfile()?;
            std::io::Write::write_all(&mut file, format!("{}\n", given.trim_end()).as_bytes())?;
            Ok::<_, std::io::Error>(file)
        };
        let file = written().map_err(|error| format!("The key cannot be kept: {error}"))?;
        Ok(Self::Text(file))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Text(file) => file.path(),
        }
    }
}

impl Login {
    /// # Errors
    /// What is missing, or makes no sense.
    pub(super) fn new(host: &Host, work_dir: &Path) -> Result<Self, String> {
        let config = &host.config;
        let ip = host.ip().ok_or("The host's `ip` is not known")?;
        let user = config
            .text("user")
            .ok_or("The host's `user` is not known")?;
        // a name must not be taken for an option, nor for something else of the command line
        let is_plain = |text: &str| {
            !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c == '@')
        };
        if !is_plain(ip) || !is_plain(user) {
            return Err(format!("{user}@{ip} is no login"));
        }
        let key = config.text("key").map(Key::of).transpose()?;
        let password = config.text("password");
        if key.is_none() && password.is_some() && !environment::has_program("sshpass") {
            return Err(format!(
                "Logging in to {ip} with a password needs the program sshpass on the manager; \
                 give a key instead"
            ));
        }
        Ok(Self {
            program: PathBuf::from("ssh"),
            to: format!("{user}@{ip}"),
            port: config.number("port").unwrap_or(22),
            password: password.map(|text| crate::config::Hidden(text.to_owned())),
            key,
            known_hosts: work_dir.join(KNOWN_HOSTS),
            alias: host.id().to_owned(),
        })
    }

    fn command(&self) -> Command {
        let mut command = match (&self.key, &self.password) {
            (None, Some(password)) => {
                let mut command = Command::new("sshpass");
                command.arg("-e").arg(&self.program);
                command.env("SSHPASS", &password.0);
                command
            }
            _ => {
                let mut command = Command::new(&self.program);
                command.args(["-o", "BatchMode=yes"]);
                command
            }
        };
        environment::hide_settings(&mut command);
        let known = format!("UserKnownHostsFile=\"{}\"", self.known_hosts.display());
        let alias = format!("HostKeyAlias={}", self.alias);
        let options = [
            "ConnectTimeout=20",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
            // a host is new when it gets its agent, and must not become another one later
            "StrictHostKeyChecking=accept-new",
            &known,
            &alias,
            "HashKnownHosts=no",
            "LogLevel=ERROR",
        ];
        for option in options {
            command.args(["-o", option]);
        }
        if let Some(key) = &self.key {
            command
                .args(["-o", "IdentitiesOnly=yes", "-i"])
                .arg(key.path());
        }
        command
            .args(["-p", &self.port.to_string(), "--", &self.to, SHELL])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a script.
    ///
    /// # Errors
    /// What it, or `ssh`, says in the end.
    pub(super) async fn run(&self, script: &str) -> Result<(), String> {
        let to = &self.to;
        let failed = |error: std::io::Error| format!("ssh cannot be run: {error}");
        let mut child = self.command().spawn().map_err(failed)?;
        if let Some(mut input) = child.stdin.take()
            && let Err(error) = input.write_all(script.as_bytes()).await
        {
            // why it went away is said by its exit
            tracing::debug!(to, %error, "ssh takes no script");
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        let from = said.len().saturating_sub(SAID_MAX);
        let from = (from..=said.len()).find(|at| said.is_char_boundary(*at));
        let said = from.and_then(|from| said.get(from..)).unwrap_or_default();
        Err(match output.status.code() {
            Some(NO_LOGIN) => format!("{to} cannot be logged in to (port {}): {said}", self.port),
            _ => format!("{to}: {}: {said}", output.status),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A login whose `ssh` notes its arguments, and runs what it is told on this machine.
    fn login(directory: &Path, key: &str) -> Login {
        let program = directory.join("ssh");
        let text =
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$(dirname \"$0\")/arguments\"\nexec sh -s\n";
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Login {
            program,
            to: "me@10.0.0.9".to_owned(),
            port: 2222,
            key: Some(Key::of(key).unwrap()),
            password: None,
            known_hosts: directory.join(KNOWN_HOSTS),
            alias: "host_1".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_script_runs_on_the_host_and_says_why_it_failed() {
        let directory = tempfile::tempdir().unwrap();
        let login = login(directory.path(), "/etc/key.pem");
        let touched = directory.path().join("touched");
        login
            .run(&format!("touch {}\n", touched.display()))
            .await
            .unwrap();
        assert!(touched.exists());
        let arguments = std::fs::read_to_string(directory.path().join("arguments")).unwrap();
        assert!(arguments.contains("BatchMode=yes") && arguments.contains("/etc/key.pem"));
        assert!(arguments.contains("HostKeyAlias=host_1\n"));
        assert!(arguments.contains("-p\n2222\n--\nme@10.0.0.9\n"));
        let why = login.run("echo no such thing >&2; exit 3\n").await;
        assert_eq!(
            why.unwrap_err(),
            "me@10.0.0.9: exit status: 3: no such thing"
        );
        let why = login.run("echo Permission denied >&2; exit 255\n").await;
        assert_eq!(
            why.unwrap_err(),
            "me@10.0.0.9 cannot be logged in to (port 2222): Permission denied"
        );
    }

    #[tokio::test]
    async fn a_key_may_be_given_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----";
        let login = login(directory.path(), text);
        let path = login.key.as_ref().unwrap().path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim_end(), text);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(login);
        assert!(!path.exists());
    }
}
