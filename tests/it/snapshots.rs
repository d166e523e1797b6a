//! Snapshots from end to end: made, downloaded, taken in and restored by whole managers, and by the
//! operator's tool without one.
mod manager;

use std::{
    fs::File,
    io::{Cursor, Write as _},
    path::Path,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stratalog::{
    db::Database,
    files::{Digest, blobs::BlobStore, manifest::Manifest},
    log::{transfer::Restored, verify::verify},
    snapshot::{
        container::{Header, Limits, Reader, Writer},
        export::export,
        import::{Import, Imported, Place, import},
    },
    store,
};
use stratalog_projections::{
    View,
    digest::digest,
    rebuild::{BESIDE, build_beside, discard},
};
use tokio_postgres::Client;

use self::manager::{Manager, manager, start};
use crate::support::{database::TestDatabase, empty_database};

fn position(archive: &[u8]) -> i64 {
    let reader = Reader::open(Cursor::new(archive), &Limits::default()).unwrap();
    reader.metadata().header().position.try_into().unwrap()
}

/// Digests of all views as they were at a position.
async fn digests(client: &Client, upto: i64) -> Vec<(View, String)> {
    build_beside(client, upto, &|_| {}).await.unwrap();
    let mut digests = Vec::new();
    for view in View::ALL {
        digests.push((view, digest(client, BESIDE, view).await.unwrap()));
    }
    discard(client).await.unwrap();
    digests
}

async fn assert_intact(client: &mut Client) {
    let verified = verify(client, None, &|_| {}).await.unwrap();
    assert!(verified.fault.is_none(), "{:?}", verified.fault);
}

/// What both show of that moment.
async fn assert_same(one: &Manager, other: &Manager, at: i64) {
    for path in [
        "/blueprints",
        "/deployments",
        "/nodes",
        "/node-instances",
        "/executions?_include_system_workflows=true",
        "/users",
        "/tenants",
        "/config",
        "/snapshots",
    ] {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}_as_of={at}");
        assert_eq!(one.text(&path).await, other.text(&path).await, "{path}");
    }
    let (mine, theirs) = (one.database().await, other.database().await);
    assert_eq!(digests(&mine, at).await, digests(&theirs, at).await);
}

#[tokio::test]
async fn a_restored_manager_is_as_the_first_one_was() {
    let first = manager().await;
    first.fill().await;
    let archive = first.snapshot("s1").await;
    let at = position(&archive);

    let second = manager().await;
    let (status, taken) = second.take_in("mine", &archive).await;
    assert_eq!(status, 201, "{taken}");
    assert_eq!(taken["status"], "uploaded");
    assert_eq!(taken["visibility"], "private");
    assert_eq!(
        second.get("/snapshot-status").await["status"],
        "not-running"
    );
    let restored = second.restore("mine", false).await;
    assert_eq!(restored["status"], "terminated", "{restored}");
    assert_eq!(
        second.get("/snapshot-status").await["status"],
        "not-running"
    );

    // sealed under the first manager's key, and set anew
    let tenant = second.get("/tenants/t2").await;
    assert!(tenant["rabbitmq_password"].is_string(), "{tenant}");

    assert_same(&first, &second, at).await;
    let file = "/resources/blueprints/default_tenant/b1/notes.txt";
    assert_eq!(second.text(file).await, "as it was");
    assert_intact(&mut second.database().await).await;
    // only what the restore itself is about came after it
    let listed = second.get("/snapshots").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["id"], "mine");
    assert_eq!(second.download("mine").await, archive);

    // and life goes on
    second.deploy("d2", "b1").await;
    let (status, body) = second.send(Method::POST, "/tenants/t3", json!({})).await;
    assert_eq!(status, 201, "{body}");
    let (database, data) = second.stop().await;
    let second = start(database, data).await;
    assert_eq!(second.get("/deployments/d2").await["id"], "d2");
    assert_eq!(second.text(file).await, "as it was");
    assert_intact(&mut second.database().await).await;
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_manager_can_go_back() {
    let manager = manager().await;
    manager.fill().await;
    let archive = manager.snapshot("s1").await;
    manager.upload("b2").await;
    manager.deploy("d2", "b2").await;

    // not by accident
    let body = json!({"force": false});
    let (status, refused) = manager
        .send(Method::POST, "/snapshots/s1/restore", body)
        .await;
    assert_eq!(status, 400, "{refused}");
    assert_eq!(refused["error_code"], "snapshot_action_error");
    assert_eq!(manager.get("/deployments/d2").await["id"], "d2");

    let restored = manager.restore("s1", true).await;
    assert_eq!(restored["status"], "terminated", "{restored}");
    let (status, _) = manager
        .send(Method::GET, "/deployments/d2", Value::Null)
        .await;
    assert_eq!(status, 404);
    let gone = "/resources/blueprints/default_tenant/b2/notes.txt";
    let reply = manager.request(Method::GET, gone).send().await.unwrap();
    assert_eq!(reply.status(), 404);
    assert_eq!(manager.download("s1").await, archive);
    // the same ids are free again, and their streams begin anew
    manager.upload("b2").await;
    manager.deploy("d2", "b2").await;
    let mut client = manager.database().await;
    assert_intact(&mut client).await;
    let kept = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'es\\_replaced\\_%'";
    let kept: i64 = client.query_one(kept, &[]).await.unwrap().get(0);
    assert_eq!(kept, 1, "the log that was replaced");
    manager.stop().await;
}

