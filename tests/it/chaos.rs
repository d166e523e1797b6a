//! Real processes are killed while executions run: what was acknowledged stays, everything that was
//! begun ends, and nothing happens twice.
//!
//! A short version by default; `STRATALOG_CHAOS_ROUNDS` says how many installs there are, and
//! `STRATALOG_CHAOS_SEED` repeats the order of the kills. Take the test program itself for long
//! ones: `cargo nextest` ends a test after three minutes.

mod checks;

use std::{
    env,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::{
    client::Client,
    manager::archive,
    processes::{Daemon, Service, Services},
};

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_types:
  app:
    derived_from: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: create.sh, executor: central_deployment_agent}
        start: {implementation: start.sh, executor: central_deployment_agent}
node_templates:
  below: {type: app}
  above:
    type: app
    relationships: [{type: cloudify.relationships.depends_on, target: below}]
";
const ROUNDS: usize = 6;
/// Installs at the same time.
const PARALLEL: usize = 3;
/// Nobody stays as long as this where he is.
const STUCK: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// What is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Service(Service),
}

/// Half as many kills of the server as there are installs, and a few of the services.
fn plan(rounds: usize, random: &mut StdRng) -> Vec<Victim> {
    let service = |service, n: usize| vec![Victim::Service(service); n.max(1)];
    let mut plan = vec![Victim::Server; (rounds / 2).max(1)];
    plan.extend(service(Service::RabbitMq, rounds / 8));
    plan.extend(service(Service::Postgres, rounds / 8));
    plan.shuffle(random);
    plan
}

/// Every operation leaves a line in the journal, so that a second run of it shows.
async fn upload(client: &Client, journal: &Path) {
    let script = |operation: &str| {
        let journal = journal.display();
        format!(
            "#!/bin/bash\ninstance=$(ctx instance id)\necho \"$instance {operation}\" >> {journal}\n\
             sleep 0.3\nctx instance runtime-properties {operation} done\n"
        )
    };
    let (create, start) = (script("create"), script("start"));
    let files = [
        ("blueprint.yaml", BLUEPRINT),
        ("create.sh", create.as_str()),
        ("start.sh", start.as_str()),
    ];
    let upload = client
        .request("PUT", "blueprints/app?application_file_name=blueprint.yaml")
        .header("Content-Type", "application/octet-stream")
        .body(archive(&files));
    let response = upload.send().await.unwrap();
    assert!(
        response.status().is_success(),
        "{}",
        response.text().await.unwrap()
    );
}

/// Creates a deployment; 409 says that an unanswered request did.
async fn deploy(client: &Client, id: &str) {
    let body = json!({"blueprint_id": "app", "inputs": {}});
    let answer = client
        .ask("PUT", &format!("deployments/{id}"), Some(&body))
        .await;
    assert!(matches!(answer.status, 201 | 409), "{}", answer.body);
    let of_it = format!("executions?deployment_id={id}&workflow_id=create_deployment_environment");
    for execution in client.list(&of_it).await {
        let end = end(client, execution["id"].as_str().unwrap()).await;
        assert_eq!(end["status"], "terminated", "{end}");
    }
}

