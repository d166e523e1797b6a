//! Executions that do not go straight to their end: cancelled, queued, failing, without a worker.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use stratalog::config::Hidden;

use super::states;
use crate::support::manager::{Manager, until};

/// Two nodes with one script; every operation may be tried once more, at once.
const TWO: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
dsl_definitions:
  run: &run
    implementation: run.sh
    executor: central_deployment_agent
    max_retries: 1
    retry_interval: 0.1
node_templates:
  one:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle: {create: *run, stop: *run}
      own: {greet: *run}
  two:
    type: cloudify.nodes.Root
    interfaces:
      own: {greet: *run}
";

/// What the script does is what stands in a file named like its operation; each run leaves a line.
struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    async fn set(manager: &Manager) -> Self {
        let stage = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let root = stage.directory.path().display();
        let script = format!(
            "#!/bin/bash\nname=$(ctx operation name)\nname=${{name##*.}}\n\
             echo \"$name $(ctx node name)\" >> {root}/runs\n\
             if [ -e {root}/$name ]; then . {root}/$name; fi\n"
        );
        let files = [("blueprint.yaml", TWO), ("run.sh", script.as_str())];
        manager.deploy("two", &files).await;
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From now on an operation does this.
    fn play(&self, operation: &str, script: &str) {
        fs::write(self.path(operation), script).unwrap();
    }

    /// From now on an operation waits for [`Stage::go`].
    fn wait(&self, operation: &str) {
        let go = self.path("go");
        let script = format!("while [ ! -e {} ]; do sleep 0.05; done\n", go.display());
        self.play(operation, &script);
    }

    fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn has_run(&self, times: usize) {
        until(async || self.runs().len() >= times).await;
    }
}

async fn act(manager: &Manager, id: &str, action: &str) -> (u16, Value) {
    let body = json!({"action": action});
    manager
        .call("POST", &format!("executions/{id}"), Some(body))
        .await
}

/// An action that is accepted.
async fn do_it(manager: &Manager, id: &str, action: &str) {
    let (status, answer) = act(manager, id, action).await;
    assert_eq!(status, 200, "{action}: {answer}");
}

