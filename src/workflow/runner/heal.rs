//! `heal`: instances are asked how they are, those that are not well cure themselves, and what
//! cannot is installed anew.
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stratalog_projections::views::executions::Execution;

use super::{Runner, Stop};
use crate::{
    commands::{
        executions,
        operations::effects::{Effect, Finding, Instances},
    },
    error::{Error, ErrorCode},
    store::Decision,
    workflow::{
        builtin::{CHECK_STATUS, Check, HEAL, Plan, flag, text},
        operation::Call,
        topology::{Instance, Topology},
    },
};

/// How many instances an error names.
const NAMED_MAX: usize = 5;
/// Names of the graphs that install anew.
pub(super) const TAKE_DOWN: &str = "reinstall-uninstall";
const BRING_UP: &str = "reinstall-install";

/// What is to be done about instances.
#[derive(Debug, Default)]
pub(super) struct Cure {
    pub(super) heal: BTreeSet<String>,
    pub(super) reinstall: BTreeSet<String>,
}

fn refuse(message: impl Into<String>) -> Stop {
    Stop::Failed(Error::refused(ErrorCode::IllegalAction, message))
}

impl Runner {
    pub(super) async fn heal(&mut self, execution: &Execution, token: &str) -> Result<(), Stop> {
        let parameters = executions::parameters_of(execution)?;
        let node_instance = text(&parameters, "node_instance_id");
        let ignores = flag(&parameters, "ignore_failure").unwrap_or(true);
        // whoever began to install anew goes on with it
        if self.stored(execution, TAKE_DOWN).await?.is_some() {
            return self
                .reinstall(execution, token, (BTreeSet::new(), ignores))
                .await;
        }
        let chosen = chosen(&self.topology(execution).await?, node_instance)?;
        let mut cure = Cure::default();
        if flag(&parameters, "force_reinstall") == Some(true) {
            cure.reinstall = chosen;
        } else {
            if flag(&parameters, "check_status").unwrap_or(true) {
                let check = Check {
                    in_order: false,
                    ignores: true,
                };
                let plan = Plan::CheckStatus(chosen.clone(), check);
                self.graph(execution, token, ("check_status".to_owned(), plan))
                    .await?;
            }
            let topology = self.topology(execution).await?;
            cure.decide(&topology, &chosen, !node_instance.is_empty());
            may_reinstall(&parameters, &cure.reinstall)?;
            if !cure.heal.is_empty() {
                self.cure(execution, token, &mut cure).await?;
                may_reinstall(&parameters, &cure.reinstall)?;
            }
        }
        if cure.reinstall.is_empty() {
            return Ok(());
        }
        self.reinstall(execution, token, (cure.reinstall, ignores))
            .await
    }

    /// Instances cure themselves; those that could not are to be installed anew.
    async fn cure(
        &mut self,
        execution: &Execution,
        token: &str,
        cure: &mut Cure,
    ) -> Result<(), Stop> {
        let plan = Plan::Heal(cure.heal.clone());
        let healed = self
            .graph(execution, token, ("heal".to_owned(), plan))
            .await;
        match healed {
            Err(Stop::Failed(error)) if !error.is_passing() => {
                self.note(execution, &format!("Error running heal: {error}"))
                    .await?;
            }
            other => other?,
        }
        let topology = self.topology(execution).await?;
        let failed: Vec<&Instance> = topology
            .instances()
            .iter()
            .filter(|instance| {
                let failed = instance.system_properties.get("heal_failed");
                failed.and_then(Value::as_str) == Some(execution.id.as_str())
            })
            .collect();
        let ids: Vec<String> = failed.iter().map(|instance| instance.id.clone()).collect();
        for instance in failed {
            cure.reinstall.extend(topology.contained(&instance.id));
        }
        Ok(self.forget_failures(execution, &ids).await?)
    }

    async fn forget_failures(&self, execution: &Execution, ids: &[String]) -> Result<(), Error> {
        let effects: Vec<Effect> = ids
            .iter()
            .map(|id| Effect::Found {
                instance: id.clone(),
                finding: Finding::HealForgotten,
            })
            .collect();
        self.found(execution, &effects).await
    }

