//! Against a real broker: `STRATALOG_TEST_AMQP_URL`, and for the management API
//! `STRATALOG_TEST_AMQP_MANAGEMENT_URL` (`http://user:password@host:port`). Each test uses names of
//! its own.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::time::Duration;

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    testing::{Line, admin, amqp_url, unique},
    *,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn quick(url: &str) -> Options {
    Options {
        backoff_min_ms: 20,
        backoff_max_ms: 200,
        confirm_timeout_ms: 5_000,
        ..Options::new(url, "test")
    }
}

async fn until(
    state: &mut watch::Receiver<BrokerState>,
    wanted: impl Fn(&BrokerState) -> bool,
) -> BrokerState {
    timeout(PATIENCE, state.wait_for(|state| wanted(state)))
        .await
        .unwrap()
        .unwrap()
        .clone()
}

fn degraded(state: &BrokerState) -> bool {
    matches!(state, BrokerState::Degraded { .. })
}

/// A broker handle on an exchange and a queue of the test's own.
struct Bench {
    broker: Broker,
    name: String,
    cancel: CancellationToken,
}

impl Bench {
    async fn start(url: &str) -> Self {
        let name = unique("stratalog_test");
        let cancel = CancellationToken::new();
        let topology = topology::responses_in(&name, &name);
        let broker = Broker::start(quick(url), topology, cancel.clone());
        until(&mut broker.state(), BrokerState::is_up).await;
        Self {
            broker,
            name,
            cancel,
        }
    }

    fn message(&self, text: &str) -> Message {
        Message::json(&self.name, &self.name, &text).unwrap()
    }

    fn consume(&self, prefetch: u16) -> Deliveries {
        self.broker.consume(ConsumerSpec {
            queue: self.name.clone(),
            prefetch,
        })
    }

    async fn end(self) {
        self.broker.delete_queue(&self.name).await.unwrap();
        self.cancel.cancel();
        timeout(PATIENCE, self.broker.closed()).await.unwrap();
    }
}

