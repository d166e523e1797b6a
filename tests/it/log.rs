//! The event log: order, expectations, idempotency, subscriptions that never skip, tamper evidence.
use std::{collections::BTreeSet, sync::Arc};

use stratalog::{
    clock,
    db::Database,
    error::Error,
    log::{Append, Expected, NewEvent},
    store::Store,
    tasks::Tasks,
};
use stratalog_projections::{At, View, rebuild, views::tokens::Token};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{TelemetryRecord, TokenCreated, TokenUsed},
};
use uuid::Uuid;

use crate::support::{empty_database, manager::until};

async fn open(url: &str) -> (Store, Tasks) {
    let tasks = Tasks::default();
    let database = Database::new(url, 8).unwrap();
    let store = Store::open(database, Vec::new(), &tasks).await.unwrap();
    (store, tasks)
}

fn created(id: &str) -> NewEvent {
    let event = TokenCreated {
        id: id.to_owned(),
        username: "ann".to_owned(),
        secret_hash: "00".to_owned(),
        created_at_ms: 1,
        ..TokenCreated::default()
    };
    NewEvent::new(
        StreamId::global(Category::Token, id),
        Event::TokenCreated(event),
    )
}

fn used(id: &str, at_ms: i64) -> NewEvent {
    let event = TokenUsed {
        id: id.to_owned(),
        at_ms,
    };
    NewEvent::new(
        StreamId::global(Category::Token, id),
        Event::TokenUsed(event),
    )
}

fn record(text: &str, id: Uuid) -> TelemetryRecord {
    TelemetryRecord {
        event_id: id.as_bytes().to_vec(),
        tenant: "default_tenant".to_owned(),
        execution_id: "e1".to_owned(),
        timestamp_us: clock::now_us(),
        reported_timestamp_us: clock::now_us(),
        message: text.to_owned(),
        ..TelemetryRecord::default()
    }
}

fn append(events: Vec<NewEvent>) -> Append {
    Append {
        meta: Meta::system(),
        events,
        ..Append::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_dense_and_views_follow_in_the_same_commit() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    let first = store
        .append(append(vec![created("t1"), created("t2")]))
        .await
        .unwrap();
    assert_eq!((first.first_position, first.last_position), (1, 2));
    let second = store.append(append(vec![used("t1", 5)])).await.unwrap();
    assert_eq!(second.first_position, 3);
    let view = store.read(At::Now).await.unwrap();
    let token: Token = view.get("t1").await.unwrap().unwrap();
    assert_eq!(token.last_used.as_deref(), Some("1970-01-01T00:00:00.005Z"));
    let past = store.read(At::Position(2)).await.unwrap();
    let token: Token = past.get("t1").await.unwrap().unwrap();
    assert_eq!(token.last_used, None);
    let before = store.read(At::Position(1)).await.unwrap();
    assert!(before.row(View::Tokens, "t2").await.unwrap().is_none());
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_appends_with_the_same_expectation_one_wins() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    store.append(append(vec![created("t1")])).await.unwrap();
    let stream = StreamId::global(Category::Token, "t1");
    let racing = (0..20).map(|i| {
        let mut racing = append(vec![used("t1", i)]);
        racing.expected.push((stream.clone(), Expected::Version(1)));
        store.append(racing)
    });
    let outcomes = futures::future::join_all(racing).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(Error::Conflict { .. })))
        .count();
    assert_eq!((won, lost), (1, 19));
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_and_a_message_that_arrive_twice_have_the_effect_of_one() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    let mut command = append(vec![created("t1")]);
    command.command_id = Some(Uuid::now_v7());
    let first = store.append(command.clone()).await.unwrap();
    let again = store.append(command).await.unwrap();
    assert!(again.repeated && again.first_position == first.first_position);
    let id = Uuid::now_v7();
    for _ in 0..2 {
        let telemetry = Append {
            meta: Meta::system(),
            telemetry: vec![record("hello", id)],
            ..Append::default()
        };
        store.append(telemetry).await.unwrap();
    }
    let view = store.read(At::Now).await.unwrap();
    assert_eq!(view.head(), 2, "one token and one record");
    tasks.drain().await;
    // a new process remembers, too
    let (store, tasks) = open(database.url()).await;
    let telemetry = Append {
        meta: Meta::system(),
        telemetry: vec![record("hello", id)],
        ..Append::default()
    };
    store.append(telemetry).await.unwrap();
    assert_eq!(store.read(At::Now).await.unwrap().head(), 2);
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_contradicts_the_views_is_refused_alone() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    let good = store.append(append(vec![created("t1")]));
    let bad = store.append(append(vec![used("nobody", 1)]));
    let also_good = store.append(append(vec![created("t2")]));
    let (good, bad, also_good) = futures::join!(good, bad, also_good);
    assert!(good.is_ok() && also_good.is_ok());
    assert!(matches!(bad, Err(Error::Internal(_))), "{bad:?}");
    assert_eq!(store.read(At::Now).await.unwrap().head(), 2);
    tasks.drain().await;
}

