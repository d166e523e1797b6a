//! Terms of requests: `Idempotency-Key`, `If-Match` and `X-Min-Position`.
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{archive, blueprint, deployment, instances};
use crate::support::server::{Answer, PASSWORD, TestServer};

async fn keyed(server: &TestServer, key: &str, request: RequestBuilder) -> Answer {
    server.send(request.header("Idempotency-Key", key)).await
}

async fn put_keyed(server: &TestServer, key: &str, path: &str, body: &Value) -> Answer {
    keyed(server, key, server.request(Method::PUT, path).json(body)).await
}

async fn patch_if(server: &TestServer, tag: &str, path: &str, body: &Value) -> Answer {
    let request = server.request(Method::PATCH, path).json(body);
    server.send(request.header("If-Match", tag)).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotent-replayed")
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

async fn sql(server: &TestServer, sql: &str) -> u64 {
    let client = server.database().connect().await;
    client.execute(sql, &[]).await.unwrap()
}

#[tokio::test]
async fn a_request_sent_again_gets_its_answer_again() {
    let server = TestServer::start().await;
    let body = json!({"location": "1,2"});
    let first = put_keyed(&server, "k1", "sites/s1", &body).await;
    first.expect(200);
    assert!(!is_replayed(&first));
    let server = server.restart_with(|_| {}).await;
    server.get("sites").await.expect(200);
    let position = server.position();
    let again = put_keyed(&server, "k1", "sites/s1", &body).await;
    assert_eq!(again.expect(200), first.json());
    assert!(is_replayed(&again));
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    assert_eq!(again.position(), first.position());
    assert_eq!(server.position(), position);
    // the same key for anything else
    for (path, body) in [("sites/s1", json!({})), ("sites/s2", body.clone())] {
        put_keyed(&server, "k1", path, &body).await.refused(
            422,
            "idempotency_key_reused_error",
            "Another",
        );
    }
    // reading needs no key, and of another tenant it is another one
    server.post("tenants/t2", &json!({})).await.expect(201);
    let elsewhere = server
        .anonymous(Method::PUT, "sites/s1")
        .basic_auth("admin", Some(PASSWORD))
        .header("Tenant", "t2");
    let elsewhere = keyed(&server, "k1", elsewhere.json(&body)).await;
    elsewhere.expect(200);
    assert!(!is_replayed(&elsewhere));
    let read = keyed(&server, "k1", server.request(Method::GET, "sites")).await;
    assert_eq!(read.expect(200)["items"].as_array().unwrap().len(), 1);
    for key in ["", &"k".repeat(256)] {
        put_keyed(&server, key, "sites/s3", &body).await.refused(
            400,
            "bad_parameters_error",
            "Idempotency-Key",
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let server = TestServer::start().await;
    let (path, body) = ("sites/s1", json!({"location": "3,4"}));
    let post = || keyed(&server, "k", server.request(Method::POST, path).json(&body));
    post().await.refused(404, "not_found_error", "s1");
    server.put(path, &json!({})).await.expect(200);
    assert_eq!(post().await.expect(200)["location"], "3.0, 4.0");
    let refused = server
        .anonymous(Method::POST, path)
        .header("Idempotency-Key", "k")
        .json(&body);
    server.send(refused).await.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn a_token_and_an_upload_are_made_once() {
    let server = TestServer::start().await;
    let token = json!({"description": "d"});
    let make = || {
        keyed(
            &server,
            "t",
            server.request(Method::POST, "tokens").json(&token),
        )
    };
    let first = make().await.expect(200);
    assert_eq!(make().await.expect(200), first);
    let kept = server.database().connect().await;
    let kept = kept.query("SELECT body FROM es.reply", &[]).await.unwrap();
    let secret = first["value"].as_str().unwrap().as_bytes();
    for row in &kept {
        let body: Vec<u8> = row.get(0);
        assert!(!body.windows(secret.len()).any(|part| part == secret));
    }
    assert_eq!(kept.len(), 1);
    let upload = || {
        let path = "blueprints/b?skip_execution=true";
        let text = "tosca_definitions_version: cloudify_dsl_1_3\n";
        let content = archive("blueprint.yaml", text);
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(content)]);
        let body = reqwest::Body::wrap_stream(chunks);
        keyed(&server, "u", server.request(Method::PUT, path).body(body))
    };
    let first = upload().await.expect(201);
    let position = server.position();
    let again = upload().await;
    assert_eq!(again.expect(201), first);
    assert!(is_replayed(&again));
    assert_eq!(server.position(), position);
    server.stop().await;
}

#[tokio::test]
async fn one_of_many_at_once_is_carried_out() {
    let server = TestServer::start().await;
    let body = json!({"location": "1,2"});
    let sent = (0..8).map(|_| put_keyed(&server, "k", "sites/s1", &body));
    let mut made = 0;
    for answer in join_all(sent).await {
        match answer.status.as_u16() {
            200 if !is_replayed(&answer) => made += 1,
            200 => {}
            _ => answer.refused(409, "idempotency_key_in_use_error", "still"),
        }
    }
    assert_eq!(made, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_has_no_second_effect() {
    let server = TestServer::start().await;
    let body = json!({"location": "1,2"});
    put_keyed(&server, "k", "sites/s1", &body).await.expect(200);
    // as a crash between the commit and the answer would leave it
    let lost = "UPDATE es.reply SET status = NULL, headers = NULL, body = NULL, \
                lease_until = now() + interval '1 hour'";
    assert_eq!(sql(&server, lost).await, 1);
    let put = || put_keyed(&server, "k", "sites/s1", &body);
    put()
        .await
        .refused(409, "idempotency_key_in_use_error", "still");
    // even where nothing else would stand in its way
    server.delete("sites/s1").await.expect(204);
    assert_eq!(
        sql(&server, "UPDATE es.reply SET lease_until = now()").await,
        1
    );
    let position = server.position();
    put().await.refused(409, "answer_lost_error", "position");
    put().await.refused(409, "answer_lost_error", "position");
    assert_eq!(server.position(), position);
    server
        .get("sites/s1")
        .await
        .refused(404, "not_found_error", "s1");
    // answers go when they are old
    let old = "UPDATE es.reply SET begun_at = now() - interval '15 days'";
    put_keyed(&server, "k2", "sites/s2", &body)
        .await
        .expect(200);
    assert_eq!(sql(&server, old).await, 1);
    put_keyed(&server, "k3", "sites/s3", &body)
        .await
        .expect(200);
    assert_eq!(sql(&server, "DELETE FROM es.reply").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn only_what_was_seen_is_changed() {
    let server = TestServer::start().await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    instances(&server, "d", &["i1"]).await;
    let path = "deployments/d";
    let seen = tag(&server.get(path).await);
    let labels = |value: &str| json!({"labels": [{"env": value}]});
    let changed = patch_if(&server, &seen, path, &labels("a")).await;
    changed.expect(200);
    let position = server.position();
    patch_if(&server, &seen, path, &labels("b")).await.refused(
        412,
        "precondition_failed_error",
        "If-Match",
    );
    assert_eq!(server.position(), position);
    assert_eq!(tag(&server.get(path).await), tag(&changed));
    let either = format!("{seen}, {}", tag(&changed));
    patch_if(&server, &either, path, &labels("c"))
        .await
        .expect(200);
    patch_if(&server, "*", path, &labels("d")).await.expect(200);
    // what is remembered shows the tag, too
    let tags = [server.get(path).await, server.get(path).await];
    assert_eq!(tag(&tags[0]), tag(&tags[1]));
    let weak = format!("W/{}", tag(&tags[0]));
    patch_if(&server, &weak, path, &labels("e")).await.refused(
        412,
        "precondition_failed_error",
        "If-Match",
    );
    // an instance that changed lately needs no look at the database, unless there is a condition
    let path = "node-instances/i1";
    let instance = server.get(path).await;
    let change = json!({"version": 1, "runtime_properties": {"a": 1}});
    patch_if(&server, &tag(&instance), path, &change)
        .await
        .expect(200);
    let change = json!({"version": 2, "runtime_properties": {"a": 2}});
    patch_if(&server, &tag(&instance), path, &change)
        .await
        .refused(412, "precondition_failed_error", "If-Match");
    let then = format!("deployments/d?_as_of={position}");
    assert_eq!(tag(&server.get(&then).await), tag(&changed));
    server.stop().await;
}

#[tokio::test]
async fn of_several_with_the_same_belief_one_is_right() {
    let server = TestServer::start().await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    let seen = tag(&server.get("deployments/d").await);
    let bodies: Vec<Value> = (0..8)
        .map(|n| json!({"labels": [{"env": format!("e{n}")}]}))
        .collect();
    let sent = bodies
        .iter()
        .map(|body| patch_if(&server, &seen, "deployments/d", body));
    let answers = join_all(sent).await;
    let statuses: Vec<u16> = answers.iter().map(|a| a.status.as_u16()).collect();
    let right = statuses.iter().filter(|status| **status == 200).count();
    let wrong = statuses.iter().filter(|status| **status == 412).count();
    assert_eq!((right, wrong), (1, 7), "{statuses:?}");
    server.stop().await;
}

/// As RFC 9110 has it, a request that would be refused anyway is refused for that.
#[tokio::test]
async fn every_tagged_resource_shows_its_tag() {
    let server = TestServer::start().await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    instances(&server, "d", &["i1"]).await;
    server.put("sites/s", &json!({})).await.expect(200);
    let secret = json!({"value": "v"});
    server.put("secrets/s", &secret).await.expect(200);
    let group = json!({"deployment_ids": ["d"]});
    server.put("deployment-groups/g", &group).await.expect(200);
    for path in [
        "blueprints/b",
        "deployments/d",
        "node-instances/i1",
        "sites/s",
        "secrets/s",
        "deployment-groups/g",
    ] {
        let before = server.get(path).await;
        let request = server.request(Method::DELETE, path);
        let stale = request.header("If-Match", "\"1\"");
        let refused = server.send(stale).await;
        match path {
            "node-instances/i1" => refused.refused(403, "only_deployment_update", "update"),
            "blueprints/b" => refused.refused(400, "dependent_exists_error", "deployments"),
            "deployments/d" => refused.refused(400, "dependent_exists_error", "live nodes"),
            _ => refused.refused(412, "precondition_failed_error", "If-Match"),
        }
        assert_eq!(tag(&server.get(path).await), tag(&before), "{path}");
    }
    let request = server.request(Method::POST, "tokens").json(&json!({}));
    server.send(request.header("If-Match", "*")).await.refused(
        400,
        "bad_parameters_error",
        "without an ETag",
    );
    let request = server.request(Method::DELETE, "sites/s");
    server.send(request.header("If-Match", "5")).await.refused(
        400,
        "bad_parameters_error",
        "quotes",
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_reads_its_own_writes_through_any_manager() {
    let server = TestServer::start().await;
    let settings = server.running.ctx.settings.clone();
    let other = stratalog::server::start(settings).await.unwrap();
    let through_other = |path: &str, user: (&str, &str), position: i64| {
        let url = format!("http://{}/api/v3.1/{path}", other.addr);
        reqwest::Client::new()
            .get(url)
            .basic_auth(user.0, Some(user.1))
            .header("Tenant", "default_tenant")
            .header("X-Min-Position", position.to_string())
            .send()
    };
    // people are known by heart: without waiting, the other manager would not know her yet
    for n in 0..5 {
        let name = format!("vera{n}");
        let user = json!({"username": name, "password": "veravera"});
        server.put("users", &user).await.expect(201);
        let member = json!({"tenant_name": "default_tenant", "username": name, "role": "viewer"});
        let answer = server.put("tenants/users", &member).await;
        answer.expect(200);
        let read = through_other("sites", (&name, "veravera"), answer.position());
        assert_eq!(read.await.unwrap().status(), 200);
    }
    // a position that is still to come is waited for
    let next = server.position() + 1;
    let empty = json!({});
    let (read, made) = futures::join!(
        through_other("sites/s1", ("admin", PASSWORD), next),
        server.put("sites/s1", &empty),
    );
    assert_eq!(read.unwrap().status(), 200);
    made.expect(200);
    let far = through_other("sites", ("admin", PASSWORD), 1_000_000);
    let request = server.request(Method::GET, "sites");
    let bad = server.send(request.header("X-Min-Position", "x"));
    let (far, bad) = futures::join!(far, bad);
    let far = far.unwrap();
    assert_eq!(far.status(), 503);
    let body: Value = far.json().await.unwrap();
    assert_eq!(body["error_code"], "position_not_reached_error");
    bad.refused(400, "bad_parameters_error", "X-Min-Position");
    other.stop().await;
    server.stop().await;
}
