//! What is in a bundle: how the manager is set up and how it is, what runs on it, and what was told
//! lately. No secrets: neither settings that hold some, nor inputs, parameters or properties.
use std::{
    io::{Cursor, Write},
    sync::atomic::Ordering,
};

use serde_json::{Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope, View as ViewName,
    views::{agents::Agent, executions::Execution, tenants::Tenant},
};
use stratalog_schema::time::{wire, wire_us};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    clock,
    commands::executions,
    context::Context,
    error::Error,
    log::{
        read,
        telemetry::{Found, Key, Question},
    },
    store::View,
};

/// Execution logs and events of each tenant, the newest ones.
const TOLD_MAX: usize = 2_000;

const README: &str = "\
manager.json     version, host, and where the log of events stands
settings.txt     settings of the process; what is secret is masked
health.json      what the process is connected to and which roles it has
metrics.txt      metrics of the process, workers and agents, in Prometheus' format
executions.json  executions that have not ended
agents.json      agents with their states
events.jsonl     the newest execution logs and events of each tenant
What operations have logged stands there as they did.
The process writes its own log to standard error: it is where the service manager keeps it.
";

/// The whole bundle, as a zip.
///
/// # Errors
/// Database errors.
pub(super) async fn gather(ctx: &Context) -> Result<Vec<u8>, Error> {
    let view = ctx.store.read(At::Now).await?;
    let manager = manager(ctx, &view).await?;
    let executions = running(&view).await?;
    let agents = agents(&view).await?;
    let events = told(&view).await?;
    drop(view.finish().await?);
    let files = [
        ("README.txt", README.to_owned()),
        ("manager.json", pretty(&manager)?),
        ("settings.txt", format!("{:#?}\n", ctx.settings)),
        ("health.json", pretty(&health(ctx))?),
        ("metrics.txt", ctx.metrics_text()),
        ("executions.json", pretty(&json!(executions))?),
        ("agents.json", pretty(&json!(agents))?),
        ("events.jsonl", events),
    ];
    let zipped = tokio::task::spawn_blocking(move || zip(&files));
    let zipped = zipped.await.map_err(Error::internal)?;
    zipped.map_err(Error::internal)
}

fn pretty(value: &Value) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(Error::internal)?;
    Ok(text + "\n")
}

fn zip(files: &[(&str, String)]) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, text) in files {
        out.start_file(*name, options)?;
        out.write_all(text.as_bytes())?;
    }
    Ok(out.finish()?.into_inner())
}

async fn manager(ctx: &Context, view: &View) -> Result<Value, Error> {
    let head = view.head();
    let chain = read::chain_at(view.client(), head).await?;
    Ok(json!({
        "product_version": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "host": ctx.settings.manager_name(),
        "made_at": wire(clock::now_ms()),
        "log_position": head,
        "log_chain": hex::encode(chain.unwrap_or_default()),
    }))
}

fn health(ctx: &Context) -> Value {
    let broker = match &ctx.broker {
        Some(broker) if broker.state().borrow().is_up() => "up",
        Some(_) => "down",
        None => "none",
    };
    json!({
        // without it there would be no bundle
        "database": "up",
        "broker": broker,
        "worker": ctx.roles.worker.load(Ordering::Relaxed),
        "executor": ctx.roles.executor.load(Ordering::Relaxed),
        "draining": ctx.is_draining.load(Ordering::Relaxed),
    })
}

async fn running(view: &View) -> Result<Vec<Value>, Error> {
    let mut statuses: Vec<String> = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    statuses.extend(["queued", "scheduled"].map(str::to_owned));
    let query = ListQuery::all(ViewName::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses));
    let found: Vec<Execution> = view.select_as(&query).await?;
    let shown = found.into_iter().map(|execution| {
        json!({
            "id": execution.id,
            "tenant_name": execution.tenant_name,
            "workflow_id": execution.workflow_id,
            "deployment_id": execution.deployment_id,
            "status": execution.status,
            "created_at": execution.created_at,
            "started_at": execution.started_at,
        })
    });
    Ok(shown.collect())
}

async fn agents(view: &View) -> Result<Vec<Value>, Error> {
    let query = ListQuery::all(ViewName::Agents, Scope::Everything);
    let found: Vec<Agent> = view.select_as(&query).await?;
    let shown = found.into_iter().map(|agent| {
        json!({
            "name": agent.name,
            "tenant_name": agent.tenant_name,
            "state": agent.state,
            "version": agent.version,
            "install_method": agent.install_method,
            "updated_at": agent.updated_at,
        })
    });
    Ok(shown.collect())
}

/// The newest records of every tenant, one JSON object a line.
async fn told(view: &View) -> Result<String, Error> {
    let tenants = ListQuery::all(ViewName::Tenants, Scope::Everything);
    let tenants: Vec<Tenant> = view.select_as(&tenants).await?;
    let mut lines = String::new();
    for tenant in tenants {
        let question = Question {
            tenant: tenant.name,
            events: true,
            logs: true,
            sort: vec![(Key::Timestamp, true)],
            size: TOLD_MAX,
            upto: view.position(),
            ..Question::default()
        };
        let told = question.ask(view).await?.records;
        // what is global is told by its own tenant
        let own = told
            .iter()
            .filter(|(_, record)| record.tenant == question.tenant);
        for found in own {
            lines += &line(found).to_string();
            lines.push('\n');
        }
    }
    Ok(lines)
}

fn line((position, record): &Found) -> Value {
    json!({
        "position": position,
        "timestamp": wire_us(record.timestamp_us),
        "tenant_name": record.tenant,
        "execution_id": record.execution_id,
        "deployment_id": record.deployment_id,
        "workflow_id": record.workflow_id,
        "kind": if record.is_log { &record.level } else { &record.event_type },
        "node_instance_id": record.node_instance_id,
        "operation": record.operation,
        "message": record.message,
    })
}
