//! `/secrets`: values are kept sealed, shown to those who may see them, and go from one manager to
//! another.
use reqwest::Method;
use serde_json::{Value, json};
use stratalog::db::Database;

use super::{archive, blueprint, deployment};
use crate::support::server::TestServer;

/// A user with a role in the default tenant, whose password is the name twice.
async fn user(server: &TestServer, name: &str, role: &str) {
    let user = json!({"username": name, "password": format!("{name}{name}")});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": name, "role": role});
    server.put("tenants/users", &member).await.expect(200);
}

fn as_user(server: &TestServer, name: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
    server
        .anonymous(method, path)
        .basic_auth(name, Some(format!("{name}{name}")))
        .header("Tenant", "default_tenant")
}

#[tokio::test]
async fn a_secret_is_made_changed_and_looked_back_at() {
    let server = TestServer::start().await;
    let body = json!({"value": "v1", "update_if_exists": false, "is_hidden_value": false,
        "visibility": "tenant"});
    let made = server.put("secrets/k1", &body).await.expect(200);
    assert_eq!(
        (&made["key"], &made["schema"]),
        (&json!("k1"), &Value::Null)
    );
    assert_ne!(made["value"], "v1");
    let first = server.position();
    assert_eq!(server.get("secrets/k1").await.expect(200)["value"], "v1");
    let listed = server.get("secrets?_sort=key").await.expect(200);
    let mut names: Vec<&String> = listed["items"][0].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "created_at",
            "created_by",
            "is_hidden_value",
            "key",
            "provider_name",
            "resource_availability",
            "tenant_name",
            "updated_at",
            "visibility"
        ]
    );
    let change = json!({"value": "v2", "provider_options": {}});
    server.patch("secrets/k1", &change).await.expect(200);
    server
        .put("secrets/k1", &body)
        .await
        .refused(409, "conflict_error", "already exists");
    assert_eq!(server.get("secrets/k1").await.expect(200)["value"], "v2");
    let again = json!({"value": "v3", "update_if_exists": true, "is_hidden_value": true,
        "visibility": "global"});
    let updated = server.put("secrets/k1", &again).await.expect(200);
    assert_eq!(updated["is_hidden_value"], false, "only the value changes");
    assert_eq!(updated["visibility"], "tenant");
    let skipped = server.get("secrets/k1?_skip_value=true").await.expect(200);
    assert_eq!(skipped["value"], "");
    assert_eq!(server.get("secrets/k1").await.expect(200)["value"], "v3");
    let then = server
        .get(&format!("secrets/k1?_as_of={first}"))
        .await
        .expect(200);
    assert_eq!(then["value"], "v1");
    let wider = json!({"visibility": "global"});
    let global = server
        .patch("secrets/k1/set-visibility", &wider)
        .await
        .expect(200);
    assert_eq!(global["visibility"], "global");
    server
        .patch(
            "secrets/k1/set-visibility",
            &json!({"visibility": "tenant"}),
        )
        .await
        .refused(400, "illegal_action_error", "wider visibility");
    server.delete("secrets/k1").await.expect(204);
    server
        .get("secrets/k1")
        .await
        .refused(404, "not_found_error", "k1");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_secret_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    for nothing in [json!(""), Value::Null] {
        server
            .put("secrets/k1", &json!({"value": nothing}))
            .await
            .refused(400, "bad_parameters_error", "empty value or provider: k1");
    }
    server
        .put("secrets/k1", &json!({}))
        .await
        .refused(400, "bad_parameters_error", "value");
    server
        .put("secrets/1k", &json!({"value": "v"}))
        .await
        .refused(400, "bad_parameters_error", "must begin with a letter");
    server
        .put("secrets/k1", &json!({"value": {"a": 1}}))
        .await
        .refused(400, "bad_parameters_error", "must be a string");
    server
        .put(
            "secrets/k1",
            &json!({"value": null, "provider_name": "nosuch"}),
        )
        .await
        .refused(404, "not_found_error", "nosuch");
    assert_eq!(server.get("secrets").await.expect(200)["items"], json!([]));
    server
        .put("secrets/k1", &json!({"value": "v"}))
        .await
        .expect(200);
    server.patch("secrets/k1", &json!({})).await.refused(
        400,
        "illegal_action_error",
        "at least one",
    );
    server.stop().await;
}

