//! The parsed plan: the JSON object that is stored with a blueprint and sent over the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A plan exactly as it is serialised: one object with the sections of the blueprint.
///
/// It stays JSON instead of becoming structs because it is passed on unread by nearly everyone
/// (stored, served, handed to workers), and its shape is a contract with clients. The parser builds
/// it, the planner rewrites it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan(Map<String, Value>);

impl Plan {
    pub fn new(sections: Map<String, Value>) -> Self {
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
            .map_or(&[], Vec::as_slice)
    }

    pub fn nodes_mut(&mut self) -> &mut [Value] {
        self.0
            .get_mut("nodes")
            .and_then(Value::as_array_mut)
            .map_or(&mut [], Vec::as_mut_slice)
    }

    pub fn node(&self, id: &str) -> Option<&Value> {
        self.nodes()
            .iter()
            .find(|node| node.get("id").and_then(Value::as_str) == Some(id))
    }

    /// A section that is an object; nothing when it is absent, null or another kind.
    pub fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    pub fn into_map(self) -> Map<String, Value> {
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

impl From<Plan> for Value {
    fn from(plan: Plan) -> Self {
        Value::Object(plan.0)
    }
}
