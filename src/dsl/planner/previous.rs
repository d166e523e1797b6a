//! The instances a deployment has before it changes.

use std::collections::{HashMap, HashSet};

use crate::dsl::value::Value;

use super::forest::Forest;
use super::topology::{Topology, text};

#[derive(Debug)]
pub(super) struct Previous<'c> {
    pub(super) forest: Forest,
    /// The node instances as they were given, in the order of the forest, before the groups.
    pub(super) given: Vec<&'c Value>,
    by_id: HashMap<&'c str, usize>,
    /// Target ids by source node, relationship type and target node.
    targets: HashMap<(&'c str, &'c str, &'c str), HashSet<&'c str>>,
}

impl<'c> Previous<'c> {
    pub(super) fn new(topology: &Topology<'_>, instances: &'c [Value]) -> Self {
        let mut previous = Self {
            forest: Forest::default(),
            given: Vec::new(),
            by_id: HashMap::new(),
            targets: HashMap::new(),
        };
        for instance in instances {
            let (Some(id), Some(node)) = (text(instance, "id"), node_of(instance)) else {
                continue;
            };
            let Some(entity) = topology.index(node) else {
                continue;
            };
            let index = previous.forest.add(entity, id.to_owned(), None);
            previous.by_id.insert(id, index);
            previous.given.push(instance);
            for relationship in relationships(instance) {
                if let (Some(kind), Some(target), Some(target_id)) = (
                    text(relationship, "type"),
                    text(relationship, "target_name"),
                    text(relationship, "target_id"),
                ) {
                    let key = (node, kind, target);
                    previous.targets.entry(key).or_default().insert(target_id);
                }
            }
        }
        for index in 0..previous.given.len() {
            previous.place(topology, index);
        }
        previous
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let instances = self.forest.instances.iter();
        instances.map(|instance| instance.id.clone()).collect()
    }

    pub(super) fn instance(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The ids that instances of one node had as targets among the instances of another.
    pub(super) fn targets(&self, source: &str, kind: &str, target: &str) -> HashSet<&'c str> {
        self.targets
            .get(&(source, kind, target))
            .cloned()
            .unwrap_or_default()
    }

    /// Instances by what contains them, and by entity.
    pub(super) fn children(&self) -> HashMap<(Option<usize>, usize), Vec<usize>> {
        let mut children: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, instance) in self.forest.instances.iter().enumerate() {
            let key = (instance.parent, instance.entity);
            children.entry(key).or_default().push(index);
        }
        children
    }

    /// Puts an instance into its groups, and the outermost of them into the container.
    fn place(&mut self, topology: &Topology<'_>, index: usize) {
        let Some(given) = self.given.get(index).copied() else {
            return;
        };
        let mut inner = index;
        let groups = given.get("scaling_groups").and_then(Value::as_array);
        for group in groups.into_iter().flatten() {
            let (Some(id), Some(name)) = (text(group, "id"), text(group, "name")) else {
                continue;
            };
            let Some(entity) = topology.index(name) else {
                continue;
            };
            let outer = match self.by_id.get(id) {
                Some(known) => *known,
                None => {
                    let added = self.forest.add(entity, id.to_owned(), None);
                    self.by_id.insert(id, added);
                    added
                }
            };
            self.forest.instances[inner].parent = Some(outer);
            inner = outer;
        }
        let entity = topology.entity(self.forest.get(index).entity);
        let Some(container) = entity.container else {
            return;
        };
        let name = topology.entity(container.target).name;
        let id = relationships(given)
            .find(|relationship| {
                text(relationship, "target_name") == Some(name)
                    && text(relationship, "type") == Some(container.kind)
            })
            .and_then(|relationship| text(relationship, "target_id"));
        if let Some(parent) = id.and_then(|id| self.by_id.get(id))
            && self.forest.get(inner).parent.is_none()
        {
            self.forest.instances[inner].parent = Some(*parent);
        }
    }
}

pub(super) fn node_of(instance: &Value) -> Option<&str> {
    text(instance, "node_id").or_else(|| text(instance, "name"))
}

pub(super) fn relationships(instance: &Value) -> impl Iterator<Item = &Value> {
    instance
        .get("relationships")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
