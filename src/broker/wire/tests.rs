//! Bodies against recorded traffic, and the odd forms peers send.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// Recorded messages; empty, with a note, where the recordings are not at hand.
fn recorded(exchange: &str, routing_key: impl Fn(&str) -> bool) -> Vec<Value> {
    let root = std::env::var_os("STRATALOG_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = root.join("conformance/transcripts/amqp.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no recorded messages at {}", path.display());
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["exchange"] == exchange)
        .filter(|record| routing_key(record["routing_keys"][0].as_str().unwrap_or_default()))
        .map(|record| record["body"].clone())
        .collect()
}

fn parse(body: &Value) -> Request {
    Request::parse(&serde_json::to_vec(body).unwrap()).unwrap()
}

#[test]
fn recorded_operations_survive_reading_and_writing() {
    for body in recorded("cloudify.management", |key| key == "operation") {
        let Request::Task(task) = parse(&body) else {
            panic!("not a task: {body}")
        };
        assert!(
            task.context.extra.is_empty(),
            "unknown fields {:?}",
            task.context.extra
        );
        assert_eq!(
            OperationTask::body(&task.context, &task.inputs).unwrap(),
            body
        );
    }
}

#[test]
fn recorded_responses_survive_reading_and_writing() {
    for body in recorded("cloudify.management", |key| {
        key.starts_with("execution_responses_")
    }) {
        let response = Response::parse(&serde_json::to_vec(&body).unwrap()).unwrap();
        assert_eq!(response.to_body(), body);
    }
}

#[test]
fn recorded_workflows_are_what_we_would_write() {
    for body in recorded("cloudify.management", |key| key == "workflow") {
        let mut parameters = body["cloudify_task"]["kwargs"].as_object().unwrap().clone();
        let context = parameters.shift_remove(CONTEXT_KEY).unwrap();
        let task = WorkflowTask {
            id: body["id"].as_str().unwrap().to_owned(),
            execution_creator: body["execution_creator"].as_i64().unwrap(),
            parameters,
            context: serde_json::from_value(context).unwrap(),
        };
        assert_eq!(task.to_body().unwrap(), body);
    }
}

#[test]
fn recorded_hooks_and_service_tasks_survive() {
    for body in recorded("cloudify-events-topic", |key| key == "events.hooks") {
        let bytes = serde_json::to_vec(&body).unwrap();
        assert_eq!(Telemetry::parse(&bytes).unwrap(), Telemetry::Hook);
        let hook = HookMessage::parse(&bytes).unwrap();
        assert_eq!(serde_json::to_value(&hook).unwrap(), body);
    }
    for body in recorded("cloudify-mgmtworker-service", |_| true) {
        let Request::Service(task) = parse(&body) else {
            panic!("not a service task: {body}")
        };
        assert_eq!(task.to_body(), body);
    }
}

#[test]
fn sparse_contexts_are_accepted() {
    let body = json!({"cloudify_task": {"kwargs": {"__cloudify_context": {
        "type": "operation", "task_name": "a.b", "tenant": {"name": "t", "x": 1},
        "rest_host": "10.0.0.1", "rest_token": "abc", "plugin": null, "unheard_of": [1],
    }, "port": 80}}});
    let Request::Task(task) = parse(&body) else {
        panic!("not a task")
    };
    assert_eq!(task.context.token(), Some("abc"));
    assert_eq!(task.context.rest_host, ["10.0.0.1"]);
    assert_eq!(task.context.tenant.extra["x"], 1);
    assert_eq!(task.context.extra["unheard_of"], json!([1]));
    assert_eq!(task.inputs, *json!({"port": 80}).as_object().unwrap());
    assert_eq!(task.task_id(), None);
}

