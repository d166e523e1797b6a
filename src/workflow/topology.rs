//! The deployment as a workflow sees it: nodes, their instances, and how these are related.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};
use stratalog_projections::views::{node_instances, nodes};

use crate::{
    commands::json::{list, object},
    error::Error,
};

/// Relationships of this kind put one instance into another.
const CONTAINED_IN: &str = "cloudify.relationships.contained_in";
/// Nodes of this type are machines.
const COMPUTE: &str = "cloudify.nodes.Compute";

/// A node with what workflows need of it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) type_hierarchy: Vec<String>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) operations: Map<String, Value>,
    pub(crate) relationships: Vec<Value>,
    pub(crate) plugins: Vec<Value>,
    pub(crate) host_id: Option<String>,
    pub(crate) number_of_instances: i64,
}

impl Node {
    pub(crate) fn is_compute(&self) -> bool {
        self.type_hierarchy.iter().any(|name| name == COMPUTE)
    }
}

/// One relationship of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Relationship {
    pub(crate) target_id: String,
    pub(crate) target_name: String,
    /// Its type.
    pub(crate) kind: String,
    /// Its place among the relationships of the node.
    pub(crate) of_node: Option<usize>,
}

/// A node instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) node_id: String,
    pub(crate) state: String,
    pub(crate) host_id: Option<String>,
    pub(crate) relationships: Vec<Relationship>,
    pub(crate) system_properties: Map<String, Value>,
    /// Names of the scaling groups it is in.
    pub(crate) scaling_groups: Vec<String>,
}

impl Instance {
    /// Its identity with some of its relationships: what operations of relationships need.
    pub(crate) fn with_relationships(&self, relationships: Vec<Relationship>) -> Self {
        Self {
            id: self.id.clone(),
            node_id: self.node_id.clone(),
            state: self.state.clone(),
            host_id: self.host_id.clone(),
            relationships,
            system_properties: Map::new(),
            scaling_groups: Vec::new(),
        }
    }
}

/// A deployment's nodes and instances.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    nodes: BTreeMap<String, Node>,
    instances: Vec<Instance>,
    by_id: HashMap<String, usize>,
}

/// Which instances a workflow is asked to work on; nothing given means all.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) node_ids: BTreeSet<String>,
    pub(crate) node_instance_ids: BTreeSet<String>,
    pub(crate) type_names: BTreeSet<String>,
}

impl Filter {
    pub(crate) fn from_parameters(parameters: &Map<String, Value>) -> Self {
        let set = |name: &str| {
            let listed = parameters.get(name).and_then(Value::as_array);
            let texts = listed.into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        Self {
            node_ids: set("node_ids"),
            node_instance_ids: set("node_instance_ids"),
            type_names: set("type_names"),
        }
    }

    fn admits(&self, node: &Node, instance: &Instance) -> bool {
        let all = |set: &BTreeSet<String>| set.is_empty();
        (all(&self.node_ids) || self.node_ids.contains(&node.id))
            && (all(&self.node_instance_ids) || self.node_instance_ids.contains(&instance.id))
            && (all(&self.type_names)
                || node
                    .type_hierarchy
                    .iter()
                    .any(|name| self.type_names.contains(name)))
    }
}

impl Topology {
    /// # Errors
    /// When stored documents have another shape.
    pub(crate) fn new(
        nodes: Vec<nodes::Node>,
        instances: Vec<node_instances::NodeInstance>,
    ) -> Result<Self, Error> {
        let mut topology = Self::default();
        for node in nodes {
            let node = Node {
                properties: object(node.properties.as_ref())?,
                operations: object(node.operations.as_ref())?,
                relationships: list(node.relationships.as_ref())?,
                plugins: list(node.plugins.as_ref())?,
                host_id: node.host_id,
                number_of_instances: node.number_of_instances,
                id: node.id,
                type_hierarchy: node.type_hierarchy,
            };
            topology.nodes.insert(node.id.clone(), node);
        }
        for instance in instances {
            let stored = list(instance.relationships.as_ref())?;
            let relationships = match topology.nodes.get(&instance.node_id) {
                Some(node) => relationships(node, &stored),
                None => continue,
            };
            topology
                .by_id
                .insert(instance.id.clone(), topology.instances.len());
            topology.instances.push(Instance {
                system_properties: object(instance.system_properties.as_ref())?,
                scaling_groups: names(&list(instance.scaling_groups.as_ref())?),
                relationships,
                id: instance.id,
                node_id: instance.node_id,
                state: instance.state,
                host_id: instance.host_id,
            });
        }
        Ok(topology)
    }

