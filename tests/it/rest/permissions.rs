//! `/permissions`: what roles may do is changed, and holds at once.
use reqwest::Method;
use serde_json::json;

use crate::support::server::{Answer, TestServer};

async fn as_vera(server: &TestServer, method: Method, path: &str) -> Answer {
    let request = server
        .anonymous(method, path)
        .basic_auth("vera", Some("veravera"))
        .header("Tenant", "default_tenant");
    server.send(request).await
}

async fn vera(server: &TestServer) {
    let user = json!({"username": "vera", "password": "veravera"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "vera", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
}

async fn put(server: &TestServer, path: &str) -> Answer {
    server.send(server.request(Method::PUT, path)).await
}

#[tokio::test]
async fn a_permission_holds_at_once() {
    let server = TestServer::start().await;
    vera(&server).await;
    as_vera(&server, Method::GET, "blueprints")
        .await
        .expect(200);
    let path = "permissions/viewer/blueprint_list";
    let before = server.position();
    server.delete(path).await.expect(204);
    // the list was remembered for her
    as_vera(&server, Method::GET, "blueprints").await.refused(
        403,
        "forbidden_error",
        "blueprint_list",
    );
    server.get("blueprints").await.expect(200);
    server
        .delete(path)
        .await
        .refused(404, "not_found_error", "does not hold");
    let listed = server
        .get("permissions/viewer?permission=blueprint_list")
        .await
        .expect(200);
    assert_eq!(listed["items"], json!([]));
    let then = format!("permissions/viewer?permission=blueprint_list&_as_of={before}");
    assert_eq!(
        server.get(&then).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        put(&server, path).await.expect(200),
        json!({"role": "viewer", "permission": "blueprint_list"})
    );
    put(&server, path)
        .await
        .refused(409, "conflict_error", "already");
    as_vera(&server, Method::GET, "blueprints")
        .await
        .expect(200);
    put(&server, "permissions/viewer/site_create")
        .await
        .expect(200);
    as_vera(&server, Method::PUT, "sites/s1").await.expect(200);
    let server = server.restart_with(|_| {}).await;
    as_vera(&server, Method::PUT, "sites/s2").await.expect(200);
    let matrix = server.get("config?scope=authorization").await.expect(200);
    let holders = &matrix["authorization"]["permissions"]["site_create"];
    assert!(
        holders.as_array().unwrap().contains(&json!("viewer")),
        "{holders}"
    );
    server.stop().await;
}

#[tokio::test]
async fn only_administrators_change_permissions_and_the_first_user_keeps_all() {
    let server = TestServer::start().await;
    vera(&server).await;
    // her first login is noted
    as_vera(&server, Method::GET, "user").await.expect(200);
    let before = server.position();
    for (method, path) in [
        (Method::PUT, "permissions/viewer/site_create"),
        (Method::DELETE, "permissions/viewer/site_list"),
        (Method::GET, "permissions"),
    ] {
        as_vera(&server, method, path)
            .await
            .refused(401, "unauthorized_error", "admin");
    }
    put(&server, "permissions/king/site_create")
        .await
        .refused(404, "not_found_error", "king");
    assert_eq!(server.position(), before);
    put(&server, "permissions/user/widget_of_mine")
        .await
        .expect(200);
    let listed = server
        .get("permissions?permission=widget_of_mine")
        .await
        .expect(200);
    assert_eq!(
        listed["items"],
        json!([{"role": "user", "permission": "widget_of_mine"}])
    );
    server
        .delete("permissions/sys_admin/user_list")
        .await
        .expect(204);
    server.get("users").await.expect(200);
    server.stop().await;
}
