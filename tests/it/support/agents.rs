//! Agents: the library's own client as one, and our own as a process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{env, manager::Manager};

/// What agents' users on RabbitMQ prove themselves with.
pub(crate) const PASSWORD: &str = "of-the-agent";
const PROGRAM: &str = env!("CARGO_BIN_EXE_stratalogd");
/// Below an agent's directory.
const LOG: &str = "agent.log";

/// In a directory that becomes the root.
const ALONE: &str = "
mount --rbind /dev \"$1/dev\"
mount --rbind /proc \"$1/proc\"
exec chroot \"$1\" /stratalogd agent --config /agent.json
";

/// Whether there may be hosts with another root.
pub(crate) fn can_be_alone() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "true"])
        .stderr(Stdio::null())
        .status();
    nix::unistd::geteuid().is_root() && tried.is_ok_and(|status| status.success())
}

/// Makes an agent known to the manager; its user on RabbitMQ.
pub(crate) async fn known(manager: &Manager, name: &str) -> String {
    let user = format!("rabbitmq_user_{}_{name}", manager.tenant());
    let agent = json!({
        "node_instance_id": name, "state": "started", "create_rabbitmq_user": true,
        "install_method": "provided", "rabbitmq_username": user,
        "rabbitmq_password": PASSWORD, "rabbitmq_exchange": name,
    });
    let path = format!("agents/{name}");
    let (status, known) = manager.call("PUT", &path, Some(agent)).await;
    assert_eq!(status, 200, "{known}");
    user
}

/// An agent made of the library's own client.
pub(crate) struct Peer {
    child: Child,
    _work_dir: tempfile::TempDir,
}

