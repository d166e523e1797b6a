//! What a running deployment is asked while functions are evaluated.

use std::sync::Arc;

use crate::dsl::value::Value;

use super::fault::failed;
use crate::dsl::DslError;

/// The label that names the environment of a deployment.
const PARENT_LABEL: &str = "csys-obj-parent";

/// A running deployment. The answers are as the REST API shows them.
pub trait Storage {
    fn input(&self, name: &str) -> Result<Option<Value>, DslError>;

    /// A node with `id`, `properties` and `relationships`.
    fn node(&self, id: &str) -> Result<Option<Arc<Value>>, DslError>;

    /// A node instance with `id`, `node_id`, `runtime_properties`, `relationships`,
    /// `scaling_groups`, `index`.
    fn node_instance(&self, id: &str) -> Result<Option<Arc<Value>>, DslError>;

    /// All instances of a node.
    fn node_instances(&self, node_id: &str) -> Result<Vec<Arc<Value>>, DslError>;

    /// The value of a secret; nothing when there is none of that name.
    fn secret(&self, name: &str) -> Result<Option<Value>, DslError>;

    /// A capability: deployment, name, and what follows.
    fn capability(&self, path: &[Value]) -> Result<Value, DslError>;

    /// A capability, or several, of all deployments of a group.
    fn group_capability(&self, path: &[Value]) -> Result<Value, DslError>;

    /// The values of a label of the deployment; nothing when it has no such label.
    fn label(&self, key: &str) -> Result<Option<Vec<Value>>, DslError>;

    /// A fact about the `tenant` or the `deployment`.
    fn system(&self, entity: &str, property: &str) -> Result<Value, DslError>;

    /// The `ids`, `names` or `count` of the deployments that use this one.
    fn consumers(&self, property: &str) -> Result<Value, DslError>;

    /// A capability of the deployment this one is in.
    fn environment_capability(&self, path: &[Value]) -> Result<Value, DslError> {
        let parents = self.label(PARENT_LABEL)?.unwrap_or_default();
        let Some(parent) = parents.into_iter().next() else {
            return Err(failed(
                "get_environment_capability: the deployment is in no environment".to_owned(),
            ));
        };
        let mut full = vec![parent];
        full.extend_from_slice(path);
        self.capability(&full)
    }
}

/// On whose behalf functions are evaluated: ids of node instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    pub own: Option<String>,
    pub source: Option<String>,
    pub target: Option<String>,
}

impl Context {
    /// Reads the context as it comes over the wire.
    pub fn from_json(context: &Value) -> Self {
        let id = |key: &str| context.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            own: id("self"),
            source: id("source").or_else(|| id("source_instance")),
            target: id("target").or_else(|| id("target_instance")),
        }
    }
}
