//! What workers and agents tell of themselves.

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
};
use serde_json::{Value, json};

use super::deployed;
use crate::support::{
    agents::{self, NativeAgent},
    env,
    manager::{Manager, until},
};

const EXCHANGE: &str = "cloudify-monitoring";

/// The metrics of a process, in Prometheus' format.
async fn exposed(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{url}/metrics")).send().await.unwrap();
    answer.text().await.unwrap()
}

/// The one series of this name with all of these labels, if there is one.
async fn series(url: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let text = exposed(url).await;
    let has = |line: &&str| {
        let with = |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
        line.starts_with(&format!("{name}{{")) && labels.iter().all(with)
    };
    let line = text.lines().find(has)?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

/// The deployment's one agent, as its metrics show it.
async fn shown(manager: &Manager) -> (i64, Value) {
    let told = manager.get("deployments/hosted/metrics").await;
    assert_eq!(told["items"].as_array().unwrap().len(), 1, "{told}");
    let running = told["operations_running"].as_i64().unwrap();
    (running, told["items"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_tells_is_shown_until_it_is_gone() {
    let manager = Manager::with_agents(|settings| settings.metrics_interval_s = 1).await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start(&manager, &name).await;
    let tenant = manager.tenant().to_owned();
    let labels = [("tenant", tenant.as_str()), ("agent", name.as_str())];
    let limit = "stratalog_agent_operations_limit";
    let other = manager.beside().await;
    for url in [manager.url(), format!("http://{}", other.addr)] {
        until(async || series(&url, limit, &labels).await == Some(5.0)).await;
        let own = [("worker", manager.settings().manager_name())];
        let own = [(own[0].0, own[0].1.as_str())];
        let places = "stratalog_worker_operations_limit";
        until(async || series(&url, places, &own).await == Some(20.0)).await;
        let memory = series(&url, "stratalog_agent_host_memory_used_bytes", &labels);
        assert!(memory.await.unwrap() > 0.0);
    }
    other.stop().await;
    let (running, item) = shown(&manager).await;
    assert_eq!(running, 0);
    assert_eq!(
        (&item["agent"], &item["node_id"]),
        (&json!(name), &json!("host"))
    );
    assert_eq!(item["node_instance_id"], name);
    assert_eq!(item["metrics"]["operations"]["limit"], 5, "{item}");
    assert_eq!(item["host"], manager.settings().manager_name());
    let (status, refused) = manager
        .call("GET", "deployments/hosted/metrics?_as_of=1", None)
        .await;
    assert_eq!(status, 400, "{refused}");
    runs_one(&manager).await;
    assert!(agent.terminate().success());
    let url = manager.url();
    until(async || shown(&manager).await.1["metrics"].is_null()).await;
    until(async || series(&url, limit, &labels).await.is_none()).await;
    assert!(!exposed(&url).await.contains(&name));
    manager.stop().await;
}

/// An operation that runs is counted by the deployment and by the agent.
async fn runs_one(manager: &Manager) {
    let directory = tempfile::tempdir().unwrap();
    let (began, end) = (directory.path().join("began"), directory.path().join("end"));
    let install = manager.run("hosted", "install", json!({})).await;
    assert_eq!(install["status"], "terminated", "{install}");
    let wait = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.stop",
        "operation_kwargs": {"BEGAN": began, "END": end},
        "allow_kwargs_override": true, "node_ids": ["app"],
    }});
    let execution = manager.start("hosted", "execute_operation", wait).await;
    until(async || began.exists()).await;
    let is_counted = async || {
        let (running, item) = shown(manager).await;
        running == 1 && item["metrics"]["operations"]["running"] == 1
    };
    until(is_counted).await;
    std::fs::write(end, "").unwrap();
    let ended = manager.end(&execution).await;
    assert_eq!(ended["status"], "terminated", "{ended}");
    assert_eq!(shown(manager).await.0, 0);
}

/// Somebody who sends to the exchange of metrics.
struct Sender {
    _connection: Connection,
    channel: Channel,
}

impl Sender {
    async fn new(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let (kind, none) = (lapin::ExchangeKind::Topic, Default::default());
        channel
            .exchange_declare(EXCHANGE.into(), kind, options, none)
            .await
            .unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            _connection: connection,
            channel,
        }
    }

    /// Whether the broker takes it.
    async fn send(&self, body: &[u8], user: Option<&str>) -> bool {
        let mut properties = BasicProperties::default();
        if let Some(user) = user {
            properties = properties.with_user_id(user.into());
        }
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(EXCHANGE.into(), "any".into(), options, body, properties)
            .await;
        match sent {
            Ok(confirmation) => confirmation.await.is_ok(),
            Err(_) => false,
        }
    }
}

