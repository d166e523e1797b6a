//! The audit log answers who did what, page by page, in both directions.
use reqwest::Method;
use stratalog::{
    db::Database,
    log::{
        Append, NewEvent,
        audit::{Entry, Filter, Question, page},
    },
    store::Store,
    tasks::Tasks,
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{TokenCreated, TokenUsed},
};
use tokio_postgres::Client;

use crate::support::{database::TestDatabase, empty_database, server::TestServer};

/// Positions 1 to 6: ann makes t1 and t2 and uses them in turn, bob uses t1 for execution e1.
async fn filled() -> (TestDatabase, Client) {
    let test = empty_database().await;
    let tasks = Tasks::default();
    let database = Database::new(test.url(), 2).unwrap();
    let store = Store::open(database.clone(), Vec::new(), &tasks)
        .await
        .unwrap();
    for (id, actor, is_new) in [
        ("t1", "ann", true),
        ("t2", "ann", true),
        ("t1", "ann", false),
        ("t2", "ann", false),
        ("t1", "bob", false),
        ("t2", "ann", false),
    ] {
        let id = id.to_owned();
        let stream = StreamId::global(Category::Token, &id);
        let event = match is_new {
            true => Event::TokenCreated(TokenCreated {
                id,
                secret_hash: "secret".to_owned(),
                ..TokenCreated::default()
            }),
            false => Event::TokenUsed(TokenUsed { id, at_ms: 1 }),
        };
        let mut meta = Meta::system();
        actor.clone_into(&mut meta.actor);
        "green".clone_into(&mut meta.tenant);
        if actor == "bob" {
            "e1".clone_into(&mut meta.execution_id);
        }
        let append = Append {
            meta,
            events: vec![NewEvent::new(stream, event)],
            ..Append::default()
        };
        store.append(append).await.unwrap();
    }
    tasks.drain().await;
    let client = database.dedicated().await.unwrap();
    (test, client)
}

async fn all(client: &Client, mut question: Question) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let page = page(client, &question).await.unwrap();
        assert!(page.entries.len() <= question.size);
        entries.extend(page.entries);
        if page.next.is_none() {
            return entries;
        }
        question.beyond = page.next;
    }
}

async fn positions(client: &Client, filter: Filter) -> Vec<i64> {
    let oldest = all(client, Question::new(filter.clone(), false, 2)).await;
    let mut newest = all(client, Question::new(filter, true, 100)).await;
    newest.reverse();
    assert_eq!(oldest, newest);
    oldest.iter().map(|entry| entry.position).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_finds_its_events() {
    let (_test, client) = filled().await;
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default();
    let entries = all(&client, Question::new(none.clone(), false, 100)).await;
    let time = |n: usize| entries[n - 1].recorded_at.parse().ok();
    let with = |set: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        set(&mut filter);
        filter
    };
    let everything = vec![1, 2, 3, 4, 5, 6];
    let (token, user) = (Some(Category::Token), Some(Category::User));
    let table = [
        (none.clone(), everything.clone()),
        (with(&|f| f.actor = text("bob")), vec![5]),
        (with(&|f| f.actor = text("eve")), vec![]),
        (with(&|f| f.tenant = text("green")), everything.clone()),
        (with(&|f| f.tenant = text("red")), vec![]),
        (with(&|f| f.execution = text("e1")), vec![5]),
        (with(&|f| f.stream = text("t2")), vec![2, 4, 6]),
        (with(&|f| f.category = token), everything),
        (with(&|f| f.category = user), vec![]),
        (with(&|f| f.event_type = text("token_created")), vec![1, 2]),
        (
            with(&|f| (f.from, f.upto) = (Some(3), Some(5))),
            vec![3, 4, 5],
        ),
        (with(&|f| f.since = time(3)), vec![3, 4, 5, 6]),
        (with(&|f| f.until = time(3)), vec![1, 2, 3]),
        (with(&|f| (f.since, f.until) = (time(6), time(1))), vec![]),
        (
            with(&|f| (f.actor, f.stream) = (text("ann"), text("t1"))),
            vec![1, 3],
        ),
    ];
    for (filter, expected) in table {
        assert_eq!(
            positions(&client, filter.clone()).await,
            expected,
            "{filter:?}"
        );
    }
    let nonsense = Filter {
        event_type: text("nonsense"),
        ..none
    };
    let refused = page(&client, &Question::new(nonsense, false, 1)).await;
    assert_eq!(refused.unwrap_err().status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_tells_everything_but_secrets() {
    let (_test, client) = filled().await;
    let entries = all(&client, Question::new(Filter::default(), false, 100)).await;
    let first = &entries[0];
    assert_eq!(
        (
            &*first.kind,
            &*first.category,
            &*first.stream,
            first.version
        ),
        ("token_created", "token", "t1", 1)
    );
    assert_eq!((&*first.actor, &*first.tenant), ("ann", "green"));
    assert_eq!(first.data["secret_hash"], "********");
    assert_eq!(first.data["id"], "t1");
    assert_eq!(entries[4].execution_id, "e1");
}

#[tokio::test]
async fn a_stream_tells_what_was_done_and_what_is_done() {
    let server = TestServer::start().await;
    let site = serde_json::json!({"location": "1.5,2.5"});
    server.put("sites/north", &site).await.expect(200);
    let stream = server.request(Method::GET, "audit/stream?creator_name=admin");
    let mut response = stream.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut told = String::new();
    while !told.contains("north") {
        let chunk = response.chunk().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(!told.contains("south"), "{told}");
    server.put("sites/south", &site).await.expect(200);
    while !told.contains("south") {
        let chunk = response.chunk().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let records = told.split("\n\n").filter(|record| !record.is_empty());
    let records: Vec<serde_json::Value> = records
        .map(|record| serde_json::from_str(record).unwrap())
        .collect();
    let last = records.last().unwrap();
    assert_eq!(last["ref_table"], "sites", "{last}");
    assert_eq!(last["operation"], "create");
    drop(response);
    server.stop().await;
}