/// Starts an install; its execution, once that is acknowledged.
async fn install(client: &Client, deployment: &str) -> String {
    let body = json!({"deployment_id": deployment, "workflow_id": "install"});
    let of_it = format!("executions?deployment_id={deployment}&workflow_id=install");
    loop {
        if let Some(answer) = client.once("POST", "executions", Some(&body)).await
            && answer.status == 201
        {
            return answer.body["id"].as_str().unwrap().to_owned();
        }
        // a request without an answer may have come through all the same
        if let Some(execution) = client.list(&of_it).await.first() {
            return execution["id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether something is down just now, and how many times it was.
static DOWN: AtomicBool = AtomicBool::new(false);
static KILLS: AtomicUsize = AtomicUsize::new(0);

/// Waits for the end of an execution for as long as it goes on, while everything is there.
async fn end(client: &Client, id: &str) -> Value {
    let mut seen = (Value::Null, Instant::now());
    loop {
        let execution = client.get(&format!("executions/{id}")).await;
        if matches!(
            execution["status"].as_str(),
            Some("terminated" | "failed" | "cancelled")
        ) {
            return execution;
        }
        let operations = client.list(&format!("operations?execution_id={id}")).await;
        let states: Vec<&Value> = operations.iter().map(|o| &o["state"]).collect();
        let now = json!([execution["status"], states, KILLS.load(Ordering::Relaxed)]);
        if now != seen.0 || DOWN.load(Ordering::Relaxed) {
            seen = (now, Instant::now());
        }
        assert!(
            seen.1.elapsed() < STUCK,
            "stuck: {execution} {operations:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// An acknowledged update of a node instance.
#[derive(Debug)]
struct Written {
    n: u64,
    position: i64,
}

/// Updates a node instance until told to stop; what was acknowledged.
async fn write(client: Client, instance: String, stop: CancellationToken) -> Vec<Written> {
    let path = format!("node-instances/{instance}");
    let mut written = Vec::new();
    let mut n = 0;
    while !stop.is_cancelled() {
        let current = client.get(&path).await;
        n += 1;
        let body = json!({"version": current["version"], "runtime_properties": {"n": n}});
        if let Some(answer) = client.once("PATCH", &path, Some(&body)).await {
            // 409: an update without an answer came through later than it was looked for
            assert!(matches!(answer.status, 200 | 409), "{}", answer.body);
            if answer.status == 200 {
                written.push(Written {
                    n,
                    position: answer.position,
                });
            }
        }
        tokio::time::sleep(POLL / 4).await;
    }
    written
}

/// Kills by plan, at random moments.
fn havoc(
    (plan, mut random): (Vec<Victim>, StdRng),
    mut daemon: Daemon,
    mut services: Services,
    stop: &CancellationToken,
) -> (Daemon, Services) {
    for victim in plan {
        if stop.is_cancelled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(random.random_range(100..2_500)));
        let began = Instant::now();
        DOWN.store(true, Ordering::Relaxed);
        match victim {
            Victim::Server => daemon.crash(),
            Victim::Service(service) => services.crash(service),
        }
        KILLS.fetch_add(1, Ordering::Relaxed);
        DOWN.store(false, Ordering::Relaxed);
        println!(
            "killed {victim:?}, started again after {:?}",
            began.elapsed()
        );
    }
    (daemon, services)
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// All that is known at the end.
#[derive(Debug)]
struct Outcome {
    client: Client,
    /// Installs as they ended.
    installs: Vec<Value>,
    still: String,
    written: Vec<Written>,
    journal: PathBuf,
}

async fn installs(client: &Client, rounds: usize) -> Vec<Value> {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let running = (0..rounds).map(|round| {
        let (client, slots) = (client.clone(), slots.clone());
        async move {
            let _slot = slots.acquire().await.unwrap();
            let deployment = format!("d{round}");
            deploy(&client, &deployment).await;
            let id = install(&client, &deployment).await;
            end(&client, &id).await
        }
    });
    futures::future::join_all(running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_nothing_and_double_nothing() {
    let rounds = number("STRATALOG_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("STRATALOG_CHAOS_SEED").unwrap_or_else(rand::random::<u32>);
    println!("{rounds} installs, STRATALOG_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed.into());
    let services = tokio::task::spawn_blocking(Services::start).await.unwrap();
    let daemon = Daemon::start(&services);
    let client = Client::new(daemon.url());
    client.ask("GET", "version", None).await;
    let journal = daemon.directory.path().join("journal");
    upload(&client, &journal).await;
    deploy(&client, "still").await;
    let instances = client.list("node-instances?deployment_id=still").await;
    let still = instances[0]["id"].as_str().unwrap().to_owned();

    let stop = CancellationToken::new();
    let began = Instant::now();
    #[allow(clippy::disallowed_methods, reason = "tests own no task tracker")]
    let writing = tokio::spawn(write(client.clone(), still.clone(), stop.clone()));
    let plan = plan(rounds, &mut random);
    println!("{plan:?}");
    // a failure ends everything
    let guard = stop.clone().drop_guard();
    let until = stop.clone();
    let killing =
        tokio::task::spawn_blocking(move || havoc((plan, random), daemon, services, &until));
    let installs = installs(&client, rounds).await;
    let (daemon, services) = killing.await.unwrap();
    drop(guard);
    let written = writing.await.unwrap();
    println!("{:?} of kills and installs", began.elapsed());

    let outcome = Outcome {
        client,
        installs,
        still,
        written,
        journal,
    };
    checks::all(&outcome, services.database_url()).await;
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    drop((daemon, services));
}
