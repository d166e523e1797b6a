//! `node_templates`: the nodes of the plan.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dsl::value::{List, Map, Value, object};
use indexmap::IndexMap;

use super::context::{Context, map, text};
use super::operations::{Finder, Need};
use super::plugins::{Plugin, Plugins};
use super::relationships::{self, Relationship};
use super::types::{Type, Types};
use super::values::{DataTypes, merge_properties};
use super::{derive, properties, scalable};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

const SECTION: &str = "node_templates";
const CENTRAL: &str = "central_deployment_agent";

/// What node templates are read against.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub context: &'a Context<'a>,
    pub finder: &'a Finder<'a>,
    pub node_types: &'a Types,
    pub relationships: &'a Types,
    pub data_types: &'a DataTypes,
}

/// One node template, resolved.
#[derive(Debug)]
pub(super) struct Node {
    pub name: Arc<str>,
    is_host: bool,
    fields: Map,
    /// The plugins its own operations need.
    plugins: Arc<[Need]>,
    pub relationships: Vec<Relationship>,
}

impl Node {
    /// The node it is contained in.
    pub(super) fn container(&self) -> Option<&str> {
        let containment = self
            .relationships
            .iter()
            .find(|relationship| relationship.is_containment);
        containment.map(|relationship| &*relationship.target)
    }
}

pub(super) type Nodes = IndexMap<Arc<str>, Node>;

impl Reader<'_> {
    /// All node templates; what is wrong with one is reported and the template left out.
    pub(super) fn read(&self) -> Nodes {
        let mut nodes = Nodes::new();
        for (name, fields) in self.context.section(SECTION) {
            let node = self.one(name, map(Some(fields)));
            if let Some(node) = self.context.take(node) {
                nodes.insert(name.clone(), node);
            }
        }
        let order = derive::order(
            self.context,
            SECTION,
            self.context.section(SECTION),
            targets,
        );
        self.context.take(order);
        nodes
    }

    fn one(&self, name: &Arc<str>, fields: &Map) -> Result<Node, Diagnostic> {
        let path = Path::from([SECTION, name]);
        let type_name = text(fields, "type").unwrap_or_default();
        let node_type = self.node_type(type_name, &path)?;
        let given = map(fields.get("properties"));
        let merged =
            merge_properties(given, &node_type.properties, self.data_types).map_err(|misfit| {
                properties::misfit_at(self.context, misfit, &path.then("properties"))
            })?;
        let below = path.then("interfaces");
        let interfaces = fields.get("interfaces");
        let applied = self
            .finder
            .apply(interfaces, node_type.interfaces(0), 10, &below)?;
        let scalable = scalable::of_node(self.context, fields, &path)?;
        let reader = relationships::Reader {
            context: self.context,
            finder: self.finder,
            types: self.relationships,
            data_types: self.data_types,
        };
        let written = fields.get("relationships").and_then(Value::as_array);
        let written = written.map_or(&[][..], List::as_slice);
        let relationships = reader.read(name, written, &path.then("relationships"))?;
        let instances = fields.get("instances").filter(|value| !value.is_null());
        let fields = object! {
            "name": name,
            "id": name,
            "type": type_name,
            "type_hierarchy": &node_type.hierarchy,
            "properties": merged,
            "interfaces": applied.interfaces,
            "operations": applied.operations,
            "relationships": relationships.iter().map(|one| &one.fields).collect::<Vec<_>>(),
            "capabilities": object! { "scalable": object! { "properties": scalable } },
            "instances": instances.unwrap_or(&Value::Object(Map::new())),
        };
        let is_host = node_type
            .hierarchy
            .iter()
            .filter_map(Value::as_str)
            .any(|name| name.contains("cloudify.nodes.Compute"));
        Ok(Node {
            name: Arc::clone(name),
            is_host,
            fields,
            plugins: applied.plugins,
            relationships,
        })
    }

    fn node_type(&self, name: &str, path: &Path) -> Result<&Type, Diagnostic> {
        if self
            .context
            .section("node_types")
            .get(name)
            .is_some_and(Value::is_null)
        {
            let message = format!("the node type '{name}' has no definition");
            let exception = Exception::Uncontrolled("KeyError");
            return Err(self
                .context
                .diagnostic(exception, None, message, path.then("type"))
                .expected("a map; {} for a type that adds nothing"));
        }
        self.node_types.get(name).ok_or_else(|| {
            let message = format!("there is no node type '{name}'");
            self.context
                .logic(7, message, path.then("type"))
                .expected("the name of a node type, defined or imported")
                .did_you_mean(name, self.node_types.keys().map(|name| &**name))
        })
    }
}