impl Peer {
    pub(crate) fn start(manager: &Manager, name: &str) -> Self {
        let work_dir = tempfile::tempdir().unwrap();
        let addr = manager.addr();
        let file_server = format!("{}/resources", manager.url());
        let certificates = work_dir.path().join("none.pem");
        std::fs::write(&certificates, "").unwrap();
        let mut child = Command::new(env::python())
            .arg("tests/data/agents/peer.py")
            .arg("agent")
            .arg(manager.agents_url())
            .arg(name)
            .arg(work_dir.path())
            .env("REST_HOST", addr.ip().to_string())
            .env("REST_PORT", addr.port().to_string())
            .env("REST_PROTOCOL", "http")
            .env("LOCAL_REST_CERT_FILE", certificates)
            .env("MANAGER_FILE_SERVER_SCHEME", "http")
            .env("MANAGER_FILE_SERVER_URL", file_server)
            .env("CFY_RESOURCES_ROOT", work_dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "listening\n");
        Self {
            child,
            _work_dir: work_dir,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // it may have ended by itself
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Our own agent, as a process of its own.
pub(crate) struct NativeAgent {
    child: Child,
    work_dir: tempfile::TempDir,
}

impl NativeAgent {
    /// Makes the agent known to the manager, and starts it.
    pub(crate) async fn start(manager: &Manager, name: &str) -> Self {
        let amqp = url::Url::parse(&env::amqp_url()).unwrap();
        let broker = (amqp.host_str().unwrap().to_owned(), amqp.port().unwrap());
        let rest = json!({
            "rest_hosts": [manager.addr().ip()], "rest_port": manager.addr().port(),
        });
        Self::run(manager, name, &[], (&broker, rest)).await
    }

    /// The same with TLS to RabbitMQ, whose certificate these authorities may have signed.
    pub(crate) async fn start_trusting(manager: &Manager, name: &str, ca_file: &Path) -> Self {
        let amqp = url::Url::parse(&env::amqps_url()).unwrap();
        let broker = (amqp.host_str().unwrap().to_owned(), amqp.port().unwrap());
        let rest = json!({
            "rest_hosts": [manager.addr().ip()], "rest_port": manager.addr().port(),
            "broker_ca_file": ca_file,
        });
        Self::run(manager, name, &[], (&broker, rest)).await
    }

    /// The same in a network namespace, from which the manager is reached over TLS.
    pub(crate) async fn start_in(
        manager: &Manager,
        name: &str,
        space: &str,
        broker: &(String, u16),
    ) -> Self {
        let settings = manager.settings();
        let authorities = settings
            .data_dir
            .join("tls")
            .join(stratalog::tls::CA_CERT_FILE);
        let rest = json!({
            "rest_hosts": [settings.advertised_host],
            "rest_port": settings.internal_listen.port(), "rest_ca_file": authorities,
        });
        let within = ["ip", "netns", "exec", space];
        Self::run(manager, name, &within, (broker, rest)).await
    }

    /// The same on a host that has no other file than the agent and its settings, not even
    /// certificates or a C library, but what the kernel shows, and a list of names: it finds
    /// RabbitMQ and the manager by their names, and the manager proves its own.
    pub(crate) async fn start_alone(manager: &Manager, name: &str) -> Self {
        let amqp = url::Url::parse(&env::amqp_url()).unwrap();
        let settings = manager.settings();
        let authorities = settings
            .data_dir
            .join("tls")
            .join(stratalog::tls::CA_CERT_FILE);
        let root = tempfile::tempdir().unwrap();
        let within = |name: &str| root.path().join(name);
        std::fs::copy(PROGRAM, within("stratalogd")).unwrap();
        std::fs::copy(authorities, within("ca.pem")).unwrap();
        let (broker, rest) = ("broker.example", &settings.advertised_host);
        for directory in ["etc", "dev", "proc", "tmp"] {
            std::fs::create_dir(within(directory)).unwrap();
        }
        let names = format!("127.0.0.1 {broker}\n127.0.0.1 {rest}\n");
        std::fs::write(within("etc/hosts"), names).unwrap();
        let user = known(manager, name).await;
        let settings = json!({
            "name": name, "tenant": manager.tenant(),
            "broker_hosts": [broker], "broker_port": amqp.port(),
            "broker_user": user, "broker_password": PASSWORD, "work_dir": "/agent",
            "rest_hosts": [rest], "rest_port": settings.internal_listen.port(),
            "rest_ca_file": "/ca.pem",
        });
        std::fs::write(within("agent.json"), settings.to_string()).unwrap();
        let mut agent = Command::new("unshare");
        agent.args(["--mount", "sh", "-euc", ALONE, "sh"]);
        agent.arg(root.path());
        Self::spawned(&mut agent, root)
    }

    async fn run(
        manager: &Manager,
        name: &str,
        within: &[&str],
        (broker, rest): (&(String, u16), Value),
    ) -> Self {
        let user = known(manager, name).await;
        let work_dir = tempfile::tempdir().unwrap();
        let mut settings = json!({
            "name": name, "tenant": manager.tenant(),
            "broker_hosts": [broker.0], "broker_port": broker.1,
            "broker_user": user, "broker_password": PASSWORD,
            "work_dir": work_dir.path(), "python": env::python(),
        });
        let rest = rest.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(rest);
        let path = work_dir.path().join("agent.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        let mut words = within.to_vec();
        words.extend([PROGRAM, "agent", "--config"]);
        let (program, arguments) = words.split_first().unwrap();
        let mut agent = Command::new(program);
        agent.args(arguments).arg(path);
        Self::spawned(&mut agent, work_dir)
    }

    fn spawned(agent: &mut Command, work_dir: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(work_dir.path().join(LOG)).unwrap();
        let child = agent
            .env("STRATALOG_AGENT_METRICS_INTERVAL_S", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, work_dir }
    }

    /// Where its settings and files are.
    pub(crate) fn work_dir(&self) -> &Path {
        self.work_dir.path()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.work_dir.path().join(LOG)).unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }
}

impl Drop for NativeAgent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
        // it may have ended by itself
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
