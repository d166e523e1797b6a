//! A database per test, cloned from a template that is migrated once for each build of the tests.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::env;

/// Whoever holds it may make the template; the others wait.
const TEMPLATE_LOCK: i64 = 0x5374_7261_7461;

/// An empty, migrated database. It goes when the test ends well and stays when it fails.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// Clones the template; makes it first, with `migrate`, when this build of the tests has none.
    pub(crate) async fn new<E: Display>(migrate: impl AsyncFnOnce(&str) -> Result<(), E>) -> Self {
        let admin = connect(&url_of("postgres")).await;
        let template = template_name();
        ensure_template(&admin, &template, migrate).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        execute(
            &admin,
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        Self {
            url: url_of(&name),
            name,
        }
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept for a look: {}", self.url);
            return;
        }
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The test's own runtime may be on its way out: this needs one of its own.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let admin = connect(&url_of("postgres")).await;
                execute(&admin, &statement).await;
            });
            Ok::<(), std::io::Error>(())
        });
        assert!(
            matches!(dropped.join(), Ok(Ok(()))),
            "cannot drop {}",
            self.name
        );
    }
}

/// Another build may bring other migrations, so a template belongs to one build.
fn template_name() -> String {
    let program = std::env::current_exe().unwrap();
    let modified = program.metadata().unwrap().modified().unwrap();
    let mut hasher = DefaultHasher::new();
    (program, modified).hash(&mut hasher);
    format!("template_{:016x}", hasher.finish())
}

async fn ensure_template<E: Display>(
    admin: &Client,
    template: &str,
    migrate: impl AsyncFnOnce(&str) -> Result<(), E>,
) {
    if exists(admin, template).await {
        return;
    }
    admin
        .execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK])
        .await
        .unwrap();
    if !exists(admin, template).await {
        // Under its final name it is complete, whatever breaks off in between.
        let draft = format!("{template}_draft");
        execute(
            admin,
            &format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"),
        )
        .await;
        execute(
            admin,
            &format!("CREATE DATABASE {draft} TEMPLATE template0"),
        )
        .await;
        if let Err(error) = migrate(&url_of(&draft)).await {
            panic!("cannot migrate the template database: {error}");
        }
        disconnect_all(admin, &draft).await;
        execute(
            admin,
            &format!("ALTER DATABASE {draft} RENAME TO {template}"),
        )
        .await;
    }
    admin
        .execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK])
        .await
        .unwrap();
}

async fn exists(admin: &Client, name: &str) -> bool {
    let query = "SELECT 1 FROM pg_database WHERE datname = $1";
    admin.query_opt(query, &[&name]).await.unwrap().is_some()
}

/// The migration's connections may still be on their way out, and a template must have none.
async fn disconnect_all(admin: &Client, name: &str) {
    let query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
    admin.query(query, &[&name]).await.unwrap();
}

async fn execute(admin: &Client, statement: &str) {
    if let Err(error) = admin.batch_execute(statement).await {
        panic!("{statement}: {error:?}");
    }
}

/// The URL of another database in the same cluster.
fn url_of(name: &str) -> String {
    let mut url = url::Url::parse(&env::database_url()).unwrap();
    url.set_path(name);
    url.into()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    #[allow(clippy::disallowed_methods, reason = "tests own no task tracker")]
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn each_database_is_migrated_and_its_own() {
    let migrate = async |url: &str| {
        connect(url)
            .await
            .batch_execute("CREATE TABLE IF NOT EXISTS support_probe (n int)")
            .await
    };
    let (first, second) = tokio::join!(TestDatabase::new(migrate), TestDatabase::new(migrate));
    let (one, two) = (connect(first.url()).await, connect(second.url()).await);
    one.batch_execute("CREATE TABLE only_here (n int)")
        .await
        .unwrap();
    assert!(two.batch_execute("SELECT n FROM only_here").await.is_err());
    let name = first.name.clone();
    drop((one, two, first));
    let admin = connect(&url_of("postgres")).await;
    assert!(!exists(&admin, &name).await);
}
