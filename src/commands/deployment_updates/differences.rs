//! What an update makes of the nodes of a deployment.
use std::collections::HashMap;

use serde_json::{Map, Value, json};
use stratalog_projections::views::{Json, deployments::Deployment, nodes::Node};
use stratalog_schema::events::NodeChanged;

use crate::{
    commands::{
        json::{list, object},
        nodes::NewNode,
    },
    error::Error,
};

/// Where the plan of a node holds the numbers of its instances.
const SCALABLE: &str = "/scalable/properties";

/// Nodes that come, go and change.
#[derive(Debug, Default)]
pub(super) struct NodeDifferences {
    /// The new ones.
    pub(super) added: Vec<NewNode>,
    /// Ids of those that go.
    pub(super) removed: Vec<String>,
    /// For the others, what of them is another.
    pub(super) attributes: Map<String, Value>,
    /// Changes of the others, while what goes is still there.
    pub(super) changes: Vec<NodeChanged>,
    /// Plugins of the manager that no node names any more.
    pub(super) central_plugins: Vec<Value>,
    /// By host, plugins of its agent that it does not need any more.
    pub(super) host_plugins: Map<String, Value>,
}

impl NodeDifferences {
    /// Between the nodes there are and those of a prepared plan.
    ///
    /// # Errors
    /// `Internal` for stored documents of another shape.
    pub(super) fn new(
        deployment: &Deployment,
        before: &[Node],
        after: Vec<NewNode>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let is_kept = |node: &&Node| after.iter().any(|new| new.id == node.id);
        let gone = before.iter().filter(|node| !is_kept(node));
        found.removed = gone.map(|node| node.id.clone()).collect();
        found.plugins(before, &after)?;
        let known: HashMap<&str, &Node> =
            before.iter().map(|node| (node.id.as_str(), node)).collect();
        for new in after {
            match known.get(new.id.as_str()) {
                Some(old) => found.compare(deployment, old, &new)?,
                None => found.added.push(new),
            }
        }
        Ok(found)
    }

    /// As clients see them.
    pub(super) fn described(&self) -> Value {
        let added: Vec<&str> = self.added.iter().map(|node| node.id.as_str()).collect();
        json!({
            "modify_attributes": self.attributes,
            "add": added,
            "remove": self.removed,
            "host_plugins_to_uninstall": self.host_plugins,
            "cda_plugins_to_uninstall": self.central_plugins,
        })
    }

    fn compare(&mut self, deployment: &Deployment, old: &Node, new: &NewNode) -> Result<(), Error> {
        let mut change = unchanged(deployment, &old.id);
        // the numbers are written anew whatever they are
        let mut attributes = vec!["capabilities"];
        counts(&mut change, new);
        let plugins = list(old.plugins.as_ref())?;
        let kept_plugins = union(&new.plugins, &plugins, is_same_plugin);
        if plugins != items(&new.plugins) {
            attributes.push("plugins");
            change.plugins_json = Some(Value::from(kept_plugins).to_string());
        }
        let relationships = list(old.relationships.as_ref())?;
        if relationships != items(&new.relationships) {
            attributes.push("relationships");
            let all = union_of_relationships(items(&new.relationships), &relationships);
            change.relationships_json = Some(Value::from(all).to_string());
        }
        for (name, stored, wanted, field) in [
            (
                "properties",
                &old.properties,
                &new.properties,
                &mut change.properties_json,
            ),
            (
                "operations",
                &old.operations,
                &new.operations,
                &mut change.operations_json,
            ),
        ] {
            if Value::Object(object(stored.as_ref())?) != *wanted {
                attributes.push(name);
                *field = Some(wanted.to_string());
            }
        }
        if value(old.plugins_to_install.as_ref())? != new.plugins_to_install {
            change.plugins_to_install_json = Some(new.plugins_to_install.to_string());
        }
        if let Some(hierarchy) = &new.type_hierarchy
            && *hierarchy != old.type_hierarchy
        {
            change.type_hierarchy.clone_from(hierarchy);
        }
        self.attributes.insert(old.id.clone(), attributes.into());
        self.changes.push(change);
        Ok(())
    }

