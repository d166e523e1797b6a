//! `update`: the deployment follows another blueprint or other inputs. Which graphs there are
//! follows from what the comparison of the plans and earlier graphs found out; all of it is in the
//! log, so a runner that takes over goes on there.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At,
    views::{
        deployment_updates::DeploymentUpdate,
        executions::{Execution, is_end},
    },
};
use uuid::Uuid;

use super::{Runner, Stop, heal::TAKE_DOWN};
use crate::{
    commands::{
        deployment_updates::{self, Changes, Options, Parameters, Related, SUCCESSFUL},
        execution_end,
        executions::{self, Restored, StartExecution},
        operations::effects::{Effect, Finding},
    },
    error::{Error, ErrorCode},
    workflow::{
        builtin::{Check, Drift, Link, Plan, UPDATES, has_check},
        operation::Call,
        topology::{Instance, Topology},
    },
};

/// An update with what it comes to.
#[derive(Debug)]
struct Work<'a> {
    id: &'a str,
    execution: &'a Execution,
    token: &'a str,
    options: &'a Options,
    changes: Changes,
}

/// What is to be done about instances that stay.
#[derive(Debug, Default)]
struct Steps {
    /// They follow in place.
    update: BTreeSet<String>,
    /// They are installed anew.
    reinstall: BTreeSet<String>,
}

fn refuse(message: impl Into<String>) -> Stop {
    Stop::Failed(Error::refused(ErrorCode::IllegalAction, message))
}

impl Runner {
    pub(super) async fn update(&mut self, execution: &Execution, token: &str) -> Result<(), Stop> {
        let parameters = Parameters::new(executions::parameters_of(execution)?)?;
        let update = self.known_update(&parameters).await?;
        if update.state == SUCCESSFUL {
            return Ok(());
        }
        if !update.is_prepared() {
            deployment_updates::begin(&self.ctx, &self.caller(), execution, &parameters).await?;
        }
        if parameters.options.preview {
            return Ok(());
        }
        let update = self.known_update(&parameters).await?;
        let work = Work {
            id: &update.id,
            execution,
            token,
            options: &parameters.options,
            changes: Changes::of(&update)?,
        };
        match parameters.options.workflow_id.as_deref() {
            Some(workflow) if !workflow.is_empty() => {
                self.by_workflow(&work, (workflow, &update)).await?;
            }
            _ => self.by_graphs(&work).await?,
        }
        let of = (execution, update.id.as_str());
        deployment_updates::finish(&self.ctx, &self.caller(), of).await?;
        Ok(())
    }

    async fn known_update(&self, parameters: &Parameters) -> Result<DeploymentUpdate, Stop> {
        let view = self.ctx.store.read(At::Now).await?;
        let update = deployment_updates::load(&view, &self.tenant, &parameters.update_id).await?;
        drop(view.finish().await.map_err(Error::from)?);
        Ok(update)
    }

    async fn by_graphs(&mut self, work: &Work<'_>) -> Result<(), Stop> {
        if work.options.install_first {
            self.bring_up(work).await?;
            self.take_down(work).await?;
            return self.change_the_rest(work).await;
        }
        self.take_down(work).await?;
        self.change_the_rest(work).await?;
        self.bring_up(work).await
    }

    async fn run_graph(&mut self, work: &Work<'_>, name: &str, plan: Plan) -> Result<(), Stop> {
        let named = (name.to_owned(), plan);
        self.graph(work.execution, work.token, named).await
    }

    /// Relationships and instances go. Nothing that comes later sees them any more.
    async fn take_down(&mut self, work: &Work<'_>) -> Result<(), Stop> {
        if !work.options.skip_uninstall {
            self.unlink_and_uninstall(work).await?;
        }
        let of = (work.execution, work.id);
        Ok(deployment_updates::remove(&self.ctx, &self.caller(), of).await?)
    }

    async fn unlink_and_uninstall(&mut self, work: &Work<'_>) -> Result<(), Stop> {
        let ignores = work.options.ignore_failure;
        // those to removed instances are taken down together with the instances
        let reduced = between_others(&work.changes.reduced, &work.changes.removed);
        if !reduced.is_empty() {
            let plan = Plan::Relate(reduced, Link::Unlink(ignores));
            self.run_graph(work, "unlink", plan).await?;
        }
        if !work.changes.removed.is_empty() {
            let plan = Plan::Uninstall(work.changes.removed.clone(), ignores);
            self.run_graph(work, "uninstall", plan).await?;
        }
        Ok(())
    }

