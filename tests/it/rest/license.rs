//! `/license`, `/license-check`, `/contacts`: whose manager it is.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::TestServer;

#[tokio::test]
async fn the_manager_knows_whose_it_is() {
    let server = TestServer::start().await;
    assert_eq!(server.get("license-check").await.expect(200), "OK");
    assert_eq!(server.get("license").await.expect(200)["items"], json!([]));
    let contact = json!({"first_name": "Ann", "last_name": "Lee", "email": "ann@example.org",
        "phone": "1", "is_eula": true});
    let before = server.position();
    let id = server.post("contacts", &contact).await.expect(200)["customer_id"].clone();
    assert!(id.as_str().unwrap().starts_with("COM-"), "{id}");
    let set = json!({"customer_id": id});
    server.post("license", &set).await.expect(200);
    server
        .post("license", &set)
        .await
        .refused(409, "conflict_error", "already");
    assert_eq!(server.get("license-check").await.expect(200), id);
    let listed = server.get("license").await.expect(200);
    assert_eq!(listed["items"][0]["customer_id"], id);
    assert_eq!(listed["items"][0]["expired"], false);
    let then = server
        .get(&format!("license?_as_of={before}"))
        .await
        .expect(200);
    assert_eq!(then["items"], json!([]));
    server.delete("license").await.expect(204);
    server
        .delete("license")
        .await
        .refused(404, "not_found_error", "no customer id");
    assert_eq!(server.get("license-check").await.expect(200), "OK");
    server.stop().await;
}

const LICENSE: &str = "\
license:
  customer_id: ACME
  expiration_date: 12/31/1999
  license_edition: Premium
  trial: false
  cloudify_version: null
  capabilities: [MANAGER, HA]
signature: !!binary |
  c2lnbmVk
";

async fn upload(server: &TestServer, text: &str) -> crate::support::server::Answer {
    let request = server.request(Method::PUT, "license");
    server.send(request.body(text.to_owned())).await
}

#[tokio::test]
async fn a_licence_file_is_shown_and_changes_nothing() {
    let server = TestServer::start().await;
    let text = LICENSE.replace("12/31/1999", "1999-12-31");
    let license = json!({"customer_id": "ACME", "expiration_date": "1999-12-31T00:00:00.000Z",
        "license_edition": "Premium", "trial": false, "cloudify_version": null,
        "capabilities": ["MANAGER", "HA"], "expired": true});
    assert_eq!(upload(&server, &text).await.expect(200), license);
    assert_eq!(
        server.get("license").await.expect(200)["items"],
        json!([license])
    );
    assert_eq!(server.get("license-check").await.expect(200), "ACME");
    server.put("sites/s1", &json!({})).await.expect(200);
    // another one takes its place
    let text = text.replace("1999", "2999").replace("ACME", "Roadrunner");
    let second = upload(&server, &text).await.expect(200);
    assert_eq!(
        (&second["customer_id"], &second["expired"]),
        (&json!("Roadrunner"), &json!(false))
    );
    server.delete("license").await.expect(204);
    let set = json!({"customer_id": "COM-1"});
    server.post("license", &set).await.expect(200);
    let listed = server.get("license").await.expect(200);
    assert_eq!(listed["items"][0]["license_edition"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_licence_is_refused() {
    let server = TestServer::start().await;
    server.get("license").await.expect(200);
    let before = server.position();
    let unsigned = LICENSE.split("signature").next().unwrap();
    for text in [LICENSE, unsigned, "signature: x", "- a list", "{", ""] {
        upload(&server, text)
            .await
            .refused(400, "invalid_yaml_format", "license file");
    }
    let large = "x".repeat(100_000);
    upload(&server, &large)
        .await
        .refused(413, "payload_too_large_error", "");
    assert_eq!(server.position(), before);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_customer_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let user = json!({"username": "vera", "password": "veravera"});
    server.put("users", &user).await.expect(201);
    let as_vera = |method: Method, path: &str, body: &Value| {
        server
            .anonymous(method, path)
            .basic_auth("vera", Some("veravera"))
            .json(body)
    };
    server
        .send(as_vera(Method::GET, "license", &json!({})))
        .await
        .expect(200);
    let before = server.position();
    let set = json!({"customer_id": "c"});
    for request in [
        as_vera(Method::POST, "license", &set),
        as_vera(Method::DELETE, "license", &set),
    ] {
        server
            .send(request)
            .await
            .refused(403, "forbidden_error", "license_");
    }
    server
        .post("license", &json!({"customer_id": ""}))
        .await
        .refused(400, "bad_parameters_error", "customer_id");
    let refusing = json!({"first_name": "A", "last_name": "L", "email": "e", "is_eula": false});
    server
        .post("contacts", &refusing)
        .await
        .refused(400, "bad_parameters_error", "consent");
    assert_eq!(server.position(), before);
    server.stop().await;
}