    /// Which plugins nothing names any more.
    fn plugins(&mut self, before: &[Node], after: &[NewNode]) -> Result<(), Error> {
        let is_central = |plugin: &&Value| {
            plugin.get("executor").and_then(Value::as_str) == Some("central_deployment_agent")
        };
        let needed: Vec<Value> = after.iter().flat_map(|node| items(&node.plugins)).collect();
        for node in before {
            for plugin in list(node.plugins.as_ref())?.iter().filter(is_central) {
                let is_there = |known: &[Value]| known.iter().any(|k| is_same_plugin(k, plugin));
                if !is_there(&needed) && !is_there(&self.central_plugins) {
                    self.central_plugins.push(plugin.clone());
                }
            }
            let Some(new) = after.iter().find(|new| new.id == node.id) else {
                continue;
            };
            let needed = items(&new.plugins_to_install);
            let unneeded: Vec<Value> = list(node.plugins_to_install.as_ref())?
                .into_iter()
                .filter(|plugin| needed.iter().all(|known| !is_same_plugin(known, plugin)))
                .collect();
            if !unneeded.is_empty() {
                self.host_plugins.insert(node.id.clone(), unneeded.into());
            }
        }
        Ok(())
    }
}

/// A change of a node of a deployment that changes nothing yet.
pub(super) fn unchanged(deployment: &Deployment, id: &str) -> NodeChanged {
    NodeChanged {
        deployment_id: deployment.id.clone(),
        tenant: deployment.tenant_name.clone(),
        id: id.to_owned(),
        ..NodeChanged::default()
    }
}

fn counts(change: &mut NodeChanged, new: &NewNode) {
    let counts = new.capabilities.as_ref().and_then(|c| c.pointer(SCALABLE));
    let count = |name: &str| counts?.get(name)?.as_i64();
    // instances are created with it, so there will be as many as planned
    change.number_of_instances = count("planned_instances");
    change.planned_number_of_instances = count("planned_instances");
    change.deploy_number_of_instances = count("default_instances");
    change.min_number_of_instances = count("min_instances");
    change.max_number_of_instances = count("max_instances");
}

fn value(stored: Option<&Json>) -> Result<Value, Error> {
    stored.map_or(Ok(Value::Null), |json| {
        serde_json::from_str(json.get()).map_err(Error::internal)
    })
}

/// The items of a list of the plan.
pub(super) fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn union(new: &Value, old: &[Value], is_same: impl Fn(&Value, &Value) -> bool) -> Vec<Value> {
    let mut all = items(new);
    for one in old {
        if all.iter().all(|known| !is_same(known, one)) {
            all.push(one.clone());
        }
    }
    all
}

fn is_same_plugin(left: &Value, right: &Value) -> bool {
    left.get("name") == right.get("name")
}

/// What makes a relationship of a node the same one, beside its place among such.
pub(super) fn identity(relationship: &Value) -> (&str, &str) {
    let text = |key: &str| {
        relationship
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    (text("type"), text("target_id"))
}

/// The new relationships, then those of the old ones that have no successor: they are still to be
/// taken down.
fn union_of_relationships(new: Vec<Value>, old: &[Value]) -> Vec<Value> {
    let mut successors: HashMap<(&str, &str), usize> = HashMap::new();
    for relationship in &new {
        *successors.entry(identity(relationship)).or_default() += 1;
    }
    let mut removed = Vec::new();
    for relationship in old {
        match successors.get_mut(&identity(relationship)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => removed.push(relationship.clone()),
        }
    }
    let mut all = new;
    all.extend(removed);
    all
}

#[cfg(test)]
mod tests {
    //! What stays of a node's relationships until an update ends.
    use super::*;

    #[test]
    fn relationships_without_a_successor_come_last() {
        let relation =
            |target: &str, mark: i32| json!({"type": "t", "target_id": target, "m": mark});
        let new = vec![relation("b", 1), relation("a", 1)];
        let old = [relation("a", 0), relation("a", 0), relation("c", 0)];
        let all = union_of_relationships(new, &old);
        let shown: Vec<(&str, i64)> = all
            .iter()
            .map(|one| (identity(one).1, one["m"].as_i64().unwrap_or(-1)))
            .collect();
        assert_eq!(shown, [("b", 1), ("a", 1), ("a", 0), ("c", 0)]);
    }
}
