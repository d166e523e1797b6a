//! Who waits for whom: subgraphs of instances ordered along the relationships between them.
use std::collections::{BTreeSet, HashMap};

use super::{lifecycle::Lifecycle, sequence::Builder};
use crate::{
    error::Error,
    workflow::topology::{Instance, Relationship, Topology},
};

/// Subgraphs of instances, and the relationships that order them.
#[derive(Debug)]
pub(super) struct Order<'t> {
    topology: &'t Topology,
    chosen: &'t BTreeSet<String>,
    places: HashMap<String, usize>,
}

/// What an instance that stays does about its relationships to those that change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stub {
    pub(super) operation: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) is_ignored: bool,
}

impl<'t> Order<'t> {
    pub(super) fn new(topology: &'t Topology, chosen: &'t BTreeSet<String>) -> Self {
        Self {
            topology,
            chosen,
            places: HashMap::new(),
        }
    }

    /// The chosen instances.
    pub(super) fn instances(&self) -> impl Iterator<Item = &'t Instance> + use<'t> {
        let (topology, chosen) = (self.topology, self.chosen);
        let instances = topology.instances().iter();
        instances.filter(|instance| chosen.contains(&instance.id))
    }

    /// The instance's subgraph.
    pub(super) fn place(&mut self, instance: &str, at: usize) {
        self.places.insert(instance.to_owned(), at);
    }

    /// Each instance waits for those it has relationships to.
    pub(super) fn sources_after_targets(&self, builder: &mut Builder<'_>) {
        for (source, relationship) in self.pairs() {
            let (Some(source_at), Some(target_at)) = self.both(source, relationship) else {
                continue;
            };
            match self.awaited_operation(source, relationship) {
                None => builder.depend(source_at, target_at),
                Some(operation) => {
                    let target = &relationship.target_id;
                    for earlier in builder.following(target, &operation) {
                        builder.depend(source_at, earlier);
                    }
                }
            }
        }
    }

    /// Each instance waits for those that have relationships to it.
    pub(super) fn targets_after_sources(&self, builder: &mut Builder<'_>) {
        for (source, relationship) in self.pairs() {
            if self.awaited_operation(source, relationship).is_some() {
                // such a relationship speaks of installing
                continue;
            }
            if let (Some(source_at), Some(target_at)) = self.both(source, relationship) {
                builder.depend(target_at, source_at);
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'t Instance, &'t Relationship)> + use<'t> {
        let instances = self.topology.instances().iter();
        instances.flat_map(|source| source.relationships.iter().map(move |r| (source, r)))
    }

    fn both(
        &self,
        source: &Instance,
        relationship: &Relationship,
    ) -> (Option<usize>, Option<usize>) {
        let place = |id: &str| self.places.get(id).copied();
        (place(&source.id), place(&relationship.target_id))
    }

    /// A relationship may say that it is enough when the target has gone through one operation.
    fn awaited_operation(&self, source: &Instance, relationship: &Relationship) -> Option<String> {
        let node = self.topology.node_of(source);
        let spec = node.relationships.get(relationship.of_node?)?;
        let operation = spec.get("properties")?.get("operation")?;
        let operation = operation.as_str().filter(|name| !name.is_empty())?;
        let is_short = !operation.contains('.');
        Some(match is_short {
            true => format!("cloudify.interfaces.lifecycle.{operation}"),
            false => operation.to_owned(),
        })
    }

    /// Instances that stay, and are related to one that changes.
    fn neighbours(&self) -> Vec<&'t Instance> {
        let mut found = BTreeSet::new();
        for (source, relationship) in self.pairs() {
            let target = relationship.target_id.as_str();
            match (
                self.chosen.contains(&source.id),
                self.chosen.contains(target),
            ) {
                (true, false) => found.insert(target),
                (false, true) => found.insert(source.id.as_str()),
                _ => false,
            };
        }
        let instances = self.topology.instances().iter();
        instances
            .filter(|i| found.contains(i.id.as_str()))
            .collect()
    }
}

/// Subgraphs for the instances that stay, with what they have to do about relationships to those
/// that change.
pub(super) fn stubs(
    builder: &mut Builder<'_>,
    order: &mut Order<'_>,
    stub: Option<Stub>,
) -> Result<(), Error> {
    for instance in order.neighbours() {
        let at = builder.subgraph(&format!("stub_{}", instance.id), None, None);
        let topology = order.topology;
        let Some(stub) = stub else {
            order.place(&instance.id, at);
            continue;
        };
        let relationships = instance.relationships.iter();
        let affected: Vec<Relationship> = relationships
            .filter(|relationship| order.chosen.contains(&relationship.target_id))
            .cloned()
            .collect();
        let narrowed = instance.with_relationships(affected);
        let mut lifecycle = Lifecycle::new(builder, topology, &narrowed, at);
        lifecycle.related(stub.operation, (stub.before, stub.after), stub.is_ignored)?;
        if stub.is_ignored {
            builder.ignore_failures(at);
        }
        order.place(&instance.id, at);
    }
    Ok(())
}
