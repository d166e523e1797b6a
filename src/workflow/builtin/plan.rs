//! Which graph is built, over which instances.
use std::collections::BTreeSet;

use super::{
    Builtin,
    check::{self, Check},
    heal, install,
    sequence::Builder,
    uninstall, without_empty_subgraphs,
};
use crate::{
    error::Error,
    workflow::{
        graph::task::Task,
        operation::{Facts, Retries},
        topology::Topology,
    },
};

/// A graph to build.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// A phase of a workflow whose phases are known beforehand.
    Phase(Builtin),
    /// Instances are brought up.
    Install(BTreeSet<String>),
    /// Instances are taken down; whether failures are passed over.
    Uninstall(BTreeSet<String>, bool),
    /// Instances that are half way up are taken back; whether failures are passed over.
    RollBack(BTreeSet<String>, bool),
    /// Instances are asked how they are.
    CheckStatus(BTreeSet<String>, Check),
    /// Instances cure themselves.
    Heal(BTreeSet<String>),
}

impl Plan {
    /// The graph, for the deployment as it is now.
    ///
    /// # Errors
    /// Parameters that do not fit.
    pub(crate) fn build(
        &self,
        place: (usize, &str),
        topology: &Topology,
        facts: &Facts,
    ) -> Result<Vec<Task>, Error> {
        let checked;
        let facts = match self {
            Self::Phase(builtin) => return builtin.build(place, topology, facts),
            // whatever is asked how it is says so at once
            Self::CheckStatus(..) => {
                checked = unretried(facts);
                &checked
            }
            _ => facts,
        };
        let mut builder = Builder::new(facts, place.1);
        match self {
            Self::Phase(_) => {}
            Self::Install(chosen) => install::graph(&mut builder, topology, chosen)?,
            Self::Uninstall(chosen, ignores) => {
                uninstall::graph(&mut builder, topology, chosen, *ignores)?;
            }
            Self::RollBack(chosen, ignores) => {
                uninstall::roll_back(&mut builder, topology, chosen, *ignores)?;
            }
            Self::CheckStatus(chosen, check) => {
                check::status(&mut builder, topology, chosen, *check)?;
            }
            Self::Heal(chosen) => heal::graph(&mut builder, topology, chosen)?,
        }
        Ok(without_empty_subgraphs(builder.finish()))
    }
}

/// The same facts, with no second attempts but those that operations declare.
pub(super) fn unretried(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    facts.retries = Retries {
        task_retries: 0,
        ..facts.retries
    };
    facts
}
