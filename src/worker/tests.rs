//! A worker between a real broker and a manager of the test's own. Each test has a virtual host to
//! itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]
mod agents;
mod commands;
mod dispatch;
mod interpreters;
mod messages;
mod scripts;
mod stub;

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use self::stub::{Stub, TOKEN};
use super::*;
use crate::broker::{
    Broker, ConsumerSpec, Deliveries, Message, Topology,
    admin::tenant_vhost,
    testing::{admin, amqp_url, unique},
    topology,
    wire::{Operation, OperationContext, OperationTask, Plugin, Related, Response, TenantRef},
};

const PATIENCE: Duration = Duration::from_secs(30);
const REPLIES: &str = "execution_responses_e1";

/// Waits for what somebody else does.
async fn until(holds: impl Fn() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap();
}

/// The interpreter with `cloudify-common`, whose directory also has the reference's `ctx` client.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("STRATALOG_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: STRATALOG_TEST_PYTHON is not set");
    }
    python
}

/// A worker, its surroundings, and the requester's end.
struct Bench {
    stub: Stub,
    requester: Broker,
    replies: Deliveries,
    work_dir: tempfile::TempDir,
    worker: Option<JoinHandle<Result<Ending, Error>>>,
    cancel: CancellationToken,
    stop_worker: CancellationToken,
    tenant: String,
    options: Options,
    broker_url: String,
}

impl Bench {
    async fn start() -> Option<Self> {
        let url = amqp_url()?;
        Self::with_worker_at(&url).await
    }

    /// `worker_url` is how the worker reaches the broker.
    async fn with_worker_at(worker_url: &str) -> Option<Self> {
        let (url, python, admin) = (amqp_url()?, python()?, admin().await?);
        let tenant = unique("worker");
        admin.ensure_tenant(&tenant, "secret").await.unwrap();
        let stub = Stub::start().await;
        let cancel = CancellationToken::new();
        let topology = topology::management("test").merged(&topology::execution_responses("e1"));
        let requester = Broker::start(options(&url, &tenant), topology, cancel.clone());
        let replies = requester.consume(ConsumerSpec {
            queue: REPLIES.to_owned(),
            prefetch: 50,
        });
        let work_dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(
            &stub.url(),
            python.clone(),
            work_dir.path().to_owned(),
            "test",
        );
        options.ctx_command = Some(python.with_file_name("ctx"));
        options.rest_retry_limit_ms = 5_000;
        options.drain_ms = 10_000;
        let mut bench = Self {
            stub,
            requester,
            replies,
            work_dir,
            worker: None,
            stop_worker: CancellationToken::new(),
            cancel,
            tenant,
            options,
            broker_url: worker_url.to_owned(),
        };
        bench.start_worker();
        Some(bench)
    }

    fn start_worker(&mut self) {
        self.stop_worker = self.cancel.child_token();
        let url = options(&self.broker_url, &self.tenant);
        let broker = Broker::start(url, Topology::default(), self.cancel.clone());
        let run = run(self.options.clone(), broker, self.stop_worker.clone());
        self.worker = Some(tokio::spawn(run));
    }

    async fn stop_worker(&mut self) {
        self.stop_worker.cancel();
        timeout(PATIENCE, self.worker.take().unwrap())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// A node instance `app_1` of node `app`, and a running execution `e1`.
    fn prepare(&self) -> std::sync::MutexGuard<'_, stub::State> {
        let mut state = self.stub.state();
        state
            .executions
            .insert("e1".to_owned(), "started".to_owned());
        state.nodes.insert(
            "app".to_owned(),
            json!({"id": "app", "type": "t.App",
            "type_hierarchy": ["cloudify.nodes.Root", "t.App"], "number_of_instances": 1,
            "properties": {"port": 8080, "ip": "10.0.0.9", "deep": {"list": [1, {"k": "v"}]}}}),
        );
        for id in ["app_1", "db_1"] {
            state.instances.insert(
                id.to_owned(),
                json!({"id": id, "node_id": "app", "version": 3,
                "state": "creating", "host_id": id, "index": 1, "runtime_properties": {"old": 1},
                "relationships": [{"target_id": "db_1", "target_name": "app", "type": "r"}],
                "scaling_groups": []}),
            );
        }
        state
    }