#[tokio::test]
async fn a_value_must_fit_its_schema() {
    let server = TestServer::start().await;
    let schema = json!({"type": "object", "required": ["user"],
        "properties": {"user": {"type": "string"}, "port": {"type": "integer"}}});
    let put = |value: Value| json!({"value": value, "schema": schema});
    server
        .put("secrets/k1", &put(json!({"port": 1})))
        .await
        .refused(409, "conflict_error", "does not fit its schema");
    server
        .put(
            "secrets/k1",
            &json!({"value": "v", "schema": {"type": "nothing"}}),
        )
        .await
        .refused(400, "bad_parameters_error", "schema");
    server
        .put("secrets/k1", &put(json!({"user": "ann"})))
        .await
        .expect(200);
    let held = server.get("secrets/k1").await.expect(200);
    assert_eq!(held["value"], json!({"user": "ann"}));
    assert_eq!(held["schema"], schema);
    let text = json!({"value": "{\"user\": \"bob\"}"});
    server.patch("secrets/k1", &text).await.expect(200);
    server
        .patch("secrets/k1", &json!({"value": {"user": 7}}))
        .await
        .refused(409, "conflict_error", "does not fit its schema");
    let held = server.get("secrets/k1").await.expect(200);
    assert_eq!(held["value"], json!({"user": "bob"}));
    server.stop().await;
}

