//! Service tasks: small requests to workers and agents beside their operations.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub const PING: &str = "ping";
pub const CANCEL_OPERATION: &str = "cancel-operation";
pub const INSTALL_PLUGIN: &str = "install-plugin";
pub const UNINSTALL_PLUGIN: &str = "uninstall-plugin";
/// Removes what a deployment has brought along.
pub const DELETE_SOURCE_PLUGINS: &str = "delete-source-plugins";
/// Tells agents of a changed cluster: its managers, brokers, and certificates.
pub const CLUSTER_UPDATE: &str = "cluster-update";
/// Tells agents of other certificates.
pub const REPLACE_CA_CERTS: &str = "replace-ca-certs";

/// `{"service_task": {…}}`, without the wrapper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceTask {
    pub task_name: String,
    #[serde(default)]
    pub kwargs: Option<Map<String, Value>>,
}

/// Kills the operations of an execution that run on the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    pub execution_id: String,
}

/// Seconds since the epoch on the receiver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PingReply {
    pub time: f64,
}

impl ServiceTask {
    pub fn new(task_name: &str, kwargs: Map<String, Value>) -> Self {
        Self {
            task_name: task_name.to_owned(),
            kwargs: Some(kwargs),
        }
    }

    pub fn ping() -> Self {
        Self::new(PING, Map::new())
    }

    pub fn cancel_operation(execution_id: &str) -> Self {
        let kwargs = Map::from_iter([("execution_id".to_owned(), json!(execution_id))]);
        Self::new(CANCEL_OPERATION, kwargs)
    }

    pub fn delete_source_plugins(tenant: &str, deployment: &str) -> Self {
        let named = [("tenant_name", tenant), ("deployment_id", deployment)];
        let kwargs = named.map(|(name, value)| (name.to_owned(), json!(value)));
        Self::new(DELETE_SOURCE_PLUGINS, Map::from_iter(kwargs))
    }

    pub fn to_body(&self) -> Value {
        json!({"service_task": self})
    }
}