    fn script(&self, name: &str, content: &str) {
        let mut state = self.prepare();
        let path = format!("blueprints/default_tenant/bp/{name}");
        state.files.insert(path, content.to_owned());
    }

    async fn send(&self, task: &Task) {
        let body = OperationTask::body(&task.context, &task.inputs).unwrap();
        let id = task.context.task_id.as_deref().unwrap();
        let message = Message::json("cloudify.management", "operation", &body).unwrap();
        let message = message.reply_to(REPLIES).correlation_id(id).mandatory();
        let mut state = self.requester.state();
        timeout(PATIENCE, state.wait_for(|state| state.is_up()))
            .await
            .unwrap()
            .unwrap();
        self.requester.publish(&message).await.unwrap();
    }

    async fn reply(&mut self) -> (String, Response) {
        let delivery = timeout(PATIENCE, self.replies.recv())
            .await
            .unwrap()
            .unwrap();
        delivery.ack.ack().await.unwrap();
        (
            delivery.correlation_id.unwrap(),
            Response::parse(&delivery.body).unwrap(),
        )
    }

    /// Sends and waits for the answer.
    async fn run(&mut self, task: &Task) -> Response {
        self.send(task).await;
        let (id, response) = self.reply().await;
        assert_eq!(Some(id), task.context.task_id);
        response
    }

    async fn end(mut self) {
        self.stop_worker().await;
        // Nothing may be left behind with the broker.
        let left = self.requester.consume(ConsumerSpec {
            queue: topology::OPERATION_QUEUE.to_owned(),
            prefetch: 1,
        });
        let mut left = left;
        assert!(
            timeout(Duration::from_millis(200), left.recv())
                .await
                .is_err(),
            "unacknowledged"
        );
        self.cancel.cancel();
        self.requester.closed().await;
        self.stub.stop();
        admin()
            .await
            .unwrap()
            .delete_tenant(&self.tenant)
            .await
            .unwrap();
    }
}

fn options(url: &str, tenant: &str) -> broker::Options {
    broker::Options {
        vhost: Some(tenant_vhost(tenant)),
        backoff_min_ms: 20,
        backoff_max_ms: 200,
        ..broker::Options::new(url, "worker test")
    }
}

#[derive(Clone)]
struct Task {
    context: OperationContext,
    inputs: Map<String, Value>,
}

fn task(id: &str, inputs: Value) -> Task {
    let context = OperationContext {
        version: Some("0.3".to_owned()),
        kind: "operation".to_owned(),
        task_id: Some(id.to_owned()),
        task_name: "script_runner.tasks.run".to_owned(),
        execution_id: Some("e1".to_owned()),
        workflow_id: Some("install".to_owned()),
        tenant: TenantRef::new("default_tenant"),
        node_id: Some("app_1".to_owned()),
        node_name: Some("app".to_owned()),
        plugin: Plugin {
            name: Some("script".to_owned()),
            ..Plugin::default()
        },
        operation: Operation {
            name: Some("cloudify.interfaces.lifecycle.start".to_owned()),
            max_retries: 60,
            ..Operation::default()
        },
        execution_token: Some(TOKEN.to_owned()),
        rest_token: Some(TOKEN.to_owned()),
        rest_host: vec!["127.0.0.1".to_owned()],
        rest_port: Some(1),
        blueprint_id: Some("bp".to_owned()),
        deployment_id: Some("dep".to_owned()),
        workflow_parameters: json!({}),
        deployment_resource_tags: json!({}),
        task_queue: Some("cloudify.management".to_owned()),
        task_target: Some("cloudify.management".to_owned()),
        ..OperationContext::default()
    };
    Task {
        context,
        inputs: inputs.as_object().unwrap().clone(),
    }
}

fn related(mut task: Task) -> Task {
    task.context.related = Some(Related {
        node_id: "db_1".to_owned(),
        node_name: "app".to_owned(),
        is_target: true,
    });
    task
}