#[test]
fn what_is_no_request_is_refused() {
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"cloudify_task": {}}"#,
        r#"{"cloudify_task": 1}"#,
        "\"x\"",
    ] {
        assert!(Request::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn responses_of_every_kind_are_read() {
    let read = |body: Value| Response::parse(&serde_json::to_vec(&body).unwrap()).unwrap();
    assert_eq!(read(json!({"ok": true})), Response::Ok(Value::Null));
    assert_eq!(
        read(json!({"time": 1.5})),
        Response::Ok(json!({"time": 1.5}))
    );
    assert_eq!(read(json!(null)), Response::Ok(Value::Null));
    let Response::Error(text) = read(json!({"ok": false, "error": "KeyError('x')"})) else {
        panic!("not an error")
    };
    assert_eq!(
        (text.message.as_str(), text.retry()),
        ("KeyError('x')", Retry::Failure { after_s: None })
    );
    let Response::Error(known) = read(json!({"ok": false, "error": {
        "exception_type": "E", "message": "no", "known_exception_type": "RecoverableError",
        "known_exception_type_args": [30], "known_exception_type_kwargs": {"causes": []},
        "append_message": false, "traceback": "t"}}))
    else {
        panic!("not an error")
    };
    assert_eq!(
        known.retry(),
        Retry::Failure {
            after_s: Some(30.0)
        }
    );
}

#[test]
fn errors_are_written_complete() {
    let cause = Cause {
        message: "boom".into(),
        kind: "ProcessException".into(),
        traceback: None,
    };
    let error = TaskError::recoverable("boom").caused_by(cause);
    assert_eq!(
        Response::Error(error).to_body(),
        json!({"ok": false, "error": {
        "exception_type": "RecoverableError", "message": "boom",
        "known_exception_type": "RecoverableError", "known_exception_type_args": [null],
        "known_exception_type_kwargs": {"causes": [
            {"message": "boom", "type": "ProcessException", "traceback": null}]},
        "append_message": false, "traceback": null}})
    );
    let retry = TaskError::operation_retry("later", Some(30.0));
    assert_eq!(retry.message, "later [retry_after=30]");
    assert_eq!(retry.known_exception_type_args, [json!(30)]);
    assert_eq!(
        retry.retry(),
        Retry::Asked {
            after_s: Some(30.0)
        }
    );
    assert_eq!(TaskError::non_recoverable("no").retry(), Retry::Never);
}

#[test]
fn a_relayed_error_keeps_the_original_as_its_last_cause() {
    let mut original = TaskError::recoverable("Boom");
    original.exception_type = "ValueError".to_owned();
    original.traceback = Some("tb".to_owned());
    let relayed = original.relayed();
    assert_eq!(relayed.exception_type, "RecoverableError");
    let last = relayed.causes().pop().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.traceback.as_deref()),
        ("ValueError", Some("tb"))
    );
}

#[test]
fn timestamps_are_read_leniently() {
    let minute = "2019-03-01T08:00:00+00:00";
    let cases = [
        (
            "2019-03-01T08:00:00.123Z",
            Some("2019-03-01T08:00:00.123+00:00"),
        ),
        ("2019-03-01T08:00Z", Some(minute)),
        ("2019-03-01 08:00:00", Some(minute)),
        ("2019-03-01T10:00:00+02:00", Some(minute)),
        ("2019-03-01", Some("2019-03-01T00:00:00+00:00")),
        ("yesterday", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(
            parse_timestamp(text)
                .map(|time| time.to_rfc3339())
                .as_deref(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn logs_and_events_are_told_apart() {
    let read = |body: Value| Telemetry::parse(&serde_json::to_vec(&body).unwrap());
    let log = json!({"type": "cloudify_log", "level": "info", "message": {"text": "hi"},
        "context": {"execution_id": "e", "odd": 1}});
    let Telemetry::Log(log) = read(log).unwrap() else {
        panic!("not a log")
    };
    assert_eq!(log.context.extra["odd"], 1);
    assert!(matches!(
        read(json!({"level": "info"})).unwrap(),
        Telemetry::Log(_)
    ));
    assert!(matches!(
        read(json!({"type": "cloudify_event"})).unwrap(),
        Telemetry::Event(_)
    ));
    assert!(read(json!([])).is_err());
}
