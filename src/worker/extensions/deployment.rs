//! Deployments that operations look at.
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, object, text};

/// States of executions that are not over.
const ACTIVE: [&str; 7] = [
    "pending",
    "started",
    "cancelling",
    "force_cancelling",
    "kill_cancelling",
    "queued",
    "scheduled",
];

impl Run<'_> {
    /// The id of the deployment that the instance stands for, if it has one by now.
    pub(super) async fn deployment_id(&mut self) -> Result<Option<String>, Failure> {
        let side = self.subject;
        let runtime = object(self.context.runtime_of(side).await?.get("deployment"));
        Ok(text(&runtime, "id").map(str::to_owned))
    }

    pub(super) async fn require_deployment_id(&mut self) -> Result<String, Failure> {
        match self.deployment_id().await? {
            Some(id) => Ok(id),
            None => definite("the instance stands for no deployment"),
        }
    }

    pub(super) async fn deployment(&self, id: &str) -> Result<Option<Value>, Failure> {
        match self.there.get(&["deployments", id], &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn require_deployment(&self, id: &str) -> Result<Value, Failure> {
        match self.deployment(id).await? {
            Some(found) => Ok(found),
            None => definite(format!("there is no deployment `{id}`")),
        }
    }

    /// Whether anything runs or waits in a deployment.
    pub(super) async fn is_busy(&self, id: &str) -> Result<bool, Failure> {
        let mut query = vec![("deployment_id", id), ("_size", "1"), ("_include", "id")];
        query.extend(ACTIVE.map(|status| ("status", status)));
        let listed = self.there.get(&["executions"], &query).await?;
        let total = listed.pointer("/metadata/pagination/total");
        Ok(total.and_then(Value::as_i64).unwrap_or_default() > 0)
    }

    /// Takes over what a deployment offers.
    pub(super) async fn take_capabilities(&mut self, id: &str) -> Result<(), Failure> {
        let path = ["deployments", id, "capabilities"];
        let found = self.there.get(&path, &[]).await?;
        let capabilities = found.get("capabilities").cloned().unwrap_or(json!({}));
        self.set("capabilities", capabilities).await
    }

    pub(super) async fn refresh(&mut self) -> Result<Value, Failure> {
        let id = self.require_deployment_id().await?;
        self.take_capabilities(&id).await?;
        Ok(Value::Null)
    }

    /// Has the deployment look after itself by a workflow, where it has that.
    pub(super) async fn look_after(
        &mut self,
        id: &str,
        (workflow, parameters): (&str, Map<String, Value>),
    ) -> Result<(), Failure> {
        let found = self.require_deployment(id).await?;
        let workflows = found.get("workflows").and_then(Value::as_array);
        let name = |one: &Value| one.get("name").and_then(Value::as_str) == Some(workflow);
        if !workflows.into_iter().flatten().any(name) {
            return Ok(());
        }
        self.in_turn(id, (workflow, parameters)).await
    }

    /// Has the deployment run a workflow; whoever else has something to do there comes first.
    pub(super) async fn in_turn(
        &mut self,
        id: &str,
        (workflow, parameters): (&str, Map<String, Value>),
    ) -> Result<(), Failure> {
        let arguments = Map::from_iter([
            ("queue".to_owned(), Value::Bool(true)),
            ("parameters".to_owned(), Value::Object(parameters)),
        ]);
        match self.workflow(id, (workflow, arguments)).await? {
            true => Ok(()),
            false => definite(format!("{workflow} of the deployment `{id}` was cancelled")),
        }
    }

    /// The deployment once nothing runs there: another workflow, such as somebody else's check,
    /// does not make it unwell.
    async fn at_rest(&self, id: &str) -> Result<Value, Failure> {
        loop {
            let found = self.require_deployment(id).await?;
            let state = found.get("deployment_status").and_then(Value::as_str);
            if state != Some("in_progress") {
                return Ok(found);
            }
            self.pause("a deployment to come to rest").await?;
        }
    }

    /// The deployment must be installed and well, as it finds out itself.
    pub(super) async fn check_status(&mut self) -> Result<Value, Failure> {
        let id = self.require_deployment_id().await?;
        self.look_after(&id, ("check_status", Map::new())).await?;
        let found = self.at_rest(&id).await?;
        for (field, wanted) in [
            ("installation_status", "active"),
            ("deployment_status", "good"),
        ] {
            let state = found.get(field).and_then(Value::as_str);
            if state != Some(wanted) {
                let state = state.unwrap_or_default();
                return definite(format!(
                    "expected {field} of the deployment `{id}` to be `{wanted}`, but it is \
                     `{state}`"
                ));
            }
        }
        Ok(Value::Null)
    }
}
