//! The blueprint's side of planning: nodes and scaling groups, what contains what, what connects to
//! what.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::dsl::value::{Map, Value};

use crate::dsl::{DslError, Exception};

pub(super) const CONTAINED_IN: &str = "cloudify.relationships.contained_in";
const CONNECTED_TO: &str = "cloudify.relationships.connected_to";
const DEPENDS_ON: &str = "cloudify.relationships.depends_on";

/// A node or a scaling group.
#[derive(Debug)]
pub(super) struct Entity<'p> {
    pub(super) name: &'p str,
    pub(super) is_group: bool,
    /// How many copies each instance of its parent gets; an error when the plan does not say.
    pub(super) count: Result<usize, DslError>,
    /// What instances of it live in: a node, or the group it is a member of.
    pub(super) parent: Option<usize>,
    /// The host named by the plan; a node that is its own host has its own name here.
    pub(super) host: Option<&'p str>,
    /// The node it is contained in, with the position of that relationship.
    pub(super) container: Option<Link<'p>>,
    pub(super) links: Vec<Link<'p>>,
}

impl Entity<'_> {
    pub(super) fn is_host(&self) -> bool {
        self.host == Some(self.name)
    }

    /// The type of the relationship at a position of the template.
    pub(super) fn kind_at(&self, position: usize) -> &str {
        self.links
            .binary_search_by_key(&position, |link| link.position)
            .ok()
            .and_then(|at| self.links.get(at))
            .map_or("", |link| link.kind)
    }
}

/// A relationship between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'p> {
    pub(super) target: usize,
    pub(super) kind: &'p str,
    pub(super) position: usize,
    pub(super) connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Contained,
    AllToAll,
    AllToOne,
}

#[derive(Debug)]
pub(super) struct Topology<'p> {
    pub(super) entities: Vec<Entity<'p>>,
    /// Every entity after the one that contains it.
    pub(super) order: Vec<usize>,
    by_name: HashMap<&'p str, usize>,
}

impl<'p> Topology<'p> {
    pub(super) fn new(nodes: &'p [Value], groups: &'p Map) -> Result<Self, DslError> {
        let mut entities = Vec::with_capacity(nodes.len() + groups.len());
        let mut by_name = HashMap::with_capacity(nodes.len() + groups.len());
        for node in nodes {
            let name = text(node, "id")
                .or_else(|| text(node, "name"))
                .unwrap_or_default();
            by_name.insert(name, entities.len());
            entities.push(Entity {
                name,
                is_group: false,
                count: node_count(node),
                parent: None,
                host: text(node, "host_id"),
                container: None,
                links: Vec::new(),
            });
        }
        let first_group = entities.len();
        for (name, group) in groups {
            by_name.insert(name, entities.len());
            entities.push(Entity {
                name,
                is_group: true,
                count: group_count(group),
                parent: None,
                host: None,
                container: None,
                links: Vec::new(),
            });
        }
        let mut topology = Self {
            entities,
            order: Vec::new(),
            by_name,
        };
        let members: HashSet<&str> = groups.values().flat_map(members).collect();
        for (source, node) in nodes.iter().enumerate() {
            let is_grouped = members.contains(topology.entity(source).name);
            topology.link((source, node), is_grouped)?;
        }
        for (offset, group) in groups.values().enumerate() {
            topology.enrol(first_group + offset, group);
        }
        topology.contain_groups();
        topology.sort();
        Ok(topology)
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn entity(&self, index: usize) -> &Entity<'p> {
        &self.entities[index]
    }

