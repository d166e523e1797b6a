//! Agents on hosts of their own: network namespaces, each with its address, and a line that can be
//! cut.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    agents::NativeAgent,
    env,
    manager::{Manager, until},
};

/// Three hosts that have their agents already.
const HOSTS: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host:
    type: cloudify.nodes.Compute
    capabilities: {scalable: {properties: {default_instances: 3}}}
    properties: {agent_config: {install_method: none}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: host.sh, executor: central_deployment_agent}
  app:
    type: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        start: {implementation: app.sh, max_retries: 0}
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
";

/// A bridge with the manager's address, and hosts behind it.
struct Network {
    prefix: String,
    subnet: u8,
    hosts: usize,
}

fn ip(arguments: &str) -> bool {
    let run = Command::new("ip")
        .args(arguments.split_whitespace())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

impl Network {
    /// Nothing where namespaces cannot be made.
    fn new(hosts: usize) -> Option<Self> {
        let id: u16 = rand::random();
        let network = Self {
            prefix: format!("st{id:04x}"),
            subnet: rand::random_range(1..255),
            hosts,
        };
        let (prefix, manager) = (&network.prefix, network.manager());
        if !nix::unistd::geteuid().is_root() || !ip(&format!("link add {prefix} type bridge")) {
            eprintln!("skipped: network namespaces need root and iproute2");
            return None;
        }
        let mut commands = vec![
            format!("addr add {manager}/24 dev {prefix}"),
            format!("link set {prefix} up"),
        ];
        for host in 0..hosts {
            let (space, addr) = (network.space(host), network.host(host));
            commands.extend([
                format!("netns add {space}"),
                format!("link add {space}o type veth peer name {space}i netns {space}"),
                format!("link set {space}o master {prefix} up"),
                format!("-n {space} addr add {addr}/24 dev {space}i"),
                format!("-n {space} link set {space}i up"),
                format!("-n {space} link set lo up"),
            ]);
        }
        for command in commands {
            assert!(ip(&command), "ip {command}");
        }
        Some(network)
    }

    fn manager(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 1)
    }

    fn host(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 10 + u8::try_from(number).unwrap())
    }

    fn space(&self, host: usize) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Nothing reaches the host any more, and it reaches nobody.
    fn cut(&self, host: usize) {
        assert!(ip(&format!("link set {}o down", self.space(host))));
    }

    fn mend(&self, host: usize) {
        assert!(ip(&format!("link set {}o up", self.space(host))));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            // what was not made cannot be removed
            let _gone = ip(&format!("netns del {}", self.space(host)));
        }
        let _gone = ip(&format!("link del {}", self.prefix));
    }
}

/// Brings connections from the hosts to RabbitMQ, which listens on the machine's own address only;
/// the port to connect to.
#[allow(clippy::disallowed_methods, reason = "a test's own tasks end with it")]
async fn lead(from: Ipv4Addr) -> u16 {
    let listener = TcpListener::bind((from, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let amqp = url::Url::parse(&env::amqp_url()).unwrap();
    let to = (amqp.host_str().unwrap().to_owned(), amqp.port().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut inward, _) = listener.accept().await.unwrap();
            let to = to.clone();
            tokio::spawn(async move {
                let mut outward = TcpStream::connect(to).await.unwrap();
                // a cut line shows on one side first
                let _ended = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
            });
        }
    });
    port
}

async fn states(manager: &Manager) -> Vec<(String, String)> {
    let agents = manager.list("agents").await;
    let text = |agent: &Value, key: &str| agent[key].as_str().unwrap().to_owned();
    let mut states: Vec<_> = agents
        .iter()
        .map(|agent| (text(agent, "host_id"), text(agent, "state")))
        .collect();
    states.sort();
    states
}

/// The hosts' names, which are those of their agents, too.
async fn hosts(manager: &Manager) -> Vec<String> {
    let query = "node-instances?deployment_id=hosted&node_id=host";
    let hosts = manager.list(query).await;
    let mut names: Vec<String> = hosts
        .iter()
        .map(|host| host["id"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_comes_back_with_what_it_did() {
    let Some(network) = Network::new(3) else {
        return;
    };
    let broker = lead(network.manager()).await;
    let manager = Manager::with_agents(|settings| {
        settings.internal_listen.set_ip(network.manager().into());
        settings.advertised_host = network.manager().to_string();
        settings.amqp_agents_address = Some(format!("{}:{broker}", network.manager()));
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (began, end) = (directory.path().join("began"), directory.path().join("end"));
    let app = format!(
        "#!/bin/bash -e\n\
         echo \"$AGENT_NAME\" >> {}\n\
         until [ -e {} ]; do sleep 0.1; done\n\
         ctx instance runtime-properties ran_by \"$AGENT_NAME\"\n",
        began.display(),
        end.display()
    );
    let files = [
        ("blueprint.yaml", HOSTS),
        ("host.sh", super::HOST),
        ("app.sh", app.as_str()),
    ];
    manager.deploy("hosted", &files).await;
    let names = hosts(&manager).await;
    let mut agents = Vec::new();
    for (host, name) in names.iter().enumerate() {
        let space = network.space(host);
        let address = (network.manager().to_string(), broker);
        agents.push(NativeAgent::start_in(&manager, name, &space, &address).await);
    }
    let install = manager.start("hosted", "install", json!({})).await;
    until(async || lines(&began) == names).await;

    network.cut(1);
    let is = |second: &'static str| {
        let expected: Vec<(String, String)> = names
            .iter()
            .enumerate()
            .map(|(host, name)| {
                let state = if host == 1 { second } else { "started" };
                (name.clone(), state.to_owned())
            })
            .collect();
        let manager = &manager;
        async move || states(manager).await == expected
    };
    until(is("nonresponsive")).await;
    std::fs::write(&end, "").unwrap();
    let done = async || {
        let apps = manager
            .list("node-instances?deployment_id=hosted&node_id=app&state=started")
            .await;
        apps.len() == 2
    };
    until(done).await;
    let (_, execution) = manager
        .call("GET", &format!("executions/{install}"), None)
        .await;
    assert_eq!(execution["status"], "started", "it waits for the third");

    network.mend(1);
    until(is("started")).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(lines(&began), names, "each operation ran once");
    for agent in &mut agents {
        assert!(agent.terminate().success());
    }
    manager.stop().await;
}
