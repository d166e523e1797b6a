//! Native scripts, from message to response.
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::broker::wire::TaskError;

fn error(response: Response) -> TaskError {
    match response {
        Response::Error(error) => error,
        Response::Ok(value) => panic!("succeeded with {value}"),
    }
}

/// One script called `s.sh` and what became of it.
async fn run_script(content: &str, inputs: Value) -> Option<(Bench, Response)> {
    let mut bench = Bench::start().await?;
    bench.script("s.sh", content);
    let mut task = task("t1", inputs);
    task.inputs.entry("script_path").or_insert(json!("s.sh"));
    let response = bench.run(&task).await;
    Some((bench, response))
}

#[tokio::test]
async fn a_script_sees_its_context_and_changes_it() {
    let content = r#"#!/bin/bash
ctx logger info "running $(ctx operation name)"
ctx instance runtime-properties last_op "$(ctx operation name)"
ctx instance runtime-properties a.b '@{"c": [1]}'
ctx send-event "half way"
echo "$(ctx instance id) $(ctx node name) $(ctx node type) $(ctx type)"
echo "$(ctx node properties port) $(ctx node properties 'deep.list[1].k')" \
     "$(ctx -j node properties deep)"
echo "$(ctx instance runtime-properties old) $(ctx instance host-ip)" \
     "$(ctx plugin) $(ctx tenant-name)"
echo "$(ctx deployment id) $(ctx blueprint id) $(ctx execution-id)" \
     "$(ctx workflow-id) $(ctx task-id)"
echo "$(ctx -j capabilities get-all) $(ctx -j tenant | sed s/default_tenant/t/)"
echo problem >&2
ctx returns '@{"answer": 42}'
"#;
    let Some((bench, response)) = run_script(content, json!({})).await else {
        return;
    };
    assert_eq!(response, Response::Ok(json!({"answer": 42})));
    {
        let state = bench.stub.state();
        let states: Vec<_> = state
            .states
            .iter()
            .map(|(_, state)| state.as_str())
            .collect();
        assert_eq!(
            states,
            Vec::<&str>::new(),
            "the operation is not a stored one"
        );
        assert_eq!(
            state.instances["app_1"]["runtime_properties"],
            json!({
            "old": 1, "last_op": "cloudify.interfaces.lifecycle.start", "a": {"b": {"c": [1]}}})
        );
        assert_eq!(state.instances["app_1"]["version"], 4);
        assert_eq!(state.events, ["half way"]);
        for line in [
            "info: running cloudify.interfaces.lifecycle.start",
            "info: <out> app_1 app t.App node-instance",
            r#"info: <out> 8080 v {"list": [1, {"k": "v"}]}"#,
            "info: <out> 1 10.0.0.9 script default_tenant",
            "info: <out> dep bp e1 install t1",
            r#"info: <out> {"db_1": {"old": 1}} {"name": "t", "rabbitmq_vhost": "v"}"#,
            "info: <err> problem",
        ] {
            assert!(
                state.logs.iter().any(|log| log == line),
                "{line} is not in {:#?}",
                state.logs
            );
        }
        let posts = state
            .requests
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count();
        assert!(
            posts < 15,
            "{posts} requests for {} lines",
            state.logs.len()
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn inputs_and_options_reach_the_process() {
    let content = "#!/bin/sh\necho \"$port|$flag|$list|$nothing|$over|$1|$2|$(pwd)|$EXTRA\"\n\
                   echo err >&2\nenv | grep -c STRATALOG_TEST_AMQP_URL\n";
    let inputs = json!({
        "port": 8080, "flag": true, "list": [1, {"a": null}], "nothing": null, "over": "input",
        "process": {"env": {"over": "option"}, "args": ["one", 2], "cwd": "/",
                "stderr_to_stdout": true,
                    "command_prefix": "/bin/sh"},
    });
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", content);
    let mut task = task("t1", inputs);
    task.inputs.insert("script_path".to_owned(), json!("s.sh"));
    task.context.execution_env = json!({"EXTRA": "from env"}).as_object().cloned();
    let failure = error(bench.run(&task).await);
    // grep finds none of our own settings and says so.
    let output = "8080|true|[1, {\"a\": null}]|None|option|one|2|/|from env\nerr\n0\n";
    let (start, rest) = failure
        .message
        .split_once("/s.sh one 2, exit_code: ")
        .unwrap();
    assert!(start.starts_with("command: /bin/sh /"), "{start}");
    assert_eq!(rest, format!("1, stdout: {output}"));
    bench.end().await;
}

#[tokio::test]
async fn a_failing_script_is_worth_another_try() {
    let content =
        "#!/bin/sh\necho out\necho err >&2\nctx instance runtime-properties x 1\nexit 3\n";
    let Some((bench, response)) = run_script(content, json!({})).await else {
        return;
    };
    let failure = error(response);
    assert!(
        failure.message.starts_with("command: /"),
        "{}",
        failure.message
    );
    let expected = "/s.sh, exit_code: 3, stdout: out\n, stderr: err\n";
    assert!(failure.message.ends_with(expected), "{}", failure.message);
    assert_eq!(failure.exception_type, "RecoverableError");
    assert_eq!(failure.known_exception_type_args, Vec::<Value>::new());
    assert_eq!(failure.causes()[0].kind, "ProcessException");
    assert_eq!(failure.causes()[0].message, failure.message);
    // Written back although the script failed.
    assert_eq!(
        bench.stub.state().instances["app_1"]["runtime_properties"]["x"],
        "1"
    );
    bench.end().await;
}

#[tokio::test]
async fn scripts_may_abort_or_ask_for_a_retry() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let cases = [
        (
            "ctx abort-operation 'no way'\n",
            "NonRecoverableError",
            "no way",
            json!([]),
        ),
        (
            "set -e\nctx retry-operation soon 30\n",
            "OperationRetry",
            "soon [retry_after=30]",
            json!([30]),
        ),
        (
            "ctx operation retry later 2.5\n",
            "OperationRetry",
            "later [retry_after=2.5]",
            json!([2.5]),
        ),
        (
            "ctx operation retry again\n",
            "OperationRetry",
            "again",
            json!([null]),
        ),
        (
            "ctx returns 1\nctx returns 2 || true\n",
            "NonRecoverableError",
            "ctx may only abort or return once",
            json!([]),
        ),
    ];
    for (number, (content, kind, message, args)) in cases.into_iter().enumerate() {
        bench.script("s.sh", &format!("#!/bin/sh\n{content}"));
        let failure = error(
            bench
                .run(&task(&format!("t{number}"), json!({"script_path": "s.sh"})))
                .await,
        );
        assert_eq!(failure.known_exception_type, kind, "{content}");
        assert_eq!(failure.message, message);
        assert_eq!(json!(failure.known_exception_type_args), args);
    }
    bench.end().await;
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let pids = bench.work_dir.path().join("grandchildren");
    let content = format!(
        "#!/bin/bash\n(trap '' TERM; echo $BASHPID >> {}; sleep 600) &\nsleep 600\n",
        pids.display()
    );
    bench.script("s.sh", &content);
    for (id, recoverable) in [("t1", None), ("t2", Some(true))] {
        let mut task = task(id, json!({"script_path": "s.sh"}));
        task.context.timeout = Some(1.0);
        task.context.timeout_recoverable = recoverable;
        let failure = error(bench.run(&task).await);
        assert_eq!(
            failure.message,
            "Process killed due to timeout of 1 seconds"
        );
        let expected = if recoverable.is_some() {
            "RecoverableError"
        } else {
            "NonRecoverableError"
        };
        assert_eq!(failure.known_exception_type, expected);
    }
    let pids = std::fs::read_to_string(pids).unwrap();
    let runs = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // nobody may be there to collect it
        !status.is_empty() && !status.contains("(zombie)")
    };
    assert_eq!(pids.lines().count(), 2);
    until(|| !pids.lines().any(runs)).await;
    bench.end().await;
}

#[tokio::test]
async fn what_a_script_leaves_running_does_not_hold_it_up() {
    let started = Instant::now();
    let content = "#!/bin/sh\necho begun\nsleep 20 &\nexit 0\n";
    let Some((bench, response)) = run_script(content, json!({})).await else {
        return;
    };
    assert_eq!(response, Response::Ok(Value::Null));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "waited for the background process"
    );
    assert!(
        bench
            .stub
            .state()
            .logs
            .iter()
            .any(|line| line == "info: <out> begun")
    );
    bench.end().await;
}

