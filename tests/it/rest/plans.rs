//! Lists of many rows: PostgreSQL answers them from indexes, and never reads a whole big table.
use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio_postgres::Client;

use super::{blueprint, deployment, instances};
use crate::support::{
    database::TestDatabase,
    server::{Answer, TestServer},
};

const ROWS: i64 = 100_000;
/// Views with many rows in large installations.
const BIG: [&str; 6] = [
    "blueprints",
    "deployments",
    "executions",
    "node_instances",
    "nodes",
    "secrets",
];

/// Makes many of the one row that a view has; what they belong to, and their labels, differ.
async fn multiply(client: &Client, view: &str) {
    let columns = "SELECT column_name, data_type FROM information_schema.columns \
                   WHERE table_schema = 'view' AND table_name = $1 ORDER BY ordinal_position";
    let columns = client.query(columns, &[&view]).await.unwrap();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in &columns {
        let (name, kind): (String, String) = (column.get(0), column.get(1));
        let value = match (name.as_str(), kind.as_str()) {
            ("key" | "id", _) => format!("v.\"{name}\" || i"),
            ("born" | "created_at", _) => format!("v.\"{name}\" + i"),
            ("updated_at" | "started_at", _) => format!("v.\"{name}\" + i % 7"),
            ("ended_at", _) => "v.created_at + i % 10000".into(),
            ("display_name" | "type", _) => format!("v.\"{name}\" || i % 500"),
            ("labels", _) => "ARRAY['env', 'env=e' || i % 50, 'team', 'team=t' || i % 40]".into(),
            (other, "text") if other.ends_with("_id") => {
                format!("v.\"{name}\" || i % 1000")
            }
            _ => format!("v.\"{name}\""),
        };
        names.push(format!("\"{name}\""));
        values.push(value);
    }
    let insert = format!(
        "INSERT INTO view.{view} ({}) SELECT {} FROM view.{view} v, generate_series(1, {ROWS}) i \
         WHERE v.valid_to = {}",
        names.join(", "),
        values.join(", "),
        i64::MAX
    );
    let made = client.execute(&insert, &[]).await.unwrap();
    assert!(made >= ROWS as u64, "{view}: {made}");
    // as the autovacuum would
    let vacuum = format!("VACUUM ANALYZE view.{view}");
    client.batch_execute(&vacuum).await.unwrap();
}

/// Scans of tables and of their indexes so far, by view, once everybody has told theirs.
async fn scans(database: &TestDatabase) -> BTreeMap<String, (i64, i64)> {
    let client = database.connect().await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND pid <> pg_backend_pid()";
    let gone = async {
        while client
            .query_one(others, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("the server's connections end with it");
    let told = "SELECT relname::text, seq_scan, coalesce(idx_scan, 0) FROM pg_stat_user_tables \
                WHERE schemaname = 'view'";
    let rows = client.query(told, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2))))
        .collect()
}

async fn ask(server: &TestServer) {
    for path in [
        "blueprints?_size=100",
        "blueprints?_sort=-created_at&_size=100",
        "deployments?_size=100",
        "deployments?_sort=-created_at&_size=100&_offset=500",
        "deployments?_sort=display_name&_size=100",
        "deployments?_sort=-updated_at&_size=100&_offset=500",
        "executions?_sort=-ended_at&_size=100",
        "executions?workflow_id=install&_sort=started_at&_size=100",
        "node-instances?_sort=node_id&_size=100",
        "nodes?_sort=-type&_size=100",
        "deployments?blueprint_id=b7",
        "deployments?id=d77",
        "executions?_sort=-created_at&_size=100",
        "executions?deployment_id=d7",
        "node-instances?_size=100",
        "node-instances?deployment_id=d7",
        "nodes?_size=100",
        "nodes?deployment_id=d7",
        "secrets?_size=100",
    ] {
        let listed = server.get(path).await.expect(200);
        let items = listed["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{path}");
    }
    // those that have no name would come last
    for path in [
        "deployments?_sort=display_name&_size=100",
        "nodes?_sort=type&_size=100",
    ] {
        let first = server.get(&format!("{path}&_cursor=")).await.expect(200);
        let next = first["metadata"]["pagination"]["next"].as_str().unwrap();
        let second = server.get(&format!("{path}&_cursor={next}")).await;
        let second = second.expect(200);
        assert_eq!(second["items"].as_array().unwrap().len(), 100, "{path}");
    }
    let rules = json!({"filter_rules": [
        {"key": "env", "values": ["e4", "e14"], "operator": "any_of", "type": "label"},
        {"key": "team", "values": ["t4"], "operator": "any_of", "type": "label"},
    ]});
    for path in [
        "searches/blueprints?_sort=-created_at&_size=100",
        "searches/deployments?_sort=-created_at&_size=100",
    ] {
        let found: Answer = server.post(path, &rules).await;
        let found = found.expect(200);
        let total = found["metadata"]["pagination"]["total"].as_i64().unwrap();
        assert!((100..ROWS / 10).contains(&total), "{path}: {total}");
    }
}

/// Pages far inside a list overlap as they should, however each was found.
async fn skip(server: &TestServer) {
    for list in [
        "executions?_sort=-created_at",
        "executions?_sort=ended_at",
        "deployments?_sort=display_name",
        "node-instances?_sort=-id&_sort=node_id",
    ] {
        let page = async |offset: i64| {
            let path = format!("{list}&_size=100&_offset={offset}");
            let found = server.get(&path).await.expect(200);
            found["items"].as_array().unwrap().clone()
        };
        // the first is skipped to, the others are found from marks
        let first = page(54_321).await;
        assert_eq!(first.len(), 100, "{list}");
        for ahead in [1, 20, 99] {
            let next = page(54_321 + ahead).await;
            let (rest, next) = (&first[ahead as usize..], next.get(..100 - ahead as usize));
            assert_eq!(next, Some(rest), "{list} {ahead}");
        }
        let last = page(ROWS).await;
        assert!((1..=2).contains(&last.len()), "{list}: {}", last.len());
        assert_eq!(page(ROWS + 5_000).await.len(), 0, "{list}");
    }
}

#[tokio::test]
async fn no_list_reads_a_whole_table() {
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    instances(&server, "d", &["i"]).await;
    let execution = json!({"deployment_id": "d", "workflow_id": "install", "id": "e",
        "force_status": "terminated", "created_at": "2026-01-01T00:00:00.000Z"});
    server.post("executions", &execution).await.expect(201);
    let secret = json!({"value": "x"});
    server.put("secrets/s", &secret).await.expect(200);
    let client = server.database().connect().await;
    for view in BIG {
        multiply(&client, view).await;
    }
    drop(client);
    let (database, data) = server.stop_and_keep().await;
    let begun = scans(&database).await;
    // what starting costs
    let server = TestServer::over(database, data.path()).await;
    let database = server.stop_and_give().await;
    let started = scans(&database).await;
    let server = TestServer::over(database, data.path()).await;
    ask(&server).await;
    let database = server.stop_and_give().await;
    let asked = scans(&database).await;
    // marks are made in one pass over all rows
    let server = TestServer::over(database, data.path()).await;
    skip(&server).await;
    drop(server.stop_and_give().await);
    for view in BIG {
        let (begun, started, asked) = (begun[view], started[view], asked[view]);
        let (starting, asking) = (started.0 - begun.0, asked.0 - started.0);
        assert!(
            asking <= starting,
            "{view}: {asking} scans, {starting} of starting"
        );
        assert!(
            asked.1 - started.1 > started.1 - begun.1,
            "{view}: no index was used"
        );
    }
}
