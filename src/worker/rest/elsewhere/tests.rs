//! What is made of a property `client`.
use tokio_util::sync::CancellationToken;

use super::*;

async fn session() -> Session {
    let urls = ["https://10.0.0.1:53333".to_owned()];
    let stop = CancellationToken::new();
    let rest = Rest::new(&urls, None, Duration::ZERO, stop).await.unwrap();
    Session::new(Arc::new(rest), "execution-token", "here", false)
}

async fn follow(client: Value) -> Result<Elsewhere, ClientError> {
    let hosts = ["manager.example".to_owned()];
    let client = client.as_object().unwrap().clone();
    session().await.elsewhere(&client, &hosts).await
}

#[tokio::test]
async fn other_hosts_and_other_tenants_are_external() {
    for (client, is_external) in [
        (json!({"host": "10.0.0.1"}), false),
        (
            json!({"host": "manager.example", "port": "443", "token": "t"}),
            false,
        ),
        (
            json!({"host": ["10.0.0.9", "10.0.0.1"], "tenant": "here"}),
            false,
        ),
        (
            json!({"host": "localhost", "username": "u", "password": "p"}),
            false,
        ),
        (json!({"tenant": "there", "token": "t"}), true),
        (json!({"headers": {"Tenant": "there"}, "token": "t"}), true),
        (json!({"host": "10.0.0.2", "token": "t"}), true),
        (
            json!({"host": "127.0.0.1", "port": 8080, "token": "t"}),
            true,
        ),
    ] {
        let found = follow(client.clone()).await.unwrap();
        assert_eq!(found.is_external, is_external, "{client}");
    }
}

#[tokio::test]
async fn a_foreign_manager_is_asked_at_its_own_address() {
    let client = json!({
        "host": ["fd00::1", "b.example"], "protocol": "https", "trust_all": true,
        "username": "u", "password": "p", "api_version": "v3",
    });
    let found = follow(client).await.unwrap();
    assert_eq!(
        found.session.rest.urls,
        ["https://[fd00::1]:443", "https://b.example:443"]
    );
    assert_eq!(
        found.session.api(&["deployments", "a b"]),
        "api/v3/deployments/a%20b"
    );
    assert_eq!(found.session.tenant(), "here");
}

#[tokio::test]
async fn what_cannot_be_used_is_named_and_not_shown() {
    for (client, part) in [
        (
            json!({"host": "user:sesame@10.0.0.2", "token": "t"}),
            "host",
        ),
        (json!({"host": "10.0.0.2/sesame", "token": "t"}), "host"),
        (json!({"host": 7}), "host"),
        (
            json!({"host": "10.0.0.2", "port": "sesame", "token": "t"}),
            "port",
        ),
        (
            json!({"host": "10.0.0.2", "protocol": "sesame", "token": "t"}),
            "protocol",
        ),
        (
            json!({"host": "10.0.0.2", "api_version": "../sesame", "token": "t"}),
            "api_version",
        ),
        (json!({"host": "10.0.0.2", "token": "sesame\n"}), "token"),
        (
            json!({"host": "10.0.0.2", "headers": {"X": "sesame\n"}}),
            "headers",
        ),
        (
            json!({"host": "10.0.0.2", "cert": "-----BEGIN sesame", "token": "t"}),
            "cert",
        ),
        (json!({"tenant": "there"}), "token"),
    ] {
        let error = follow(client.clone()).await.map(drop).unwrap_err();
        let expected = format!("the property `client` has no usable `{part}`");
        assert_eq!(error.to_string(), expected, "{client}");
    }
}

#[tokio::test]
async fn credentials_are_shown_nowhere() {
    for proof in [
        json!({"username": "u", "password": "sesame"}),
        json!({"token": "sesame"}),
        json!({"headers": {"X-Token": "sesame"}}),
        json!({"token": "t", "query_params": {"key": "sesame"}}),
    ] {
        let mut client = json!({"host": "10.255.255.1", "port": 9, "protocol": "http"});
        let fields = client.as_object_mut().unwrap();
        fields.extend(proof.as_object().unwrap().clone());
        let found = follow(client).await.unwrap();
        assert!(!format!("{found:?}").contains("sesame"), "{found:?}");
        let shown = json!({
            "host": ["10.255.255.1"], "port": 9, "protocol": "http", "tenant": "here",
        });
        assert_eq!(Value::Object(found.shown), shown);
    }
}

#[tokio::test]
async fn an_unreachable_manager_is_named_without_its_query() {
    // a port at which nobody listens: the listener is gone before it is asked
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = json!({
        "host": "127.0.0.1", "port": port, "token": "sesame", "query_params": {"key": "sesame"},
    });
    let found = follow(client).await.unwrap();
    let error = found
        .session
        .get(&["status"], &[("a", "sesame")])
        .await
        .unwrap_err();
    let mut told = format!("{error:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        told = format!("{told}\n{error}");
        cause = error.source();
    }
    assert!(told.contains("cannot be reached"), "{told}");
    assert!(!told.contains("sesame"), "{told}");
}
