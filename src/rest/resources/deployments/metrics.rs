//! How a deployment's agents and their hosts are, and how much the deployment does right now.
use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use stratalog_projections::{
    Condition, View as ViewName,
    views::{agents::Agent, deployments::Deployment},
};
use stratalog_schema::time::wire;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{deployments, executions},
    context::{Context, Report, Source},
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, reply},
    store::View,
};

/// Tasks that workers and agents run; what holds others together is no operation.
const OPERATION: &str = "RemoteWorkflowTask";
/// States of operations between their decision and their end.
const RUNNING: [&str; 4] = ["sending", "sent", "started", "response-sent"];

/// `GET /deployments/{id}/metrics`
pub(super) fn metrics(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "metrics")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| told(&req?, &id).await)
        .map(reply::ok)
        .boxed()
}

async fn told(req: &Request, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::DeploymentGet)?;
    if extract::asks_for_a_moment(&req.head) {
        return Err(Error::bad_parameters(
            "Metrics are not recorded: there are none of an earlier moment",
        ));
    }
    let view = req.now().await?;
    let row = req.caller.get(&view, deployments::MODEL, id).await?;
    let deployment: Deployment = row.resource()?;
    let of = (deployment.tenant_name.as_str(), id);
    let running = running(&view, of).await?;
    let mut agents = agents(req, &view, of).await?;
    let position = view.position();
    drop(view.finish().await?);
    agents.sort_by(|one, other| {
        let key = |agent: &Agent| (agent.node_id.clone(), agent.node_instance_id.clone());
        (key(one), &one.name).cmp(&(key(other), &other.name))
    });
    let items: Vec<Value> = agents.iter().map(|agent| item(req, agent)).collect();
    let body = json!({
        "deployment_id": id,
        "operations_running": running,
        "items": items,
        "metadata": {"pagination": {"total": items.len(), "size": items.len(), "offset": 0}},
    });
    Ok(Answer::json(&body)?.at(position))
}

/// Those of the deployment's agents that the caller sees.
async fn agents(req: &Request, view: &View, of: (&str, &str)) -> Result<Vec<Agent>, Error> {
    let mut query = deployments::belonging(ViewName::Agents, of).with(Condition::NotAnyOf(
        "state".to_owned(),
        vec!["deleted".to_owned()],
    ));
    query.scope = req.caller.scope(false, Permission::DeploymentGet)?;
    Ok(view.select_as(&query).await?)
}

async fn running(view: &View, of: (&str, &str)) -> Result<i64, Error> {
    let active = executions::ACTIVE.map(str::to_owned).to_vec();
    let query = deployments::belonging(ViewName::Executions, of)
        .with(Condition::AnyOf("status".to_owned(), active));
    let found = view.pick(&query, &["id"]).await?;
    let ids: BTreeSet<String> = found
        .into_iter()
        .filter_map(|(_, fields)| fields.into_iter().next()?)
        .collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let (states, kind) = (RUNNING.map(str::to_owned).to_vec(), OPERATION.to_owned());
    let query = deployments::belonging(ViewName::Operations, of)
        .with(Condition::AnyOf(
            "execution_id".to_owned(),
            ids.into_iter().collect(),
        ))
        .with(Condition::AnyOf("type".to_owned(), vec![kind]))
        .with(Condition::AnyOf("state".to_owned(), states));
    Ok(view.count(&query).await?)
}

fn item(req: &Request, agent: &Agent) -> Value {
    let report = req.ctx.reports.of(&Source::Agent {
        tenant: agent.tenant_name.clone(),
        name: agent.name.clone(),
    });
    let reported_at = report.as_ref().map(|report| report.received_at);
    json!({
        "agent": agent.name,
        "state": agent.state,
        "node_id": agent.node_id,
        "node_instance_id": agent.node_instance_id,
        "ip": agent.ip,
        "host": report.as_ref().map(|report| report.told.host.clone()),
        "reported_at": reported_at.map(|at| wire(at.timestamp_millis())),
        "metrics": report.as_ref().map(numbers),
    })
}

fn numbers(report: &Report) -> Value {
    let told = &report.told;
    json!({
        "operations": told.operations,
        "uptime_s": told.uptime_s,
        "resident_bytes": told.resident_bytes,
        "load": told.load,
        "memory": told.memory,
    })
}
