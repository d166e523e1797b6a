//! Components: deployments that live and die with a node instance of another one.
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, flag, object, text};

const KIND: &str = "component";
/// The id of the deployment that is being made; set before it is.
const MARKER: &str = "_component_create_deployment_id";
/// How many suffixes are tried.
const SUFFIXES_MAX: usize = 10;

impl Run<'_> {
    /// The component's deployment is there afterwards, with its environment.
    pub(super) async fn create(&mut self) -> Result<Value, Failure> {
        self.note_manager().await?;
        self.make_secrets().await?;
        self.bring_plugins().await?;
        let config = self.config("deployment").await?;
        let wanted = match self.deployment_id().await? {
            Some(id) => id,
            None => text(&config, "id").unwrap_or(self.instance_id()).to_owned(),
        };
        let id = match flag(&config, "external_resource") {
            true => {
                self.require_deployment(&wanted).await?;
                self.set("deployment", json!({"id": wanted})).await?;
                wanted
            }
            false => self.make_deployment(&wanted, &config).await?,
        };
        self.depend(KIND, &id).await?;
        let made = self.require_deployment(&id).await?;
        if let Some(execution) = made.get("create_execution").and_then(Value::as_str) {
            self.ended(execution).await?;
        }
        Ok(Value::Null)
    }

    /// Makes the deployment, unless an earlier run has. Gives its id.
    async fn make_deployment(
        &mut self,
        wanted: &str,
        config: &Map<String, Value>,
    ) -> Result<String, Failure> {
        let begun = self.runtime().await?.get(MARKER);
        let begun = begun.and_then(Value::as_str).map(str::to_owned);
        if let Some(id) = begun
            && self.deployment(&id).await?.is_some()
        {
            return Ok(id);
        }
        let names: Vec<String> = match flag(config, "auto_inc_suffix") {
            true => (0..SUFFIXES_MAX).map(|n| format!("{wanted}-{n}")).collect(),
            false => vec![wanted.to_owned()],
        };
        let body = self.new_deployment(config).await?;
        for name in names {
            if self.deployment(&name).await?.is_some() {
                continue;
            }
            self.set("deployment", json!({"id": name})).await?;
            self.set(MARKER, name.as_str()).await?;
            self.note().await?;
            let path = ["deployments", name.as_str()];
            let query = [("async_create", "true")];
            match self.there.put_asking(&path, &query, &body).await {
                Ok(_) => {
                    self.say(format!("Created the deployment {name}")).await;
                    return Ok(name);
                }
                Err(error) if error.code() == Some("conflict_error") => {}
                Err(error) => {
                    self.forget_deployment().await?;
                    return Err(error.into());
                }
            }
        }
        self.forget_deployment().await?;
        definite(format!("there is a deployment `{wanted}` already"))
    }

    /// The instance stands for no deployment: nobody else's may go with it.
    async fn forget_deployment(&mut self) -> Result<(), Failure> {
        let runtime = self.runtime().await?;
        runtime.shift_remove("deployment");
        runtime.shift_remove(MARKER);
        Ok(())
    }

    async fn new_deployment(&mut self, config: &Map<String, Value>) -> Result<Value, Failure> {
        let blueprint = object(self.runtime().await?.get("blueprint"));
        let mut labels = Vec::new();
        if self.external.is_none() {
            labels.push(json!({"csys-obj-parent": self.own_deployment()}));
        }
        let more = config.get("labels").and_then(Value::as_array);
        labels.extend(more.cloned().unwrap_or_default());
        Ok(json!({
            "blueprint_id": blueprint.get("id"),
            "inputs": object(config.get("inputs")),
            "labels": labels,
        }))
    }

    /// Runs a workflow in the component's deployment.
    pub(super) async fn execute(&mut self) -> Result<Value, Failure> {
        let deployment = self.require_deployment_id().await?;
        let workflow = self.given("workflow_id").await?;
        let workflow = workflow.as_str().unwrap_or("install").to_owned();
        if !self.job.resume && self.is_busy(&deployment).await? {
            return Err(Failure::Later(format!(
                "The deployment {deployment} is busy with other executions"
            )));
        }
        let mut arguments = self.config("executions_start_args").await?;
        let mut parameters = self.own_parameters(&workflow);
        parameters.extend(object(arguments.get("parameters")));
        arguments.insert("parameters".to_owned(), Value::Object(parameters));
        let ended = self.workflow(&deployment, (&workflow, arguments)).await?;
        if ended && workflow != "uninstall" {
            self.take_capabilities(&deployment).await?;
        }
        Ok(Value::Bool(ended))
    }

    /// The component's deployment goes, and all that came with it.
    pub(super) async fn delete(&mut self) -> Result<Value, Failure> {
        if let Some(id) = self.deployment_id().await? {
            if !flag(&self.config("deployment").await?, "external_resource") {
                self.delete_deployment(&id).await?;
            }
            self.depend_no_more(KIND, &id).await?;
        }
        self.delete_blueprint().await?;
        self.take_plugins_away().await?;
        self.take_secrets_away().await?;
        let runtime = self.runtime().await?;
        for name in [
            "deployment",
            "capabilities",
            "received_events",
            MARKER,
            super::MANAGER,
        ] {
            runtime.shift_remove(name);
        }
        Ok(Value::Null)
    }

    async fn delete_deployment(&mut self, id: &str) -> Result<(), Failure> {
        let mut is_asked = false;
        while let Some(found) = self.deployment(id).await? {
            if !is_asked && self.is_busy(id).await? {
                // an earlier run may have asked already
                is_asked = self.job.resume && is_leaving(&found);
                if !is_asked {
                    return Err(Failure::Later(format!(
                        "The deployment {id} is busy with other executions"
                    )));
                }
            }
            if !is_asked {
                self.say(format!("Deleting the deployment {id}")).await;
                self.there
                    .delete(&["deployments", id], &Value::Null)
                    .await?;
                is_asked = true;
            } else if let Some(error) = self.failed_deletion(id).await? {
                return definite(error);
            }
            self.pause("a deployment to go").await?;
        }
        Ok(())
    }

    /// Why a deployment that was to be deleted stays.
    async fn failed_deletion(&self, id: &str) -> Result<Option<String>, Failure> {
        let query = [
            ("deployment_id", id),
            ("workflow_id", "delete_deployment_environment"),
            ("_sort", "-created_at"),
            ("_size", "1"),
        ];
        let listed = self.there.get(&["executions"], &query).await?;
        let latest = listed.pointer("/items/0");
        let field = |name: &str| latest.and_then(|latest| latest.get(name)?.as_str());
        Ok(match field("status") {
            Some(status @ ("failed" | "cancelled")) => Some(format!(
                "the deployment `{id}` stays, its deletion {status}: {}",
                field("error").unwrap_or_default()
            )),
            _ => None,
        })
    }
}

fn is_leaving(deployment: &Value) -> bool {
    deployment.get("deployment_status").and_then(Value::as_str) == Some("in_progress")
}