#[tokio::test]
async fn damaged_archives_change_nothing() {
    let first = manager().await;
    first.fill().await;
    let archive = first.snapshot("s1").await;
    first.stop().await;
    let second = manager().await;
    let half = archive.get(..archive.len() / 2).unwrap();
    let (status, refused) = second.take_in("cut", half).await;
    assert_eq!(status, 400, "{refused}");
    let (status, _) = second
        .send(Method::GET, "/snapshots/cut", Value::Null)
        .await;
    assert_eq!(status, 404);
    // a flipped byte within a blob is found by its digest, when it is restored
    let mut flipped = archive.clone();
    let at = find(&archive, b"as it was");
    flipped[at] ^= 1;
    let (status, taken) = second.take_in("flipped", &flipped).await;
    assert_eq!(status, 201, "{taken}");
    let restored = second.restore("flipped", false).await;
    assert_eq!(restored["status"], "failed", "{restored}");
    let error = restored["error"].as_str().unwrap();
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(second.get("/blueprints").await["items"], json!([]));
    assert_intact(&mut second.database().await).await;
    // the good one can still be restored
    assert_eq!(second.take_in("good", &archive).await.0, 201);
    let restored = second.restore("good", false).await;
    assert_eq!(restored["status"], "terminated", "{restored}");
    assert_eq!(second.get("/blueprints/b1").await["id"], "b1");
    second.stop().await;
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted).unwrap()
}

#[tokio::test]
async fn snapshots_are_deleted_with_their_archives() {
    let manager = manager().await;
    manager.upload("b1").await;
    let archive = manager.snapshot("s1").await;
    let (status, body) = manager.send(Method::PUT, "/snapshots/s1", json!({})).await;
    assert_eq!(
        (status, &body["error_code"]),
        (StatusCode::CONFLICT, &json!("conflict_error"))
    );
    let (status, _) = manager.take_in("s2", &archive).await;
    assert_eq!(status, 201);
    let stored = || blobs_of_size(manager.data.path(), archive.len() as u64);
    assert_eq!(stored(), 1);
    // both have the same archive, so it stays until the last of them goes
    let (status, last) = manager
        .send(Method::DELETE, "/snapshots/s1", Value::Null)
        .await;
    assert_eq!((status, &last["id"]), (StatusCode::OK, &json!("s1")));
    assert_eq!(manager.download("s2").await, archive);
    let (status, _) = manager
        .send(Method::DELETE, "/snapshots/s2", Value::Null)
        .await;
    assert_eq!(status, 200);
    assert_eq!(stored(), 0);
    let path = "/snapshots/s2/archive";
    let reply = manager.request(Method::GET, path).send().await.unwrap();
    assert_eq!(reply.status(), 404);
    let (status, _) = manager
        .send(Method::DELETE, "/snapshots/s2", Value::Null)
        .await;
    assert_eq!(status, 404);
    let (status, body) = manager
        .send(Method::PUT, "/snapshots/bad%2Fid", json!({}))
        .await;
    assert_eq!(status, 400, "{body}");
    let (status, body) = manager
        .send(Method::PATCH, "/snapshots/s1", json!({"status": "created"}))
        .await;
    assert_eq!(status, 404, "{body}");
    manager.stop().await;
}

