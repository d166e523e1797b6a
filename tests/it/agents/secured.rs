//! Managers and agents that reach RabbitMQ over TLS only.

use serde_json::{Value, json};

use super::{
    deployed,
    installed::{self, agents},
    instance_of,
};
use crate::support::{
    agents::NativeAgent,
    env,
    manager::{Manager, until},
};

/// Whether all connections into a virtual host are encrypted; nothing while RabbitMQ shows none.
async fn encrypted(vhost: &str) -> Option<bool> {
    let url = format!("{}/api/connections", env::amqp_management_url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let all = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let all: Value = serde_json::from_slice(&all).unwrap();
    let of_vhost = |one: &&Value| one["vhost"] == vhost;
    let found = all.as_array().unwrap().iter().filter(of_vhost);
    let found: Vec<bool> = found.map(|one| one["ssl"] == true).collect();
    (!found.is_empty()).then(|| found.iter().all(|is_tls| *is_tls))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_learns_whom_to_trust_and_all_that_is_said_is_encrypted() {
    let manager = Manager::over_tls().await;
    let directory = tempfile::tempdir().unwrap();
    installed::deployed(&manager, directory.path()).await;
    let end = manager.run("hosted", "install", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let host = instance_of(&manager, "hosted", "host").await;
    let name = host["id"].as_str().unwrap();
    let app = instance_of(&manager, "hosted", "app").await;
    assert_eq!(app["runtime_properties"]["ran_by"], name);
    let agent = agents(&manager).await.remove(0);
    assert_eq!(
        (&agent["id"], &agent["state"]),
        (&json!(name), &json!("started"))
    );

    let home = directory.path().join(name);
    let settings = std::fs::read(home.join("agent.json")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    let port = url::Url::parse(&env::amqps_url()).unwrap().port();
    assert_eq!(settings["broker_port"], json!(port));
    let trusted = std::fs::read_to_string(settings["broker_ca_file"].as_str().unwrap());
    assert_eq!(
        trusted.unwrap(),
        std::fs::read_to_string(env::amqp_ca_file()).unwrap()
    );
    let amqp = manager.settings().amqp_url.as_ref().unwrap();
    let own = url::Url::parse(&amqp.0).unwrap();
    let of_agents = format!("rabbitmq_vhost_{}", manager.tenant());
    for vhost in [own.path().trim_start_matches('/'), &of_agents] {
        until(async || encrypted(vhost).await.is_some()).await;
        assert_eq!(encrypted(vhost).await, Some(true), "{vhost}");
    }
    let end = manager.run("hosted", "uninstall", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_nothing_to_a_rabbitmq_that_it_does_not_trust() {
    let manager = Manager::over_tls().await;
    let name = deployed(&manager).await;
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("ca.pem");
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    std::fs::write(&trusted, other.cert.pem()).unwrap();
    let mut agent = NativeAgent::start_trusting(&manager, &name, &trusted).await;
    until(async || agent.log().contains("UnknownIssuer")).await;
    assert!(!agent.log().contains("connected to the message broker"));
    // it looks again who is to be trusted each time it tries
    std::fs::copy(env::amqp_ca_file(), &trusted).unwrap();
    until(async || agent.log().contains("connected to the message broker")).await;
    super::installed(&manager, &name).await;
    assert!(agent.terminate().success());
    manager.stop().await;
}
