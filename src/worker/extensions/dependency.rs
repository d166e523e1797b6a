//! What an operation's deployment depends on because of it.
use serde_json::{Value, json};

use super::{Failure, Run};

const PATH: [&str; 2] = ["deployments", "inter-deployment-dependencies"];
/// Set once the dependency is recorded.
const MARKER: &str = "_component_create_idd";

impl Run<'_> {
    /// Records that the operation's deployment depends on `target`; `kind` is `component` or
    /// `sharedresource`.
    pub(super) async fn depend(&mut self, kind: &str, target: &str) -> Result<(), Failure> {
        if self.runtime().await?.contains_key(MARKER) {
            return Ok(());
        }
        let body = self.dependency(kind, target);
        self.job.session.put(&PATH, &body).await?;
        self.set(MARKER, true).await?;
        self.note().await
    }

    /// Takes that back.
    pub(super) async fn depend_no_more(&mut self, kind: &str, target: &str) -> Result<(), Failure> {
        let mut body = self.dependency(kind, target);
        if let Some(body) = body.as_object_mut() {
            body.insert("is_component_deletion".to_owned(), true.into());
        }
        match self.job.session.delete(&PATH, &body).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.runtime().await?.shift_remove(MARKER);
        Ok(())
    }

    fn dependency(&self, kind: &str, target: &str) -> Value {
        json!({
            "dependency_creator": format!("{kind}.{}", self.instance_id()),
            "source_deployment": self.own_deployment(),
            "target_deployment": target,
        })
    }
}
