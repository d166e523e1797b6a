//! Shared resources: deployments that several others use, made by none of them. Those labelled
//! `csys-obj-type: on-demand-resource` are installed for their first user, and uninstalled after
//! their last.
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, text};

const KIND: &str = "sharedresource";

impl Run<'_> {
    pub(super) async fn connect(&mut self) -> Result<Value, Failure> {
        let config = self.config("deployment").await?;
        let Some(id) = text(&config, "id").map(str::to_owned) else {
            return definite("no deployment is given");
        };
        let found = self.require_deployment(&id).await?;
        self.note_manager().await?;
        self.set("deployment", json!({"id": id})).await?;
        if !is_active(&found) {
            if !has_label(&found, ("csys-obj-type", "on-demand-resource")) {
                return definite(format!("the deployment `{id}` is not installed"));
            }
            self.say(format!("Installing the deployment {id} on demand"))
                .await;
            let arguments = Map::from_iter([("queue".to_owned(), Value::Bool(true))]);
            self.workflow(&id, ("install", arguments)).await?;
        }
        self.depend(KIND, &id).await?;
        self.take_capabilities(&id).await?;
        Ok(Value::Null)
    }

    pub(super) async fn disconnect(&mut self) -> Result<Value, Failure> {
        let Some(id) = self.deployment_id().await? else {
            return Ok(Value::Null);
        };
        self.depend_no_more(KIND, &id).await?;
        if let Some(found) = self.deployment(&id).await?
            && is_active(&found)
            && has_label(&found, ("csys-obj-type", "on-demand-resource"))
            && labels(&found)
                .all(|(key, _)| key != "csys-consumer-id" && key != "on-demand-uninstall-off")
        {
            self.uninstall(&id).await?;
        }
        let runtime = self.runtime().await?;
        for name in [
            "deployment",
            "capabilities",
            "received_events",
            super::MANAGER,
        ] {
            runtime.shift_remove(name);
        }
        Ok(Value::Null)
    }

    /// Somebody else may have become its user meanwhile; then it stays.
    async fn uninstall(&mut self, id: &str) -> Result<(), Failure> {
        let arguments = Map::from_iter([("queue".to_owned(), Value::Bool(true))]);
        match self.workflow(id, ("uninstall", arguments)).await {
            Err(Failure::Definite(why)) => {
                let text = format!("The deployment {id} stays installed: {why}");
                self.job.logger.log("warning", text).await;
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

fn is_active(deployment: &Value) -> bool {
    let status = deployment.get("installation_status");
    status.and_then(Value::as_str) == Some("active")
}

fn labels(deployment: &Value) -> impl Iterator<Item = (&str, &str)> {
    let labels = deployment.get("labels").and_then(Value::as_array);
    labels.into_iter().flatten().filter_map(|label| {
        let part = |name: &str| label.get(name)?.as_str();
        Some((part("key")?, part("value")?))
    })
}

fn has_label(deployment: &Value, wanted: (&str, &str)) -> bool {
    labels(deployment).any(|label| label == wanted)
}