    /// Instances and relationships come.
    async fn bring_up(&mut self, work: &Work<'_>) -> Result<(), Stop> {
        if work.options.skip_install {
            return Ok(());
        }
        if !work.changes.added.is_empty() {
            let plan = Plan::Install(work.changes.added.clone());
            self.run_graph(work, "install", plan).await?;
        }
        // those to new instances are established together with the instances
        let extended = between_others(&work.changes.extended, &work.changes.added);
        if !extended.is_empty() {
            let plan = Plan::Relate(extended, Link::Establish);
            self.run_graph(work, "establish", plan).await?;
        }
        Ok(())
    }

    /// Instances that stay follow their changed nodes, in place or by being installed anew.
    async fn change_the_rest(&mut self, work: &Work<'_>) -> Result<(), Stop> {
        // whoever began to install anew goes on with it
        let reinstall = match self.stored(work.execution, TAKE_DOWN).await? {
            Some(_) => BTreeSet::new(),
            None => {
                let reinstall = self.in_place(work).await?;
                if reinstall.is_empty() {
                    return Ok(self.settle(work).await?);
                }
                reinstall
            }
        };
        let ignores = work.options.ignore_failure;
        self.reinstall(work.execution, work.token, (reinstall, ignores))
            .await?;
        Ok(self.settle(work).await?)
    }

    /// Instances follow in place, as far as they can; those that cannot.
    async fn in_place(&mut self, work: &Work<'_>) -> Result<BTreeSet<String>, Stop> {
        let topology = self.topology(work.execution).await?;
        let concerned = concerned(&topology, work);
        if !work.options.skip_drift_check && !concerned.is_empty() {
            let check = Check {
                in_order: true,
                ignores: true,
            };
            let plan = Plan::CheckDrift(concerned.clone(), check);
            self.run_graph(work, "update_check_drift", plan).await?;
        }
        let topology = self.topology(work.execution).await?;
        let changed = changed(&topology, (work, &concerned));
        let mut steps = Steps::default();
        steps.decide(&topology, (work, &concerned), &changed);
        if !work.options.skip_heal && !steps.update.is_empty() {
            self.heal_before(work, &mut steps).await?;
        }
        if !steps.update.is_empty() {
            let plan = Plan::Update(steps.update.clone(), changed);
            self.run_graph(work, "update", plan).await?;
            let topology = self.topology(work.execution).await?;
            for id in failed(&topology, "update_failed", work.execution) {
                steps.reinstall.extend(topology.contained(&id));
            }
        }
        if !work.options.skip_reinstall {
            return Ok(steps.reinstall);
        }
        let named = by_name(&topology, work);
        let left: Vec<&str> = steps
            .reinstall
            .difference(&named)
            .map(String::as_str)
            .collect();
        if !left.is_empty() {
            let text = format!("Not installed anew, as asked for: {}", left.join(", "));
            self.note(work.execution, &text).await?;
        }
        Ok(named)
    }

    /// Instances that are not well are healed before they are changed, or installed anew.
    async fn heal_before(&mut self, work: &Work<'_>, steps: &mut Steps) -> Result<(), Stop> {
        let check = Check {
            in_order: false,
            ignores: true,
        };
        let plan = Plan::CheckStatus(steps.update.clone(), check);
        self.run_graph(work, "update_check_status", plan).await?;
        let topology = self.topology(work.execution).await?;
        let mut cure = super::heal::Cure::default();
        cure.decide(&topology, &steps.update, false);
        if !cure.heal.is_empty() {
            self.run_graph(work, "update_heal", Plan::Heal(cure.heal.clone()))
                .await?;
            let topology = self.topology(work.execution).await?;
            for id in failed(&topology, "heal_failed", work.execution) {
                cure.reinstall.extend(topology.contained(&id));
            }
        }
        steps.update.retain(|id| !cure.reinstall.contains(id));
        steps.reinstall.extend(cure.reinstall);
        Ok(())
    }

