//! `/user-groups`, groups in tenants, and what users may do because of them.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Answer, TestServer};

async fn user(server: &TestServer, name: &str) {
    let user = json!({"username": name, "password": format!("{name}{name}")});
    server.put("users", &user).await.expect(201);
}

async fn get_as(server: &TestServer, name: &str, tenant: &str, path: &str) -> Answer {
    let request = server
        .anonymous(Method::GET, path)
        .basic_auth(name, Some(format!("{name}{name}")))
        .header("Tenant", tenant);
    server.send(request).await
}

async fn send(server: &TestServer, method: Method, path: &str, body: &Value) -> Answer {
    server.send(server.request(method, path).json(body)).await
}

fn member(group: &str, user: &str) -> Value {
    json!({"group_name": group, "username": user})
}

#[tokio::test]
async fn roles_of_a_group_are_roles_of_its_users() {
    let server = TestServer::start().await;
    user(&server, "bob").await;
    server.post("tenants/t2", &json!({})).await.expect(201);
    let new = json!({"group_name": "g1", "ldap_group_dn": null, "role": "default"});
    let made = server.post("user-groups", &new).await.expect(201);
    assert_eq!(
        made,
        json!({"name": "g1", "ldap_dn": null, "role": "default", "tenants": 0, "users": 0})
    );
    get_as(&server, "bob", "t2", "blueprints").await.refused(
        403,
        "forbidden_error",
        "blueprint_list",
    );
    server
        .put("user-groups/users", &member("g1", "bob"))
        .await
        .expect(200);
    let in_tenant = json!({"tenant_name": "t2", "group_name": "g1", "role": "viewer"});
    server
        .put("tenants/user-groups", &in_tenant)
        .await
        .expect(200);
    get_as(&server, "bob", "t2", "blueprints").await.expect(200);
    get_as(&server, "bob", "t2", "evaluate/nothing")
        .await
        .expect(404);
    let moment = server.position();
    let higher = json!({"tenant_name": "t2", "group_name": "g1", "role": "manager"});
    server
        .patch("tenants/user-groups", &higher)
        .await
        .expect(200);
    let group = server
        .get("user-groups/g1?_get_data=true")
        .await
        .expect(200);
    assert_eq!(
        (&group["tenants"], &group["users"]),
        (&json!({"t2": "manager"}), &json!(["bob"]))
    );
    let then = server
        .get(&format!("user-groups/g1?_get_data=true&_as_of={moment}"))
        .await;
    assert_eq!(then.expect(200)["tenants"], json!({"t2": "viewer"}));
    let gone = json!({"tenant_name": "t2", "group_name": "g1"});
    send(&server, Method::DELETE, "tenants/user-groups", &gone)
        .await
        .expect(204);
    get_as(&server, "bob", "t2", "blueprints").await.refused(
        403,
        "forbidden_error",
        "blueprint_list",
    );
    server.stop().await;
}

#[tokio::test]
async fn documents_tell_which_role_comes_from_where() {
    let server = TestServer::start().await;
    user(&server, "bob").await;
    server.post("tenants/t2", &json!({})).await.expect(201);
    let new = json!({"group_name": "g1"});
    server.post("user-groups", &new).await.expect(201);
    server
        .put("user-groups/users", &member("g1", "bob"))
        .await
        .expect(200);
    let in_tenant = json!({"tenant_name": "t2", "group_name": "g1", "role": "viewer"});
    server
        .put("tenants/user-groups", &in_tenant)
        .await
        .expect(200);
    let direct = json!({"tenant_name": "t2", "username": "bob", "role": "user"});
    server.put("tenants/users", &direct).await.expect(200);
    let bob = server.get("users/bob?_get_data=true").await.expect(200);
    assert_eq!(bob["groups"], json!(["g1"]));
    assert_eq!(bob["group_system_roles"], json!({"default": ["g1"]}));
    assert_eq!(
        bob["tenants"],
        json!({"t2": {"tenant-role": "user", "roles": ["user", "viewer"]}})
    );
    assert_eq!(
        bob["tenant_roles"],
        json!({"direct": {"t2": "user"}, "groups": {"t2": {"viewer": ["g1"]}}})
    );
    let tenant = server.get("tenants/t2?_get_data=true").await.expect(200);
    assert_eq!(tenant["groups"], json!({"g1": "viewer"}));
    assert_eq!(
        tenant["user_roles"],
        json!({"direct": {"bob": "user"}, "groups": {"g1": {"role": "viewer", "users": ["bob"]}}})
    );
    server.stop().await;
}

