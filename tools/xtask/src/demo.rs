//! `cargo xtask up --demo`: uploads, deploys and installs a sample blueprint, and shows what
//! happens as it happens.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::rest::{Answer, Rest};
use crate::signals::Interrupt;

/// Below the root of the checkout.
pub(crate) const BLUEPRINT: &str = "tests/data/blueprints/guestbook";
const ID: &str = "demo";
const TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn run(rest: &Rest, blueprint: &Path, interrupt: &Interrupt) -> Result<()> {
    println!("\nuploading the blueprint in {BLUEPRINT} as `{ID}`");
    let query = "application_file_name=blueprint.yaml&visibility=tenant";
    rest.put_bytes(&format!("blueprints/{ID}?{query}"), &pack(blueprint)?)?;
    wait_for(interrupt, || uploaded(rest))?;

    println!("creating deployment `{ID}`");
    let body = json!({ "blueprint_id": ID, "visibility": "tenant", "inputs": {} });
    rest.put(&format!("deployments/{ID}"), &body)?;
    wait_for(interrupt, || created(rest))?;

    let deployment = rest.get(&format!("deployments/{ID}"))?;
    if text(&deployment, "installation_status") == "active" {
        println!("it is installed already");
    } else {
        println!("installing");
        install(rest, interrupt)?;
    }
    let outputs = rest.get(&format!("deployments/{ID}/outputs"))?;
    println!(
        "outputs: {:#}",
        outputs.get("outputs").unwrap_or(&Value::Null)
    );
    Ok(())
}

/// The blueprint's folder as an archive with one folder on top, as clients send it.
fn pack(dir: &Path) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    archive
        .append_dir_all("guestbook", dir)
        .with_context(|| format!("cannot pack {}", dir.display()))?;
    Ok(archive.into_inner()?.finish()?)
}

fn uploaded(rest: &Rest) -> Result<bool> {
    let blueprint = rest.get(&format!("blueprints/{ID}"))?;
    match text(&blueprint, "state") {
        "uploaded" => Ok(true),
        state if state.starts_with("failed") || state == "invalid" => {
            bail!("the blueprint is {state}: {}", text(&blueprint, "error"))
        }
        _ => Ok(false),
    }
}

fn created(rest: &Rest) -> Result<bool> {
    let query = format!(
        "executions?deployment_id={ID}&workflow_id=create_deployment_environment\
         &_include_system_workflows=true"
    );
    let executions = rest.get(&query)?;
    match items(&executions).last() {
        Some(execution) => ended(execution),
        // The deployment may be made without an execution of its own.
        None => Ok(true),
    }
}

fn install(rest: &Rest, interrupt: &Interrupt) -> Result<()> {
    let body = json!({ "deployment_id": ID, "workflow_id": "install" });
    let Answer::Done(execution) = rest.post("executions", &body)? else {
        bail!("another execution is at work on `{ID}`");
    };
    let id = text(&execution, "id").to_owned();
    let mut shown = 0;
    wait_for(interrupt, || {
        // Looked at before the events, so that its last ones are among them.
        let end = ended(&rest.get(&format!("executions/{id}"))?);
        let query = format!(
            "events?execution_id={id}&type=cloudify_event&type=cloudify_log\
             &_sort=reported_timestamp&_offset={shown}&_size=1000"
        );
        let events = rest.get(&query)?;
        for event in items(&events) {
            show(event);
            shown += 1;
        }
        end
    })
}

fn show(event: &Value) {
    let time = text(event, "timestamp");
    let time = time.get(11..23).unwrap_or(time);
    let subject = match text(event, "node_instance_id") {
        "" => text(event, "workflow_id"),
        instance => instance,
    };
    println!("    {time} {subject:<18} {}", text(event, "message"));
}

fn ended(execution: &Value) -> Result<bool> {
    match text(execution, "status") {
        "terminated" => Ok(true),
        status @ ("failed" | "cancelled") => bail!(
            "execution {} of {} {status}: {}",
            text(execution, "id"),
            text(execution, "workflow_id"),
            text(execution, "error")
        ),
        _ => Ok(false),
    }
}

fn items(list: &Value) -> &[Value] {
    list.get("items")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn wait_for(interrupt: &Interrupt, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !done()? {
        if interrupt.asked() {
            bail!("interrupted");
        }
        if begin.elapsed() > TIMEOUT {
            bail!("not done after {TIMEOUT:?}");
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
