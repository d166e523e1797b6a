//! `scale`: a modification of the deployment, with its new instances installed or the removed ones
//! uninstalled before it is finished.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At,
    views::{
        deployment_modifications::DeploymentModification, deployments::Deployment,
        executions::Execution,
    },
};

use super::{Runner, Stop, line};
use crate::{
    commands::{
        executions,
        modifications::{self, End, NewModification},
    },
    error::{Error, ErrorCode},
    store::Decision,
    workflow::{
        builtin::{Plan, flag, text},
        topology::Topology,
    },
};

/// What the workflow is asked for.
#[derive(Debug)]
struct Request {
    entity: String,
    delta: i64,
    scale_compute: bool,
    include: Vec<String>,
    exclude: Vec<String>,
    ignore_failure: bool,
    rollback_if_failed: bool,
    abort_started: bool,
}

fn refuse(message: impl Into<String>) -> Stop {
    Stop::Failed(Error::refused(ErrorCode::BadParameters, message))
}

impl Request {
    fn new(parameters: &Map<String, Value>) -> Result<Self, Stop> {
        let flag = |name: &str, default: bool| flag(parameters, name).unwrap_or(default);
        let delta = match parameters.get("delta") {
            None | Some(Value::Null) => Some(1),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(number) => number.as_i64(),
        };
        let delta = delta.ok_or_else(|| refuse("The delta parameter must be a number"))?;
        let request = Self {
            entity: text(parameters, "scalable_entity_name").to_owned(),
            delta,
            scale_compute: flag("scale_compute", false),
            include: ids(parameters, "include_instances"),
            exclude: ids(parameters, "exclude_instances"),
            ignore_failure: flag("ignore_failure", false),
            rollback_if_failed: flag("rollback_if_failed", true),
            abort_started: flag("abort_started", false),
        };
        let is_choosy = !request.include.is_empty() || !request.exclude.is_empty();
        if is_choosy && request.delta >= 0 {
            return Err(refuse(
                "Instances cannot be included or excluded when scaling out: the delta must be \
                 negative",
            ));
        }
        if is_choosy && request.scale_compute {
            return Err(refuse(
                "Instances cannot be included or excluded together with scale_compute",
            ));
        }
        Ok(request)
    }
}

