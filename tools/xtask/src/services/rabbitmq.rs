//! The private RabbitMQ node, with a port mapper of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Options, certificates, new_password};
use crate::account::Account;
use crate::process::{self, Process, Stop};
use crate::workspace::{self, DataDir};

pub(super) const NAME: &str = "rabbitmq";
/// Erlang's port mapper. A node starts one that nobody stops, unless it finds one.
pub(super) const EPMD: &str = "epmd";
const USER: &str = "stratalog";
const NODE: &str = "stratalog@localhost";
const PRELOAD: &str = "preload.erl";
/// Who signed the node's certificate, in the directory of the one who calls: the node's own is for
/// nobody else.
const AUTHORITY: &str = "amqp-ca.pem";
const START_TIMEOUT: Duration = Duration::from_secs(180);
const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the node is and how to get in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RabbitMq {
    pub(super) dir: PathBuf,
    port: u16,
    /// 0: what was started by an earlier version has none.
    #[serde(default)]
    tls_port: u16,
    management_port: u16,
    epmd_port: u16,
    distribution_port: u16,
    password: String,
}

/// The server's start program. Debian's one on the PATH insists on its own account.
pub(crate) fn program() -> Option<PathBuf> {
    let packaged = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    process::first_file([packaged]).or_else(|| process::on_path("rabbitmq-server"))
}

impl RabbitMq {
    pub(super) fn start(
        data: &DataDir,
        dir: &Path,
        before: Option<Self>,
        account: &Account,
        options: Options,
    ) -> Result<Option<Self>> {
        if !options.rabbitmq {
            return Ok(None);
        }
        let before = before.filter(|before| before.dir == dir && dir.join("mnesia").exists());
        if before.is_some() && Process::find(data, NAME)?.is_some() {
            return Ok(before);
        }
        if let Some(epmd) = Process::find(data, EPMD)? {
            epmd.stop(Stop::Kill)?;
        }
        let rabbitmq = Self::configured(dir, before.as_ref())?;
        if before.is_none() && dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        rabbitmq.write_config(data, account)?;
        rabbitmq.start_epmd(data, account)?;
        let program = program().context("RabbitMQ is not installed")?;
        let mut command = account.command(program);
        rabbitmq.environment(&mut command);
        let process = Process::start(data, NAME, &mut command)?;
        process.wait_until(START_TIMEOUT, || rabbitmq.is_ready())?;
        Ok(Some(rabbitmq))
    }

    fn configured(dir: &Path, before: Option<&Self>) -> Result<Self> {
        let wanted = before.map_or([0; 5], |before| {
            [
                before.port,
                before.tls_port,
                before.management_port,
                before.epmd_port,
                before.distribution_port,
            ]
        });
        let [
            port,
            tls_port,
            management_port,
            epmd_port,
            distribution_port,
        ] = process::free_ports(wanted)?;
        let password = match before {
            Some(before) => before.password.clone(),
            None => new_password()?,
        };
        let dir = dir.to_path_buf();
        Ok(Self {
            dir,
            port,
            tls_port,
            management_port,
            epmd_port,
            distribution_port,
            password,
        })
    }

    fn write_config(&self, data: &DataDir, account: &Account) -> Result<()> {
        account.create_dir(&self.dir)?;
        for dir in ["home", "mnesia", "log"] {
            account.create_dir(&self.dir.join(dir))?;
        }
        let Self {
            dir,
            port,
            tls_port,
            management_port,
            password,
            ..
        } = self;
        let dir = dir.display();
        let conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             listeners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {dir}/ca.pem\n\
             ssl_options.certfile = {dir}/cert.pem\n\
             ssl_options.keyfile = {dir}/key.pem\n\
             ssl_options.verify = verify_none\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management_port}\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             default_user_tags.administrator = true\n\
             vm_memory_high_watermark.absolute = 1GiB\n\
             log.console = false\n\
             log.file = {NAME}.log\n"
        );
        // A workflow may hold a message for as long as its operation runs.
        let advanced = "[{rabbit, [{consumer_timeout, undefined}]}].\n";
        let issued = certificates::issue(&["127.0.0.1", "localhost"])?;
        workspace::write_private(&data.join(AUTHORITY), &issued.authority)?;
        for (name, text) in [
            ("ca.pem", issued.authority.as_str()),
            ("cert.pem", &issued.certificate),
            ("key.pem", &issued.key),
            ("rabbitmq.conf", conf.as_str()),
            ("advanced.config", advanced),
            ("enabled_plugins", "[rabbitmq_management].\n"),
            (PRELOAD, include_str!("preload.erl")),
        ] {
            let path = self.dir.join(name);
            workspace::write_private(&path, text)?;
            account.own(&path)?;
        }
        Ok(())
    }

    fn start_epmd(&self, data: &DataDir, account: &Account) -> Result<()> {
        let program = process::on_path("epmd")
            .or_else(|| process::first_file([PathBuf::from("/usr/lib/erlang/bin/epmd")]))
            .context("Erlang's epmd is not installed")?;
        let mut command = account.command(program);
        command.args([
            "-address",
            "127.0.0.1",
            "-port",
            &self.epmd_port.to_string(),
        ]);
        let process = Process::start(data, EPMD, &mut command)?;
        process.wait_until(START_TIMEOUT, || connect(self.epmd_port).is_some())
    }

    /// Everything the node would else take from `/etc`, `/var` or the machine's name.
    fn environment(&self, command: &mut Command) {
        let dir = &self.dir;
        command
            .env("HOME", dir.join("home"))
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", NODE)
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_FEATURE_FLAGS_FILE", dir.join("feature_flags"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("config"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        let preload = dir.join(PRELOAD);
        // Erlang splits its flags at white space and knows no way around that.
        if !preload.to_string_lossy().contains(char::is_whitespace) {
            command.env(
                "ERL_AFLAGS",
                format!("-run file script {}", preload.display()),
            );
        }
    }

    /// The listeners open last; an answer to the protocol's greeting shows that they serve.
    fn is_ready(&self) -> bool {
        let greets = || -> Option<u8> {
            let mut stream = connect(self.port)?;
            stream.write_all(b"AMQP\x00\x00\x09\x01").ok()?;
            let mut first = [0];
            stream.read_exact(&mut first).ok()?;
            first.first().copied()
        };
        const METHOD_FRAME: u8 = 1;
        greets() == Some(METHOD_FRAME)
            && connect(self.tls_port).is_some()
            && connect(self.management_port).is_some()
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("amqp://{USER}:{password}@127.0.0.1:{port}/%2f")
    }

    /// The same with TLS, and the file with who signed its certificate; nothing for a node that an
    /// earlier version has started.
    pub(crate) fn tls(&self, data: &DataDir) -> Option<(String, PathBuf)> {
        let Self {
            tls_port, password, ..
        } = self;
        let url = format!("amqps://{USER}:{password}@127.0.0.1:{tls_port}/%2f");
        (*tls_port != 0).then(|| (url, data.join(AUTHORITY)))
    }

    pub(crate) fn management_url(&self) -> String {
        let Self {
            management_port,
            password,
            ..
        } = self;
        format!("http://{USER}:{password}@127.0.0.1:{management_port}")
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(IO_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(IO_TIMEOUT)).ok()?;
    Some(stream)
}
