//! Bodies that are broken, of the wrong type, or make no sense.
use serde_json::json;

use super::{
    BODY_BYTES_MAX, UPLOAD_BYTES_MAX, archive,
    row::{Row, row},
};

/// What is no JSON, not said to be JSON, or too much of it.
pub(super) fn broken() -> Vec<Row> {
    let deep = "[".repeat(20_000);
    let huge = format!(r#"{{"blueprint_id":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    let unsupported = "unsupported_content_type_error";
    vec![
        row("PUT", "deployments/d").text("{").bad(),
        row("PUT", "deployments/d").text("").bad(),
        row("PUT", "deployments/d").text("null").bad(),
        row("PUT", "deployments/d").text("[]").bad(),
        row("PUT", "deployments/d").text("\"text\"").bad(),
        row("PUT", "deployments/d").text(deep.clone()).bad(),
        row("PUT", "deployments/d")
            .text(r#"{"blueprint_id":"bp"} trailing"#)
            .bad(),
        row("PUT", "deployments/d")
            .text(b"{\"blueprint_id\":\"\xff\xfe\"}".to_vec())
            .bad(),
        row("PUT", "deployments/d")
            .text(r#"{"blueprint_id":"\ud800"}"#)
            .bad(),
        row("POST", "executions").text("not json").bad(),
        row("PATCH", "node-instances/db_1")
            .text(r#"{"version":1"#)
            .bad(),
        row("PATCH", "node-instances/db_1")
            .text(r#"{"version":1e999}"#)
            .bad(),
        row("POST", "evaluate/functions").text("").bad(),
        row("PUT", "users").text("[]").bad(),
        row("POST", "searches/blueprints").text("{{}}").bad(),
        row("POST", "tenants/new").text(deep).bad(),
        row("PUT", "deployments/d")
            .text(huge)
            .is(413, "payload_too_large_error"),
        row("PUT", "deployments/d").bytes("{}").is(415, unsupported),
        row("PUT", "deployments/d")
            .header("Content-Type", "text/plain")
            .bytes("{}")
            .is(415, unsupported),
        row("PATCH", "node-instances/db_1")
            .bytes("version=1")
            .is(415, unsupported),
    ]
}

pub(super) fn of_blueprints() -> Vec<Row> {
    let good = || archive("blueprint.yaml", "a: b");
    let large = usize::try_from(UPLOAD_BYTES_MAX).unwrap() + 1;
    let long = "b".repeat(257);
    let state = |value: serde_json::Value| row("PATCH", "blueprints/bp").json(value);
    let seen = |value: &str| {
        row("PATCH", "blueprints/bp/set-visibility").json(json!({ "visibility": value }))
    };
    vec![
        row("PUT", "blueprints/9x").bytes(good()).bad(),
        row("PUT", "blueprints/a%20b").bytes(good()).bad(),
        row("PUT", "blueprints/a%2Fb").bytes(good()).bad(),
        row("PUT", "blueprints/%00").bytes(good()).bad(),
        row("PUT", "blueprints/%ff").bytes(good()).bad(),
        row("PUT", format!("blueprints/{long}")).bytes(good()).bad(),
        row("PUT", "blueprints/new").bytes("").bad(),
        row("PUT", "blueprints/new?visibility=all")
            .bytes(good())
            .bad(),
        row(
            "PUT",
            "blueprints/new?blueprint_archive_url=http://127.0.0.1:1/",
        )
        .bytes(good())
        .bad(),
        row("PUT", "blueprints/new")
            .bytes(vec![b'x'; large])
            .is(413, "payload_too_large_error"),
        row("PUT", "blueprints/new")
            .header("Content-Type", "multipart/form-data; boundary=b")
            .bytes("no form at all")
            .bad(),
        row("PUT", "blueprints/new")
            .header("Content-Type", "multipart/form-data; boundary=b")
            .bytes("--b\r\ncontent-disposition: form-data; name=\"params\"\r\n\r\n{\r\n--b--\r\n")
            .bad(),
        row("PUT", "blueprints/bp")
            .bytes(good())
            .is(409, "conflict_error"),
        state(json!({})).is(400, "illegal_action_error"),
        state(json!({"nonsense": 1})).bad(),
        state(json!({"state": "nonsense"})).bad(),
        state(json!({"plan": []})).bad(),
        state(json!({"labels": {"a": "b"}})).bad(),
        state(json!({"labels": [{"csys-nonsense": "b"}]})).bad(),
        seen("private").bad(),
        seen("everywhere").bad(),
        row("DELETE", "blueprints/bp").is(400, "dependent_exists_error"),
        row("DELETE", "blueprints/bp?force=maybe").bad(),
        row("POST", "searches/blueprints")
            .json(json!({"filter_rules": [{"key": "a"}]}))
            .is(400, "invalid_filter_rule"),
    ]
}

pub(super) fn of_deployments() -> Vec<Row> {
    let put = |body: serde_json::Value| row("PUT", "deployments/d").json(body);
    let with = |name: &str, value: serde_json::Value| {
        let mut body = json!({"blueprint_id": "bp", "inputs": {"port": 1}});
        body[name] = value;
        put(body)
    };
    let patch = |body: serde_json::Value| row("PATCH", "deployments/dep").json(body);
    let good = json!({"blueprint_id": "bp", "inputs": {"port": 1}});
    let long = "d".repeat(257);
    vec![
        put(json!({})).bad(),
        put(json!({"blueprint_id": 5})).bad(),
        put(json!({"blueprint_id": "none"})).missing(),
        put(json!({"blueprint_id": "bp"})).is(400, "missing_required_deployment_input_error"),
        with("inputs", json!({"port": 1, "no": 2})).is(400, "unknown_deployment_input_error"),
        with("inputs", json!([])).bad(),
        with("labels", json!({"a": "b"})).bad(),
        with("labels", json!([{"a": "b"}, {"a": "b"}])).bad(),
        with("labels", json!([{"a": "say \"b\""}])).bad(),
        with("labels", json!([{"a b": "c"}])).bad(),
        with("labels", json!([{"a": "line\nbreak"}])).bad(),
        with("labels", json!([{"csys-nonsense": "b"}])).bad(),
        with("visibility", json!("all")).bad(),
        with("visibility", json!("global")).is(403, "forbidden_error"),
        with("skip_plugins_validation", json!("perhaps")).bad(),
        with("workdir_zip", json!("no base64!")).bad(),
        row("PUT", "deployments/a%20b").json(good.clone()).bad(),
        row("PUT", format!("deployments/{long}"))
            .json(good.clone())
            .bad(),
        row("PUT", "deployments/d?async_create=perhaps")
            .json(good.clone())
            .bad(),
        row("PUT", "deployments/dep")
            .json(good)
            .is(409, "conflict_error"),
        patch(json!({})).is(400, "illegal_action_error"),
        patch(json!({"outputs": {}})).is(409, "conflict_error"),
        patch(json!({"blueprint_id": "bp"})).is(403, "only_deployment_update"),
        patch(json!({"display_name": 5})).bad(),
        patch(json!({"display_name": "a\0b"})).bad(),
        patch(json!({"labels": [{"csys-obj-parent": "no"}]}))
            .is(404, "deployment_parent_not_found_error"),
        row("PATCH", "deployments/dep/set-visibility")
            .json(json!({"visibility": "private"}))
            .bad(),
        row("DELETE", "deployments/dep").is(400, "dependent_exists_error"),
        row("DELETE", "deployments/dep?recursive=2").bad(),
        row("POST", "searches/deployments")
            .json(json!({"filter_rules": [
                {"key": "id", "values": [], "operator": "any_of", "type": "attribute"}]}))
            .is(400, "invalid_filter_rule"),
        row("POST", "searches/deployments")
            .json(json!({"filter_rules": [
                {"key": "nonsense", "values": ["x"], "operator": "any_of", "type": "attribute"}]}))
            .is(400, "invalid_filter_rule"),
    ]
}

pub(super) fn of_nodes() -> Vec<Row> {
    let patch = |body: serde_json::Value| row("PATCH", "node-instances/db_1").json(body);
    let update_only = "only_deployment_update";
    vec![
        patch(json!({})).bad(),
        patch(json!({"version": "x"})).bad(),
        patch(json!({"version": -1})).bad(),
        patch(json!({"version": 2, "runtime_properties": "x"})).bad(),
        patch(json!({"version": 2, "system_properties": []})).bad(),
        patch(json!({"version": 2, "state": 5})).bad(),
        patch(json!({"version": 2, "relationships": []})).is(403, update_only),
        patch(json!({"version": 1, "state": "x"})).is(409, "conflict_error"),
        row("PATCH", "node-instances/no")
            .json(json!({"version": 1}))
            .missing(),
        row("DELETE", "node-instances/db_1").is(403, update_only),
        row("PATCH", "nodes/dep/db")
            .json(json!({"properties": {}}))
            .is(403, update_only),
        row("DELETE", "nodes/dep/db").is(403, update_only),
        row("POST", "nodes")
            .json(json!({"deployment_id": "dep"}))
            .bad(),
        row("POST", "nodes")
            .json(json!({"deployment_id": "dep", "nodes": [{"id": "a\0", "type": "t"}]}))
            .bad(),
        row("POST", "nodes")
            .json(json!({"deployment_id": "dep", "nodes": [{"id": "x"}]}))
            .bad(),
        row("POST", "nodes")
            .json(json!({"deployment_id": "no", "nodes": [{"id": "x", "type": "t"}]}))
            .missing(),
        row("POST", "node-instances")
            .json(json!({"deployment_id": "dep", "node_instances": "x"}))
            .bad(),
    ]
}

pub(super) fn of_accounts() -> Vec<Row> {
    let user = |name: &str, password: &str, role: &str| {
        let body = json!({"username": name, "password": password, "role": role});
        row("PUT", "users").json(body)
    };
    let member = |tenant: &str, user: &str, role: &str| {
        let body = json!({"tenant_name": tenant, "username": user, "role": role});
        row("PUT", "tenants/users").json(body)
    };
    vec![
        row("PUT", "users").json(json!({"username": "new"})).bad(),
        user("9new", "password", "default").bad(),
        user("n w", "password", "default").bad(),
        user("new", "four", "default").bad(),
        user("new", &"p".repeat(257), "default").bad(),
        user("new", "password", "nonsense").bad(),
        user("new", "password", "viewer").bad(),
        user("viewer", "password", "default").is(409, "conflict_error"),
        row("POST", "users/viewer").json(json!({})).bad(),
        row("POST", "users/viewer")
            .json(json!({"password": "password", "role": "default"}))
            .bad(),
        row("POST", "users/nobody")
            .json(json!({"role": "default"}))
            .missing(),
        row("POST", "tenants/9new").bad(),
        row("POST", "tenants/users").bad(),
        row("POST", "tenants/default_tenant").is(409, "conflict_error"),
        member("default_tenant", "viewer", "user").is(409, "conflict_error"),
        member("default_tenant", "stranger", "sys_admin").bad(),
        member("default_tenant", "nobody", "user").missing(),
        member("nowhere", "viewer", "user").is(403, "forbidden_error"),
        row("POST", "tokens")
            .json(json!({"expiration_date": "yesterday, perhaps"}))
            .bad(),
        row("POST", "tokens")
            .json(json!({"expiration_date": "2001-01-01 00:00"}))
            .bad(),
    ]
}

pub(super) fn of_the_rest() -> Vec<Row> {
    let context = |value: &str| {
        let body = format!(r#"{{"name": "x", "context": {{"a": {value}}}}}"#);
        row("POST", "provider/context?update=true").text(body)
    };
    let evaluate = |body: serde_json::Value| row("POST", "evaluate/functions").json(body);
    vec![
        evaluate(json!({"deployment_id": "dep"})).bad(),
        evaluate(json!({"deployment_id": "dep", "payload": []})).bad(),
        evaluate(json!({"deployment_id": "no", "payload": {}})).missing(),
        evaluate(json!({"deployment_id": "dep", "payload": {"a": {"get_input": "no"}}}))
            .is(400, "functions_evaluation_error"),
        evaluate(
            json!({"deployment_id": "dep", "payload": {"a": {"get_capability": ["no", "x"]}}}),
        )
        .is(400, "functions_evaluation_error"),
        context(r#""\ud800""#).bad(),
        context(r#""\u0000""#).bad(),
        context(&format!("{}{}", "[".repeat(500), "]".repeat(500))).bad(),
        row("POST", "provider/context")
            .json(json!({"name": "x"}))
            .bad(),
        row("PUT", "config/rest.default_page_size")
            .json(json!({}))
            .bad(),
        row("PUT", "config/rest.default_page_size")
            .json(json!({"value": "many"}))
            .is(409, "conflict_error"),
    ]
}
