//! "Run this workflow": from the server to a worker that runs workflows written in Python.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CONTEXT_KEY, Plugin, TenantRef};

/// Everything about the execution, besides the workflow's parameters. Fields of a deployment are
/// absent when the execution has none; the plugin is absent when the worker's own interpreter runs
/// the workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowContext {
    #[serde(rename = "type")]
    pub kind: String,
    pub task_id: String,
    pub execution_id: String,
    pub task_name: String,
    pub workflow_id: String,
    pub dry_run: bool,
    pub is_system_workflow: bool,
    pub execution_creator_username: Option<String>,
    pub task_target: String,
    pub tenant: TenantRef,
    pub resume: Option<bool>,
    /// Seconds.
    pub wait_after_fail: Option<i64>,
    pub bypass_maintenance: Option<bool>,
    pub execution_token: String,
    pub rest_token: String,
    pub rest_host: Vec<String>,
    pub rest_port: u16,
    #[serde(flatten)]
    pub deployment: Option<WorkflowDeployment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Plugin>,
}

/// The deployment's share of a workflow's context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDeployment {
    pub deployment_id: String,
    pub deployment_display_name: Option<String>,
    pub deployment_creator: Option<String>,
    pub deployment_resource_tags: Option<Value>,
    pub blueprint_id: Option<String>,
    pub runtime_only_evaluation: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowTask {
    pub id: String,
    pub execution_creator: i64,
    pub parameters: Map<String, Value>,
    pub context: WorkflowContext,
}

impl WorkflowTask {
    pub fn to_body(&self) -> Result<Value, serde_json::Error> {
        let mut kwargs = self.parameters.clone();
        kwargs.insert(CONTEXT_KEY.to_owned(), serde_json::to_value(&self.context)?);
        Ok(json!({
            "cloudify_task": {"kwargs": kwargs},
            "id": self.id,
            "execution_creator": self.execution_creator,
        }))
    }
}
