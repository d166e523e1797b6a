//! `/blueprints`
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;

use super::{archive, blueprint, deployment, store_blueprint};
use crate::support::server::TestServer;

#[tokio::test]
async fn an_upload_is_stored_with_its_archive() {
    let server = TestServer::start().await;
    // given
    let params = json!({"visibility": "tenant", "async_upload": true, "skip_execution": true,
        "application_file_name": "main%2Eyaml"});
    let form = Form::new().text("params", params.to_string()).part(
        "blueprint_archive",
        Part::bytes(archive("main.yaml", "a: b")).file_name("filename"),
    );
    // when
    let put = server.request(Method::PUT, "blueprints/bp").multipart(form);
    let created = server.send(put).await.expect(201);
    // then
    assert_eq!(created["state"], "uploading");
    assert_eq!(created["main_file_name"], "main.yaml");
    assert_eq!(created["upload_execution"]["id"], json!(null));
    assert_eq!(created["upload_execution"]["total_operations"], 0);
    let archived = server.get("blueprints/bp/archive").await;
    assert_eq!(archived.body, archive("main.yaml", "a: b"));
    assert_eq!(
        archived.headers["content-disposition"],
        "attachment; filename=\"bp.tar\""
    );
    server.stop().await;
}

#[tokio::test]
async fn bad_uploads_leave_no_trace() {
    let server = TestServer::start().await;
    blueprint(&server, "taken").await;
    let before = server.get("blueprints").await.position();
    let body = || archive("blueprint.yaml", "a: b");
    let flags = "?skip_execution=true";
    for (path, body, status, code, words) in [
        (
            format!("blueprints/9x{flags}"),
            body(),
            400,
            "bad_parameters_error",
            "begin with a letter",
        ),
        (
            format!("blueprints/a%20b{flags}"),
            body(),
            400,
            "bad_parameters_error",
            "illegal",
        ),
        (
            format!("blueprints/bp{flags}"),
            b"junk".to_vec(),
            400,
            "bad_parameters_error",
            "unrecognized format",
        ),
        (
            format!("blueprints/bp{flags}&visibility=all"),
            body(),
            400,
            "bad_parameters_error",
            "visibility",
        ),
        (
            format!("blueprints/bp{flags}&blueprint_archive_url=http://x/"),
            body(),
            400,
            "bad_parameters_error",
            "only one of",
        ),
        (
            format!("blueprints/taken{flags}"),
            body(),
            409,
            "conflict_error",
            "already exists",
        ),
        (
            "blueprints/bp".to_owned(),
            Vec::new(),
            400,
            "bad_parameters_error",
            "Missing",
        ),
    ] {
        let put = server.request(Method::PUT, &path).body(body);
        server.send(put).await.refused(status, code, words);
    }
    assert_eq!(server.get("blueprints").await.position(), before);
    server.stop().await;
}

#[tokio::test]
async fn a_worker_elsewhere_may_work_the_upload_out() {
    let server = TestServer::start().await;
    // given
    store_blueprint(&server, "bp").await.expect(201);
    let early = json!({"labels": [{"a": "b"}]});
    server
        .patch("blueprints/bp", &early)
        .await
        .refused(409, "conflict_error", "uploaded");
    // when
    let done = json!({"state": "uploaded", "plan": {"blueprint_labels": {"k": {"values": ["v"]}}}});
    let done = server.patch("blueprints/bp", &done).await.expect(200);
    // then
    assert_eq!(done["state"], "uploaded");
    assert_eq!(done["labels"][0]["value"], "v");
    let file = server
        .get("/resources/blueprints/default_tenant/bp/blueprint.yaml")
        .await;
    assert_eq!(file.status, 200);
    server.patch("blueprints/bp", &json!({})).await.refused(
        400,
        "illegal_action_error",
        "at least one",
    );
    server
        .patch("blueprints/bp", &json!({"nonsense": 1}))
        .await
        .refused(400, "bad_parameters_error", "Unknown parameters: nonsense");
    server
        .patch("blueprints/bp", &json!({"state": "nonsense"}))
        .await
        .refused(400, "bad_parameters_error", "Invalid state");
    server.stop().await;
}

#[tokio::test]
async fn deletion_is_checked_in_order() {
    let server = TestServer::start().await;
    store_blueprint(&server, "fresh").await.expect(201);
    server.delete("blueprints/fresh").await.refused(
        400,
        "invalid_blueprint_error",
        "still uploading",
    );
    blueprint(&server, "used").await;
    deployment(&server, "used", "dep").await;
    for path in ["blueprints/used", "blueprints/used?force=true"] {
        server
            .delete(path)
            .await
            .refused(400, "dependent_exists_error", "dep");
    }
    blueprint(&server, "free").await;
    server.delete("blueprints/free").await.expect(204);
    server.get("blueprints/free").await.refused(
        404,
        "not_found_error",
        "Requested `Blueprint` with ID `free`",
    );
    let gone = "/resources/blueprints/default_tenant/free/blueprint.yaml";
    assert_eq!(server.get(gone).await.status, 404);
    server
        .patch(
            "blueprints/fresh",
            &json!({"state": "invalid", "error": "why"}),
        )
        .await
        .expect(200);
    store_blueprint(&server, "fresh").await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_visibility_only_widens() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    let set = async |visibility: &str| {
        let body = json!({"visibility": visibility});
        server.patch("blueprints/bp/set-visibility", &body).await
    };
    set("private")
        .await
        .refused(400, "bad_parameters_error", "visibility");
    assert_eq!(set("global").await.expect(200)["visibility"], "global");
    set("tenant")
        .await
        .refused(400, "illegal_action_error", "wider visibility");
    server.stop().await;
}

#[tokio::test]
async fn an_icon_comes_and_goes() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    let put = |icon: &'static [u8]| {
        let request = server.request(Method::PATCH, "blueprints/bp/icon");
        server.send(request.body(icon))
    };
    let place = "/resources/blueprints/default_tenant/bp/icon.png";
    put(b"\x89PNG\r\n\x1a\nand more").await.expect(200);
    let icon = server.get(place).await;
    assert_eq!(icon.body, b"\x89PNG\r\n\x1a\nand more");
    put(b"GIF89a and more")
        .await
        .refused(400, "bad_parameters_error", "PNG");
    assert_eq!(server.get(place).await.status, 200);
    put(b"").await.expect(200);
    assert_eq!(server.get(place).await.status, 404);
    let request = server.request(Method::PATCH, "blueprints/nosuch/icon");
    let answer = server.send(request).await;
    answer.refused(404, "not_found_error", "nosuch");
    server.stop().await;
}