fn blobs_of_size(data: &Path, size_bytes: u64) -> usize {
    let shards = std::fs::read_dir(data.join("blobs/sha256")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files
        .filter(|file| file.as_ref().unwrap().metadata().unwrap().len() == size_bytes)
        .count()
}

async fn exported(database: &TestDatabase, data: &Path) -> Vec<u8> {
    let database = Database::new(database.url(), 1).unwrap();
    let blobs = BlobStore::local(&data.join("blobs")).unwrap();
    let out = Cursor::new(Vec::new());
    let exported = export(&database, &blobs, (out, None), Box::new(|_| {})).await;
    exported.unwrap().out.into_inner()
}

async fn imported(
    database: &TestDatabase,
    data: &Path,
    archive: &[u8],
) -> Result<Imported, String> {
    let database = Database::new(database.url(), 1).unwrap();
    let blobs = BlobStore::local(&data.join("blobs")).unwrap();
    let mut source: File = tempfile::tempfile().unwrap();
    source.write_all(archive).unwrap();
    let wanted = Import {
        source,
        place: Place::EmptyLog,
        note: Restored::default(),
    };
    let imported = import(&database, &blobs, wanted, Box::new(|_| {})).await;
    imported.map_err(|error| error.to_string())
}

#[tokio::test]
async fn without_a_manager_the_bytes_are_reproducible_and_nothing_is_appended() {
    let first = manager().await;
    first.fill().await;
    let running = json!({
        "deployment_id": "d1", "workflow_id": "install", "force_status": "started"
    });
    let (status, running) = first.send(Method::POST, "/executions", running).await;
    assert_eq!(status, 201, "{running}");
    let (database, data) = first.stop().await;
    let archive = exported(&database, data.path()).await;
    assert_eq!(exported(&database, data.path()).await, archive);

    let other = empty_database().await;
    let place = tempfile::tempdir().unwrap();
    let back = imported(&other, place.path(), &archive).await.unwrap();
    assert_eq!(back.position, position(&archive));
    let client = database.connect().await;
    let origin = digests(&client, back.position).await;
    assert_eq!(back.views, origin);
    assert_intact(&mut other.connect().await).await;
    assert_eq!(exported(&other, place.path()).await, archive);
    // only into an empty log
    let refused = imported(&other, place.path(), &archive).await.unwrap_err();
    assert!(refused.contains("empty log"), "{refused}");

    // a manager that starts on it takes nothing over that ran elsewhere
    let second = start(other, place).await;
    let id = running["id"].as_str().unwrap();
    let cancelled = second.get(&format!("/executions/{id}")).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(second.get("/deployments/d1").await["id"], "d1");
    let head = "SELECT max(first_position + n - 1) FROM es.spine";
    let client = second.database().await;
    let before: i64 = client.query_one(head, &[]).await.unwrap().get(0);
    let (other, place) = second.stop().await;
    let second = start(other, place).await;
    let after: i64 = client.query_one(head, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "a restore is finished once");
    second.stop().await;
}

#[tokio::test]
async fn a_log_that_does_not_verify_is_not_restored() {
    let first = manager().await;
    first.upload("b1").await;
    let (database, data) = first.stop().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "ALTER TABLE es.spine DISABLE TRIGGER immutable; \
             UPDATE es.spine SET root = decode(repeat('00', 32), 'hex') WHERE first_position = 1",
        )
        .await
        .unwrap();
    let archive = exported(&database, data.path()).await;
    let other = empty_database().await;
    let place = tempfile::tempdir().unwrap();
    let refused = imported(&other, place.path(), &archive).await.unwrap_err();
    assert!(refused.contains("not intact at position 1"), "{refused}");
    let client = other.connect().await;
    let left = "SELECT count(*) FROM es.spine";
    let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    let ready = store::prepare(&Database::new(other.url(), 1).unwrap()).await;
    ready.unwrap();
}

#[tokio::test]
async fn a_log_cannot_claim_any_number_of_positions() {
    let header = Header {
        product_version: "0.1.0".to_owned(),
        position: 1 << 62,
        chain: Digest::of(b"chain"),
    };
    let writer = Writer::new(Vec::new());
    let (archive, _) = writer.finish(header, &Manifest::default()).unwrap();
    let database = empty_database().await;
    let place = tempfile::tempdir().unwrap();
    let refused = imported(&database, place.path(), &archive)
        .await
        .unwrap_err();
    assert!(refused.contains("positions"), "{refused}");
}
