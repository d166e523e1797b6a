//! What an operation's deployment depends on because of it. Of a dependency between two managers,
//! or two tenants, each of them keeps its end.
use serde_json::{Map, Value, json};

use super::{Failure, Run};
use crate::worker::rest::RestError;

const PATH: [&str; 2] = ["deployments", "inter-deployment-dependencies"];
/// Set once the dependency is recorded: true, or how the other manager was told of our end.
const MARKER: &str = "_component_create_idd";

impl Run<'_> {
    /// Records that the operation's deployment depends on `target`; `kind` is `component` or
    /// `sharedresource`.
    pub(super) async fn depend(&mut self, kind: &str, target: &str) -> Result<(), Failure> {
        if self.runtime().await?.contains_key(MARKER) {
            return Ok(());
        }
        let mut body = self.dependency(kind, target);
        let mut marker = Value::Bool(true);
        if let Some(shown) = self.external.clone() {
            marker = self.external_source();
            let mut theirs = body.clone();
            theirs.insert("external_source".to_owned(), marker.clone());
            self.there.put(&PATH, &Value::Object(theirs)).await?;
            let external = json!({"deployment": target, "client_config": shown});
            aim_elsewhere(&mut body, external);
        }
        self.job.session.put(&PATH, &Value::Object(body)).await?;
        self.set(MARKER, marker).await?;
        self.note().await
    }

    /// Takes that back.
    pub(super) async fn depend_no_more(&mut self, kind: &str, target: &str) -> Result<(), Failure> {
        let mut body = self.dependency(kind, target);
        body.insert("is_component_deletion".to_owned(), true.into());
        let marker = self.runtime().await?.get(MARKER).cloned();
        if self.external.is_some() {
            let source = marker.filter(Value::is_object);
            let source = source.unwrap_or_else(|| self.external_source());
            let mut theirs = body.clone();
            theirs.insert("external_source".to_owned(), source);
            let deleted = self.there.delete(&PATH, &Value::Object(theirs)).await;
            gone(deleted)?;
            aim_elsewhere(&mut body, json!({"deployment": target}));
        }
        let deleted = self.job.session.delete(&PATH, &Value::Object(body)).await;
        gone(deleted)?;
        self.runtime().await?.shift_remove(MARKER);
        Ok(())
    }

    /// Notes where the deployment is that the instance stands for.
    pub(super) async fn note_manager(&mut self) -> Result<(), Failure> {
        match self.external.clone() {
            Some(shown) => self.set(super::MANAGER, shown).await,
            None => {
                self.runtime().await?.shift_remove(super::MANAGER);
                Ok(())
            }
        }
    }

    fn dependency(&self, kind: &str, target: &str) -> Map<String, Value> {
        let creator = format!("{kind}.{}", self.instance_id());
        Map::from_iter([
            ("dependency_creator".to_owned(), creator.into()),
            ("source_deployment".to_owned(), self.own_deployment().into()),
            ("target_deployment".to_owned(), target.into()),
        ])
    }

    /// Our end, as the other manager is told of it.
    fn external_source(&self) -> Value {
        json!({
            "deployment": self.own_deployment(),
            "tenant": self.job.session.tenant(),
            "host": self.job.task.context.rest_host,
        })
    }
}

/// A deployment of ours may have the same id as the other manager's.
fn aim_elsewhere(dependency: &mut Map<String, Value>, external: Value) {
    dependency.shift_remove("target_deployment");
    dependency.insert("external_target".to_owned(), external);
}

fn gone(deleted: Result<(), RestError>) -> Result<(), Failure> {
    match deleted {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
