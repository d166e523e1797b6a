//! Whatever is done to the tables behind the log's back is found, and the position is named.
use stratalog::{
    clock,
    db::Database,
    log::{
        Append, NewEvent,
        verify::{Checkpoint, Content, Fault, Reason, Verified, verify},
    },
    store::Store,
    tasks::Tasks,
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{File, FilesRemoved, FilesStored, TelemetryRecord, TokenCreated, TokenUsed},
};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{database::TestDatabase, empty_database};

fn created(id: &str) -> NewEvent {
    let event = TokenCreated {
        id: id.to_owned(),
        username: "ann".to_owned(),
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

fn record(text: &str) -> TelemetryRecord {
    TelemetryRecord {
        event_id: Uuid::now_v7().as_bytes().to_vec(),
        execution_id: "e1".to_owned(),
        timestamp_us: clock::now_us(),
        reported_timestamp_us: clock::now_us(),
        message: text.to_owned(),
        ..TelemetryRecord::default()
    }
}

/// Batches 1–3, 4, 5–7 (one event, two records), 8 and 9. Streams: t1 1 4 9, t2 2 8, t3 3 5.
async fn filled() -> (TestDatabase, Client) {
    let test = empty_database().await;
    let tasks = Tasks::default();
    let database = Database::new(test.url(), 2).unwrap();
    let store = Store::open(database.clone(), Vec::new(), &tasks)
        .await
        .unwrap();
    let three = ["t1", "t2", "t3"].map(created).to_vec();
    let records = vec![record("one"), record("two")];
    for (events, telemetry) in [
        (three, Vec::new()),
        (vec![used("t1", 1)], Vec::new()),
        (vec![used("t3", 2)], records),
        (vec![used("t2", 3)], Vec::new()),
        (vec![used("t1", 4)], Vec::new()),
    ] {
        let append = Append {
            meta: Meta::system(),
            events,
            telemetry,
            command_id: Some(Uuid::now_v7()),
            ..Append::default()
        };
        store.append(append).await.unwrap();
    }
    tasks.drain().await;
    let client = database.dedicated().await.unwrap();
    let role = "SET session_replication_role = replica";
    client.batch_execute(role).await.unwrap();
    (test, client)
}

async fn verified(client: &mut Client, checkpoint: Option<&Checkpoint>) -> Verified {
    verify(client, checkpoint, &|_| {}).await.unwrap()
}

/// What verification finds after `sql` was done to a filled log.
async fn fault_after(sql: &str) -> Fault {
    let (test, mut client) = filled().await;
    client.batch_execute(sql).await.unwrap();
    let fault = verified(&mut client, None).await.fault;
    drop((client, test));
    fault.unwrap_or_else(|| panic!("not found: {sql}"))
}

fn fault(position: i64, upto: i64, reason: Reason) -> Fault {
    Fault {
        position,
        upto,
        reason,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untouched_log_is_what_was_appended() {
    let (test, mut client) = filled().await;
    let seen = verified(&mut client, None).await;
    assert_eq!(seen.fault, None);
    let progress = seen.progress;
    assert_eq!((progress.position, progress.head), (9, 9));
    assert_eq!(
        (progress.batches, progress.events, progress.records),
        (5, 7, 2)
    );
    let again = verified(&mut client, Some(&seen.checkpoint)).await;
    assert_eq!(again.fault, None);
    drop((client, test));
    let empty = empty_database().await;
    let database = Database::new(empty.url(), 1).unwrap();
    let mut client = database.dedicated().await.unwrap();
    let seen = verified(&mut client, None).await;
    assert_eq!((seen.fault, seen.progress.position), (None, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bytes_are_found() {
    let flip = |position| {
        format!(
            "UPDATE es.log SET data = set_byte(data, 5, get_byte(data, 5) # 1) \
             WHERE position = {position}"
        )
    };
    assert_eq!(fault_after(&flip(2)).await, fault(1, 3, Reason::Root));
    assert_eq!(fault_after(&flip(9)).await, fault(9, 9, Reason::Root));
    let id = "UPDATE es.log SET event_id = gen_random_uuid() WHERE position = 4";
    assert_eq!(fault_after(id).await, fault(4, 4, Reason::Root));
    let time = "UPDATE es.log SET recorded_at = recorded_at - interval '1 us' WHERE position = 3";
    assert_eq!(fault_after(time).await, fault(3, 3, Reason::EventTime));
    let body = "UPDATE es.segment SET body = set_byte(body, length(body) - 3, \
                get_byte(body, length(body) - 3) # 1)";
    let found = fault_after(body).await;
    assert!((5..=6).contains(&found.position) && found.upto == 7);
    let link = "UPDATE es.spine SET chain = set_byte(chain, 0, get_byte(chain, 0) # 1) \
                WHERE first_position = 5";
    assert_eq!(fault_after(link).await, fault(5, 7, Reason::Chain));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_rows_are_found() {
    let event = "DELETE FROM es.log WHERE position = 2";
    assert_eq!(fault_after(event).await, fault(2, 2, Reason::MissingEvent));
    let segment = "DELETE FROM es.segment";
    assert_eq!(
        fault_after(segment).await,
        fault(6, 6, Reason::MissingEvent)
    );
    let batch = "DELETE FROM es.log WHERE position = 4; \
                 DELETE FROM es.spine WHERE first_position = 4";
    let missing = Reason::MissingBatch { next: 5 };
    assert_eq!(fault_after(batch).await, fault(4, 4, missing));
    let first = "DELETE FROM es.log WHERE position < 4; \
                 DELETE FROM es.spine WHERE first_position = 1";
    let missing = Reason::MissingBatch { next: 4 };
    assert_eq!(fault_after(first).await, fault(1, 1, missing));
    let stream = "DELETE FROM es.stream WHERE key = 't2'";
    let found = fault_after(stream).await;
    assert!(found.position == 2 && matches!(found.reason, Reason::UnknownStream { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_are_found() {
    let copy = |position: i64| {
        format!(
            "INSERT INTO es.log SELECT {position}, stream_no, version + 1, recorded_at, \
             gen_random_uuid(), type_no, data FROM es.log WHERE position = 9"
        )
    };
    assert_eq!(
        fault_after(&copy(10)).await,
        fault(10, 10, Reason::StrayEvent)
    );
    assert_eq!(fault_after(&copy(0)).await, fault(0, 0, Reason::StrayEvent));
    // in the place of a telemetry record
    let found = fault_after(&copy(6)).await;
    assert_eq!(found.position, 6);
    let batch = format!(
        "{}; INSERT INTO es.spine SELECT 10, 1, recorded_at, writer, root, chain \
         FROM es.spine WHERE first_position = 9",
        copy(10)
    );
    let found = fault_after(&batch).await;
    assert_eq!((found.position, found.upto), (10, 10));
    let overlap = "INSERT INTO es.spine SELECT 6, 1, recorded_at, writer, root, chain \
                   FROM es.spine WHERE first_position = 9";
    assert_eq!(
        fault_after(overlap).await,
        fault(6, 6, Reason::OverlappingBatch)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_rows_are_found() {
    let swap = |a: i64, b: i64, columns: &str| {
        let set: Vec<String> = columns.split(' ').map(|c| format!("{c} = o.{c}")).collect();
        format!(
            "CREATE TEMP TABLE o AS SELECT * FROM es.log WHERE position IN ({a}, {b}); \
             DROP INDEX es.log_p0_stream_no_version_idx; \
             UPDATE es.log l SET {} FROM o \
             WHERE (l.position, o.position) IN (({a}, {b}), ({b}, {a}))",
            set.join(", ")
        )
    };
    let data = fault_after(&swap(4, 9, "data")).await;
    assert_eq!(data, fault(4, 4, Reason::Root));
    let within_a_batch = "stream_no version event_id type_no data";
    let found = fault_after(&swap(1, 2, within_a_batch)).await;
    assert_eq!(found, fault(1, 3, Reason::Root));
    let found = fault_after(&swap(4, 9, within_a_batch)).await;
    assert_eq!(found.position, 4);
    assert!(matches!(found.reason, Reason::StreamVersion { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_tail_is_found_by_the_checkpoint() {
    let (test, mut client) = filled().await;
    let checkpoint = verified(&mut client, None).await.checkpoint;
    assert_eq!(checkpoint.position, 9);
    let cut = "DELETE FROM es.log WHERE position >= 8; \
               DELETE FROM es.command WHERE first_position >= 8; \
               DELETE FROM es.spine WHERE first_position >= 8";
    client.batch_execute(cut).await.unwrap();
    assert_eq!(verified(&mut client, None).await.fault, None);
    let found = verified(&mut client, Some(&checkpoint)).await.fault;
    let reason = Reason::Cut { checkpoint: 9 };
    assert_eq!(found, Some(fault(8, 8, reason)));
    // and whoever appends anew gets the positions, but not the chain
    let tasks = Tasks::default();
    let database = Database::new(test.url(), 2).unwrap();
    let store = Store::open(database, Vec::new(), &tasks).await.unwrap();
    for at_ms in 0..3 {
        let append = Append {
            meta: Meta::system(),
            events: vec![used("t3", at_ms)],
            ..Append::default()
        };
        store.append(append).await.unwrap();
    }
    tasks.drain().await;
    assert_eq!(verified(&mut client, None).await.fault, None);
    let found = verified(&mut client, Some(&checkpoint)).await.fault;
    assert_eq!(found, Some(fault(9, 9, Reason::Rewritten)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_streams_are_part_of_the_log() {
    let renamed = "UPDATE es.stream SET key = 'other' WHERE key = 't2'";
    assert_eq!(fault_after(renamed).await, fault(1, 3, Reason::Root));
    let moved = "UPDATE es.stream SET category = 1 WHERE key = 't3'";
    assert_eq!(fault_after(moved).await, fault(1, 3, Reason::Root));
    let swapped = "UPDATE es.stream SET key = 'aside' WHERE key = 't1'; \
                   UPDATE es.stream SET key = 't1' WHERE key = 't2'; \
                   UPDATE es.stream SET key = 't2' WHERE key = 'aside'";
    assert_eq!(fault_after(swapped).await, fault(1, 3, Reason::Root));
    let added = "INSERT INTO es.stream (stream_no, category, key) VALUES (77, 2, 't77')";
    let stray = Reason::StrayStream { stream_no: 77 };
    assert_eq!(fault_after(added).await, fault(0, 0, stray));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_beside_segments_follows_from_them() {
    for column in ["t_min", "t_max", "reported_min", "reported_max"] {
        let times = format!("UPDATE es.segment SET {column} = {column} + interval '1 s'");
        let expected = fault(6, 7, Reason::SegmentIndex("times"));
        assert_eq!(fault_after(&times).await, expected, "{column}");
    }
    for change in [
        "UPDATE es.segment_ref SET logs = 7",
        "UPDATE es.segment_ref SET tenant = 'other'",
        "UPDATE es.segment_ref SET execution_id = 'e2'",
        "DELETE FROM es.segment_ref",
        "INSERT INTO es.segment_ref SELECT 'e2', first_position, tenant, visibility, \
         deployment_id, blueprint_id, execution_group_id, events, logs FROM es.segment_ref",
    ] {
        let expected = fault(6, 7, Reason::SegmentIndex("references"));
        assert_eq!(fault_after(change).await, expected, "{change}");
    }
    let elsewhere = "INSERT INTO es.segment_ref SELECT execution_id, 3, tenant, visibility, \
                     deployment_id, blueprint_id, execution_group_id, events, logs \
                     FROM es.segment_ref";
    assert_eq!(
        fault_after(elsewhere).await,
        fault(3, 3, Reason::StrayReference)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_commands_have_to_fit_their_batch() {
    for (change, position) in [
        ("UPDATE es.command SET n = 2 WHERE first_position = 4", 4),
        (
            "UPDATE es.command SET first_position = 5 WHERE first_position = 4",
            5,
        ),
        (
            "UPDATE es.command SET recorded_at = recorded_at + interval '1 h' \
             WHERE first_position = 8",
            8,
        ),
        (
            "INSERT INTO es.command SELECT gen_random_uuid(), 12, 1, recorded_at \
             FROM es.command WHERE first_position = 9",
            12,
        ),
    ] {
        let expected = fault(position, position, Reason::Command);
        assert_eq!(fault_after(change).await, expected, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_now_and_of_former_times_are_told() {
    let test = empty_database().await;
    let tasks = Tasks::default();
    let database = Database::new(test.url(), 2).unwrap();
    let store = Store::open(database.clone(), Vec::new(), &tasks)
        .await
        .unwrap();
    let stored = |path: &str, byte: u8| {
        let file = File {
            path: path.to_owned(),
            digest: vec![byte; 32],
            size_bytes: 1,
            ..File::default()
        };
        Event::FilesStored(FilesStored { files: vec![file] })
    };
    let removed = FilesRemoved {
        paths: vec!["a".to_owned()],
        prefixes: vec!["dir/".to_owned()],
    };
    for event in [
        stored("a", 1),
        stored("b", 1),
        stored("dir/c", 2),
        stored("directory", 3),
        Event::FilesRemoved(removed),
    ] {
        let stream = StreamId::global(Category::Files, "all");
        let append = Append {
            meta: Meta::system(),
            events: vec![NewEvent::new(stream, event)],
            ..Append::default()
        };
        store.append(append).await.unwrap();
    }
    tasks.drain().await;
    let mut client = database.dedicated().await.unwrap();
    let seen = verified(&mut client, None).await;
    assert_eq!(seen.fault, None);
    let told = |contents: Vec<Content>| -> Vec<(i64, String, u8)> {
        let told = contents.into_iter();
        told.map(|c| (c.position, c.path, c.digest[0])).collect()
    };
    let current = told(seen.files.current());
    assert_eq!(
        current,
        [(2, "b".to_owned(), 1), (4, "directory".to_owned(), 3)]
    );
    assert_eq!(told(seen.files.former()), [(3, "dir/c".to_owned(), 2)]);
}