    /// What checks found counts no more for those that were changed or installed anew.
    async fn settle(&self, work: &Work<'_>) -> Result<(), Error> {
        let topology = self.topology(work.execution).await?;
        let is_marked = |instance: &&Instance| {
            let drift = Drift::of(instance);
            let is_failed = |key| is_failed(instance, key, work.execution);
            drift.own || drift.related || is_failed("update_failed") || is_failed("heal_failed")
        };
        let effects: Vec<Effect> = topology
            .instances()
            .iter()
            .filter(is_marked)
            .map(|instance| Effect::Found {
                instance: instance.id.clone(),
                finding: Finding::DriftForgotten,
            })
            .collect();
        self.found(work.execution, &effects).await
    }

    /// Another workflow does the work; its failure is ours.
    async fn by_workflow(
        &mut self,
        work: &Work<'_>,
        (workflow, update): (&str, &DeploymentUpdate),
    ) -> Result<(), Stop> {
        // the same for every runner of this execution
        let name = format!("stratalog:update:{}", work.execution.id);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string();
        if self.execution_of(&id).await?.is_none() {
            let command = StartExecution {
                deployment_id: update.deployment_id.clone(),
                workflow_id: workflow.to_owned(),
                parameters: custom_parameters(work, update)?,
                allow_custom_parameters: true,
                force: true,
                restored: Restored {
                    id: Some(id.clone()),
                    created_by: Some(work.execution.created_by.clone()),
                    ..Restored::default()
                },
                ..StartExecution::default()
            };
            executions::start(&self.ctx, &self.caller(), command).await?;
        }
        let tenant = self.tenant.clone();
        match self.await_execution((&tenant, &id), Duration::MAX).await? {
            Some(execution) if execution.status == "terminated" => Ok(()),
            Some(execution) => Err(refuse(format!(
                "The workflow {workflow} of the update has {}: {}",
                execution.status,
                execution.error.unwrap_or_default()
            ))),
            None => Err(refuse(format!("The execution {id} of {workflow} is gone"))),
        }
    }

    /// Waits for the end of another execution; the execution then. Nothing when it is gone, or
    /// goes on after all patience.
    pub(super) async fn await_execution(
        &mut self,
        (tenant, id): (&str, &str),
        patience: Duration,
    ) -> Result<Option<Execution>, Stop> {
        let began = Instant::now();
        while began.elapsed() < patience {
            let head = self.ctx.store.head().await?;
            let view = self.ctx.store.read(At::Now).await?;
            let execution = executions::find(&view, tenant, id).await?;
            drop(view.finish().await.map_err(Error::from)?);
            match execution {
                None => return Ok(None),
                Some(execution) if is_end(&execution.status) => return Ok(Some(execution)),
                Some(_) => {}
            }
            let ctx = self.ctx.clone();
            let ended = execution_end(&ctx, (tenant, id), head);
            tokio::select! {
                ended = ended => drop(ended?),
                () = self.stop.cancelled() => return Err(Stop::Draining),
                signal = self.signals.recv() => self.heed(signal).await?,
            }
        }
        Ok(None)
    }

    async fn execution_of(&self, id: &str) -> Result<Option<Execution>, Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let execution = executions::find(&view, &self.tenant, id).await?;
        drop(view.finish().await?);
        Ok(execution)
    }
}

/// Relationships to instances outside of a set.
fn between_others(
    related: &BTreeMap<String, Vec<Related>>,
    set: &BTreeSet<String>,
) -> BTreeMap<String, Vec<Related>> {
    let mut others = BTreeMap::new();
    for (id, all) in related {
        let kept: Vec<Related> = all
            .iter()
            .filter(|one| !set.contains(&one.target_id))
            .cloned()
            .collect();
        if !kept.is_empty() {
            others.insert(id.clone(), kept);
        }
    }
    others
}

/// Instances that were there before, and stay; those that are not started have nothing to follow.
fn concerned(topology: &Topology, work: &Work<'_>) -> BTreeSet<String> {
    let is_concerned = |instance: &&Instance| {
        instance.state == "started"
            && !work.changes.added.contains(&instance.id)
            && !work.changes.removed.contains(&instance.id)
    };
    let instances = topology.instances().iter();
    let concerned = instances.filter(is_concerned);
    concerned.map(|instance| instance.id.clone()).collect()
}