    pub(crate) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub(crate) fn instance(&self, id: &str) -> Option<&Instance> {
        self.by_id.get(id).and_then(|at| self.instances.get(*at))
    }

    /// The node of an instance. Instances of unknown nodes are not taken in.
    pub(crate) fn node_of(&self, instance: &Instance) -> &Node {
        self.nodes
            .get(&instance.node_id)
            .expect("instances are only taken in together with their node")
    }

    pub(crate) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// An instance with everything that is contained in it.
    pub(crate) fn contained(&self, id: &str) -> BTreeSet<String> {
        let mut held: HashMap<&str, Vec<&str>> = HashMap::new();
        for instance in &self.instances {
            for relationship in &instance.relationships {
                if self.is_containment(instance, relationship) {
                    let inside = held.entry(relationship.target_id.as_str()).or_default();
                    inside.push(&instance.id);
                }
            }
        }
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if found.insert(id.to_owned()) {
                open.extend(held.get(id).into_iter().flatten());
            }
        }
        found
    }

    fn is_containment(&self, instance: &Instance, relationship: &Relationship) -> bool {
        let spec = relationship.of_node;
        let spec = spec.and_then(|at| self.node_of(instance).relationships.get(at));
        let hierarchy = spec.and_then(|spec| spec.get("type_hierarchy")?.as_array());
        hierarchy.is_some_and(|names| names.iter().any(|name| name == CONTAINED_IN))
    }

    /// Instances of the node of this name, or within the scaling group.
    pub(crate) fn members(&self, name: &str) -> BTreeSet<&str> {
        let is_of = |instance: &&Instance| {
            instance.node_id == name || instance.scaling_groups.iter().any(|of| of == name)
        };
        let instances = self.instances.iter().filter(is_of);
        instances.map(|instance| instance.id.as_str()).collect()
    }

    /// Ids of the instances that a filter admits.
    pub(crate) fn select(&self, filter: &Filter) -> BTreeSet<String> {
        self.instances
            .iter()
            .filter(|instance| filter.admits(self.node_of(instance), instance))
            .map(|instance| instance.id.clone())
            .collect()
    }
}

/// Each stored relationship of an instance belongs to the node's relationship of the same type and
/// target; the nth of several equal ones to the nth, as far as targets repeat.
fn relationships(node: &Node, stored: &[Value]) -> Vec<Relationship> {
    let mut seen: HashMap<(&str, &str, &str), usize> = HashMap::new();
    let text = |value: &'_ Value, key: &str| -> String {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    stored
        .iter()
        .map(|stored| {
            let get = |key: &str| stored.get(key).and_then(Value::as_str).unwrap_or_default();
            let (name, kind) = (get("target_name"), get("type"));
            let nth = seen.entry((name, kind, get("target_id"))).or_insert(0);
            let mut matching = node
                .relationships
                .iter()
                .enumerate()
                .filter(|(_, candidate)| {
                    text(candidate, "target_id") == name && text(candidate, "type") == kind
                });
            let of_node = matching
                .clone()
                .nth(*nth)
                .or_else(|| matching.next())
                .map(|(at, _)| at);
            *nth += 1;
            Relationship {
                target_id: text(stored, "target_id"),
                target_name: name.to_owned(),
                kind: kind.to_owned(),
                of_node,
            }
        })
        .collect()
}

fn names(groups: &[Value]) -> Vec<String> {
    let name = |group: &Value| group.get("name")?.as_str().map(str::to_owned);
    groups.iter().filter_map(name).collect()
}
