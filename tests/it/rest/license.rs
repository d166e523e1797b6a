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
