//! Python through the library's own dispatcher.
use serde_json::{Value, json};

use super::*;
use crate::worker::python::response;

async fn run_python(content: &str) -> Option<(Bench, Response)> {
    let mut bench = Bench::start().await?;
    bench.script("s.py", content);
    let response = bench.run(&task("t1", json!({"script_path": "s.py"}))).await;
    Some((bench, response))
}

#[tokio::test]
async fn a_python_script_sees_its_context_and_changes_it() {
    let content = "from cloudify import ctx\n\
        ctx.logger.info('creating %s', ctx.instance.id)\n\
        ctx.instance.runtime_properties['token'] = 'tok-' + ctx.node.name\n\
        ctx.instance.runtime_properties['port'] = ctx.node.properties['port']\n\
        ctx.returns({'n': 1})\n";
    let Some((bench, response)) = run_python(content).await else {
        return;
    };
    assert_eq!(response, Response::Ok(json!({"n": 1})));
    {
        let state = bench.stub.state();
        assert_eq!(
            state.instances["app_1"]["runtime_properties"],
            json!({"old": 1, "token": "tok-app", "port": 8080})
        );
        assert!(
            state.logs.iter().any(|line| line == "info: creating app_1"),
            "{:?}",
            state.logs
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn errors_of_python_keep_their_kind() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let cases = [
        (
            "raise ValueError('boom')",
            "RecoverableError",
            "boom",
            "ValueError",
            json!([]),
        ),
        (
            "from cloudify.exceptions import NonRecoverableError as E\nraise E('no')",
            "NonRecoverableError",
            "no",
            "NonRecoverableError",
            json!([]),
        ),
        (
            "from cloudify.exceptions import RecoverableError as E\nraise E('wait', retry_after=3)",
            "RecoverableError",
            "wait [retry_after=3]",
            "RecoverableError",
            json!([3]),
        ),
        (
            "from cloudify import ctx\nctx.operation.retry('again', retry_after=5)",
            "OperationRetry",
            "again [retry_after=5]",
            "OperationRetry",
            json!([5]),
        ),
    ];
    for (number, (content, known, message, kind, args)) in cases.into_iter().enumerate() {
        bench.script("s.py", content);
        let task = task(&format!("t{number}"), json!({"script_path": "s.py"}));
        let Response::Error(error) = bench.run(&task).await else {
            panic!("{content}")
        };
        assert_eq!(error.known_exception_type, known, "{content}");
        assert_eq!(error.exception_type, known);
        assert_eq!(error.message, message);
        assert_eq!(json!(error.known_exception_type_args), args);
        assert_eq!(error.causes().last().unwrap().kind, kind);
    }
    bench.end().await;
}

#[tokio::test]
async fn a_process_that_dies_fails_for_good() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let cases = [
        (
            "import os; os._exit(3)",
            "Unhandled exception occurred in operation dispatch (rc=3)",
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            "Process terminated (rc=-9)",
        ),
        (
            "from cloudify import ctx\nctx.returns(object())",
            "Unhandled exception occurred in operation dispatch (rc=1)",
        ),
    ];
    for (number, (content, message)) in cases.into_iter().enumerate() {
        bench.script("s.py", content);
        let task = task(&format!("t{number}"), json!({"script_path": "s.py"}));
        let Response::Error(error) = bench.run(&task).await else {
            panic!("{content}")
        };
        assert_eq!(
            (error.known_exception_type.as_str(), error.message.as_str()),
            ("NonRecoverableError", message)
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn an_interrupted_python_operation_is_asked_whether_it_can_resume() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.py", "from cloudify import ctx\nctx.returns(1)\n");
    bench
        .stub
        .state()
        .operations
        .insert("t1".to_owned(), "started".to_owned());
    let response = bench.run(&task("t1", json!({"script_path": "s.py"}))).await;
    let Response::Error(error) = response else {
        panic!("{response:?}")
    };
    assert!(
        error
            .message
            .starts_with("Cannot resume - operation not resumable"),
        "{error:?}"
    );
    bench.end().await;
}

#[tokio::test]
async fn inline_sources_are_what_python_can_parse() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    drop(bench.prepare());
    let cases = [
        (
            "  from cloudify import ctx\n  ctx.returns('python')\n",
            "python",
        ),
        ("  ctx returns shell\n", "shell"),
        ("#!/bin/sh\nctx\"\" returns \"sh\"\n", "sh"),
    ];
    for (number, (source, expected)) in cases.into_iter().enumerate() {
        let task = task(&format!("t{number}"), json!({"script_source": source}));
        assert_eq!(
            bench.run(&task).await,
            Response::Ok(json!(expected)),
            "{source}"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn plugins_that_are_not_installed_fail_for_good() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    drop(bench.prepare());
    let mut task = task("t1", json!({}));
    task.context.task_name = "demo.tasks.noop".to_owned();
    task.context.plugin.name = Some("demo".to_owned());
    let Response::Error(error) = bench.run(&task).await else {
        panic!("it was found")
    };
    assert!(
        error
            .message
            .starts_with("No source or managed plugin found for demo")
    );
    assert_eq!(error.known_exception_type, "NonRecoverableError");
    bench.end().await;
}

#[test]
fn outputs_of_the_dispatcher() {
    assert_eq!(
        response(br#"{"type": "result", "payload": [1]}"#),
        Response::Ok(json!([1]))
    );
    let stop = br#"{"type": "error", "payload": {"exception_type": "StopAgent", "message": "",
        "known_exception_type": "StopAgent", "known_exception_type_args": [],
        "known_exception_type_kwargs": {"causes": []}, "append_message": false}}"#;
    assert_eq!(response(stop), Response::Ok(Value::Null));
    for broken in [
        &b"{"[..],
        br#"{"type": "result", "payload": NaN}"#,
        br#"{"type": "error"}"#,
    ] {
        assert!(matches!(response(broken), Response::Error(_)));
    }
}
