//! Pure parts: Python's way to print, the command line of `ctx`, the inputs of scripts.
use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{
        context::{Context, Ending},
        ctx_command::{Failure, parse, run},
        log::OperationLog,
        proxy::Proxy,
        rest::{Rest, Session},
        script::{Script, Source, dedent},
        text,
    },
    Task,
    stub::{Stub, TOKEN},
    task,
};
use crate::broker::wire::OperationTask;

#[test]
fn prints_like_python() {
    let cases = [
        (json!(null), "None", "null"),
        (json!(true), "True", "true"),
        (json!(3), "3", "3"),
        (json!(1.5), "1.5", "1.5"),
        (
            json!({"a": [1, "x", null], "b": {}}),
            "{'a': [1, 'x', None], 'b': {}}",
            r#"{"a": [1, "x", null], "b": {}}"#,
        ),
        (
            json!(["it's", "say \"hi\"", "both ' \""]),
            r#"["it's", 'say "hi"', 'both \' "']"#,
            r#"["it's", "say \"hi\"", "both ' \""]"#,
        ),
        (
            json!(["ü\n\u{1}", "😀"]),
            "['ü\\n\\x01', '😀']",
            r#"["\u00fc\n\u0001", "\ud83d\ude00"]"#,
        ),
    ];
    for (value, python, as_json) in cases {
        assert_eq!(text::repr(&value), python);
        assert_eq!(text::json(&value), as_json);
    }
    assert_eq!(text::str(&json!("plain")), "plain");
}

#[test]
fn command_lines() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let call = parse(words(
        "-t 5 instance runtime-properties -j port -8 --socket-url=http://x",
    ))
    .unwrap();
    assert_eq!((call.timeout_s, call.json_output), (5, true));
    assert_eq!(call.args, ["instance", "runtime-properties", "port", "-8"]);
    assert_eq!(call.socket_url.as_deref(), Some("http://x"));
    let rest = parse(words("logger info -- -j -x")).unwrap();
    assert_eq!(rest.args, ["logger", "info", "-j", "-x"]);
    assert_eq!(
        parse(words("--json-arg-prefix % a")).unwrap().json_prefix,
        "%"
    );
    for wrong in ["-x", "-t", "-t soon a", "--timeout", "--json-output=1"] {
        assert!(
            matches!(parse(words(wrong)), Err(Failure::Usage(_))),
            "{wrong}"
        );
    }
}

#[test]
fn removes_shared_indentation() {
    assert_eq!(dedent("  a\n    b\n\n  c\n"), "a\n  b\n\nc\n");
    assert_eq!(dedent("a\n  b"), "a\n  b");
    assert_eq!(dedent("\ta\n  b"), "\ta\n  b");
}

#[test]
fn scripts_need_exactly_one_source() {
    let script = |inputs: serde_json::Value| Script::from_inputs(inputs.as_object().unwrap());
    let path = script(json!({"script_path": "a.sh", "script_source": null})).unwrap();
    assert_eq!(path.source, Source::Path("a.sh".to_owned()));
    let none = script(json!({})).unwrap_err();
    assert_eq!(none, "Either script_path or script_source must be provided");
    let both = script(json!({"script_path": "a", "script_source": "b"})).unwrap_err();
    assert_eq!(both, "Only provide script_path or script_source, not both");
}

/// A task as it arrives.
fn received(task: Task) -> OperationTask {
    let raw = serde_json::to_value(&task.context).unwrap();
    OperationTask {
        id: None,
        args: Vec::new(),
        inputs: task.inputs,
        raw_context: raw.as_object().unwrap().clone(),
        context: task.context,
    }
}

/// The command against a proxy, without a worker.
#[tokio::test]
async fn the_command_speaks_to_the_proxy() {
    let stub = Stub::start().await;
    let limit = Duration::from_secs(1);
    let (url, stop) = (stub.url(), CancellationToken::new());
    let rest = Rest::new(&[url], None, limit, stop).await.unwrap();
    let session = Session::new(Arc::new(rest), TOKEN, "default_tenant", false);
    let task = received(task("t1", json!({})));
    let tasks = TaskTracker::new();
    let worker = crate::worker::Options::new("", "".into(), "".into(), "test");
    let log = OperationLog::open(&tasks, session.clone(), &worker, &task.context);
    let context = Context::new(Arc::new(task), session, log.logger());
    let proxy = Proxy::start(&tasks, context).await.unwrap();
    let url = proxy.url().to_owned();
    let call = |line: &str| {
        let words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut call = parse(words).unwrap();
        call.socket_url.get_or_insert_with(|| url.clone());
        tokio::task::spawn_blocking(move || run(&call).map_err(|failure| failure.to_string()))
    };
    let wrong = url.rsplit_once('/').unwrap().0.to_owned();
    let cases = [
        ("instance id", Ok("app_1")),
        ("operation max-retries", Ok("60")),
        (
            "-j tenant",
            Ok(r#"{"name": "default_tenant", "rabbitmq_vhost": "v"}"#),
        ),
        ("plugin properties", Ok("")),
        ("resume", Ok("")),
        (
            "no-such-thing",
            Err("RuntimeError: no-such-thing cannot be processed in ['no-such-thing']"),
        ),
        (
            "instance",
            Err("TypeError: Object of type NodeInstanceContext is not JSON serializable"),
        ),
        (
            &format!("--socket-url {wrong}/guess instance id"),
            Err("HTTP status 404"),
        ),
        (
            "--socket-url ipc://x instance id",
            Err("Unsupported protocol: ipc"),
        ),
        ("abort-operation stop", Err("stop")),
        (
            "returns 2",
            Err("RuntimeError: ctx may only abort or return once"),
        ),
    ];
    for (line, expected) in cases {
        match (call(line).await.unwrap(), expected) {
            (Ok(output), Ok(expected)) => assert_eq!(output, expected, "{line}"),
            (Err(message), Err(expected)) => assert!(message.ends_with(expected), "{message}"),
            (found, expected) => panic!("{line}: {found:?} instead of {expected:?}"),
        }
    }
    assert_eq!(proxy.stop().await.unwrap().ending, Some(Ending::Illegal));
    log.close().await;
    stub.stop();
}
