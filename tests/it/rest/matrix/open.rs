//! What is decided outside of the table of operations: for proxies, and by whole roles.
use serde_json::json;

use super::people::{Person, world};
use crate::support::server::TestServer;

fn named<'a>(people: &'a [Person], name: &str) -> &'a Person {
    people.iter().find(|person| person.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_administrators_with_the_cookie() {
    let (server, people) = world().await;
    for person in &people {
        let is_admin = person.system.contains(&'A');
        let answer = person.with_cookie(&server).await;
        let expected = if is_admin { 200 } else { 401 };
        assert_eq!(answer.status.as_u16(), expected, "{}", person.name);
    }
    server.stop().await;
}

/// The proxy's question about a path, as somebody asks it.
async fn allowed(server: &TestServer, person: &Person, method: &str, path: &str) -> u16 {
    let request = person.request(server, ("GET", "file-server-auth"), None);
    let request = request.header("X-Original-Uri", path);
    let answer = server
        .send(request.header("X-Original-Method", method))
        .await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_lets_pass_who_may_have_a_file() {
    let (server, people) = world().await;
    let mut wrong = Vec::new();
    for person in &people {
        let roles = person.roles(Some("t1"));
        let is_member = roles.iter().any(|role| *role != 'D');
        let is_admin = person.system.contains(&'A');
        for (method, path, is_allowed) in [
            ("GET", "/resources/deployments/t1/x/file", is_member),
            (
                "GET",
                "/resources/blueprints/t1/x/blueprint.yaml?a=b",
                is_member,
            ),
            ("GET", "/resources/snapshots/x/x.zip", is_admin),
            ("GET", "/api/v3.1/audit?size=1", is_admin),
            ("DELETE", "/api/v3.1/audit", is_admin),
            ("POST", "/api/v3.1/audit", is_admin),
        ] {
            let status = allowed(&server, person, method, path).await;
            let expected = match (person.is_known(), is_allowed) {
                (false, _) => 401,
                (true, true) => 200,
                (true, false) => 403,
            };
            if status != expected {
                wrong.push(format!("{method} {path} by {}: {status}", person.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

/// What holds in all tenants is not changed by whoever manages one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_manager_does_not_change_what_roles_may_do() {
    let (server, people) = world().await;
    let before = server.position();
    for name in ["manager", "grouped_manager"] {
        let path = "permissions/manager/user_update";
        let person = named(&people, name);
        let answer = person.ask(&server, ("PUT", path), "t1", &json!({})).await;
        answer.refused(401, "unauthorized_error", "admin");
    }
    assert_eq!(server.position(), before);
    server.stop().await;
}