/// Instances of changed nodes that nobody could ask, or that were not to be asked.
fn changed(
    topology: &Topology,
    (work, concerned): (&Work<'_>, &BTreeSet<String>),
) -> BTreeSet<String> {
    let is_changed = |instance: &&Instance| {
        work.changes.modified_nodes.contains(&instance.node_id)
            && concerned.contains(&instance.id)
            && (work.options.skip_drift_check || !has_check(topology, instance))
    };
    let instances = topology.instances().iter().filter(is_changed);
    instances.map(|instance| instance.id.clone()).collect()
}

/// Instances, with all they contain, that are to be installed anew whatever has changed.
fn by_name(topology: &Topology, work: &Work<'_>) -> BTreeSet<String> {
    let named = work.options.reinstall_list.iter();
    let known = named.filter(|id| {
        topology.instance(id).is_some()
            && !work.changes.added.contains(*id)
            && !work.changes.removed.contains(*id)
    });
    known.flat_map(|id| topology.contained(id)).collect()
}

fn is_failed(instance: &Instance, key: &str, execution: &Execution) -> bool {
    let failed = instance.system_properties.get(key);
    failed.and_then(Value::as_str) == Some(execution.id.as_str())
}

/// Instances about which this execution noted a failure.
fn failed(topology: &Topology, key: &str, execution: &Execution) -> Vec<String> {
    let instances = topology.instances().iter();
    instances
        .filter(|instance| is_failed(instance, key, execution))
        .map(|instance| instance.id.clone())
        .collect()
}

impl Steps {
    fn decide(
        &mut self,
        topology: &Topology,
        (work, concerned): (&Work<'_>, &BTreeSet<String>),
        changed: &BTreeSet<String>,
    ) {
        self.reinstall = by_name(topology, work);
        for id in concerned {
            let Some(instance) = topology.instance(id) else {
                continue;
            };
            let drift = Drift::of(instance);
            let is_own = drift.own || changed.contains(id);
            let can_follow = UPDATES
                .iter()
                .any(|name| Call::of_instance(topology, instance, name).is_some());
            if !drift.failed && !is_own && !drift.related {
                continue;
            }
            if drift.failed || work.options.force_reinstall || (is_own && !can_follow) {
                self.reinstall.extend(topology.contained(id));
            } else {
                self.update.insert(id.clone());
            }
        }
        self.update.retain(|id| !self.reinstall.contains(id));
    }
}

/// What a workflow that does the work of an update is told.
fn custom_parameters(
    work: &Work<'_>,
    update: &DeploymentUpdate,
) -> Result<Map<String, Value>, Error> {
    let modified: Value = match &update.modified_entity_ids {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Value::Null,
    };
    let related =
        |related: &BTreeMap<String, Vec<Related>>| json!(related.keys().collect::<Vec<_>>());
    let others = |mark| Ok::<_, Error>(json!(deployment_updates::neighbours(update, mark)?));
    let changes = &work.changes;
    let parameters = [
        ("update_id", json!(update.id)),
        ("modified_entity_ids", modified),
        ("added_instance_ids", json!(changes.added)),
        ("added_target_instances_ids", others("added")?),
        ("removed_instance_ids", json!(changes.removed)),
        ("remove_target_instance_ids", others("removed")?),
        ("extended_instance_ids", related(&changes.extended)),
        ("extend_target_instance_ids", others("extended")?),
        ("reduced_instance_ids", related(&changes.reduced)),
        ("reduce_target_instance_ids", others("reduced")?),
        ("skip_install", json!(work.options.skip_install)),
        ("skip_uninstall", json!(work.options.skip_uninstall)),
        ("ignore_failure", json!(work.options.ignore_failure)),
        ("install_first", json!(false)),
        ("node_instances_to_reinstall", Value::Null),
        ("central_plugins_to_install", Value::Null),
        ("central_plugins_to_uninstall", Value::Null),
        ("update_plugins", json!(true)),
    ];
    let named = parameters.map(|(name, value)| (name.to_owned(), value));
    Ok(named.into_iter().collect())
}
