//! What differs between the instances a deployment had and those it will have.

use std::collections::{HashMap, HashSet};

use crate::dsl::value::{List, Map, Value, object};

use super::forest::Forest;
use super::instances::describe_one;
use super::links::{Links, Tie};
use super::modify::Modification;
use super::previous::{Previous, node_of, relationships};
use super::topology::{Topology, text};

pub(super) struct Differences<'d, 'c> {
    pub(super) topology: &'d Topology<'c>,
    pub(super) forest: &'d Forest,
    pub(super) is_new: &'d [bool],
    pub(super) links: &'d Links,
    pub(super) previous: &'d Previous<'c>,
}

/// Instances to report, each once.
#[derive(Default)]
struct Report {
    listed: Vec<Map>,
    by_id: HashMap<String, usize>,
}

impl Report {
    /// Adds relationships to an instance, which is listed from now on.
    fn relate(&mut self, described: Map, added: Vec<Value>) {
        self.entry(described, added);
    }

    /// The same for an instance that is itself modified.
    fn modify(&mut self, described: Map, added: Vec<Value>, modification: &str) {
        let at = self.entry(described, added);
        if let Some(listed) = self.listed.get_mut(at) {
            listed.insert("modification", Value::from(modification));
        }
    }

    fn entry(&mut self, mut described: Map, added: Vec<Value>) -> usize {
        let id = described
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if let Some(at) = self.by_id.get(id).copied() {
            let relationships = self
                .listed
                .get_mut(at)
                .and_then(|listed| listed.get_mut("relationships")?.as_array_mut());
            if let Some(relationships) = relationships {
                relationships.extend(added);
            }
            return at;
        }
        let at = self.listed.len();
        self.by_id.insert(id.to_owned(), at);
        described.insert("relationships", Value::from(added));
        self.listed.push(described);
        at
    }

    fn finish(self) -> Vec<Value> {
        self.listed.into_iter().map(Value::Object).collect()
    }
}

impl Differences<'_, '_> {
    pub(super) fn describe(&self) -> Modification {
        let kept: HashMap<&str, usize> = self
            .nodes()
            .filter(|index| !self.is_new(*index))
            .map(|index| (self.forest.get(index).id.as_str(), index))
            .collect();
        let (added_and_related, extended_and_related) = self.gains();
        let (removed_and_related, reduced_and_related) = self.losses(&kept);
        Modification {
            added_and_related,
            removed_and_related,
            extended_and_related,
            reduced_and_related,
        }
    }

    /// Instances and relationships that were not there.
    fn gains(&self) -> (Vec<Value>, Vec<Value>) {
        let (mut added, mut extended) = (Report::default(), Report::default());
        for index in self.nodes() {
            let ties = self.ties(index);
            if self.is_new(index) {
                added.modify(self.bare(index), self.relationships(index, ties), "added");
                for tie in ties.iter().filter(|tie| !self.is_new(tie.target)) {
                    added.relate(self.bare(tie.target), Vec::new());
                }
                continue;
            }
            let known = self.known(&self.forest.get(index).id);
            let gained: Vec<Tie> = ties
                .iter()
                .copied()
                .filter(|tie| !known.contains(&self.key(index, tie)))
                .collect();
            let to_new: Vec<Tie> = gained
                .iter()
                .copied()
                .filter(|tie| self.is_new(tie.target))
                .collect();
            if !to_new.is_empty() {
                added.relate(self.bare(index), self.relationships(index, &to_new));
            }
            if !gained.is_empty() {
                extended.modify(
                    self.bare(index),
                    self.relationships(index, &gained),
                    "extended",
                );
            }
            for tie in gained.iter().filter(|tie| !self.is_new(tie.target)) {
                extended.relate(self.bare(tie.target), Vec::new());
            }
        }
        (added.finish(), extended.finish())
    }