async fn next(deliveries: &mut Deliveries) -> Delivery {
    timeout(PATIENCE, deliveries.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn starts_without_a_broker_and_says_so() {
    let cancel = CancellationToken::new();
    let broker = Broker::start(
        quick("amqp://127.0.0.1:1/%2f"),
        Topology::default(),
        cancel.clone(),
    );
    until(&mut broker.state(), degraded).await;
    let message = Message::json("", "nowhere", &1).unwrap();
    assert!(matches!(
        broker.publish(&message).await,
        Err(Error::Down(_))
    ));
    cancel.cancel();
    timeout(PATIENCE, broker.closed()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_url_degrades_instead_of_stopping_the_process() {
    let cancel = CancellationToken::new();
    let broker = Broker::start(quick("http://x"), Topology::default(), cancel.clone());
    let state = until(&mut broker.state(), degraded).await;
    assert!(format!("{state:?}").contains("setting"), "{state:?}");
    cancel.cancel();
    timeout(PATIENCE, broker.closed()).await.unwrap();
}

#[tokio::test]
async fn carries_bodies_and_properties() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let mut deliveries = bench.consume(5);
    let message = bench
        .message("hello")
        .reply_to("answers")
        .correlation_id("c1");
    bench.broker.publish(&message.mandatory()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.body, br#""hello""#);
    assert_eq!(delivery.reply_to.as_deref(), Some("answers"));
    assert_eq!(delivery.correlation_id.as_deref(), Some("c1"));
    assert_eq!(
        (delivery.exchange, delivery.routing_key),
        (bench.name.clone(), bench.name.clone())
    );
    delivery.ack.ack().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_mandatory_message_without_a_queue_is_reported() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let lost = Message::json(&bench.name, "nobody", &1).unwrap();
    bench.broker.publish(&lost).await.unwrap();
    let error = bench.broker.publish(&lost.mandatory()).await.unwrap_err();
    assert!(matches!(error, Error::Unroutable { .. }), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_notice_names_its_sender_and_only_the_newest_are_kept() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let queue = unique("stratalog_test_newest");
    let topology = Topology::default()
        .exchange(&bench.name, topology::Kind::Direct)
        .newest(&queue, 2)
        .binding(&queue, &bench.name, "told");
    for body in ["1", "2", "3"] {
        let notice = Notice {
            topology: &topology,
            exchange: &bench.name,
            routing_key: "told",
            body: body.as_bytes(),
            expiration_ms: 60_000,
        };
        bench.broker.notify(&notice).await.unwrap();
    }
    assert_eq!(bench.broker.depth(&queue).await.unwrap(), 2);
    assert!(bench.broker.depth("stratalog_test_none").await.is_err());
    bench.broker.remember(&topology);
    let mut deliveries = bench.broker.consume(ConsumerSpec {
        queue: queue.clone(),
        prefetch: 5,
    });
    let first = next(&mut deliveries).await;
    assert_eq!(first.body, b"2");
    assert_eq!(first.sender, bench.broker.user().ok());
    first.ack.ack().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_notice_that_is_refused_disturbs_nothing_else() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let mut deliveries = bench.consume(5);
    // the exchange is there, and of another kind
    let topology = Topology::default().exchange(&bench.name, topology::Kind::Fanout);
    let notice = Notice {
        topology: &topology,
        exchange: &bench.name,
        routing_key: "",
        body: b"1",
        expiration_ms: 60_000,
    };
    assert!(bench.broker.notify(&notice).await.is_err());
    bench.broker.publish(&bench.message("kept")).await.unwrap();
    let received = next(&mut deliveries).await;
    assert_eq!(received.body, b"\"kept\"");
    received.ack.ack().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_missing_exchange_fails_one_message_and_not_the_next() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let lost = Message::json(&unique("no_exchange"), "x", &1).unwrap();
    assert!(bench.broker.publish(&lost).await.is_err());
    bench
        .broker
        .publish(&bench.message("fine").mandatory())
        .await
        .unwrap();
    bench.end().await;
}

#[tokio::test]
async fn acknowledges_up_to_a_tag_and_gets_the_rest_again() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    for number in 0..5 {
        bench
            .broker
            .publish(&bench.message(&number.to_string()))
            .await
            .unwrap();
    }
    let mut first = bench.consume(10);
    let mut received = Vec::new();
    for _ in 0..5 {
        received.push(next(&mut first).await);
    }
    received[2].ack.ack_up_to().await.unwrap();
    drop((received, first));
    let mut second = bench.consume(10);
    for number in 3..5 {
        let delivery = next(&mut second).await;
        assert!(delivery.redelivered);
        assert_eq!(delivery.body, format!("\"{number}\"").into_bytes());
        delivery.ack.ack().await.unwrap();
    }
    bench.end().await;
}

#[tokio::test]
async fn prefetch_limits_what_is_in_hand() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    for number in 0..4 {
        bench
            .broker
            .publish(&bench.message(&number.to_string()))
            .await
            .unwrap();
    }
    let mut deliveries = bench.consume(2);
    let (one, _two) = (next(&mut deliveries).await, next(&mut deliveries).await);
    assert!(
        timeout(Duration::from_millis(300), deliveries.recv())
            .await
            .is_err()
    );
    one.ack.ack().await.unwrap();
    assert_eq!(next(&mut deliveries).await.body, b"\"2\"");
    bench.end().await;
}

#[tokio::test]
async fn what_was_received_can_be_acknowledged_after_stopping() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    bench.broker.publish(&bench.message("a")).await.unwrap();
    let mut deliveries = bench.consume(2);
    let delivery = next(&mut deliveries).await;
    deliveries.stop();
    assert!(
        timeout(PATIENCE, deliveries.recv())
            .await
            .unwrap()
            .is_none()
    );
    bench.broker.publish(&bench.message("b")).await.unwrap();
    delivery.ack.ack().await.unwrap();
    drop(delivery);
    let mut again = bench.consume(2);
    assert_eq!(next(&mut again).await.body, b"\"b\"");
    bench.end().await;
}

#[tokio::test]
async fn a_cut_line_heals_and_nothing_is_lost() {
    let Some(url) = amqp_url() else { return };
    let line = Line::to(&url, "%2f").await;
    let bench = Bench::start(&line.address).await;
    let mut state = bench.broker.state();
    let mut deliveries = bench.consume(10);
    bench
        .broker
        .publish(&bench.message("before"))
        .await
        .unwrap();
    let before = next(&mut deliveries).await;
    state.mark_unchanged();
    line.cut();
    until(&mut state, degraded).await;
    assert!(
        before.ack.ack().await.is_err(),
        "the delivery's connection is gone"
    );
    until(&mut state, BrokerState::is_up).await;
    bench
        .broker
        .publish(&bench.message("after").mandatory())
        .await
        .unwrap();
    let again = next(&mut deliveries).await;
    assert_eq!(
        (again.body.as_slice(), again.redelivered),
        (&b"\"before\""[..], true)
    );
    again.ack.ack().await.unwrap();
    let after = next(&mut deliveries).await;
    assert_eq!(after.body, b"\"after\"");
    after.ack.ack().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_consumed() {
    let Some(url) = amqp_url() else { return };
    let bench = Bench::start(&url).await;
    let mut deliveries = bench.consume(10);
    bench.broker.publish(&bench.message("first")).await.unwrap();
    next(&mut deliveries).await.ack.ack().await.unwrap();
    let other = Broker::start(quick(&url), Topology::default(), bench.cancel.child_token());
    until(&mut other.state(), BrokerState::is_up).await;
    other.delete_queue(&bench.name).await.unwrap();
    let message = bench.message("second").mandatory();
    let sent = async {
        while bench.broker.publish(&message).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, sent).await.unwrap();
    assert_eq!(next(&mut deliveries).await.body, b"\"second\"");
    bench.end().await;
}

#[tokio::test]
async fn declares_what_peers_declare_too() {
    let Some(url) = amqp_url() else { return };
    let topology = topology::management("manager-1")
        .merged(&topology::shared_responses())
        .merged(&topology::agent("agent_1"));
    // The same set as a running manager of the reference showed.
    for queue in [
        "cloudify.management_workflow",
        "cloudify-hooks",
        "cloudify.management_operation",
        "cloudify-mgmtworker-service-manager-1_service",
        "cloudify-logs-events",
        "agent_1_operation",
    ] {
        assert!(topology.queues.contains(queue), "{queue}");
    }
    let cancel = CancellationToken::new();
    let broker = Broker::start(quick(&url), topology.clone(), cancel.clone());
    until(&mut broker.state(), BrokerState::is_up).await;
    broker.declare(&topology).await.unwrap();
    cancel.cancel();
    broker.closed().await;
}

#[tokio::test]
async fn tenants_and_agents_get_their_users() {
    let Some(admin) = admin().await else { return };
    let tenant = format!("{} ü", unique("tenant"));
    let password = admin::generate_password(&mut rand::rng());
    assert_eq!(password.len(), 32);
    admin.ensure_tenant(&tenant, &password).await.unwrap();
    admin.ensure_tenant(&tenant, &password).await.unwrap();
    let (vhost, user) = (admin::tenant_vhost(&tenant), admin::tenant_user(&tenant));
    assert!(admin.vhosts().await.unwrap().contains(&vhost));
    assert!(admin.users().await.unwrap().contains(&user));
    let root = admin.permissions("/", &user).await.unwrap().unwrap();
    assert_eq!(root.read, "");
    assert_eq!(
        root.write,
        "^cloudify-(events-topic|events|logs|monitoring)$"
    );
    let own = admin.permissions(&vhost, &user).await.unwrap().unwrap();
    assert_eq!((own.configure.as_str(), own.read.as_str()), (".*", ".*"));

    let username = unique("rabbitmq_user_agent");
    let agent = admin::AgentUser {
        tenant: &tenant,
        username: &username,
        password: "secret",
        exchange: "vm_a1.b",
    };
    admin.ensure_agent(&agent).await.unwrap();
    let allowed = admin.permissions(&vhost, &username).await.unwrap().unwrap();
    let pattern = regex::Regex::new(&allowed.write).unwrap();
    for name in [
        "vm_a1.b",
        "vm_a1.b_operation",
        "vm_a1.b_response_1",
        "cloudify-logs",
    ] {
        assert!(pattern.is_match(name), "{name}");
    }
    for name in ["vm_a1xb", "vm_a1.b_other", "other", "cloudify-logs2"] {
        assert!(!pattern.is_match(name), "{name}");
    }
    // nobody else is taken for an agent, nor are agents of others
    let of_another = admin::AgentUser {
        tenant: "another",
        ..agent
    };
    let not_an_agent = admin::AgentUser {
        username: &user,
        ..agent
    };
    for stranger in [of_another, not_an_agent] {
        let refused = admin.ensure_agent(&stranger).await.unwrap_err();
        assert!(matches!(refused, AdminError::NoAgent(_)), "{refused}");
        let (of, name) = (stranger.tenant, stranger.username);
        admin.delete_agent(of, name, "none").await.unwrap();
    }
    // lists are remembered by RabbitMQ for a while, single answers are not
    for name in [&username, &user] {
        assert!(admin.permissions("/", name).await.unwrap().is_some());
    }
    admin
        .delete_agent(&tenant, &username, "vm_a1.b")
        .await
        .unwrap();
    assert_eq!(admin.permissions("/", &username).await.unwrap(), None);
    admin.delete_tenant(&tenant).await.unwrap();
    admin.delete_tenant(&tenant).await.unwrap();
    assert!(!admin.vhosts().await.unwrap().contains(&vhost));
    assert_eq!(admin.permissions("/", &user).await.unwrap(), None);
}
