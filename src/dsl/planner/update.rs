//! What an update changes in a deployment, entity by entity.

use std::collections::{HashMap, HashSet};

use crate::dsl::value::{Map, Value};
use serde::Serialize;

use super::topology::{Topology, text};
use crate::dsl::{DslError, Plan};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Remove,
    Add,
    Modify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityType {
    Node,
    Relationship,
    Property,
    Operation,
    Output,
    Workflow,
    Group,
    Plugin,
    Description,
}

/// One thing that is added, removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateStep {
    pub action: Action,
    pub entity_type: EntityType,
    /// The way to the entity, such as `nodes`, `web`, `relationships`, `[0]`.
    pub entity_id: Vec<String>,
    /// Nodes that others depend on come first.
    pub topology_order: usize,
    /// Whether a deployment can follow this change at all.
    #[serde(skip)]
    pub is_supported: bool,
}

/// The steps from one prepared plan to another: what goes, then what comes, then what changes.
pub fn update_steps(old: &Plan, new: &Plan) -> Result<Vec<UpdateStep>, DslError> {
    let mut steps = Steps {
        found: Vec::new(),
        order: positions(new)?,
    };
    let (before, after) = (nodes_by_id(old), nodes_by_id(new));
    for node in old.nodes() {
        let id = text(node, "id").unwrap_or_default();
        match after.get(id) {
            None => steps.push(Action::Remove, EntityType::Node, &["nodes", id]),
            Some(changed) => steps.node(id, node, changed),
        }
    }
    for node in new.nodes() {
        let id = text(node, "id").unwrap_or_default();
        if !before.contains_key(id) {
            steps.push(Action::Add, EntityType::Node, &["nodes", id]);
        }
    }
    steps.section(old, new, "outputs", EntityType::Output);
    steps.section(old, new, "workflows", EntityType::Workflow);
    let groups = steps.found.len();
    steps.section(old, new, "groups", EntityType::Group);
    for step in steps.found.iter_mut().skip(groups) {
        step.is_supported = false;
    }
    let (was, is) = (old.section("description"), new.section("description"));
    let written = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    if let Some(action) = difference(
        was.filter(|v| written(Some(v))),
        is.filter(|v| written(Some(v))),
    ) {
        steps.push(action, EntityType::Description, &["description"]);
    }
    steps.found.sort_by_key(UpdateStep::rank);
    Ok(steps.found)
}

impl UpdateStep {
    /// Removed relationships go before removed nodes, added nodes come before added relationships.
    fn rank(&self) -> (Action, bool, usize) {
        let is_node = self.entity_type == EntityType::Node;
        let late = match self.action {
            Action::Remove => is_node,
            Action::Add | Action::Modify => !is_node,
        };
        (self.action, late, self.topology_order)
    }
}

/// The position of each node in an order where targets come before their sources.
fn positions(plan: &Plan) -> Result<HashMap<String, usize>, DslError> {
    let no_groups = Map::new();
    let topology = Topology::new(plan.nodes(), &no_groups)?;
    let mut positions = HashMap::new();
    let mut waiting: Vec<(usize, bool)> = Vec::new();
    let mut seen = vec![false; topology.entities.len()];
    for start in 0..topology.entities.len() {
        waiting.push((start, false));
        while let Some((index, are_targets_done)) = waiting.pop() {
            let entity = topology.entity(index);
            if are_targets_done {
                positions.insert(entity.name.to_owned(), positions.len());
            } else if !std::mem::replace(&mut seen[index], true) {
                waiting.push((index, true));
                waiting.extend(entity.links.iter().map(|link| (link.target, false)));
            }
        }
    }
    Ok(positions)
}

fn nodes_by_id(plan: &Plan) -> HashMap<&str, &Value> {
    plan.nodes()
        .iter()
        .filter_map(|node| Some((text(node, "id")?, node)))
        .collect()
}

fn difference(old: Option<&Value>, new: Option<&Value>) -> Option<Action> {
    match (old, new) {
        (None, Some(_)) => Some(Action::Add),
        (Some(_), None) => Some(Action::Remove),
        (old, new) if old != new => Some(Action::Modify),
        _ => None,
    }
}

struct Steps {
    found: Vec<UpdateStep>,
    order: HashMap<String, usize>,
}

impl Steps {
    fn push(&mut self, action: Action, entity_type: EntityType, entity_id: &[&str]) {
        let node = entity_id.get(1).filter(|_| entity_type == EntityType::Node);
        let topology_order = node.and_then(|node| self.order.get(*node)).copied();
        self.found.push(UpdateStep {
            action,
            entity_type,
            entity_id: entity_id.iter().map(|part| (*part).to_owned()).collect(),
            topology_order: topology_order.unwrap_or(0),
            is_supported: true,
        });
    }

    fn refuse(&mut self, entity_type: EntityType, entity_id: &[&str]) {
        self.push(Action::Modify, entity_type, entity_id);
        if let Some(step) = self.found.last_mut() {
            step.is_supported = false;
        }
    }

