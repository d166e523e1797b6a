//! Replay brings back every row as it was, whoever appends meanwhile.
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use stratalog::{
    db::Database,
    log::{Append, NewEvent, replay},
    store::Store,
    tasks::Tasks,
};
use stratalog_projections::{At, View, rebuild::Compared, views::tokens::Token};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{TokenCreated, TokenDeleted, TokenUsed, UserCreated},
};
use tokio_postgres::Client;

use crate::support::{database::TestDatabase, empty_database};

fn append(category: Category, id: &str, event: Event) -> Append {
    Append {
        meta: Meta::system(),
        events: vec![NewEvent::new(StreamId::global(category, id), event)],
        ..Append::default()
    }
}

fn user(username: &str) -> Append {
    let event = UserCreated {
        username: username.to_owned(),
        role: "default".to_owned(),
        ..UserCreated::default()
    };
    append(Category::User, username, Event::UserCreated(event))
}

fn created(id: &str) -> Append {
    let event = TokenCreated {
        id: id.to_owned(),
        username: "ann".to_owned(),
        ..TokenCreated::default()
    };
    append(Category::Token, id, Event::TokenCreated(event))
}

fn used(id: &str, at_ms: i64) -> Append {
    let id_text = id.to_owned();
    let event = TokenUsed { id: id_text, at_ms };
    append(Category::Token, id, Event::TokenUsed(event))
}

fn deleted(id: &str) -> Append {
    let event = TokenDeleted { id: id.to_owned() };
    append(Category::Token, id, Event::TokenDeleted(event))
}

async fn opened() -> (TestDatabase, Store, Tasks) {
    let test = empty_database().await;
    let tasks = Tasks::default();
    let database = Database::new(test.url(), 4).unwrap();
    let store = Store::open(database, Vec::new(), &tasks).await.unwrap();
    (test, store, tasks)
}

async fn filled() -> (TestDatabase, Store, Tasks) {
    let (test, store, tasks) = opened().await;
    for step in [
        user("ann"),
        created("t1"),
        created("t2"),
        used("t1", 5),
        deleted("t2"),
        created("t3"),
        used("t1", 9),
    ] {
        store.append(step).await.unwrap();
    }
    (test, store, tasks)
}

/// Every row of every view as text, byte for byte, in order.
async fn rows(client: &Client) -> Vec<String> {
    let mut all = Vec::new();
    for view in View::ALL {
        let sql = format!(
            "SELECT v::text FROM view.{name} v ORDER BY key COLLATE \"C\", valid_from",
            name = view.name()
        );
        for row in client.query(&sql, &[]).await.unwrap() {
            all.push(format!("{} {}", view.name(), row.get::<_, String>(0)));
        }
    }
    all
}

async fn checked(client: &mut Client) -> Vec<Compared> {
    replay::check(client, &|_, _| {}).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_views_come_back_byte_for_byte() {
    let (test, store, tasks) = filled().await;
    let mut client = store.database().dedicated().await.unwrap();
    let before = rows(&client).await;
    assert!(before.len() >= 6, "{before:?}");
    client
        .batch_execute("DROP SCHEMA view CASCADE")
        .await
        .unwrap();
    let missing = checked(&mut client).await;
    assert!(
        missing
            .iter()
            .all(|view| view.live.is_none() && !view.agrees())
    );
    let heard = AtomicI64::new(0);
    let progress = |position, _| heard.store(position, Ordering::Relaxed);
    let replayed = replay::replay(&mut client, &progress).await.unwrap();
    assert_eq!((replayed.position, heard.into_inner()), (7, 7));
    assert_eq!(rows(&client).await, before);
    let compared = checked(&mut client).await;
    assert_eq!(compared.len(), View::ALL.len());
    assert!(compared.iter().all(Compared::agrees), "{compared:?}");
    // and life goes on
    store.append(used("t3", 11)).await.unwrap();
    let view = store.read(At::Now).await.unwrap();
    let token: Token = view.get("t3").await.unwrap().unwrap();
    drop(view.finish().await.unwrap());
    assert_eq!(token.id, "t3");
    assert!(checked(&mut client).await.iter().all(Compared::agrees));
    tasks.drain().await;
    drop(test);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_the_view_that_was_changed() {
    let (_test, store, tasks) = filled().await;
    let mut client = store.database().dedicated().await.unwrap();
    client
        .batch_execute("UPDATE view.tokens SET doc = replace(doc, 'ann', 'bob')")
        .await
        .unwrap();
    let compared = checked(&mut client).await;
    let differ: Vec<View> = compared
        .iter()
        .filter(|compared| !compared.agrees())
        .map(|compared| compared.view)
        .collect();
    assert_eq!(differ, [View::Tokens]);
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_stopped_while_views_are_rebuilt() {
    let (_test, store, tasks) = filled().await;
    let done = Arc::new(AtomicBool::new(false));
    let appended = Arc::new(AtomicI64::new(0));
    let writer = {
        let (store, done, appended) = (store.clone(), done.clone(), appended.clone());
        #[allow(clippy::disallowed_methods, reason = "its end is waited for")]
        tokio::spawn(async move {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("w{n}");
                store.append(created(&id)).await.unwrap();
                store.append(used(&id, n)).await.unwrap();
                // readers see what was just written, whatever is swapped meanwhile
                let view = store.read(At::Now).await.unwrap();
                let token: Option<Token> = view.get(&id).await.unwrap();
                drop(view.finish().await.unwrap());
                assert!(token.is_some(), "{id}");
                appended.fetch_add(2, Ordering::Relaxed);
            }
        })
    };
    let mut client = store.database().dedicated().await.unwrap();
    let mut reached = 0;
    for _ in 0..5 {
        let before = appended.load(Ordering::Relaxed);
        let replayed = replay::replay(&mut client, &|_, _| {}).await.unwrap();
        assert!(replayed.position > reached);
        reached = replayed.position;
        while appended.load(Ordering::Relaxed) <= before {
            tokio::task::yield_now().await;
        }
        assert!(checked(&mut client).await.iter().all(Compared::agrees));
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(checked(&mut client).await.iter().all(Compared::agrees));
    tasks.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rebuilds_do_not_meet() {
    let (_test, store, tasks) = filled().await;
    let mut client = store.database().dedicated().await.unwrap();
    let other = store.database().dedicated().await.unwrap();
    other
        .batch_execute("SELECT pg_advisory_lock(91621622349827)")
        .await
        .unwrap();
    let refused = replay::replay(&mut client, &|_, _| {}).await.unwrap_err();
    assert!(refused.to_string().contains("another rebuild"), "{refused}");
    drop(other);
    tasks.drain().await;
}
