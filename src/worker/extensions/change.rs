//! Healing and changing the deployments behind instances, and having them run workflows.
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, drift::asked_labels, is_given, object};

/// What a healing passes on to those of components; the instance to heal is its own.
const OF_HEALING: [&str; 3] = ["check_status", "allow_reinstall", "ignore_failure"];

impl Run<'_> {
    /// The component heals itself.
    pub(super) async fn heal(&mut self) -> Result<Value, Failure> {
        let id = self.require_deployment_id().await?;
        let mut parameters = self.own_parameters("heal");
        parameters.retain(|name, _| OF_HEALING.contains(&name.as_str()));
        self.in_turn(&id, ("heal", parameters)).await?;
        self.take_capabilities(&id).await?;
        Ok(Value::Null)
    }

    /// The component becomes what is said of it now. It stays the deployment it is.
    pub(super) async fn update(&mut self) -> Result<Value, Failure> {
        if self.moved().await?.client {
            return definite("a component cannot move to another manager or tenant");
        }
        let id = self.require_deployment_id().await?;
        let drift = self.component_drift(&id).await?;
        if drift.deployment.contains(&"id") {
            return definite(format!(
                "the component cannot become another deployment than `{id}`"
            ));
        }
        let is_other_blueprint = drift.blueprint.contains(&"id");
        if is_other_blueprint || drift.blueprint.contains(&"labels") {
            // makes it known, and sees to its labels
            self.upload().await?;
        }
        let config = self.config("deployment").await?;
        if is_other_blueprint || drift.deployment.contains(&"inputs") {
            let mut body = Map::new();
            if is_other_blueprint {
                let blueprint = self.runtime().await?.get("blueprint");
                let blueprint = blueprint.and_then(|blueprint| blueprint.get("id")).cloned();
                body.insert("blueprint_id".to_owned(), blueprint.unwrap_or_default());
            }
            if let Some(inputs) = config.get("inputs").filter(|inputs| is_given(inputs)) {
                body.insert("inputs".to_owned(), inputs.clone());
            }
            self.say(format!("Updating the deployment {id}")).await;
            if !self.deployment_update(&id, body).await? {
                return definite(format!("the update of the deployment `{id}` was cancelled"));
            }
        }
        if drift.deployment.contains(&"labels") {
            self.set_labels(&id, config.get("labels")).await?;
        }
        self.take_capabilities(&id).await?;
        Ok(Value::Null)
    }

    /// Labels that are asked for get the place of others with the same key; the rest stays.
    async fn set_labels(&self, id: &str, asked: Option<&Value>) -> Result<(), Failure> {
        let found = self.require_deployment(id).await?;
        let asked = asked_labels(asked);
        let is_asked = |key: &String| asked.iter().any(|(wanted, _)| wanted == key);
        let mut labels = asked_labels(found.get("labels"));
        // parents are added to: the component stays where it lives
        labels.retain(|(key, _)| key == "csys-obj-parent" || !is_asked(key));
        for label in &asked {
            if !labels.contains(label) {
                labels.push(label.clone());
            }
        }
        let labels: Vec<Value> = labels
            .into_iter()
            .map(|(key, value)| Value::Object(Map::from_iter([(key, value.into())])))
            .collect();
        let body = json!({ "labels": labels });
        self.there.patch(&["deployments", id], &body).await?;
        Ok(())
    }

    /// A relationship to a shared resource has its deployment run a workflow.
    pub(super) async fn execute_shared(&mut self) -> Result<Value, Failure> {
        if !self.is_relationship() {
            return definite("only relationships to shared resources can have workflows run");
        }
        let id = self.require_deployment_id().await?;
        let inputs = &self.job.task.inputs;
        let Some(workflow) = inputs.get("workflow_id").and_then(Value::as_str) else {
            return definite("the input `workflow_id` is missing");
        };
        let (workflow, mut parameters) = (workflow.to_owned(), object(inputs.get("parameters")));
        // maps among inputs are told the type that is declared of them; it is no parameter
        if parameters.get("type").and_then(Value::as_str) == Some("dict") {
            parameters.shift_remove("type");
        }
        self.in_turn(&id, (&workflow, parameters)).await?;
        Ok(Value::Null)
    }
}