    fn section(&mut self, old: &Plan, new: &Plan, name: &str, entity_type: EntityType) {
        self.entries(old.section(name), new.section(name), entity_type, &[name]);
    }

    /// Compares two maps entry by entry.
    fn entries(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        entity_type: EntityType,
        prefix: &[&str],
    ) {
        let none = Map::new();
        let old = old.and_then(Value::as_object).unwrap_or(&none);
        let new = new.and_then(Value::as_object).unwrap_or(&none);
        let added = new.keys().filter(|key| !old.contains_key(key));
        for key in old.keys().chain(added) {
            if let Some(action) = difference(old.get(key), new.get(key)) {
                let mut entity_id = prefix.to_vec();
                entity_id.push(key);
                self.push(action, entity_type, &entity_id);
            }
        }
    }

    fn node(&mut self, id: &str, old: &Value, new: &Value) {
        if old.get("type") != new.get("type") {
            self.refuse(EntityType::Node, &["nodes", id]);
            return;
        }
        for (section, entity_type) in [
            ("properties", EntityType::Property),
            ("operations", EntityType::Operation),
        ] {
            let prefix = ["nodes", id, section];
            self.entries(old.get(section), new.get(section), entity_type, &prefix);
        }
        self.relationships(id, old, new);
        for section in ["plugins", "plugins_to_install"] {
            let (old, new) = (plugins(old, section), plugins(new, section));
            self.entries(Some(&old), Some(&new), EntityType::Plugin, &[section, id]);
        }
    }

    fn relationships(&mut self, id: &str, old: &Value, new: &Value) {
        let (before, after) = (identified(old), identified(new));
        let places: HashMap<&Identity<'_>, (usize, &Value)> = after
            .iter()
            .enumerate()
            .map(|(at, (identity, relationship))| (identity, (at, *relationship)))
            .collect();
        let (was_in, is_in) = (container(old), container(new));
        for (at, (identity, relationship)) in before.iter().enumerate() {
            let from = format!("[{at}]");
            let prefix = ["nodes", id, "relationships", from.as_str()];
            match places.get(identity) {
                None if is_container(relationship) && was_in != is_in => {
                    self.refuse(EntityType::Relationship, &prefix);
                }
                None => self.push(Action::Remove, EntityType::Relationship, &prefix),
                Some((place, changed)) => {
                    if *place != at {
                        let to = format!("[{place}]");
                        let mut moved = prefix.to_vec();
                        moved.push(&to);
                        self.push(Action::Modify, EntityType::Relationship, &moved);
                    }
                    self.relationship(id, *place, relationship, changed);
                }
            }
        }
        let known: HashSet<&Identity<'_>> = before.iter().map(|(identity, _)| identity).collect();
        for (at, (identity, relationship)) in after.iter().enumerate() {
            if known.contains(identity) {
                continue;
            }
            let to = format!("[{at}]");
            let entity_id = ["nodes", id, "relationships", to.as_str()];
            // A new container was refused with the old one, unless there was none.
            if !is_container(relationship) {
                self.push(Action::Add, EntityType::Relationship, &entity_id);
            } else if was_in.is_none() {
                self.refuse(EntityType::Relationship, &entity_id);
            }
        }
    }

    fn relationship(&mut self, id: &str, at: usize, old: &Value, new: &Value) {
        let place = format!("[{at}]");
        let prefix = ["nodes", id, "relationships", place.as_str()];
        if old.get("properties") != new.get("properties") {
            self.refuse(EntityType::Relationship, &prefix);
        }
        for section in ["source_operations", "target_operations"] {
            let mut below = prefix.to_vec();
            below.push(section);
            self.entries(
                old.get(section),
                new.get(section),
                EntityType::Operation,
                &below,
            );
        }
    }
}

/// What makes a relationship of a node the same one: its type, its target, and which of such it is.
type Identity<'r> = (&'r str, &'r str, usize);

fn identified(node: &Value) -> Vec<(Identity<'_>, &Value)> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    relationships_of(node)
        .map(|relationship| {
            let kind = text(relationship, "type").unwrap_or_default();
            let target = text(relationship, "target_id").unwrap_or_default();
            let count = counts.entry((kind, target)).or_default();
            let identity = (kind, target, *count);
            *count += 1;
            (identity, relationship)
        })
        .collect()
}

fn relationships_of(node: &Value) -> impl Iterator<Item = &Value> {
    node.get("relationships")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn container(node: &Value) -> Option<&str> {
    relationships_of(node)
        .find(|relationship| is_container(relationship))
        .and_then(|relationship| text(relationship, "target_id"))
}

fn is_container(relationship: &Value) -> bool {
    relationship
        .get("type_hierarchy")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|ancestor| ancestor.as_str() == Some(super::topology::CONTAINED_IN))
}

/// The plugins of a node by name.
fn plugins(node: &Value, section: &str) -> Value {
    let plugins = node
        .get(section)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let named = plugins.filter_map(|plugin| {
        let name = text(plugin, "name").or_else(|| text(plugin, "package_name"))?;
        Some((name.to_owned(), plugin.clone()))
    });
    Value::Object(named.collect())
}