#[tokio::test]
async fn a_conflicting_write_is_merged_or_fails() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script(
        "s.sh",
        "#!/bin/sh\nctx instance runtime-properties mine 1\n",
    );
    bench.stub.state().rival = Some(json!({"old": 1, "theirs": 2}));
    let response = bench.run(&task("t1", json!({"script_path": "s.sh"}))).await;
    assert_eq!(response, Response::Ok(Value::Null));
    let stored = bench.stub.state().instances["app_1"]["runtime_properties"].clone();
    assert_eq!(stored, json!({"old": 1, "theirs": 2, "mine": "1"}));

    bench.script(
        "s.sh",
        "#!/bin/sh\nctx instance runtime-properties mine 1\n",
    );
    bench.stub.state().rival = Some(json!({"mine": 2}));
    let failure = error(bench.run(&task("t2", json!({"script_path": "s.sh"}))).await);
    assert_eq!(failure.known_exception_type, "RecoverableError");
    assert!(failure.message.contains("409"), "{}", failure.message);
    bench.end().await;
}

#[tokio::test]
async fn relationship_scripts_have_two_ends() {
    let content = "#!/bin/sh\nid=$(ctx target instance id)\n\
               ctx source instance runtime-properties peer \"$id\"\n\
                   ctx target instance runtime-properties n.m 1\nctx returns \"$(ctx type)\"\n\
                   ctx instance id\n";
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", content);
    let failure = error(
        bench
            .run(&related(task("t1", json!({"script_path": "s.sh"}))))
            .await,
    );
    assert!(
        failure
            .message
            .contains("can only be used in a node-instance context")
    );
    let stored = bench.stub.state().instances.clone();
    assert_eq!(stored["app_1"]["runtime_properties"]["peer"], "db_1");
    assert_eq!(stored["db_1"]["runtime_properties"]["n"], json!({"m": "1"}));
    bench.end().await;
}

