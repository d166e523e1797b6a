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