    /// Instances and relationships that will not be there.
    fn losses(&self, kept: &HashMap<&str, usize>) -> (Vec<Value>, Vec<Value>) {
        let (mut removed, mut reduced) = (Report::default(), Report::default());
        for given in &self.previous.given {
            let id = text(given, "id").unwrap_or_default();
            let all: Vec<&Value> = relationships(given).collect();
            let Some(index) = kept.get(id).copied() else {
                removed.modify(
                    as_given(given),
                    all.iter().map(|r| plain(r)).collect(),
                    "removed",
                );
                for target in self.kept_targets(&all, kept) {
                    removed.relate(as_given(target), Vec::new());
                }
                continue;
            };
            let remaining: HashSet<(&str, &str)> = self
                .ties(index)
                .iter()
                .map(|tie| self.key(index, tie))
                .collect();
            let lost: Vec<&Value> = all
                .into_iter()
                .filter(|relationship| !remaining.contains(&key_of(relationship)))
                .collect();
            let to_removed: Vec<Value> = lost
                .iter()
                .filter(|relationship| !kept.contains_key(key_of(relationship).1))
                .map(|relationship| plain(relationship))
                .collect();
            if !to_removed.is_empty() {
                removed.relate(as_given(given), to_removed);
            }
            if !lost.is_empty() {
                reduced.modify(
                    as_given(given),
                    lost.iter().map(|r| plain(r)).collect(),
                    "reduced",
                );
            }
            for target in self.kept_targets(&lost, kept) {
                reduced.relate(as_given(target), Vec::new());
            }
        }
        (removed.finish(), reduced.finish())
    }

    fn kept_targets(&self, relationships: &[&Value], kept: &HashMap<&str, usize>) -> Vec<&Value> {
        relationships
            .iter()
            .map(|relationship| key_of(relationship).1)
            .filter(|target| kept.contains_key(target))
            .filter_map(|target| self.given(target))
            .collect()
    }

    fn given(&self, id: &str) -> Option<&Value> {
        self.previous
            .instance(id)
            .and_then(|index| self.previous.given.get(index).copied())
    }

    fn nodes(&self) -> impl Iterator<Item = usize> {
        (0..self.forest.instances.len()).filter(|index| {
            !self
                .topology
                .entity(self.forest.get(*index).entity)
                .is_group
        })
    }

    fn is_new(&self, index: usize) -> bool {
        self.is_new.get(index).copied().unwrap_or(false)
    }

    fn ties(&self, index: usize) -> &[Tie] {
        self.links.of_instance.get(index).map_or(&[], Vec::as_slice)
    }

    /// The relationships an instance had.
    fn known(&self, id: &str) -> HashSet<(&str, &str)> {
        self.given(id)
            .into_iter()
            .flat_map(relationships)
            .map(key_of)
            .collect()
    }

    /// What makes a relationship of an instance the same one: its type and its target.
    fn key(&self, index: usize, tie: &Tie) -> (&str, &str) {
        let entity = self.topology.entity(self.forest.get(index).entity);
        let kind = entity.kind_at(tie.position);
        (kind, &self.forest.get(tie.target).id)
    }

    /// The instance without relationships.
    fn bare(&self, index: usize) -> Map {
        let id = self.forest.get(index).id.as_str();
        match self.given(id).filter(|_| !self.is_new(index)) {
            Some(given) => as_given(given),
            None => describe_one(self.topology, self.forest, index, &[]),
        }
    }

    fn relationships(&self, index: usize, ties: &[Tie]) -> Vec<Value> {
        let mut described = describe_one(self.topology, self.forest, index, ties);
        match described.shift_remove("relationships") {
            Some(Value::Array(relationships)) => relationships.into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

fn key_of(relationship: &Value) -> (&str, &str) {
    (
        text(relationship, "type").unwrap_or_default(),
        text(relationship, "target_id").unwrap_or_default(),
    )
}

/// A relationship as plans write it, whatever else a manager knows about it.
fn plain(relationship: &Value) -> Value {
    Value::Object(object! {
        "type": relationship.get("type"),
        "target_name": relationship.get("target_name"),
        "target_id": relationship.get("target_id"),
    })
}

/// An instance there was, as plans write it, without relationships.
fn as_given(given: &Value) -> Map {
    let node = node_of(given).map_or(Value::Null, Value::from);
    let mut described = Map::new();
    described.insert("id", given.get("id").cloned().unwrap_or_default());
    described.insert("name", node.clone());
    described.insert("node_id", node);
    if let Some(host) = given.get("host_id").filter(|host| host.is_string()) {
        described.insert("host_id", host.clone());
    }
    described.insert("relationships", Value::Array(List::default()));
    let groups = given.get("scaling_groups").and_then(Value::as_array);
    if let Some(groups) = groups.filter(|groups| !groups.is_empty()) {
        described.insert("scaling_groups", Value::Array(groups.clone()));
    }
    described
}
