//! Real processes are killed while executions run: what was acknowledged stays, everything that was
//! begun ends, and nothing happens twice.
//!
//! A short version by default; `STRATALOG_CHAOS_ROUNDS` says how many deployments there are (each
//! is installed, and has one more workflow), `STRATALOG_CHAOS_KILLS` how many kills, and
//! `STRATALOG_CHAOS_SEED` repeats their order. Take the test program itself for long ones: `cargo
//! nextest` ends a test after three minutes.

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
    archive::archive,
    client::Client,
    processes::{Daemons, Service, Services},
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
const ROUNDS: usize = 5;
const WORKERS: usize = 2;
/// Installs at the same time.
const PARALLEL: usize = 3;
/// Nobody stays as long as this where he is.
const STUCK: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// What is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Worker(usize),
    Service(Service),
}

/// Half of the kills are of workers, a quarter of the server, an eighth of each service.
fn plan(kills: usize, random: &mut StdRng) -> Vec<Victim> {
    let kinds = [
        Victim::Service(Service::RabbitMq),
        Victim::Service(Service::Postgres),
        Victim::Worker(0),
        Victim::Worker(1),
        Victim::Server,
        Victim::Worker(0),
        Victim::Worker(1),
        Victim::Server,
    ];
    let mut plan: Vec<Victim> = kinds.into_iter().cycle().take(kills).collect();
    plan.shuffle(random);
    plan
}

/// What a deployment has after its install, by its number.
fn second(round: usize, deployment: &str, instances: &[Value]) -> Value {
    let (workflow, parameters) = match round % 5 {
        0 => (
            "execute_operation",
            json!({"operation": "cloudify.interfaces.lifecycle.start"}),
        ),
        1 => ("restart", json!({})),
        2 => (
            "scale",
            json!({"scalable_entity_name": "above", "delta": 1}),
        ),
        3 => ("heal", json!({"node_instance_id": instances[0]["id"]})),
        _ => ("uninstall", json!({})),
    };
    json!({"deployment_id": deployment, "workflow_id": workflow, "parameters": parameters})
}

/// Every operation leaves a line in the journal, so that a second run of it within its execution
/// shows.
async fn upload(client: &Client, journal: &Path) {
    let script = |operation: &str| {
        let journal = journal.display();
        format!(
            "#!/bin/bash\ninstance=$(ctx instance id)\n\
             echo \"$(ctx execution-id) $instance {operation}\" >> {journal}\n\
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

/// Starts a workflow; its execution, once that is acknowledged.
async fn start(client: &Client, body: &Value) -> String {
    let [deployment, workflow] = ["deployment_id", "workflow_id"].map(|key| &body[key]);
    let (deployment, workflow) = (deployment.as_str().unwrap(), workflow.as_str().unwrap());
    let of_it = format!("executions?deployment_id={deployment}&workflow_id={workflow}");
    loop {
        if let Some(answer) = client.once("POST", "executions", Some(body)).await
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
    mut daemons: Daemons,
    mut services: Services,
    stop: &CancellationToken,
) -> (Daemons, Services) {
    for victim in plan {
        if stop.is_cancelled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(random.random_range(100..2_500)));
        let began = Instant::now();
        DOWN.store(true, Ordering::Relaxed);
        match victim {
            Victim::Server => daemons.server.crash(),
            Victim::Worker(nth) => daemons.workers[nth].crash(),
            Victim::Service(service) => services.crash(service),
        }
        KILLS.fetch_add(1, Ordering::Relaxed);
        DOWN.store(false, Ordering::Relaxed);
        println!(
            "killed {victim:?}, started again after {:?}",
            began.elapsed()
        );
    }
    (daemons, services)
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// All that is known at the end.
#[derive(Debug)]
struct Outcome {
    client: Client,
    /// Executions as they ended.
    executions: Vec<Value>,
    still: String,
    written: Vec<Written>,
    journal: PathBuf,
}

async fn executions(client: &Client, rounds: usize) -> Vec<Value> {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let running = (0..rounds).map(|round| {
        let (client, slots) = (client.clone(), slots.clone());
        async move {
            let _slot = slots.acquire().await.unwrap();
            let deployment = format!("d{round}");
            deploy(&client, &deployment).await;
            let install = json!({"deployment_id": deployment, "workflow_id": "install"});
            let installed = end(&client, &start(&client, &install).await).await;
            if installed["status"] != "terminated" {
                return vec![installed];
            }
            let of_it = format!("node-instances?deployment_id={deployment}");
            let next = second(round, &deployment, &client.list(&of_it).await);
            let next = end(&client, &start(&client, &next).await).await;
            vec![installed, next]
        }
    });
    futures::future::join_all(running).await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_nothing_and_double_nothing() {
    let rounds = number("STRATALOG_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("STRATALOG_CHAOS_SEED").unwrap_or_else(rand::random::<u32>);
    let kills = number("STRATALOG_CHAOS_KILLS").unwrap_or(rounds * 8 / 5);
    println!("{rounds} deployments, {kills} kills, STRATALOG_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed.into());
    let services = tokio::task::spawn_blocking(Services::start).await.unwrap();
    let daemons = Daemons::start(&services, WORKERS);
    let client = Client::new(daemons.server.url());
    client.ask("GET", "version", None).await;
    let journal = daemons.directory.path().join("journal");
    upload(&client, &journal).await;
    deploy(&client, "still").await;
    let instances = client.list("node-instances?deployment_id=still").await;
    let still = instances[0]["id"].as_str().unwrap().to_owned();

    let stop = CancellationToken::new();
    let began = Instant::now();
    #[allow(clippy::disallowed_methods, reason = "tests own no task tracker")]
    let writing = tokio::spawn(write(client.clone(), still.clone(), stop.clone()));
    let plan = plan(kills, &mut random);
    println!("{plan:?}");
    // a failure ends everything
    let guard = stop.clone().drop_guard();
    let until = stop.clone();
    let killing =
        tokio::task::spawn_blocking(move || havoc((plan, random), daemons, services, &until));
    let executions = executions(&client, rounds).await;
    let (daemons, services) = killing.await.unwrap();
    drop(guard);
    let written = writing.await.unwrap();
    println!("{:?} of kills and workflows", began.elapsed());

    let outcome = Outcome {
        client,
        executions,
        still,
        written,
        journal,
    };
    checks::all(&outcome, services.database_url()).await;
    let logs = daemons.logs();
    assert!(!logs.contains("panicked"), "{logs}");
    drop((daemons, services));
}
