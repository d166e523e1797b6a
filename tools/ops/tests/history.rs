//! The tool on a manager's history: what it prints, and the exit codes it promises.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use bytes::Bytes;
use serde_json::{Value, json};
use stratalog::{
    config::{Hidden, Settings},
    log::{Append, NewEvent},
    server::{self, Running},
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{File, FilesStored},
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// A database and a data directory of the test's own.
struct Manager {
    url: String,
    name: String,
    data: TempDir,
    client: Client,
}

impl Manager {
    async fn new() -> Self {
        let cluster = std::env::var("STRATALOG_TEST_DATABASE_URL").unwrap_or_else(|_| {
            panic!("STRATALOG_TEST_DATABASE_URL is not set: run `cargo xtask test`")
        });
        let name = format!("test_{}", Uuid::now_v7().simple());
        let admin = connect(&cluster).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        admin.batch_execute(&create).await.unwrap();
        let mut url = url::Url::parse(&cluster).unwrap();
        url.set_path(&name);
        Self {
            client: connect(url.as_str()).await,
            url: url.into(),
            name,
            data: TempDir::new().unwrap(),
        }
    }

    async fn start(&self) -> Running {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            database_url: Hidden(self.url.clone()),
            data_dir: self.data.path().to_owned(),
            rest_listen: any_port,
            internal_listen: any_port,
            admin_password: Some(Hidden("admin-password".to_owned())),
            ..Settings::default()
        };
        server::start(settings).await.unwrap()
    }

    async fn end(self) {
        drop(self.client);
        let admin = connect(&std::env::var("STRATALOG_TEST_DATABASE_URL").unwrap()).await;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        admin.batch_execute(&drop).await.unwrap();
    }

    /// Runs the tool on the database.
    fn run(&self, words: &[&str]) -> Output {
        tool(words, &[("STRATALOG_DATABASE_URL", &self.url)])
    }

    /// Runs the tool and returns its exit code and what it said as JSON.
    fn json(&self, words: &[&str]) -> (i32, Value) {
        let output = self.run(&[words, &["--output", "json"]].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        let value = serde_json::from_str(&said);
        let value = value.unwrap_or_else(|error| panic!("{error}: {said} {complaint}"));
        (output.status.code().unwrap(), value)
    }

    /// Expects the tool to name a position and to say so with its exit code.
    fn finds(&self, words: &[&str], position: i64) {
        let (code, seen) = self.json(words);
        let found = seen["fault"]["position"].as_i64();
        assert_eq!((code, found), (1, Some(position)), "{seen}");
    }

    /// Changes the database behind the log's back.
    async fn tamper(&self, sql: &str) {
        let sql = format!(
            "SET session_replication_role = replica; {sql}; SET session_replication_role = origin"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    #[allow(clippy::disallowed_methods, reason = "tests own no task tracker")]
    tokio::spawn(connection);
    client
}

fn tool(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    command.args(words).env_remove("STRATALOG_DATA_DIR");
    command.envs(environment.iter().copied());
    command.output().unwrap()
}

async fn request(
    running: &Running,
    method: reqwest::Method,
    path: &str,
    body: Option<Value>,
) -> (u16, String) {
    let url = format!("http://{}/api/v3.1/{path}", running.addr);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, url);
    request = request.basic_auth("admin", Some("admin-password"));
    request = request.header("tenant", "default_tenant");
    if let Some(body) = body {
        request = request.json(&body);
    }
    let reply = request.send().await.unwrap();
    (reply.status().as_u16(), reply.text().await.unwrap())
}

/// Makes users and tenants, a token, and a file with content.
async fn fill(running: &Running) {
    use reqwest::Method;
    let user = json!({"username": "ann", "password": "ann-password", "role": "default"});
    let member = json!({"username": "ann", "tenant_name": "green", "role": "user"});
    for (method, path, body) in [
        (Method::PUT, "users", Some(user)),
        (Method::POST, "tenants/green", None),
        (Method::PUT, "tenants/users", Some(member)),
        (
            Method::POST,
            "tokens",
            Some(json!({"description": "for a test"})),
        ),
    ] {
        let (status, said) = request(running, method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {said}");
    }
    let stored = running.ctx.blobs.put_bytes(Bytes::from_static(b"content"));
    let file = File {
        path: "blueprints/default_tenant/one/blueprint.yaml".to_owned(),
        digest: stored.await.unwrap().digest.as_bytes().to_vec(),
        size_bytes: 7,
        ..File::default()
    };
    let event = Event::FilesStored(FilesStored { files: vec![file] });
    let stream = StreamId::global(Category::Files, "blueprints");
    let append = Append {
        meta: Meta::system(),
        events: vec![NewEvent::new(stream, event)],
        ..Append::default()
    };
    running.ctx.store.append(append).await.unwrap();
}

const LISTS: [&str; 12] = [
    "users",
    "users/ann",
    "tenants",
    "tenants/green",
    "tokens",
    "config",
    "provider/context",
    "blueprints",
    "deployments",
    "nodes",
    "node-instances",
    "executions",
];

async fn answers(running: &Running, at: i64) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    for list in LISTS {
        let path = format!("{list}?_as_of={at}");
        answers.push(request(running, reqwest::Method::GET, &path, None).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_without_views_gets_them_back() {
    let manager = Manager::new().await;
    let running = manager.start().await;
    fill(&running).await;
    let (code, verified) = manager.json(&["verify"]);
    assert_eq!((code, &verified["ok"]), (0, &json!(true)), "{verified}");
    let at = verified["position"].as_i64().unwrap();
    let before = answers(&running, at).await;
    assert!(
        before.iter().filter(|(status, _)| *status == 200).count() >= 11,
        "{before:?}"
    );
    assert_eq!(manager.run(&["replay", "--check"]).status.code(), Some(0));
    running.stop().await;
    manager
        .client
        .batch_execute("DROP SCHEMA view CASCADE")
        .await
        .unwrap();
    let (code, checked) = manager.json(&["replay", "--check"]);
    assert_eq!((code, &checked["ok"]), (1, &json!(false)));
    let (code, replayed) = manager.json(&["replay"]);
    assert_eq!(
        (code, &replayed["swapped"]),
        (0, &json!(true)),
        "{replayed}"
    );
    let running = manager.start().await;
    assert_eq!(answers(&running, at).await, before);
    let (code, checked) = manager.json(&["replay", "--check"]);
    assert_eq!((code, &checked["ok"]), (0, &json!(true)), "{checked}");
    assert_eq!(manager.run(&["verify"]).status.code(), Some(0));
    running.stop().await;
    manager
        .client
        .batch_execute("DELETE FROM view.tenants")
        .await
        .unwrap();
    let (code, checked) = manager.json(&["replay", "--check"]);
    let views = checked["views"].as_array().unwrap();
    let differ: Vec<&Value> = views
        .iter()
        .filter(|view| view["agrees"] == json!(false))
        .collect();
    assert_eq!((code, differ.len()), (1, 1));
    assert_eq!(differ[0]["view"], "tenants");
    manager.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_names_the_position_and_exits_with_one() {
    let manager = Manager::new().await;
    let running = manager.start().await;
    fill(&running).await;
    running.stop().await;
    let data = manager.data.path().display().to_string();
    let with_files = ["verify", "--data-dir", &data];
    let saved = format!("{data}/checkpoint.json");
    let (code, seen) = manager.json(&[&with_files[..], &["--save-checkpoint", &saved]].concat());
    assert_eq!((code, &seen["files"]["contents"]), (0, &json!(1)), "{seen}");
    let end = seen["position"].as_i64().unwrap();
    let again = [&with_files[..], &["--checkpoint", &saved]].concat();
    assert_eq!(manager.run(&again).status.code(), Some(0));

    // a checkpoint that somebody without the key made up
    let text = fs::read_to_string(&saved).unwrap();
    fs::write(
        &saved,
        text.replace(&format!("\"position\":{end}"), "\"position\":1"),
    )
    .unwrap();
    assert_eq!(manager.run(&again).status.code(), Some(1));
    fs::write(&saved, &text).unwrap();

    // a file's content
    let blob = blob_of(manager.data.path());
    fs::write(&blob, "another").unwrap();
    manager.finds(&with_files, end);
    fs::remove_file(&blob).unwrap();
    manager.finds(&with_files, end);
    fs::write(&blob, "content").unwrap();

    // the tail: without the checkpoint nobody can tell, with it the position is named
    let cut = format!(
        "DELETE FROM es.log WHERE position = {end}; \
         DELETE FROM es.spine WHERE first_position = {end}; \
         DELETE FROM es.stream WHERE stream_no NOT IN (SELECT stream_no FROM es.log)"
    );
    manager.tamper(&cut).await;
    assert_eq!(manager.run(&["verify"]).status.code(), Some(0));
    manager.finds(&again, end);

    manager
        .tamper(
            "UPDATE es.log SET data = set_byte(data, 5, get_byte(data, 5) # 1) WHERE position = 2",
        )
        .await;
    let output = manager.run(&["verify"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let (code, seen) = manager.json(&["verify"]);
    let (first, last) = (&seen["fault"]["position"], &seen["fault"]["upto"]);
    assert_eq!(code, 1);
    assert!(
        first.as_i64().unwrap() <= 2 && last.as_i64().unwrap() >= 2,
        "{seen}"
    );
    assert!(
        said.contains("osition") && said.contains("changed"),
        "{said}"
    );
    manager.end().await;
}

fn blob_of(data: &Path) -> std::path::PathBuf {
    let mut found = walk(&data.join("blobs/sha256"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_the_same_online_and_offline() {
    let manager = Manager::new().await;
    let running = manager.start().await;
    fill(&running).await;
    let url = format!("http://{}", running.addr);
    let online = |words: &[&str], user: &str, password: &str| {
        let environment = [
            ("STRATALOG_URL", url.as_str()),
            ("STRATALOG_USERNAME", user),
            ("STRATALOG_PASSWORD", password),
        ];
        tool(&[&["audit"], words].concat(), &environment)
    };
    // the first request of a user is an event of its own
    let first = online(&[], "admin", "admin-password");
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    for words in [
        &["--limit", "0", "--output", "json"][..],
        &["--limit", "3", "--output", "json"],
        &["--actor", "admin", "--output", "table"],
        &["--type", "tenant_created", "--output", "json"],
        &["--category", "user", "--stream", "ann", "--output", "json"],
        &["--from", "2", "--upto", "4", "--output", "json"],
        &["--since", "2999-01-01T00:00:00Z", "--output", "json"],
    ] {
        let there = online(words, "admin", "admin-password");
        let here = manager.run(&[&["audit"], words].concat());
        assert_eq!(there.status.code(), Some(0), "{there:?}");
        assert_eq!(
            String::from_utf8(there.stdout).unwrap(),
            String::from_utf8(here.stdout).unwrap(),
            "{words:?}"
        );
    }
    let (_, created) = manager.json(&["audit", "--type", "tenant_created"]);
    let names: Vec<&Value> = created
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["stream"])
        .collect();
    assert_eq!(names, ["default_tenant", "green"]);
    assert_eq!(created[1]["actor"], "admin");
    // whoever is no administrator is refused
    assert_eq!(online(&[], "ann", "ann-password").status.code(), Some(3));
    assert_eq!(online(&[], "admin", "wrong").status.code(), Some(3));
    assert_eq!(
        tool(&["audit", "--type", "nonsense"], &[]).status.code(),
        Some(2)
    );
    assert_eq!(tool(&["audit"], &[]).status.code(), Some(3));
    running.stop().await;
    manager.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_audit_logs_get_the_shape_they_know() {
    let manager = Manager::new().await;
    let running = manager.start().await;
    fill(&running).await;
    let path = "audit?creator_name=admin&size=2&desc=true";
    let (status, text) = request(&running, reqwest::Method::GET, path, None).await;
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, listed["items"].as_array().unwrap().len()),
        (200, 2)
    );
    let pagination = &listed["metadata"]["pagination"];
    assert_eq!(
        (&pagination["offset"], &pagination["size"]),
        (&json!(0), &json!(2))
    );
    assert!(pagination["total"].as_i64().unwrap() > 2, "{listed}");
    let path = "audit?size=0";
    let (_, text) = request(&running, reqwest::Method::GET, path, None).await;
    let listed: Value = serde_json::from_str(&text).unwrap();
    let items = listed["items"].as_array().unwrap();
    let tenant = items
        .iter()
        .find(|item| item["ref_identifier"]["name"] == "green")
        .unwrap();
    assert_eq!(
        (&tenant["ref_table"], &tenant["operation"]),
        (&json!("tenants"), &json!("create"))
    );
    assert_eq!(tenant["created_at"].as_str().unwrap().len(), 23);
    for path in [
        "audit?since=x",
        "audit?order_by=x",
        "audit?since=2026-01-01T00:00:00&before=2026-01-01T00:00:00",
    ] {
        let (status, _) = request(&running, reqwest::Method::GET, path, None).await;
        assert_eq!(status, 400, "{path}");
    }
    running.stop().await;
    manager.end().await;
}

#[test]
fn exit_codes_are_documented_and_kept() {
    for words in [
        &["--help"][..],
        &["verify", "--help"],
        &["replay", "--help"],
        &["audit", "--help"],
    ] {
        let output = tool(words, &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(said.contains("Exit codes"), "{said}");
    }
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let unreachable = tool(&["verify", "--database-url", nowhere], &[]);
    assert_eq!(unreachable.status.code(), Some(3));
    assert_eq!(tool(&["verify", "--nonsense"], &[]).status.code(), Some(2));
    for shell in ["bash", "zsh", "fish"] {
        let script = tool(&["completions", shell], &[]);
        assert!(
            script.status.success() && !script.stdout.is_empty(),
            "{shell}"
        );
    }
}
