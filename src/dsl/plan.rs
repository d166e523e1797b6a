//! The parsed plan: the JSON object that is stored with a blueprint and sent over the wire.

use crate::dsl::value::{List, Map, Value};
use serde::{Deserialize, Serialize};

/// A plan exactly as it is serialised: one object with the sections of the blueprint.
///
/// It stays JSON instead of becoming structs because it is passed on unread by nearly everyone
/// (stored, served, handed to workers), and its shape is a contract with clients. The parser builds
/// it, the planner rewrites it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan(Map);

impl Plan {
    pub fn new(sections: Map) -> Self {
        Self(sections)
    }

    pub fn section(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn section_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.get_mut(name)
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The nodes in document order.
    pub fn nodes(&self) -> &[Value] {
        self.0
            .get("nodes")
            .and_then(Value::as_array)
            .map_or(&[], List::as_slice)
    }

    pub fn nodes_mut(&mut self) -> &mut [Value] {
        self.0
            .get_mut("nodes")
            .and_then(Value::as_array_mut)
            .map_or(&mut [], List::as_mut_slice)
    }

    pub fn node(&self, id: &str) -> Option<&Value> {
        self.nodes()
            .iter()
            .find(|node| node.get("id").and_then(Value::as_str) == Some(id))
    }

    /// A section that is an object; nothing when it is absent, null or another kind.
    pub fn object(&self, name: &str) -> Option<&Map> {
        self.0.get(name).and_then(Value::as_object)
    }

    pub fn as_map(&self) -> &Map {
        &self.0
    }

    pub fn as_map_mut(&mut self) -> &mut Map {
        &mut self.0
    }

    pub fn into_map(self) -> Map {
        self.0
    }

    /// The minor number of the language version: 4 for `cloudify_dsl_1_4`.
    pub fn minor_version(&self) -> u64 {
        self.0
            .get("version")
            .and_then(|version| version.get("definitions_version")?.get(1)?.as_u64())
            .unwrap_or(0)
    }
}

impl From<Plan> for serde_json::Value {
    fn from(plan: Plan) -> Self {
        Self::Object(plan.0.into())
    }
}

impl From<Plan> for Value {
    fn from(plan: Plan) -> Self {
        Value::Object(plan.0)
    }
}