#[tokio::test]
async fn resources_are_found_downloaded_and_rendered() {
    let content = "#!/bin/bash\nset -e\nf=$(ctx download-resource-and-render conf.tpl \
                   '@{\"template_variables\": {\"who\": \"me\"}}')\n\
                   cat $f; echo\ng=$(ctx download-resource 'own file.txt'); cat \"$g\"; echo\n\
                   ctx get-resource conf.tpl; echo\nctx download-resource nowhere || echo missing\n\
                   rm -r $(dirname $f) $(dirname \"$g\")\n";
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", content);
    {
        let mut state = bench.stub.state();
        let template = "{{ who.upper() }} {{ ctx.node.properties.port }} {{ ctx.instance.id }}";
        state.files.insert(
            "blueprints/default_tenant/bp/conf.tpl".into(),
            template.into(),
        );
        state.files.insert(
            "deployments/default_tenant/dep/own file.txt".into(),
            "mine".into(),
        );
    }
    let response = bench.run(&task("t1", json!({"script_path": "s.sh"}))).await;
    assert_eq!(response, Response::Ok(Value::Null));
    let logs = bench.stub.state().logs.clone();
    for line in [
        "ME 8080 app_1",
        "mine",
        "{{ who.upper() }} {{ ctx.node.properties.port }} {{ ctx.instance.id }}",
        "missing",
    ] {
        assert!(
            logs.iter().any(|log| *log == format!("info: <out> {line}")),
            "{line}: {logs:#?}"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn functions_in_inputs_are_evaluated_first() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    drop(bench.prepare());
    let source = "#!/bin/sh\nctx returns \"$ip\"\n";
    let mut task = task(
        "t1",
        json!({"script_source": source, "ip": {"get_attribute": ["SELF", "ip"]}}),
    );
    task.context.has_intrinsic_functions = true;
    assert_eq!(bench.run(&task).await, Response::Ok(json!("evaluated")));
    bench.end().await;
}

#[tokio::test]
async fn odd_inputs_are_refused_for_good() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", "#!/bin/sh\n");
    let cases = [
        (
            json!({}),
            "Either script_path or script_source must be provided",
        ),
        (
            json!({"script_path": "s.sh", "process": {"ctx_proxy_type": "zmq"}}),
            "Unsupported proxy type: zmq",
        ),
    ];
    for (number, (inputs, message)) in cases.into_iter().enumerate() {
        let failure = error(bench.run(&task(&format!("t{number}"), inputs)).await);
        assert_eq!(failure.known_exception_type, "NonRecoverableError");
        assert_eq!(failure.message, message);
    }
    let lost = error(
        bench
            .run(&task("t9", json!({"script_path": "nowhere.sh"})))
            .await,
    );
    assert_eq!(lost.message, "Resource not found: nowhere.sh");
    bench.end().await;
}