fn told_by(name: &str) -> Value {
    json!({
        "name": name, "host": "h1", "interval_s": 3_600, "uptime_s": 7.5,
        "operations": {"running": 0, "waiting": 0, "following": 0, "limit": 3, "queued": null},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_speaks_for_itself_alone() {
    let manager = Manager::with_agents(|settings| settings.metrics_interval_s = 0).await;
    let name = deployed(&manager).await;
    let user = agents::known(&manager, &name).await;
    let mut own = url::Url::parse(&manager.agents_url()).unwrap();
    own.set_username(&user).unwrap();
    own.set_password(Some(agents::PASSWORD)).unwrap();
    let agent = Sender::new(own.as_str()).await;
    let url = manager.url();
    let is_listening = async || {
        // what nobody listens to is gone, so it is said until somebody does
        assert!(agent.send(b"no metrics", Some(&user)).await);
        dropped(&url, "unreadable").await > 0.0
    };
    until(is_listening).await;
    let stranger = told_by("nobody").to_string();
    assert!(agent.send(stranger.as_bytes(), Some(&user)).await);
    let mut odd = told_by(&name);
    odd["uptime_s"] = json!(-1);
    assert!(agent.send(odd.to_string().as_bytes(), Some(&user)).await);
    assert!(agent.send(&vec![b' '; 1 << 20], Some(&user)).await);
    let body = told_by(&name).to_string();
    assert!(agent.send(body.as_bytes(), None).await, "without a name");
    let admin = Sender::new(&manager.agents_url()).await;
    let of_admin = url::Url::parse(&env::amqp_url()).unwrap();
    assert!(admin.send(body.as_bytes(), Some(of_admin.username())).await);
    assert!(
        !admin.send(body.as_bytes(), Some(&user)).await,
        "the broker"
    );
    let managers = Sender::new(&manager.settings().amqp_url.as_ref().unwrap().0).await;
    assert!(managers.send(body.as_bytes(), None).await);
    let expected = [
        ("unknown", 1.0),
        ("impossible", 1.0),
        ("too_large", 1.0),
        ("forged", 3.0),
    ];
    for (reason, count) in expected {
        until(async || dropped(&url, reason).await == count).await;
    }
    assert!(shown(&manager).await.1["metrics"].is_null());
    let text = exposed(&url).await;
    assert!(
        !text.contains("stratalog_agent_") && !text.contains("stratalog_worker_"),
        "{text}"
    );
    assert!(agent.send(body.as_bytes(), Some(&user)).await);
    until(async || shown(&manager).await.1["metrics"]["uptime_s"] == 7.5).await;
    let (status, gone) = manager
        .call(
            "PATCH",
            &format!("agents/{name}"),
            Some(json!({"state": "deleted"})),
        )
        .await;
    assert_eq!(status, 200, "{gone}");
    until(async || !exposed(&url).await.contains(&name)).await;
    manager.stop().await;
}

async fn dropped(url: &str, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    let count = series(url, "stratalog_metrics_dropped_total", &labels);
    count.await.unwrap_or_default()
}