#[tokio::test]
async fn a_group_can_administer() {
    let server = TestServer::start().await;
    user(&server, "bob").await;
    let new = json!({"group_name": "root", "role": "sys_admin"});
    server.post("user-groups", &new).await.expect(201);
    get_as(&server, "bob", "default_tenant", "users")
        .await
        .refused(403, "forbidden_error", "user_list");
    server
        .put("user-groups/users", &member("root", "bob"))
        .await
        .expect(200);
    get_as(&server, "bob", "default_tenant", "users")
        .await
        .expect(200);
    let lower = json!({"role": "default"});
    assert_eq!(
        server.post("user-groups/root", &lower).await.expect(200)["role"],
        "default"
    );
    get_as(&server, "bob", "default_tenant", "users")
        .await
        .refused(403, "forbidden_error", "user_list");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_group_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    user(&server, "bob").await;
    let path = "user-groups";
    for (body, words) in [
        (json!({"group_name": "users"}), "not allowed"),
        (json!({"group_name": "1g"}), "must begin"),
        (json!({"group_name": "g1", "role": "viewer"}), "tenant_role"),
        (json!({"group_name": "g1", "role": "king"}), "Invalid role"),
    ] {
        server
            .post(path, &body)
            .await
            .refused(400, "bad_parameters_error", words);
    }
    assert_eq!(server.get(path).await.expect(200)["items"], json!([]));
    server
        .post(path, &json!({"group_name": "g1"}))
        .await
        .expect(201);
    let before = server.position();
    server
        .post(path, &json!({"group_name": "g1"}))
        .await
        .refused(409, "conflict_error", "already exists");
    let users = "user-groups/users";
    server
        .put(users, &member("nosuch", "bob"))
        .await
        .refused(404, "not_found_error", "nosuch");
    server
        .put(users, &member("g1", "nobody"))
        .await
        .refused(404, "not_found_error", "nobody");
    let leave = send(&server, Method::DELETE, users, &member("g1", "bob")).await;
    leave.refused(404, "not_found_error", "not in the group");
    let role = json!({"tenant_name": "default_tenant", "group_name": "g1", "role": "sys_admin"});
    let refused = server.put("tenants/user-groups", &role).await;
    refused.refused(400, "bad_parameters_error", "system_role");
    let unknown = json!({"tenant_name": "nosuch", "group_name": "g1", "role": "user"});
    server
        .put("tenants/user-groups", &unknown)
        .await
        .refused(403, "forbidden_error", "nosuch");
    assert_eq!(server.position(), before);
    get_as(&server, "bob", "default_tenant", path)
        .await
        .refused(403, "forbidden_error", "user_group_list");
    server.stop().await;
}

#[tokio::test]
async fn groups_and_users_leave_each_other_when_they_go() {
    let server = TestServer::start().await;
    user(&server, "bob").await;
    server
        .post("user-groups", &json!({"group_name": "g1"}))
        .await
        .expect(201);
    server
        .put("user-groups/users", &member("g1", "bob"))
        .await
        .expect(200);
    let in_tenant = json!({"tenant_name": "default_tenant", "group_name": "g1", "role": "user"});
    server
        .put("tenants/user-groups", &in_tenant)
        .await
        .expect(200);
    server
        .delete("user-groups/g1")
        .await
        .refused(400, "bad_parameters_error", "has users");
    server
        .put("user-groups/users", &member("g1", "bob"))
        .await
        .refused(409, "conflict_error", "already");
    server.delete("users/bob").await.expect(204);
    assert_eq!(server.get("user-groups/g1").await.expect(200)["users"], 0);
    server.delete("user-groups/g1").await.expect(204);
    assert_eq!(
        server.get("tenants/default_tenant").await.expect(200)["groups"],
        0
    );
    server.stop().await;
}