/// The nodes a template has relationships with.
fn targets(fields: &Map) -> Vec<&str> {
    let relationships = fields.get("relationships").and_then(Value::as_array);
    let target = |relationship: &'_ Value| text(map(Some(relationship)), "target").is_some();
    relationships
        .into_iter()
        .flatten()
        .filter(|relationship| target(relationship))
        .filter_map(|relationship| relationship.get("target").and_then(Value::as_str))
        .collect()
}

/// The plugin lists of a plan.
#[derive(Debug, Default)]
pub(super) struct Installs {
    pub deployment: Vec<Value>,
    pub host_agent: Vec<Value>,
}

/// Plugins of one node, by name and executor.
type Needed<'n> = IndexMap<&'n Need, Plugin>;

/// Finishes the nodes: on which host each is, which plugins each needs, and where those are
/// installed.
pub(super) fn finish(
    context: &Context<'_>,
    nodes: &Nodes,
    plugins: &Plugins,
) -> Result<(Vec<Value>, Installs), Diagnostic> {
    let hosts = hosts(nodes);
    let needed = needed(nodes, plugins);
    let of_node = |name: &str| needed.get(name).into_iter().flat_map(IndexMap::values);
    let mut of_hosts: HashMap<&str, IndexMap<&str, Value>> = HashMap::new();
    for name in nodes.keys() {
        for plugin in of_node(name).filter(|plugin| plugin.executor == "host_agent") {
            let Some(host) = hosts.get(&**name) else {
                return Err(homeless(context, name, &plugin.name));
            };
            let plugins = of_hosts.entry(host).or_default();
            plugins
                .entry(&plugin.name)
                .or_insert_with(|| plugin.to_value());
        }
    }
    let mut installs = Installs::default();
    let mut finished = Vec::with_capacity(nodes.len());
    for (name, node) in nodes {
        let mut fields = node.fields.clone();
        let mut central: IndexMap<&str, Value> = IndexMap::new();
        for plugin in of_node(name).filter(|plugin| plugin.executor == CENTRAL) {
            central
                .entry(&plugin.name)
                .or_insert_with(|| plugin.to_value());
        }
        let central: Vec<_> = central.into_values().collect();
        fields.insert("plugins", of_node(name).map(Plugin::to_value).collect());
        add_new(&mut installs.deployment, &central);
        fields.insert("deployment_plugins_to_install", central.into());
        if let Some(host) = hosts.get(&**name) {
            fields.insert("host_id", host.into());
        }
        if node.is_host {
            let on_host = of_hosts.remove(&**name).unwrap_or_default();
            let on_host: Vec<_> = on_host.into_values().collect();
            add_new(&mut installs.host_agent, &on_host);
            fields.insert("plugins_to_install", on_host.into());
        }
        finished.push(Value::Object(fields));
    }
    Ok((finished, installs))
}

fn homeless(context: &Context<'_>, node: &str, plugin: &str) -> Diagnostic {
    let message =
        format!("'{node}' needs the plugin '{plugin}' on its host, but is contained in none");
    context
        .logic(24, message, Path::from([SECTION, node]))
        .expected("a relationship of containment to a Compute node, or the executor central_deployment_agent")
}

/// Adds the plugins whose names are not there yet.
fn add_new(list: &mut Vec<Value>, plugins: &[Value]) {
    for plugin in plugins {
        if !list
            .iter()
            .any(|present| present.get("name") == plugin.get("name"))
        {
            list.push(plugin.clone());
        }
    }
}

/// Node name to the name of its host. Containment has no cycles: they were refused.
fn hosts(nodes: &Nodes) -> HashMap<&str, Arc<str>> {
    let mut hosts = HashMap::new();
    for node in nodes.values() {
        let mut current = node;
        for _ in 0..=nodes.len() {
            if current.is_host {
                hosts.insert(&*node.name, Arc::clone(&current.name));
                break;
            }
            let Some(container) = current.container().and_then(|name| nodes.get(name)) else {
                break;
            };
            current = container;
        }
    }
    hosts
}

/// What every node needs: for its own operations, for its side of its relationships, and for its
/// side of those that point at it.
fn needed<'n>(nodes: &'n Nodes, plugins: &Plugins) -> HashMap<&'n str, Needed<'n>> {
    let mut variants: HashMap<&Need, Plugin> = HashMap::new();
    let mut all: HashMap<&str, Needed<'_>> = HashMap::new();
    let mut add = |node: &'n str, needs: &'n [Need]| {
        for need in needs {
            let Some(plugin) = plugins.get(&need.0) else {
                continue;
            };
            let variant = variants
                .entry(need)
                .or_insert_with(|| plugin.with_executor(&need.1));
            let needed = all.entry(node).or_default();
            needed.entry(need).or_insert_with(|| variant.clone());
        }
    };
    for node in nodes.values() {
        add(&node.name, &node.plugins);
        for relationship in &node.relationships {
            add(&node.name, &relationship.source_plugins);
            add(&relationship.target, &relationship.target_plugins);
        }
    }
    all
}