/// The states of an execution's operations that go to workers.
async fn operations(manager: &Manager, id: &str) -> Vec<String> {
    let all = manager.list(&format!("operations?execution_id={id}")).await;
    let remote = all.iter().filter(|o| o["type"] == "RemoteWorkflowTask");
    let mut states: Vec<_> = remote
        .map(|o| o["state"].as_str().unwrap().to_owned())
        .collect();
    states.sort_unstable();
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_execution_ends_and_its_operation_counts_when_it_is_resumed() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    stage.wait("create");
    let install = manager.start("two", "install", json!({})).await;
    stage.has_run(1).await;

    let again = json!({"deployment_id": "two", "workflow_id": "install"});
    let (status, refused) = manager.call("POST", "executions", Some(again)).await;
    assert_eq!(
        (status, &refused["error_code"]),
        (400, &json!("existing_running_execution_error"))
    );
    let (status, refused) = manager.call("DELETE", "deployments/two", None).await;
    assert_eq!(
        (status, &refused["error_code"]),
        (400, &json!("dependent_exists_error"))
    );
    let queued = manager
        .start("two", "install", json!({"queue": true}))
        .await;
    assert_eq!(
        manager.get(&format!("executions/{queued}")).await["status"],
        "queued"
    );
    do_it(&manager, &queued, "cancel").await;
    assert_eq!(manager.end(&queued).await["status"], "cancelled");

    do_it(&manager, &install, "cancel").await;
    let cancelled = manager.end(&install).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["error"]),
        (&json!("cancelled"), &json!(""))
    );
    assert_eq!(
        manager.told(&install).await.last().unwrap(),
        "'install' workflow execution cancelled"
    );
    for action in ["cancel", "force-cancel", "kill"] {
        let (status, refused) = act(&manager, &install, action).await;
        assert_eq!(
            (status, &refused["error_code"]),
            (400, &json!("illegal_action_error"))
        );
    }
    // the operation was not told; what it comes to is noted
    assert_eq!(operations(&manager, &install).await, ["started"]);
    stage.go();
    until(async || operations(&manager, &install).await == ["succeeded"]).await;
    let position = manager.position().await;
    do_it(&manager, &install, "resume").await;
    assert_eq!(
        manager.end_after(&install, position).await["status"],
        "terminated"
    );
    assert_eq!(stage.runs(), ["create one"]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_execution_takes_its_operation_with_it() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    stage.play(
        "create",
        &format!("echo $$ > {}\nsleep 600\n", stage.path("pid").display()),
    );
    let install = manager.start("two", "install", json!({})).await;
    until(async || stage.path("pid").exists()).await;
    do_it(&manager, &install, "kill").await;
    assert_eq!(manager.end(&install).await["status"], "cancelled");
    let pid = fs::read_to_string(stage.path("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    until(async || !process.exists()).await;

    stage.play("create", "");
    let position = manager.position().await;
    do_it(&manager, &install, "force-resume").await;
    assert_eq!(
        manager.end_after(&install, position).await["status"],
        "terminated"
    );
    assert_eq!(stage.runs(), ["create one", "create one"]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_operations_wait_and_executions_can_be_cancelled() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    let broker = manager.settings().amqp_url.clone();
    let nowhere = Some(Hidden("amqp://127.0.0.1:1/%2f".to_owned()));
    let manager = manager
        .restart_with(|settings| settings.amqp_url = nowhere)
        .await;
    let install = manager.start("two", "install", json!({})).await;
    until(async || operations(&manager, &install).await == ["sending"]).await;
    let execution = manager.get(&format!("executions/{install}")).await;
    assert_eq!(execution["status"], "started");
    do_it(&manager, &install, "force-cancel").await;
    assert_eq!(manager.end(&install).await["status"], "cancelled");

    let position = manager.position().await;
    do_it(&manager, &install, "resume").await;
    let manager = manager
        .restart_with(|settings| settings.amqp_url = broker)
        .await;
    assert_eq!(
        manager.end_after(&install, position).await["status"],
        "terminated"
    );
    assert_eq!(stage.runs(), ["create one"]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_retried_as_declared_and_may_be_ignored() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    // the first attempt fails, the second does not
    let tried = stage.path("tried");
    let script = format!("[ -e {0} ] || {{ touch {0}; exit 3; }}\n", tried.display());
    stage.play("create", &script);
    let install = manager.start("two", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    assert_eq!(stage.runs(), ["create one", "create one"]);
    assert_eq!(
        operations(&manager, &install).await,
        ["failed", "succeeded"]
    );

    stage.play("stop", "ctx abort-operation 'not now'\n");
    let uninstall = manager.start("two", "uninstall", json!({})).await;
    let failed = manager.end(&uninstall).await;
    assert_eq!(failed["status"], "failed");
    assert!(
        failed["error"].as_str().unwrap().contains("not now"),
        "{failed}"
    );
    assert_eq!(operations(&manager, &uninstall).await, ["failed"]);
    let ignoring = json!({"parameters": {"ignore_failure": true}, "force": true});
    let uninstall = manager.start("two", "uninstall", ignoring).await;
    assert_eq!(manager.end(&uninstall).await["status"], "terminated");
    let instances = manager.list("node-instances?deployment_id=two").await;
    assert_eq!(states(&instances), ["deleted"]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_executed_where_the_filters_say() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    let run = async |filter: Value| {
        let mut parameters = json!({"operation": "own.greet"});
        let filter = filter.as_object().unwrap().clone();
        parameters.as_object_mut().unwrap().extend(filter);
        let before = stage.runs().len();
        let body = json!({"parameters": parameters});
        let execution = manager.start("two", "execute_operation", body).await;
        assert_eq!(manager.end(&execution).await["status"], "terminated");
        let mut runs = stage.runs().split_off(before);
        runs.sort_unstable();
        runs
    };
    assert_eq!(run(json!({})).await, ["greet one", "greet two"]);
    assert_eq!(run(json!({"node_ids": ["two"]})).await, ["greet two"]);
    assert_eq!(
        run(json!({"type_names": ["cloudify.nodes.Compute"]})).await,
        [""; 0]
    );
    let instances = manager.list("node-instances?node_id=one").await;
    let id = &instances[0]["id"];
    assert_eq!(run(json!({"node_instance_ids": [id]})).await, ["greet one"]);
    manager.stop().await;
}

/// Waiting for a retry is no state to be stuck in.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_waits_for_a_retry_is_cancelled_at_once() {
    let manager = Manager::new().await;
    let stage = Stage::set(&manager).await;
    stage.play("create", "ctx operation retry 'later' 600\n");
    let install = manager.start("two", "install", json!({})).await;
    until(async || operations(&manager, &install).await == ["pending", "rescheduled"]).await;
    let began = std::time::Instant::now();
    do_it(&manager, &install, "cancel").await;
    assert_eq!(manager.end(&install).await["status"], "cancelled");
    assert!(began.elapsed() < Duration::from_secs(10));
    manager.stop().await;
}