/// Two processes and many tasks append while a subscription and a naive `position > last` reader
/// follow: neither may miss anything, in spite of rejected appends and a writing transaction that
/// stays open beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_follow_never_skip_a_position() {
    const WRITERS: i64 = 16;
    const EACH: i64 = 40;
    let database = empty_database().await;
    let (one, tasks_one) = open(database.url()).await;
    let (two, tasks_two) = open(database.url()).await;
    one.append(append(
        (0..WRITERS).map(|w| created(&format!("t{w}"))).collect(),
    ))
    .await
    .unwrap();
    let parked = one.database().dedicated().await.unwrap();
    parked
        .batch_execute("BEGIN; CREATE TEMP TABLE parked (x int); INSERT INTO parked VALUES (1)")
        .await
        .unwrap();
    let mut subscription = one.subscribe(0);
    let expected = WRITERS + WRITERS * EACH;
    let following = async {
        let mut seen = Vec::new();
        while (seen.len() as i64) < expected {
            seen.push(subscription.next().await.unwrap().position);
        }
        seen
    };
    let naive_client = two.database().dedicated().await.unwrap();
    let naive = async {
        let (mut seen, mut last) = (BTreeSet::new(), 0_i64);
        while (seen.len() as i64) < expected {
            let rows = naive_client
                .query(
                    "SELECT position FROM es.log WHERE position > $1 ORDER BY 1",
                    &[&last],
                )
                .await
                .unwrap();
            for row in rows {
                last = row.get(0);
                seen.insert(last);
            }
        }
        seen
    };
    let stores = [Arc::new(one.clone()), Arc::new(two.clone())];
    let writing = futures::future::join_all((0..WRITERS).map(|w| {
        let store = Arc::clone(&stores[usize::try_from(w % 2).unwrap()]);
        async move {
            for i in 0..EACH {
                store
                    .append(append(vec![used(&format!("t{w}"), i)]))
                    .await
                    .unwrap();
                let mut rejected = append(vec![used(&format!("t{w}"), i)]);
                rejected.expected.push((
                    StreamId::global(Category::Token, &format!("t{w}")),
                    Expected::Version(-1),
                ));
                assert!(store.append(rejected).await.is_err());
            }
        }
    }));
    let (_, followed, naive) = futures::join!(writing, following, naive);
    assert_eq!(followed, (1..=expected).collect::<Vec<_>>());
    assert_eq!(naive.len() as i64, expected);
    parked.batch_execute("ROLLBACK").await.unwrap();
    tasks_one.drain().await;
    tasks_two.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_gives_the_same_rows_with_the_same_history() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    store
        .append(append(vec![created("t1"), used("t1", 1), created("t2")]))
        .await
        .unwrap();
    store
        .append(append(vec![used("t2", 7), used("t1", 9)]))
        .await
        .unwrap();
    let client = store.database().dedicated().await.unwrap();
    let head = rebuild::head(&client).await.unwrap();
    rebuild::build_beside(&client, head, &|_| {}).await.unwrap();
    for compared in rebuild::compare(&client).await.unwrap() {
        assert!(compared.agrees(), "{compared:?}");
    }
    client
        .batch_execute("UPDATE view.tokens SET doc = replace(doc, 'ann', 'bob') WHERE key = 't1'")
        .await
        .unwrap();
    let compared = rebuild::compare(&client).await.unwrap();
    assert_eq!(compared.iter().filter(|c| !c.agrees()).count(), 1);
    rebuild::swap(&client, head).await.unwrap();
    let view = store.read(At::Now).await.unwrap();
    let token: Token = view.get("t1").await.unwrap().unwrap();
    assert_eq!(token.username, "ann");
    // the writer goes on after its tables were swapped under it
    store.append(append(vec![used("t1", 11)])).await.unwrap();
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_refuses_to_be_changed() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    store.append(append(vec![created("t1")])).await.unwrap();
    let client = store.database().dedicated().await.unwrap();
    for sql in [
        "UPDATE es.log SET data = ''",
        "DELETE FROM es.log",
        "TRUNCATE es.log",
        "UPDATE es.spine SET n = 2",
        "DELETE FROM es.log_p0",
        "TRUNCATE es.segment_p0",
    ] {
        let refused = client.batch_execute(sql).await.unwrap_err();
        assert!(
            format!("{refused:?}").contains("immutable"),
            "{sql}: {refused:?}"
        );
    }
    tasks.drain().await;
}

/// Plans over empty tables are not kept when the tables are no longer empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_follow_the_tables() {
    let database = empty_database().await;
    let (store, tasks) = open(database.url()).await;
    let events = (0..2_000).map(|nth| created(&format!("t{nth}"))).collect();
    store.append(append(events)).await.unwrap();
    let client = store.database().dedicated().await.unwrap();
    until(async || {
        let sql = "SELECT min(reltuples) FROM pg_class \
                   WHERE oid IN ('es.log_p0'::regclass, 'view.tokens'::regclass)";
        let rows: f32 = client.query_one(sql, &[]).await.unwrap().get(0);
        rows >= 2_000.0
    })
    .await;
    tasks.drain().await;
}