/// A list of ids; one alone may stand for itself.
fn ids(parameters: &Map<String, Value>, name: &str) -> Vec<String> {
    match parameters.get(name) {
        Some(Value::String(one)) if !one.is_empty() => vec![one.clone()],
        Some(Value::Array(many)) => many
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

impl Runner {
    pub(super) async fn scale(&mut self, execution: &Execution, token: &str) -> Result<(), Stop> {
        let parameters = executions::parameters_of(execution)?;
        let request = Request::new(&parameters)?;
        if request.delta == 0 {
            return self
                .note(
                    execution,
                    "delta parameter is 0, so no scaling will take place.",
                )
                .await;
        }
        let Some(modification) = self.modification(execution, token, &request).await? else {
            return Ok(());
        };
        match modification.status.as_str() {
            modifications::STARTED => {}
            "finished" => return Ok(()),
            status => return Err(refuse(format!("The modification was {status}"))),
        }
        let done = self
            .resize(execution, token, (&request, &modification))
            .await;
        match done {
            Ok(()) => {
                modifications::end(&self.ctx, &self.caller(), &modification.id, End::Finish)
                    .await?;
                self.note(
                    execution,
                    &format!(
                        "Deployment modification finished. [modification_id={}]",
                        modification.id
                    ),
                )
                .await
            }
            Err(Stop::Failed(error)) if request.rollback_if_failed && !error.is_passing() => {
                self.take_back(execution, token, (&request, &modification))
                    .await?;
                Err(Stop::Failed(error))
            }
            other => other,
        }
    }

    /// The modification of this execution, started unless it was before; none for a dry run.
    async fn modification(
        &mut self,
        execution: &Execution,
        token: &str,
        request: &Request,
    ) -> Result<Option<DeploymentModification>, Stop> {
        let Some(deployment) = self.deployment(execution).await? else {
            return Err(refuse("There is no deployment to scale"));
        };
        if let Some(known) = self.known(execution, &deployment).await? {
            return Ok(Some(known));
        }
        if request.abort_started && !execution.is_dry_run {
            self.abort_others(execution, token, &deployment).await?;
        }
        let topology = self.topology(execution).await?;
        let (name, wanted) = wanted(&deployment, &topology, request)?;
        let text = format!("Scaling {name} to {} instances", wanted["instances"]);
        self.note(execution, &text).await?;
        if execution.is_dry_run {
            return Ok(None);
        }
        let new = NewModification {
            deployment_id: deployment.id.clone(),
            context: [
                ("blueprint_id", json!(execution.blueprint_id)),
                ("deployment_id", json!(execution.deployment_id)),
                ("execution_id", json!(execution.id)),
                ("workflow_id", json!(execution.workflow_id)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
            nodes: [(name, wanted)].into_iter().collect(),
        };
        let id = modifications::start(&self.ctx, &self.caller(), &new).await?;
        let text = format!("Deployment modification started. [modification_id={id}]");
        self.note(execution, &text).await?;
        Ok(self.known(execution, &deployment).await?)
    }

    async fn known(
        &self,
        execution: &Execution,
        deployment: &Deployment,
    ) -> Result<Option<DeploymentModification>, Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let known = modifications::of_execution(&view, deployment, &execution.id).await?;
        drop(view.finish().await?);
        Ok(known)
    }

    /// What others have started is taken back, their new instances with it.
    async fn abort_others(
        &mut self,
        execution: &Execution,
        token: &str,
        deployment: &Deployment,
    ) -> Result<(), Stop> {
        let view = self.ctx.store.read(At::Now).await?;
        let others = modifications::started(&view, deployment).await?;
        drop(view.finish().await.map_err(Error::from)?);
        for other in others {
            let added = modifications::instances(&other, "added")?;
            let plan = Plan::Uninstall(added, false);
            let name = format!("abort_{}_uninstall", other.id);
            self.graph(execution, token, (name, plan)).await?;
            modifications::end(&self.ctx, &self.caller(), &other.id, End::RollBack).await?;
        }
        Ok(())
    }

    async fn resize(
        &mut self,
        execution: &Execution,
        token: &str,
        (request, modification): (&Request, &DeploymentModification),
    ) -> Result<(), Stop> {
        let (name, plan) = match request.delta > 0 {
            true => {
                let added = modifications::instances(modification, "added")?;
                ("install", Plan::Install(added))
            }
            false => {
                let removed = modifications::instances(modification, "removed")?;
                (
                    "uninstall",
                    Plan::Uninstall(removed, request.ignore_failure),
                )
            }
        };
        let name = format!("{}_{name}", request.entity);
        self.graph(execution, token, (name, plan)).await
    }

    async fn take_back(
        &mut self,
        execution: &Execution,
        token: &str,
        (request, modification): (&Request, &DeploymentModification),
    ) -> Result<(), Stop> {
        let text = "Scale failed, rolling back the deployment modification";
        self.note(execution, text).await?;
        if request.delta > 0 {
            let added: BTreeSet<String> = modifications::instances(modification, "added")?;
            let plan = Plan::RollBack(added, request.ignore_failure);
            let name = format!("{}_rollback", request.entity);
            self.graph(execution, token, (name, plan)).await?;
        }
        modifications::end(&self.ctx, &self.caller(), &modification.id, End::RollBack).await?;
        Ok(())
    }

    /// A line in the log of the execution.
    pub(super) async fn note(&self, execution: &Execution, text: &str) -> Result<(), Stop> {
        let told = line(execution, "info", text.to_owned());
        self.ctx
            .store
            .command(&self.caller().meta(), None, async |_view| {
                let mut decision = Decision::nothing();
                decision.telemetry.push(told.clone());
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }
}

/// The node or group to scale, and to how many instances.
fn wanted(
    deployment: &Deployment,
    topology: &Topology,
    request: &Request,
) -> Result<(String, Value), Stop> {
    let entity = request.entity.as_str();
    let groups: Map<String, Value> = match &deployment.scaling_groups {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Map::new(),
    };
    let (name, current) = match (groups.get(entity), topology.node(entity)) {
        (Some(group), _) => {
            let current = group.pointer("/properties/current_instances");
            (entity, current.and_then(Value::as_i64).unwrap_or(1))
        }
        (None, Some(node)) => {
            let host = node.host_id.as_deref().filter(|_| request.scale_compute);
            let node = host.and_then(|host| topology.node(host)).unwrap_or(node);
            (node.id.as_str(), node.number_of_instances)
        }
        (None, None) => {
            return Err(refuse(format!(
                "No scalable entity named {entity} was found"
            )));
        }
    };
    let planned = current + request.delta;
    if planned < 0 {
        return Err(refuse(format!(
            "Provided delta: {} is illegal. current number of instances of entity {entity} is \
             {current}",
            request.delta
        )));
    }
    let removable = topology.members(name);
    for id in request.include.iter().chain(&request.exclude) {
        if !removable.contains(id.as_str()) {
            return Err(refuse(format!("{id} is no instance of {entity}")));
        }
    }
    if i64::try_from(request.exclude.len()).is_ok_and(|kept| kept > planned) {
        return Err(refuse(format!(
            "{} instances are excluded, but only {planned} are to stay",
            request.exclude.len()
        )));
    }
    let mut wanted = json!({"instances": planned});
    if !request.include.is_empty() {
        wanted["removed_ids_include_hint"] = json!(request.include);
    }
    if !request.exclude.is_empty() {
        wanted["removed_ids_exclude_hint"] = json!(request.exclude);
    }
    Ok((name.to_owned(), wanted))
}
