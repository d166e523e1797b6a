//! Changing the instances of a deployment: scaling out and in, and following a changed blueprint.

use std::collections::{HashMap, HashSet};

use crate::dsl::value::{Map, Value};
use serde::Serialize;

use super::differences::Differences;
use super::forest::Forest;
use super::ids::{IdSource, Ids};
use super::instances::{INSTANCES_MAX, too_many};
use super::links::{connect, smallest_id};
use super::previous::Previous;
use super::topology::{Link, Topology};
use crate::dsl::{DslError, Exception};

/// What is to become of which deployment. Nodes may come as plans or the REST API write them.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    pub nodes: &'c [Value],
    pub previous_nodes: &'c [Value],
    pub previous_node_instances: &'c [Value],
    /// For nodes and scaling groups: how many `instances` each parent gets, and which of them
    /// should go (`removed_ids_include_hint`) or stay (`removed_ids_exclude_hint`).
    pub modified_nodes: &'c Map,
    pub scaling_groups: &'c Map,
}

/// What changes: the instances concerned, marked with `modification`, and those related to them.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Modification {
    pub added_and_related: Vec<Value>,
    pub removed_and_related: Vec<Value>,
    pub extended_and_related: Vec<Value>,
    pub reduced_and_related: Vec<Value>,
}

/// Works out which instances appear and go, and which relationships change with them.
pub fn modify(change: &Change<'_>, ids: &mut dyn IdSource) -> Result<Modification, DslError> {
    let before = Topology::new(change.previous_nodes, change.scaling_groups)?;
    let previous = Previous::new(&before, change.previous_node_instances);
    let topology = Topology::new(change.nodes, change.scaling_groups)?;
    let mut ids = Ids::new(ids, previous.ids());
    let grown = Growth {
        change,
        before: &before,
        previous: &previous,
        topology: &topology,
    }
    .grow(&mut ids)?;
    let choose = |source: usize, link: &Link<'_>, targets: &[usize]| {
        let name = topology.entity(link.target).name;
        let earlier = previous.targets(topology.entity(source).name, link.kind, name);
        if earlier.len() > 1 {
            return Err(DslError::new(
                Exception::IllegalAllToOneState,
                None,
                format!(
                    "'{}' connects all_to_one to '{name}' but has {} targets",
                    topology.entity(source).name,
                    earlier.len()
                ),
            ));
        }
        let kept = targets
            .iter()
            .copied()
            .find(|target| earlier.contains(grown.forest.get(*target).id.as_str()));
        Ok(kept.or_else(|| smallest_id(&grown.forest, targets)))
    };
    let links = connect(&topology, &grown.forest, &choose)?;
    Ok(Differences {
        topology: &topology,
        forest: &grown.forest,
        is_new: &grown.is_new,
        links: &links,
        previous: &previous,
    }
    .describe())
}

/// The instances there will be, and which of them there were not.
struct Grown {
    forest: Forest,
    is_new: Vec<bool>,
}

struct Growth<'g, 'c> {
    change: &'g Change<'c>,
    before: &'g Topology<'c>,
    previous: &'g Previous<'c>,
    topology: &'g Topology<'c>,
}

impl Growth<'_, '_> {
    fn grow(&self, ids: &mut Ids<'_>) -> Result<Grown, DslError> {
        let mut grown = Grown {
            forest: Forest::default(),
            is_new: Vec::new(),
        };
        let children = self.previous.children();
        for index in &self.topology.order {
            let entity = self.topology.entity(*index);
            let parents: Vec<Option<usize>> = match entity.parent {
                Some(parent) => grown.forest.of(parent).iter().copied().map(Some).collect(),
                None => vec![None],
            };
            let count = self.wanted(*index)?;
            let total = parents.len().saturating_mul(count);
            if total.saturating_add(grown.forest.instances.len()) > INSTANCES_MAX {
                return Err(too_many());
            }
            for parent in parents {
                let existing = self.existing(entity.name, parent, &grown, &children);
                for instance in self.keep(entity.name, existing, count) {
                    let id = self.previous.forest.get(instance).id.clone();
                    grown.forest.add(*index, id, parent);
                    grown.is_new.push(false);
                }
                let kept = existing.len().min(count);
                for _ in kept..count {
                    grown.forest.add(*index, ids.next(entity.name), parent);
                    grown.is_new.push(true);
                }
            }
        }
        Ok(grown)
    }

    /// How many instances each parent gets.
    fn wanted(&self, index: usize) -> Result<usize, DslError> {
        let entity = self.topology.entity(index);
        match self
            .modified(entity.name)
            .and_then(|node| node.get("instances"))
        {
            Some(instances) => instances
                .as_u64()
                .and_then(|count| usize::try_from(count).ok())
                .ok_or_else(|| {
                    DslError::new(
                        Exception::Uncontrolled("TypeError"),
                        None,
                        format!("'{}' cannot get {instances} instances", entity.name),
                    )
                }),
            None => entity.count.clone(),
        }
    }

    fn modified(&self, name: &str) -> Option<&Value> {
        self.change.modified_nodes.get(name)
    }

    /// The instances a parent had of the entity of that name.
    fn existing<'k>(
        &self,
        name: &str,
        parent: Option<usize>,
        grown: &Grown,
        children: &'k HashMap<(Option<usize>, usize), Vec<usize>>,
    ) -> &'k [usize] {
        let Some(entity) = self.before.index(name) else {
            return &[];
        };
        let parent = match parent {
            Some(parent) if grown.is_new.get(parent) == Some(&true) => return &[],
            Some(parent) => self.previous.instance(&grown.forest.get(parent).id),
            None => None,
        };
        children.get(&(parent, entity)).map_or(&[], Vec::as_slice)
    }

    /// Those that stay: the last to go are those asked to stay, the first those asked to go.
    fn keep(&self, name: &str, existing: &[usize], count: usize) -> Vec<usize> {
        if existing.len() <= count {
            return existing.to_vec();
        }
        let (include, exclude) = (
            self.hinted(name, "removed_ids_include_hint"),
            self.hinted(name, "removed_ids_exclude_hint"),
        );
        let mut ranked = existing.to_vec();
        ranked.sort_by_key(|instance| {
            if include.contains(instance) {
                2
            } else {
                u8::from(!exclude.contains(instance))
            }
        });
        ranked.truncate(count);
        ranked
    }

    /// The instances a hint means: a member of a group stands for the instance of the group.
    fn hinted(&self, name: &str, hint: &str) -> HashSet<usize> {
        let ids = self
            .modified(name)
            .and_then(|node| node.get(hint)?.as_array());
        let entity = self.before.index(name);
        ids.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter_map(|id| {
                self.previous
                    .forest
                    .within(self.previous.instance(id)?, entity?)
            })
            .collect()
    }
}
