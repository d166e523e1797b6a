//! Events and logs of older agents: from the first publication to RabbitMQ until the last one shows
//! in `GET /events`, with the queue's own speed beside it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod support;

use std::time::{Duration, Instant};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, options::BasicPublishOptions,
};
use serde_json::{Value, json};
use stratalog::{
    config::{Hidden, Settings},
    log::{Append, NewEvent},
    server::{self, Running},
};
use stratalog_schema::{Category, Event, Meta, StreamId, events::ExecutionCreated};

const TENANT: &str = "default_tenant";
const EXECUTION: &str = "01890000-0000-7000-8000-000000000000";
const PERSISTENT: u8 = 2;
/// Pause between two looks at the total.
const LOOK: Duration = Duration::from_millis(10);

async fn manager(data: &std::path::Path) -> Running {
    let settings = Settings {
        amqp_url: Some(Hidden(support::variable("STRATALOG_TEST_AMQP_URL"))),
        ..support::settings(data).await
    };
    server::start(settings).await.unwrap()
}

/// An execution that telemetry can belong to; it has ended, so nobody works on it.
fn execution() -> Append {
    let created = ExecutionCreated {
        id: EXECUTION.to_owned(),
        scope: Some(support::scope(TENANT)),
        workflow_id: "install".to_owned(),
        status: "terminated".to_owned(),
        parameters_json: "{}".to_owned(),
        ..ExecutionCreated::default()
    };
    let stream = StreamId::scoped(Category::Execution, TENANT, EXECUTION);
    Append {
        meta: Meta {
            tenant: TENANT.to_owned(),
            ..Meta::system()
        },
        events: vec![NewEvent::new(stream, Event::ExecutionCreated(created))],
        ..Append::default()
    }
}

/// Bodies as older agents send them: events and log lines in turn.
fn message(nth: usize) -> (&'static str, &'static str, Vec<u8>) {
    let context = json!({
        "execution_id": EXECUTION,
        "operation": "cloudify.interfaces.lifecycle.start",
        "node_id": format!("app_{:06}", nth % 997),
    });
    let timestamp = format!(
        "2026-01-01T00:00:{:02}.{:03}Z",
        nth / 1_000 % 60,
        nth % 1_000
    );
    if nth.is_multiple_of(2) {
        let body = json!({
            "type": "cloudify_event", "event_type": "task_started", "message_code": null,
            "message": {"text": format!("Task started 'plugin.task' #{nth}"), "arguments": null},
            "timestamp": timestamp, "context": context,
        });
        (
            "cloudify-events-topic",
            "events.task_started",
            body.to_string().into_bytes(),
        )
    } else {
        let body = json!({
            "type": "cloudify_log", "logger": "ctx.node", "level": "info", "message_code": null,
            "message": {"text": format!("log line number {nth}")},
            "timestamp": timestamp, "context": context,
        });
        ("cloudify-logs", "", body.to_string().into_bytes())
    }
}

async fn publish(channel: &Channel, messages: Vec<(&str, &str, Vec<u8>)>) {
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    for (exchange, routing_key, body) in messages {
        let sent = channel.basic_publish(
            exchange.into(),
            routing_key.into(),
            BasicPublishOptions::default(),
            &body,
            properties.clone(),
        );
        let _unconfirmed = sent.await.unwrap();
    }
}

async fn total(client: &reqwest::Client, running: &Running) -> u64 {
    let url = format!(
        "http://{}/api/v3.1/events?execution_id={EXECUTION}&_size=1&type=cloudify_event\
         &type=cloudify_log",
        running.addr
    );
    let request = client
        .get(url)
        .basic_auth("admin", Some(support::PASSWORD))
        .header("Tenant", TENANT);
    let text = request.send().await.unwrap().text().await.unwrap();
    let page: Value = serde_json::from_str(&text).unwrap();
    page["metadata"]["pagination"]["total"].as_u64().unwrap()
}

async fn ingest(running: &Running, channel: &Channel, from: usize, count: usize) {
    let client = reqwest::Client::new();
    let before = total(&client, running).await;
    let messages: Vec<_> = (from..from + count).map(message).collect();
    let begin = Instant::now();
    publish(channel, messages).await;
    let published = begin.elapsed();
    while total(&client, running).await < before + count as u64 {
        tokio::time::sleep(LOOK).await;
    }
    let rate = |elapsed: Duration| count as f64 / elapsed.as_secs_f64();
    println!(
        "ingest/{count} messages: {:>9.0}/s until visible   (handed to the client library: \
         {:.0}/s)",
        rate(begin.elapsed()),
        rate(published)
    );
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let running = manager(data.path()).await;
    running.ctx.store.append(execution()).await.unwrap();
    let broker = running.ctx.broker.as_ref().unwrap();
    let mut state = broker.state();
    state.wait_for(|state| state.is_up()).await.unwrap();
    let url = support::variable("STRATALOG_TEST_AMQP_URL");
    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (rounds, count) = match support::is_measured() {
        true => (4, 100_000),
        false => (1, 1_000),
    };
    for round in 0..rounds {
        ingest(&running, &channel, round * count, count).await;
    }
    connection.close(0, "done".into()).await.unwrap();
    running.stop().await;
}
