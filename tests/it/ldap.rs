//! Users from a directory service: a real server, the real protocol.
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    server::{Answer, PASSWORD, TestServer},
    slapd::Slapd,
};

const READER: &str = "the reader's secret";

fn with_reader(slapd: &Slapd) -> Value {
    json!({"ldap_server": slapd.url, "ldap_domain": "example.com",
        "ldap_username": "cn=reader,dc=example,dc=com", "ldap_password": READER,
        "ldap_group_dn": "ou=groups,{base_dn}"})
}

/// A manager with groups of its own names for those of the directory, and a tenant for one.
async fn given() -> TestServer {
    let server = TestServer::start().await;
    for (name, cn, role) in [
        ("operators", "cn=ops", "default"),
        ("everybody", "CN=all", "sys_admin"),
    ] {
        let dn = format!("{cn}, ou=groups,dc=example,dc=com");
        let group = json!({"group_name": name, "ldap_group_dn": dn, "role": role});
        server.post("user-groups", &group).await.expect(201);
    }
    server.post("tenants/t1", &json!({})).await.expect(201);
    let member = json!({"tenant_name": "t1", "group_name": "operators", "role": "user"});
    server.put("tenants/user-groups", &member).await.expect(200);
    server
}

async fn get(server: &TestServer, (name, password): (&str, &str), path: &str) -> Answer {
    let request = server
        .anonymous(Method::GET, path)
        .basic_auth(name, Some(password))
        .header("Tenant", "t1");
    server.send(request).await
}

#[tokio::test]
async fn people_of_the_directory_are_users_in_their_groups() {
    let (server, slapd) = (given().await, Slapd::start().await);
    assert_eq!(server.get("ldap").await.expect(200), "disabled");
    let shown = server.post("ldap", &with_reader(&slapd)).await.expect(200);
    assert_eq!(shown["ldap_server"], slapd.url);
    assert!(shown.get("ldap_password").is_none(), "{shown}");
    assert_eq!(server.get("ldap").await.expect(200), "enabled");
    assert_eq!(server.get("idp").await.expect(200), "ldap");
    let ann = ("ann", "ann's password");
    let user = get(&server, ann, "user?_get_data=true").await.expect(200);
    assert_eq!(user["groups"], json!(["operators"]), "{user}");
    get(&server, ann, "blueprints").await.expect(200);
    get(&server, ann, "users")
        .await
        .refused(403, "forbidden_error", "user_list");
    // the same person again makes nothing new, and is not noted every time
    let position = server.position();
    get(&server, ann, "blueprints").await.expect(200);
    assert_eq!(server.position(), position);
    // bob is in no group that means anything here
    let bob = ("bob", "bob's password");
    get(&server, bob, "user").await.expect(200);
    get(&server, bob, "blueprints").await.expect(403);
    // groups in groups count when that is asked for, and no longer when it is not
    let mut nested = with_reader(&slapd);
    nested["ldap_nested_levels"] = json!("2");
    server.post("ldap", &nested).await.expect(200);
    get(&server, ann, "users").await.expect(200);
    server.post("ldap", &with_reader(&slapd)).await.expect(200);
    get(&server, ann, "users").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn who_is_not_in_the_directory_gets_in_nowhere() {
    let (server, slapd) = (given().await, Slapd::start().await);
    server.post("ldap", &with_reader(&slapd)).await.expect(200);
    let before = server.position();
    for (name, password) in [
        ("ann", "bob's password"),
        ("ann", ""),
        ("nobody", "x"),
        ("a*", "ann's password"),
        ("ann)(uid=*", "ann's password"),
        ("ann,ou=people", "ann's password"),
        ("admin", "boss's password"),
        ("ADMIN", "boss's password"),
    ] {
        let answer = get(&server, (name, password), "user").await;
        answer.refused(401, "unauthorized_error", "User unauthorized");
    }
    // failed logins of the first user are noted, and nothing else is
    assert_eq!(server.position(), before + 2);
    let users = server.get("users").await.expect(200);
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "{users}");
    // whatever is asked for, nobody is found who would be the first user
    let mut other = with_reader(&slapd);
    other["ldap_user_filter"] = json!("(cn={username})");
    server.post("ldap", &other).await.expect(200);
    let answer = get(&server, ("boss", "boss's password"), "user").await;
    answer.refused(401, "unauthorized_error", "User unauthorized");
    // what the directory does is not done here
    let user = json!({"username": "eve", "password": "evesown"});
    server
        .put("users", &user)
        .await
        .refused(400, "illegal_action_error", "LDAP");
    let member = json!({"username": "admin", "group_name": "operators"});
    server
        .put("user-groups/users", &member)
        .await
        .refused(405, "method_not_allowed_error", "LDAP");
    server.stop().await;
}