    /// What was found out about instances is kept with them.
    pub(super) async fn found(
        &self,
        execution: &Execution,
        effects: &[Effect],
    ) -> Result<(), Error> {
        self.ctx
            .store
            .command(&self.caller().meta(), None, async |view| {
                let mut decision = Decision::nothing();
                let mut instances = Instances::default();
                instances.load(&view, execution, effects.iter()).await?;
                for effect in effects {
                    instances.apply(execution, effect, &mut decision)?;
                }
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }

    /// Instances are taken down and brought up; none named: those a former runner took down.
    pub(super) async fn reinstall(
        &mut self,
        execution: &Execution,
        token: &str,
        (instances, ignores): (BTreeSet<String>, bool),
    ) -> Result<(), Stop> {
        let down = Plan::Uninstall(instances.clone(), ignores);
        self.graph(execution, token, (TAKE_DOWN.to_owned(), down))
            .await?;
        // after a change of runners the ids are those that were taken down
        let instances = match instances.is_empty() {
            true => self.taken_down(execution).await?,
            false => instances,
        };
        let up = Plan::Install(instances);
        self.graph(execution, token, (BRING_UP.to_owned(), up))
            .await
    }

    async fn taken_down(&self, execution: &Execution) -> Result<BTreeSet<String>, Stop> {
        let tasks = self.stored(execution, TAKE_DOWN).await?.unwrap_or_default();
        let is_whole = |task: &&crate::workflow::graph::task::Task| {
            task.parameters.containing_subgraph.is_none() && !task.name.starts_with("stub_")
        };
        Ok(tasks
            .iter()
            .filter(is_whole)
            .map(|task| task.name.clone())
            .collect())
    }
}

/// Whether these instances may be installed anew.
fn may_reinstall(
    parameters: &Map<String, Value>,
    instances: &BTreeSet<String>,
) -> Result<(), Stop> {
    if instances.is_empty() || flag(parameters, "allow_reinstall").unwrap_or(true) {
        return Ok(());
    }
    let mut named: Vec<&str> = instances.iter().map(String::as_str).collect();
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    let and_more = match more {
        0 => String::new(),
        more => format!(", … (and {more} more)"),
    };
    Err(refuse(format!(
        "allow_reinstall is false, but would need to reinstall instances: {}{and_more}",
        named.join(", ")
    )))
}

/// The instance with everything on its host, or all.
fn chosen(topology: &Topology, id: &str) -> Result<BTreeSet<String>, Stop> {
    if id.is_empty() {
        let all = topology.instances().iter();
        return Ok(all.map(|instance| instance.id.clone()).collect());
    }
    let Some(instance) = topology.instance(id) else {
        return Err(refuse(format!("No node instance with id `{id}` was found")));
    };
    let host = instance.host_id.as_deref().unwrap_or(&instance.id);
    Ok(topology.contained(host))
}

impl Cure {
    pub(super) fn decide(
        &mut self,
        topology: &Topology,
        chosen: &BTreeSet<String>,
        is_named: bool,
    ) {
        for id in chosen {
            let Some(instance) = topology.instance(id) else {
                continue;
            };
            if is_well(topology, instance, is_named) {
                continue;
            }
            match Call::of_instance(topology, instance, HEAL) {
                Some(_) => drop(self.heal.insert(id.clone())),
                None => self.reinstall.extend(topology.contained(id)),
            }
        }
        self.heal.retain(|id| !self.reinstall.contains(id));
    }
}

/// Whether the latest check was good. Who was never really checked is well unless asked for by
/// name.
fn is_well(topology: &Topology, instance: &Instance, is_named: bool) -> bool {
    let status = instance.system_properties.get("status");
    let get = |key: &str| status.and_then(|status| status.get(key));
    let is_checked = get("task").is_some_and(|task| !task.is_null())
        && Call::of_instance(topology, instance, CHECK_STATUS).is_some();
    match is_checked {
        true => get("ok") == Some(&Value::Bool(true)),
        false => !is_named,
    }
}
