//! `/resources`
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;

use super::{archive, blueprint, deployment};
use crate::support::server::TestServer;

const WORKDIR: &str = "/resources/deployments/default_tenant/dep/";

#[tokio::test]
async fn working_directories_are_read_and_written() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    assert_eq!(server.get(WORKDIR).await.expect(200), json!({}));
    // when
    let put = |path: &str| server.request(Method::PUT, &format!("{WORKDIR}{path}"));
    server.send(put("plain.txt").body("one")).await.expect(200);
    let form = Form::new()
        .text("mtime", "2026-01-02T03:04:05.000006+00:00")
        .part("file", Part::bytes(&b"two"[..]).file_name("x"));
    server
        .send(put("dir/timed.txt").multipart(form))
        .await
        .expect(200);
    server
        .send(put("?extract=yes").body(archive("inner.txt", "three")))
        .await
        .expect(200);
    // then
    let index = server.get(WORKDIR).await.expect(200);
    let names: Vec<&String> = index.as_object().unwrap().keys().collect();
    assert_eq!(names, ["app/inner.txt", "dir/timed.txt", "plain.txt"]);
    assert_eq!(index["dir/timed.txt"], "2026-01-02T03:04:05+00:00");
    let part = server
        .request(Method::GET, &format!("{WORKDIR}plain.txt"))
        .header("Range", "bytes=1-");
    let part = server.send(part).await;
    assert_eq!(
        (part.status.as_u16(), part.body.as_slice()),
        (206, &b"ne"[..])
    );
    let packed = server.get(&format!("{WORKDIR}?archive=yes")).await;
    assert_eq!(
        packed.headers["content-disposition"],
        "attachment; filename=\"dep.tar.gz\""
    );
    server
        .delete(&format!("{WORKDIR}plain.txt"))
        .await
        .expect(204);
    assert_eq!(server.get(&format!("{WORKDIR}plain.txt")).await.status, 404);
    server
        .delete(&format!("{WORKDIR}plain.txt"))
        .await
        .expect(204);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_ones_own_is_not_there() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for (path, status) in [
        ("/resources/", 404),
        ("/resources/blueprints/default_tenant/bp/no.yaml", 404),
        ("/resources/blueprints/default_tenant/bp/", 200),
        ("/resources/blueprints/no_tenant/bp/blueprint.yaml", 404),
        ("/resources/blueprints/default_tenant/a%2fb", 400),
        ("/resources/etc/passwd", 404),
        ("/resources/spec/cloudify/6.3/types.yaml", 200),
        ("/resources/cloudify_agent/no.tar.gz", 404),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    let write = "/resources/blueprints/default_tenant/bp/x";
    let put = server.request(Method::PUT, write).body("x");
    server
        .send(put)
        .await
        .refused(403, "forbidden_error", "cannot be changed");
    server.stop().await;
}

#[tokio::test]
async fn several_places_are_one_question() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let put = |name: &str, text: &'static str| {
        let request = server.request(Method::PUT, &format!("{WORKDIR}{name}"));
        server.send(request.body(text))
    };
    put("first.txt", "one").await.expect(200);
    put("second.txt", "two").await.expect(200);
    let file = |name: &str| format!("deployments/default_tenant/dep/{name}");
    let either = async |one: &str, other: &str| {
        let query = [("or", file(other))];
        let request = server.request(Method::GET, &format!("/resources/{}", file(one)));
        server.send(request.query(&query)).await
    };
    for (one, other, text) in [
        ("first.txt", "second.txt", "one"),
        ("none.txt", "second.txt", "two"),
        ("first.txt", "none.txt", "one"),
    ] {
        let answer = either(one, other).await;
        assert_eq!(answer.status, 200, "{one} {other}");
        assert_eq!(answer.body, text.as_bytes(), "{one} {other}");
    }
    assert_eq!(either("none.txt", "no.txt").await.status, 404);
    assert_eq!(either("first.txt", "../../x").await.status, 400);
    // nobody reads by a detour what they may not read
    let made = json!({"tenant_name": "t2"});
    server.post("tenants/t2", &made).await.expect(201);
    let user = json!({"username": "u", "password": "password", "role": "default"});
    server.put("users", &user).await.expect(201);
    let joined = json!({"username": "u", "tenant_name": "t2", "role": "user"});
    server.put("tenants/users", &joined).await.expect(200);
    let detour = server
        .anonymous(Method::GET, "/resources/spec/cloudify/6.3/types.yaml")
        .basic_auth("u", Some("password"))
        .header("Tenant", "t2");
    let direct = detour.try_clone().unwrap();
    assert_eq!(server.send(direct).await.status, 200);
    let refused = server
        .send(detour.query(&[("or", file("first.txt"))]))
        .await;
    assert!(
        matches!(refused.status.as_u16(), 403 | 404),
        "{}",
        refused.status
    );
    server.stop().await;
}