#[tokio::test]
async fn the_password_of_the_account_is_sealed() {
    let (server, slapd) = (given().await, Slapd::start().await);
    server.post("ldap", &with_reader(&slapd)).await.expect(200);
    let changed = json!({"value": READER});
    server
        .put("config/rest.ldap_password", &changed)
        .await
        .expect(200);
    for path in ["config/rest.ldap_password", "config?scope=rest"] {
        let shown = server.get(path).await.expect(200).to_string();
        assert!(
            shown.contains("********") && !shown.contains(READER),
            "{path}"
        );
    }
    let audit = server.get("audit?size=100").await;
    assert!(!String::from_utf8_lossy(&audit.body).contains(READER));
    let client = server.database().connect().await;
    for row in client.query("SELECT data FROM es.log", &[]).await.unwrap() {
        let payload: Vec<u8> = row.get(0);
        let has = |text: &str| {
            payload
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(!has(READER) && !has("ann's password"));
    }
    // it is there after the next start, too
    let server = server.restart_with(|_| {}).await;
    get(&server, ("ann", "ann's password"), "blueprints")
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn without_its_server_only_the_first_user_logs_in() {
    let (server, slapd) = (given().await, Slapd::start().await);
    server.post("ldap", &with_reader(&slapd)).await.expect(200);
    let ann = ("ann", "ann's password");
    get(&server, ann, "user").await.expect(200);
    let request = server
        .anonymous(Method::POST, "tokens")
        .basic_auth(ann.0, Some(ann.1));
    let token = server.send(request.json(&json!({}))).await.expect(200);
    drop(slapd);
    let answer = get(&server, ("bob", "bob's password"), "user").await;
    answer.refused(500, "not_running_ldap_server", "cannot be reached");
    get(&server, ("admin", PASSWORD), "user").await.expect(200);
    let request = server.anonymous(Method::GET, "user");
    let token = token["value"].as_str().unwrap();
    let with_token = request.header("Authentication-Token", token);
    server.send(with_token).await.expect(200);
    // and it can be turned off
    let off = json!({"value": ""});
    server.put("config/ldap_server", &off).await.expect(200);
    assert_eq!(server.get("ldap").await.expect(200), "disabled");
    let answer = get(&server, ann, "user").await;
    answer.refused(401, "unauthorized_error", "ann");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_not_set() {
    let (server, slapd) = (given().await, Slapd::start().await);
    let before = server.position();
    for (name, value, words) in [
        ("ldap_server", json!("http://127.0.0.1"), "begin with"),
        (
            "ldap_server",
            json!("ldap://127.0.0.1:1"),
            "cannot be reached",
        ),
        ("ldap_password", json!("wrong"), "not let in"),
        ("ldap_password", Value::Null, "or neither"),
        ("ldap_user_filter", json!("(uid={nobody})"), "{nobody}"),
        ("ldap_nested_levels", json!("many"), "ldap_nested_levels"),
    ] {
        let mut body = with_reader(&slapd);
        body[name] = value;
        let answer = server.post("ldap", &body).await;
        answer.refused(400, "bad_parameters_error", words);
        assert!(!String::from_utf8_lossy(&answer.body).contains(READER));
    }
    assert_eq!(server.position(), before);
    server.stop().await;
}

/// People bind with their own names, through TLS, where there is no account.
#[tokio::test]
async fn a_directory_is_asked_through_tls() {
    let (server, slapd) = (given().await, Slapd::start().await);
    let set = json!({"ldap_server": slapd.tls_url, "ldap_domain": "example.com",
        "ldap_base_dn": "ou=people,dc=example,dc=com", "ldap_ca_cert": slapd.ca,
        "ldap_group_dn": "ou=groups,{domain_dn}"});
    server.post("ldap", &set).await.expect(200);
    let ann = ("ann", "ann's password");
    get(&server, ann, "blueprints").await.expect(200);
    let answer = get(&server, ("ann,ou=people", ann.1), "user").await;
    answer.refused(401, "unauthorized_error", "User unauthorized");
    // certificates of others are not trusted
    let other = Slapd::start().await;
    let mut body = set.clone();
    body["ldap_server"] = json!(other.tls_url);
    server.post("ldap", &body).await.expect(200);
    let answer = get(&server, ("bob", "bob's password"), "user").await;
    answer.refused(500, "not_running_ldap_server", "cannot be reached");
    server.stop().await;
}
