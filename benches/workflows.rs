//! Workflows from the request to their end: installs of many instances, operations per second, many
//! workflows at once, and what a running one takes of memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/it/support/archive.rs"]
mod archive;
mod support;
#[path = "../tests/it/support/wagon.rs"]
mod wagon;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use stratalog::{
    commands::execution_end,
    config::{Hidden, Settings},
    server::{self, Running},
};
use wagon::Wagon;

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANT: &str = "default_tenant";
/// Workflows at the same time.
const AT_ONCE: usize = 100;
/// Pause between two looks at how far something has come.
const LOOK: Duration = Duration::from_millis(50);

const NOTHING: &str = "";
const SCRIPT: &str = "
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: op.sh, executor: central_deployment_agent}
";
const PYTHON: &str = "
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: quick.quick_plugin.tasks.nothing, executor: central_deployment_agent}
";
const TASKS: &str = "
from cloudify.decorators import operation


@operation(resumable=True)
def nothing(ctx, **_):
    pass
";

/// A manager, and its administrator.
struct Bench {
    running: Running,
    client: reqwest::Client,
    /// Where scripts find out whether they may end.
    gate: tempfile::TempDir,
}

impl Bench {
    async fn start(data: &Path) -> Self {
        let python = support::variable("STRATALOG_TEST_PYTHON");
        let settings = Settings {
            amqp_url: Some(Hidden(support::variable("STRATALOG_TEST_AMQP_URL"))),
            ctx_command: Some(Path::new(&python).with_file_name("ctx")),
            python: python.into(),
            ..support::settings(data).await
        };
        Self {
            running: server::start(settings).await.unwrap(),
            client: reqwest::Client::new(),
            gate: tempfile::tempdir().unwrap(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v3.1/{path}", self.running.addr);
        let request = self.client.request(method, url);
        let request = request.basic_auth("admin", Some(support::PASSWORD));
        request.header("Tenant", TENANT)
    }

    async fn send(&self, request: RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{status} {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        self.send(self.request(method, path).json(&body)).await
    }

    async fn head(&self) -> i64 {
        self.running.ctx.store.head().await.unwrap()
    }

    /// Waits for the end of an execution that began after a position.
    async fn ended(&self, execution: &Value, position: i64) {
        let id = execution["id"].as_str().unwrap();
        let mut ended = None;
        // the wait has a limit of its own
        while ended.is_none() {
            ended = execution_end(&self.running.ctx, (TENANT, id), position)
                .await
                .unwrap();
        }
        assert_eq!(ended.unwrap().status, "terminated", "{execution}");
    }

    /// A plugin whose only operation does nothing.
    async fn plugin(&self) {
        let wagon = Wagon {
            package: "quick-plugin",
            version: "1.0",
            tasks: TASKS,
        };
        let yaml = "plugins:\n  quick: {executor: central_deployment_agent, \
                    package_name: quick-plugin, package_version: '1.0'}\n";
        let upload = self.request(Method::POST, "plugins");
        self.send(upload.body(wagon.with_yaml(yaml))).await;
    }

    /// A blueprint of one node with so many instances.
    async fn upload(&self, id: &str, (operations, instances): (&str, usize)) {
        let import = match operations.contains("quick.") {
            true => ", 'plugin:quick-plugin'",
            false => "",
        };
        let yaml = format!(
            "tosca_definitions_version: cloudify_dsl_1_5\n\
             imports: [cloudify/types/types.yaml{import}]\n\
             node_templates:\n  app:\n    type: cloudify.nodes.Root\n    capabilities: \
             {{scalable: {{properties: {{default_instances: {instances}, max_instances: \
             {instances}}}}}}}\n{operations}"
        );
        let script = format!(
            "#!/bin/bash\nwhile [ -e {}/shut ]; do sleep 0.05; done\n",
            self.gate.path().display()
        );
        let archive = archive::archive(&[("blueprint.yaml", &yaml), ("op.sh", &script)]);
        let path = format!("blueprints/{id}?application_file_name=blueprint.yaml");
        self.send(self.request(Method::PUT, &path).body(archive))
            .await;
    }

    async fn deploy(&self, id: &str, blueprint: &str) {
        let path = format!("deployments/{id}");
        let position = self.head().await;
        let deployment = self
            .call(Method::PUT, &path, json!({"blueprint_id": blueprint}))
            .await;
        let execution = json!({"id": deployment["create_execution"]});
        self.ended(&execution, position).await;
    }

    async fn begin(&self, deployment: &str, workflow: &str) -> Value {
        let body = json!({"deployment_id": deployment, "workflow_id": workflow});
        self.call(Method::POST, "executions", body).await
    }

    async fn run(&self, deployment: &str, workflow: &str) {
        let position = self.head().await;
        let execution = self.begin(deployment, workflow).await;
        self.ended(&execution, position).await;
    }

    /// Installs so many instances, and uninstalls them.
    async fn install(&self, what: &str, (operations, instances): (&str, usize)) {
        let id = format!("{what}-{instances}").replace(' ', "-");
        self.upload(&id, (operations, instances)).await;
        let begin = Instant::now();
        self.deploy(&id, &id).await;
        let deployed = begin.elapsed();
        let begin = Instant::now();
        self.run(&id, "install").await;
        let installed = begin.elapsed();
        let begin = Instant::now();
        self.run(&id, "uninstall").await;
        println!(
            "{what:<20} {instances:>6} instances: deploy {:>8.3}  install {:>8.3}  uninstall \
             {:>8.3} s  {:>8.0} instances installed/s  {} MiB resident, at most {} MiB so far",
            deployed.as_secs_f64(),
            installed.as_secs_f64(),
            begin.elapsed().as_secs_f64(),
            instances as f64 / installed.as_secs_f64(),
            memory_bytes("VmRSS:") >> 20,
            memory_bytes("VmHWM:") >> 20,
        );
    }

    /// Many installs at the same time, of ten instances without operations each.
    async fn at_once(&self, count: usize) {
        self.upload("at-once", (NOTHING, 10)).await;
        let ids: Vec<String> = (0..count).map(|nth| format!("at-once-{nth}")).collect();
        futures::future::join_all(ids.iter().map(|id| self.deploy(id, "at-once"))).await;
        let begin = Instant::now();
        futures::future::join_all(ids.iter().map(async |id| {
            self.run(id, "install").await;
        }))
        .await;
        let elapsed = begin.elapsed().as_secs_f64();
        println!("{count} installs of 10 instances at once: {elapsed:.3} s");
    }

    /// What workflows take that wait for their operations.
    async fn memory(&self, count: usize) {
        fs::write(self.gate.path().join("shut"), "").unwrap();
        self.upload("waiting", (SCRIPT, 1)).await;
        let ids: Vec<String> = (0..count).map(|nth| format!("waiting-{nth}")).collect();
        for id in &ids {
            self.deploy(id, "waiting").await;
        }
        let before = memory_bytes("VmRSS:");
        let position = self.head().await;
        let mut executions = Vec::new();
        for id in &ids {
            executions.push(self.begin(id, "install").await);
        }
        for execution in &executions {
            let id = execution["id"].as_str().unwrap();
            let path = format!("operations?execution_id={id}&state=sent&state=started");
            loop {
                let sent = self.send(self.request(Method::GET, &path)).await;
                if !sent["items"].as_array().unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        let each = memory_bytes("VmRSS:").saturating_sub(before) / count as u64;
        println!("{count} workflows that wait: {} KiB each", each >> 10);
        fs::remove_file(self.gate.path().join("shut")).unwrap();
        for execution in &executions {
            self.ended(execution, position).await;
        }
    }
}

/// What this process has in memory, by the kernel's name of the number.
fn memory_bytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let bench = Bench::start(data.path()).await;
    let is_measured = support::is_measured();
    let sizes: &[usize] = match is_measured {
        true => &[1, 10, 100, 1_000, 10_000],
        false => &[1, 10],
    };
    install_all(&bench, ("no operations", NOTHING), sizes).await;
    bench.plugin().await;
    let sizes: &[usize] = match is_measured {
        true => &[1, 10, 100, 1_000],
        false => &[1],
    };
    install_all(&bench, ("bash", SCRIPT), sizes).await;
    install_all(&bench, ("python", PYTHON), sizes).await;
    let count = if is_measured { AT_ONCE } else { 2 };
    if support::is_wanted("at once") {
        bench.at_once(count).await;
    }
    if support::is_wanted("memory") {
        bench.memory(count).await;
    }
    bench.running.stop().await;
}

/// Installs in several sizes, unless something else is wanted.
async fn install_all(bench: &Bench, (what, operations): (&str, &str), sizes: &[usize]) {
    if !support::is_wanted(what) {
        return;
    }
    for instances in sizes {
        bench.install(what, (operations, *instances)).await;
    }
}
