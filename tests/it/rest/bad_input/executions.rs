//! Executions, events and operations.
use serde_json::{Value, json};

use super::row::{Row, row};

pub(super) fn rows() -> Vec<Row> {
    let start = |body: Value| row("POST", "executions").json(body);
    let install = |name: &str, value: Value| {
        let mut body = json!({"deployment_id": "dep", "workflow_id": "install"});
        body[name] = value;
        row("POST", "executions").json(body)
    };
    let act = |action: Value| row("POST", "executions/ended").json(json!({ "action": action }));
    let report = |status: Value| row("PATCH", "executions/ended").json(json!({ "status": status }));
    vec![
        start(json!({})).bad(),
        start(json!({"deployment_id": "dep"})).bad(),
        start(json!({"deployment_id": 5, "workflow_id": "install"})).bad(),
        start(json!({"deployment_id": "no", "workflow_id": "install"})).missing(),
        start(json!({"deployment_id": "dep", "workflow_id": "dance"}))
            .is(400, "nonexistent_workflow_error"),
        install("parameters", json!([])).is(400, "illegal_execution_parameters_error"),
        install("parameters", json!({"no": 1})).is(400, "illegal_execution_parameters_error"),
        install("force", json!("perhaps")).bad(),
        act(json!("dance")).bad(),
        act(json!(5)).bad(),
        act(json!("cancel")).is(400, "illegal_action_error"),
        act(json!("force-cancel")).is(400, "illegal_action_error"),
        act(json!("resume")).is(409, "conflict_error"),
        row("POST", "executions/ended").json(json!({})).bad(),
        row("POST", "executions/no")
            .json(json!({"action": "cancel"}))
            .missing(),
        report(json!("started")).is(400, "invalid_exception_status_update"),
        report(json!("dancing")).bad(),
        report(json!(null)).bad(),
        row("PATCH", "executions/ended").json(json!({})).bad(),
        row("PATCH", "executions/no")
            .json(json!({"status": "started"}))
            .missing(),
        row("DELETE", "executions")
            .json(json!({"keep_last": 1, "to_datetime": "2026-01-01T00:00:00Z"}))
            .bad(),
        row("DELETE", "executions")
            .json(json!({"keep_last": -1}))
            .bad(),
    ]
}

pub(super) fn of_events_and_operations() -> Vec<Row> {
    let events = |body: Value| row("POST", "events").json(body);
    let conflict = "conflict_error";
    vec![
        events(json!({"events": [], "logs": []})).is(409, conflict),
        events(json!({"execution_id": "ended", "execution_group_id": "g", "logs": []}))
            .is(409, conflict),
        events(json!({"execution_id": "ended", "events": "x"})).bad(),
        events(json!({"execution_id": "ended", "events": [{"message": 5}]})).bad(),
        events(json!({"execution_id": "ended", "logs": [{"logger": "l"}]})).bad(),
        row("GET", "events?nonsense=1").bad(),
        row("GET", "events?_range=timestamp,,").bad(),
        row("GET", "events?_range=timestamp,yesterday,today").bad(),
        row("GET", "events?_sort=nonsense").bad(),
        row("GET", "events?_size=-1").bad(),
        row("GET", "operations").bad(),
        row("GET", "operations?graph_id=a&execution_id=b").bad(),
        row("GET", "operations/no").missing(),
        row("PATCH", "operations/no")
            .json(json!({"state": "started"}))
            .missing(),
        row("PUT", "operations/new")
            .json(json!({"name": "n"}))
            .bad(),
        row("GET", "tasks_graphs").bad(),
        row("POST", "tasks_graphs/tasks_graphs")
            .json(json!({"name": "n"}))
            .bad(),
        row("POST", "tasks_graphs/tasks_graphs")
            .json(json!({"name": "n", "execution_id": "no", "operations": []}))
            .missing(),
    ]
}