    /// The entity and everything around it, from the inside out.
    pub(super) fn around(&self, entity: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(entity), |index| self.entity(*index).parent)
    }

    /// The innermost scaling group that holds both.
    pub(super) fn common_group(&self, left: usize, right: usize) -> Option<usize> {
        let right: Vec<usize> = self.around(right).collect();
        self.around(left)
            .find(|index| self.entity(*index).is_group && right.contains(index))
    }

    /// A later relationship to the same target replaces an earlier one. The containment of a
    /// group's member goes to its group, so it stands beside others to the same container.
    fn link(
        &mut self,
        (source, node): (usize, &'p Value),
        is_grouped: bool,
    ) -> Result<(), DslError> {
        let relationships = node.get("relationships").and_then(Value::as_array);
        let mut links: BTreeMap<Option<usize>, Link<'p>> = BTreeMap::new();
        for (position, relationship) in relationships.into_iter().flatten().enumerate() {
            let name = text(relationship, "target_id").unwrap_or_default();
            let Some(target) = self.index(name) else {
                return Err(key_error(format!(
                    "relationship to an unknown node '{name}'"
                )));
            };
            let link = Link {
                target,
                kind: text(relationship, "type").unwrap_or_default(),
                position,
                connection: connection(relationship)?,
            };
            let goes_to_group = is_grouped && link.connection == Connection::Contained;
            links.insert((!goes_to_group).then_some(target), link);
        }
        let mut links: Vec<Link<'p>> = links.into_values().collect();
        links.sort_by_key(|link| link.position);
        let container = links
            .iter()
            .find(|link| link.connection == Connection::Contained)
            .copied();
        let entity = &mut self.entities[source];
        entity.parent = container.map(|link| link.target);
        entity.container = container;
        entity.links = links;
        Ok(())
    }

    fn enrol(&mut self, group: usize, plan: &Value) {
        for member in members(plan) {
            if let Some(index) = self.index(member) {
                self.entities[index].parent = Some(group);
            }
        }
    }

    /// The outermost group around a contained member is what its container holds.
    fn contain_groups(&mut self) {
        for index in 0..self.entities.len() {
            let Some(container) = self.entity(index).container else {
                continue;
            };
            let mut outermost = index;
            for _ in 0..self.entities.len() {
                match self.entity(outermost).parent {
                    Some(parent) if self.entity(parent).is_group => outermost = parent,
                    _ => break,
                }
            }
            if outermost != index && self.entity(outermost).parent.is_none() {
                self.entities[outermost].parent = Some(container.target);
            }
        }
    }

    fn sort(&mut self) {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.entities.len()];
        let mut order = Vec::with_capacity(self.entities.len());
        for (index, entity) in self.entities.iter().enumerate() {
            match entity.parent {
                Some(parent) => children[parent].push(index),
                None => order.push(index),
            }
        }
        let mut next = 0;
        while let Some(index) = order.get(next) {
            order.extend_from_slice(&children[*index]);
            next += 1;
        }
        self.order = order;
    }
}

fn members(group: &Value) -> impl Iterator<Item = &str> {
    let members = group.get("members").and_then(Value::as_array);
    members.into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn key_error(message: String) -> DslError {
    DslError::new(Exception::Uncontrolled("KeyError"), None, message)
}

fn connection(relationship: &Value) -> Result<Connection, DslError> {
    let ancestors = relationship.get("type_hierarchy").and_then(Value::as_array);
    let derives = |name: &str| {
        ancestors
            .into_iter()
            .flatten()
            .any(|ancestor| ancestor.as_str() == Some(name))
    };
    if derives(CONTAINED_IN) {
        return Ok(Connection::Contained);
    }
    let kind = text(relationship, "type").unwrap_or_default();
    if !derives(CONNECTED_TO) && !derives(DEPENDS_ON) {
        return Err(DslError::new(
            Exception::UnsupportedRelationship,
            None,
            format!(
                "relationship type '{kind}' derives from none of {DEPENDS_ON}, {CONNECTED_TO}, \
                 {CONTAINED_IN}"
            ),
        ));
    }
    let properties = relationship.get("properties");
    match properties.and_then(|properties| properties.get("connection_type")) {
        Some(Value::String(name)) if &**name == "all_to_all" => Ok(Connection::AllToAll),
        Some(Value::String(name)) if &**name == "all_to_one" => Ok(Connection::AllToOne),
        other => Err(DslError::new(
            Exception::IllegalConnectedToConnectionType,
            None,
            format!(
                "relationship type '{kind}' has the connection_type {}, not all_to_all or \
                 all_to_one",
                other.unwrap_or(&Value::Null)
            ),
        )),
    }
}

fn node_count(node: &Value) -> Result<usize, DslError> {
    let scalable = node
        .get("capabilities")
        .and_then(|capabilities| capabilities.get("scalable")?.get("properties"));
    let count = match scalable {
        Some(properties) => properties.get("current_instances"),
        None => node
            .get("number_of_instances")
            .or_else(|| node.get("deploy_number_of_instances")),
    };
    to_count(count, node.get("id"))
}

fn group_count(group: &Value) -> Result<usize, DslError> {
    let properties = group.get("properties");
    to_count(
        properties.and_then(|properties| properties.get("current_instances")),
        group.get("members"),
    )
}

/// Python's `range` makes nothing of a negative number and refuses what is no integer.
fn to_count(count: Option<&Value>, of: Option<&Value>) -> Result<usize, DslError> {
    match count {
        Some(Value::Bool(flag)) => Ok(usize::from(*flag)),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number
            .as_u64()
            .map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))),
        other => Err(DslError::new(
            Exception::Uncontrolled("TypeError"),
            None,
            format!(
                "the number of instances of {} is {}, not a number",
                of.unwrap_or(&Value::Null),
                other.unwrap_or(&Value::Null)
            ),
        )),
    }
}