#[tokio::test]
async fn hidden_values_are_for_their_creator_and_administrators() {
    let server = TestServer::start().await;
    for (name, role) in [
        ("ann", "user"),
        ("bob", "user"),
        ("max", "manager"),
        ("vera", "viewer"),
    ] {
        user(&server, name, role).await;
    }
    let body = json!({"value": "mine", "is_hidden_value": true});
    let put = as_user(&server, "ann", Method::PUT, "secrets/k1").json(&body);
    server.send(put).await.expect(200);
    for (name, seen) in [("ann", "mine"), ("max", "mine"), ("bob", ""), ("vera", "")] {
        let answer = server
            .send(as_user(&server, name, Method::GET, "secrets/k1"))
            .await;
        assert_eq!(answer.expect(200)["value"], seen, "{name}");
    }
    let change = json!({"value": "theirs"});
    let patch = as_user(&server, "bob", Method::PATCH, "secrets/k1").json(&change);
    server
        .send(patch)
        .await
        .refused(403, "forbidden_error", "hidden");
    let delete = as_user(&server, "bob", Method::DELETE, "secrets/k1");
    server
        .send(delete)
        .await
        .refused(403, "forbidden_error", "hidden");
    let exported = server
        .send(as_user(&server, "bob", Method::GET, "secrets/share/export"))
        .await;
    assert_eq!(exported.expect(200), json!([]));
    let put = as_user(&server, "vera", Method::PUT, "secrets/k2").json(&body);
    server
        .send(put)
        .await
        .refused(403, "forbidden_error", "secret_create");
    assert_eq!(server.get("secrets/k1").await.expect(200)["value"], "mine");
    // what was shown once is hidden now: looking back must not undo it
    server
        .put("secrets/k3", &json!({"value": "open"}))
        .await
        .expect(200);
    let shown = server.position();
    let hide = json!({"is_hidden_value": true});
    server.patch("secrets/k3", &hide).await.expect(200);
    let back = format!("secrets/k3?_as_of={shown}");
    for (name, seen) in [("max", "open"), ("bob", "")] {
        let answer = server
            .send(as_user(&server, name, Method::GET, &back))
            .await;
        assert_eq!(answer.expect(200)["value"], seen, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_value_is_nowhere_in_clear() {
    let server = TestServer::start().await;
    let body =
        json!({"value": "clear-as-day-4711", "provider_options": {"path": "secret-way-4711"}});
    server.put("secrets/k1", &body).await.expect(200);
    server
        .patch("secrets/k1", &json!({"value": "clear-as-day-4712"}))
        .await
        .expect(200);
    let told = server.get("audit/events").await;
    let told = String::from_utf8(told.body).unwrap();
    assert!(
        told.contains("secret_created") && told.contains("********"),
        "{told}"
    );
    let database = Database::new(server.database().url(), 1).unwrap();
    let client = database.dedicated().await.unwrap();
    let columns = client
        .query(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns
             WHERE data_type IN ('text', 'bytea', 'character varying')
               AND table_schema NOT IN ('pg_catalog', 'information_schema')",
            &[],
        )
        .await
        .unwrap();
    assert!(columns.len() > 20);
    // words, as digits alone stand in hashes by chance
    let words = ["clear-as-day", "secret-way"];
    for row in columns {
        let (schema, table, column): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let text = format!("encode(convert_to(\"{column}\"::text, 'UTF8'), 'escape')");
        let shown = words.map(str::to_owned).into_iter();
        let likes: Vec<String> = shown
            .chain(words.map(hex::encode))
            .map(|word| format!("{text} LIKE '%{word}%'"))
            .collect();
        let sql = format!(
            "SELECT count(*) FROM \"{schema}\".\"{table}\" WHERE {}",
            likes.join(" OR ")
        );
        let found: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
        assert_eq!(found, 0, "{schema}.{table}.{column}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn functions_ask_for_secrets() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    let ask = json!({"deployment_id": "one", "payload": {
        "plain": {"get_secret": "k1"}, "deep": {"get_secret": ["k2", "user"]},
        "both": {"concat": ["<", {"get_secret": "k1"}, ">"]}}});
    server.post("evaluate/functions", &ask).await.refused(
        400,
        "unknown_deployment_secret_error",
        "k1",
    );
    server
        .put("secrets/k1", &json!({"value": "v1"}))
        .await
        .expect(200);
    let other = json!({"value": {"user": "ann"}, "schema": {"type": "object"}});
    server.put("secrets/k2", &other).await.expect(200);
    let answer = server.post("evaluate/functions", &ask).await.expect(200);
    assert_eq!(
        answer["payload"],
        json!({"plain": "v1", "deep": "ann", "both": "<v1>"})
    );
    server.stop().await;
}

#[tokio::test]
async fn a_deployment_needs_the_secrets_of_its_blueprint() {
    let server = TestServer::start().await;
    let yaml = "\
tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml]
node_templates:
  host: {type: cloudify.nodes.Root}
outputs:
  key: {value: {concat: [a, {get_secret: k1}]}}
";
    let put = server.request(Method::PUT, "blueprints/bp?visibility=tenant");
    let put = put.body(archive("blueprint.yaml", yaml));
    server.send(put).await.expect(201);
    let new = json!({"blueprint_id": "bp"});
    let path = "deployments/one";
    server
        .put(&format!("{path}?async_create=false"), &new)
        .await
        .refused(400, "deployment_creation_error", "k1");
    server
        .put("secrets/k1", &json!({"value": "b"}))
        .await
        .expect(200);
    server.put(path, &new).await.expect(201);
    let outputs = server.get(&format!("{path}/outputs")).await.expect(200);
    assert_eq!(outputs["outputs"], json!({"key": "ab"}));
    server.delete("secrets/k1").await.expect(204);
    server.get(&format!("{path}/outputs")).await.refused(
        400,
        "unknown_deployment_secret_error",
        "k1",
    );
    server.stop().await;
}

/// Two secrets, and what is exported of them.
async fn exported(server: &TestServer) -> Value {
    server
        .put("secrets/k1", &json!({"value": "v1"}))
        .await
        .expect(200);
    let hidden = json!({"value": "v2", "is_hidden_value": true, "visibility": "private"});
    server.put("secrets/k2", &hidden).await.expect(200);
    let path = "secrets/share/export?_passphrase=passphrase1&_all_tenants=False";
    server.get(path).await.expect(200)
}

const IMPORT: &str = "secrets/share/import";

#[tokio::test]
async fn secrets_move_under_a_passphrase() {
    let server = TestServer::start().await;
    let exported = exported(&server).await;
    assert_eq!(exported.as_array().unwrap().len(), 2);
    assert_eq!(exported[0]["encrypted"], true);
    let value = exported[0]["value"].as_str().unwrap();
    assert!(value.starts_with("gAAAAA"), "{exported}");
    let path = "secrets/share/export?_search=k2&_include_metadata=true";
    let plain = server.get(path).await.expect(200);
    assert_eq!(
        (&plain[0]["value"], &plain[0]["creator"]),
        (&json!("v2"), &json!("admin"))
    );
    for key in ["k1", "k2"] {
        server.delete(&format!("secrets/{key}")).await.expect(204);
    }
    let import = json!({"secrets_list": exported, "override_collisions": false,
        "passphrase": "passphrase1"});
    let outcome = server.post(IMPORT, &import).await.expect(200);
    assert_eq!(
        outcome,
        json!({"colliding_secrets": {}, "secrets_errors": {}})
    );
    let again = server.get("secrets/k2").await.expect(200);
    assert_eq!(
        (&again["value"], &again["visibility"]),
        (&json!("v2"), &json!("private"))
    );
    server.stop().await;
}

#[tokio::test]
async fn what_is_here_already_is_changed_only_when_asked_for() {
    let server = TestServer::start().await;
    let exported = exported(&server).await;
    let import = |overriding: bool, passphrase: &str| {
        json!({"secrets_list": exported, "override_collisions": overriding,
            "passphrase": passphrase})
    };
    let newer = json!({"value": "newer"});
    server.patch("secrets/k1", &newer).await.expect(200);
    let outcome = server.post(IMPORT, &import(false, "passphrase1")).await;
    assert_eq!(
        outcome.expect(200)["colliding_secrets"],
        json!({"default_tenant": ["k1", "k2"]})
    );
    let held = server.get("secrets/k1").await.expect(200);
    assert_eq!(held["value"], "newer");
    let before = server.position();
    let outcome = server
        .post(IMPORT, &import(true, "another"))
        .await
        .expect(200);
    let errors = outcome["secrets_errors"].as_object().unwrap();
    assert_eq!(errors.len(), 2, "{outcome}");
    assert!(errors["0"]["value"].is_string(), "{outcome}");
    assert_eq!(server.position(), before);
    let outcome = server.post(IMPORT, &import(true, "passphrase1")).await;
    outcome.expect(200);
    let held = server.get("secrets/k1").await.expect(200);
    assert_eq!(held["value"], "v1");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_named() {
    let server = TestServer::start().await;
    let elsewhere = json!({"secrets_list": [], "override_collisions": true,
        "tenant_map": {"default_tenant": "nosuch"}});
    server
        .post(IMPORT, &elsewhere)
        .await
        .refused(400, "bad_parameters_error", "nosuch");
    let bad = json!({"secrets_list": [{"key": "1", "encrypted": "maybe"}],
        "override_collisions": false});
    let outcome = server.post(IMPORT, &bad).await.expect(200);
    let errors = outcome["secrets_errors"]["0"].as_object().unwrap();
    let mut fields: Vec<&String> = errors.keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "encrypted",
            "is_hidden_value",
            "key",
            "tenant_name",
            "value",
            "visibility"
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn secrets_are_searched_by_key() {
    let server = TestServer::start().await;
    for key in ["alpha", "beta"] {
        server
            .put(&format!("secrets/{key}"), &json!({"value": key}))
            .await
            .expect(200);
    }
    let rule = json!([{"key": "key", "values": ["bet"], "operator": "starts_with",
        "type": "attribute"}]);
    let body = json!({"filter_rules": rule});
    let found = server.post("searches/secrets", &body).await.expect(200);
    assert_eq!(found["items"][0]["key"], "beta");
    assert_ne!(found["items"][0]["value"], "beta");
    assert_eq!(found["metadata"]["filtered"], 1);
    let body = json!({"constraints": {"valid_values": ["alpha"]}});
    let found = server.post("searches/secrets", &body).await.expect(200);
    assert_eq!(found["metadata"]["pagination"]["total"], 1);
    server.stop().await;
}
