//! What only a restored deployment brings with it in its creation.
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_schema::events::DeploymentChanged;

use super::workdir;
use crate::{commands::deployments::Restored, error::Error, rest::Request};

/// Members of the body that count when `workdir_zip` is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    workdir_zip: Option<String>,
    description: Option<String>,
    workflows: Option<Map<String, Value>>,
    groups: Option<Map<String, Value>>,
    scaling_groups: Option<Map<String, Value>>,
    policy_triggers: Option<Map<String, Value>>,
    policy_types: Option<Map<String, Value>>,
    outputs: Option<Map<String, Value>>,
    capabilities: Option<Map<String, Value>>,
    resource_tags: Option<Map<String, Value>>,
    deployment_status: Option<String>,
    installation_status: Option<String>,
}

impl Attributes {
    /// The restored attributes and files, if this is a restoration.
    ///
    /// # Errors
    /// 400 for a working directory that is no zip.
    pub(super) async fn restored(
        &self,
        req: &Request,
        inputs: Option<&Map<String, Value>>,
    ) -> Result<Option<Restored>, Error> {
        let Some(zip) = &self.workdir_zip else {
            return Ok(None);
        };
        let workdir = workdir::unzipped(&req.ctx, zip).await?;
        let text = |map: &Option<Map<String, Value>>| {
            let map = map.clone()?;
            Some(Value::Object(map).to_string())
        };
        let attributes = DeploymentChanged {
            description: self.description.clone(),
            inputs_json: text(&inputs.cloned()),
            workflows_json: text(&self.workflows),
            groups_json: text(&self.groups),
            scaling_groups_json: text(&self.scaling_groups),
            policy_triggers_json: text(&self.policy_triggers),
            policy_types_json: text(&self.policy_types),
            outputs_json: text(&self.outputs),
            capabilities_json: text(&self.capabilities),
            resource_tags_json: text(&self.resource_tags),
            deployment_status: self.deployment_status.clone(),
            installation_status: self.installation_status.clone(),
            ..DeploymentChanged::default()
        };
        Ok(Some(Restored {
            attributes,
            workdir,
        }))
    }
}
