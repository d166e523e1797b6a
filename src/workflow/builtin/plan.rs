//! Which graph is built, over which instances.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    agents::{self, Renewal},
    check::{self, Check},
    execute_operation::{self, Request},
    heal, install,
    sequence::Builder,
    uninstall,
    update::{self, Link},
};
use crate::{
    commands::deployment_updates::Related,
    error::Error,
    workflow::{
        graph::task::{Kind, Task},
        operation::Facts,
        topology::Topology,
    },
};

/// A graph to build.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Instances are brought up.
    Install(BTreeSet<String>),
    /// Instances are taken down; whether failures are passed over.
    Uninstall(BTreeSet<String>, bool),
    /// Instances that are half way up are taken back; whether failures are passed over.
    RollBack(BTreeSet<String>, bool),
    /// One operation of each instance is run.
    Execute(BTreeSet<String>, Request),
    /// Instances are asked how they are.
    CheckStatus(BTreeSet<String>, Check),
    /// Instances are compared with what they should be.
    CheckDrift(BTreeSet<String>, Check),
    /// Hosts' agents are asked whether they live, or replaced.
    Agents(BTreeSet<String>, Renewal),
    /// Instances cure themselves.
    Heal(BTreeSet<String>),
    /// Instances follow their changed nodes; those of the second set whatever was found out.
    Update(BTreeSet<String>, BTreeSet<String>),
    /// Instances that stay gain or lose some of their relationships.
    Relate(BTreeMap<String, Vec<Related>>, Link),
}

impl Plan {
    /// The graph of this name, for the deployment as it is now.
    ///
    /// # Errors
    /// Parameters that do not fit.
    pub(crate) fn build(
        &self,
        name: &str,
        topology: &Topology,
        facts: &Facts,
    ) -> Result<Vec<Task>, Error> {
        let mut builder = Builder::new(facts, name);
        match self {
            Self::Install(chosen) => install::graph(&mut builder, topology, chosen)?,
            Self::Uninstall(chosen, ignores) => {
                uninstall::graph(&mut builder, topology, chosen, *ignores)?;
            }
            Self::RollBack(chosen, ignores) => {
                uninstall::roll_back(&mut builder, topology, chosen, *ignores)?;
            }
            Self::Execute(chosen, request) => {
                execute_operation::graph(&mut builder, topology, chosen, request)?;
            }
            Self::CheckStatus(chosen, check) => {
                check::status(&mut builder, topology, chosen, *check)?;
            }
            Self::CheckDrift(chosen, check) => {
                check::drift(&mut builder, topology, chosen, *check)?;
            }
            Self::Agents(chosen, renewal) => {
                agents::graph(&mut builder, topology, chosen, renewal)?;
            }
            Self::Heal(chosen) => heal::graph(&mut builder, topology, chosen)?,
            Self::Update(chosen, changed) => {
                update::graph(&mut builder, topology, (chosen, changed))?;
            }
            Self::Relate(chosen, link) => {
                update::relate(&mut builder, topology, (chosen, *link))?;
            }
        }
        Ok(without_empty_subgraphs(builder.finish()))
    }
}

/// Subgraphs that nothing is in are left out; who waited for them waits for what they waited for.
fn without_empty_subgraphs(tasks: Vec<Task>) -> Vec<Task> {
    let holders: BTreeSet<String> = tasks
        .iter()
        .filter_map(|task| task.parameters.containing_subgraph.clone())
        .collect();
    let is_empty = |task: &Task| task.kind == Kind::Subgraph && !holders.contains(&task.id);
    let (empty, mut kept): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(is_empty);
    if empty.is_empty() {
        return kept;
    }
    let empty: HashMap<String, Vec<String>> = empty
        .into_iter()
        .map(|task| (task.id, task.dependencies))
        .collect();
    for task in &mut kept {
        let mut seen = BTreeSet::new();
        let mut wanted: Vec<String> = Vec::new();
        let mut open: Vec<String> = task.dependencies.drain(..).rev().collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            match empty.get(&id) {
                Some(behind) => open.extend(behind.iter().rev().cloned()),
                None => wanted.push(id),
            }
        }
        task.dependencies = wanted;
    }
    kept
}
