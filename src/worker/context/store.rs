//! Loading nodes and instances, and writing changed runtime properties back.
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::{Context, ContextError, Instance, Side};

/// How often a write is merged with somebody else's before giving up.
const MERGES_MAX: usize = 20;

impl Context {
    pub(super) async fn instance(&mut self, side: Side) -> Result<&mut Instance, ContextError> {
        let id = self.subject(side)?.instance_id.clone();
        if self.subject(side)?.instance.is_none() {
            let loaded = self.load_instance(&id).await?;
            self.subject(side)?.instance = Some(loaded);
        }
        let gone = || ContextError::runtime(format!("node instance {id} was not loaded"));
        self.subject(side)?.instance.as_mut().ok_or_else(gone)
    }

    pub(super) async fn node(&mut self, side: Side) -> Result<&Value, ContextError> {
        let subject = self.subject(side)?;
        let (name, instance_id) = (subject.node_name.clone(), subject.instance_id.clone());
        if subject.node.is_none() {
            let loaded = self.load_node(&name, Some(&instance_id)).await?;
            self.subject(side)?.node = Some(loaded);
        }
        let gone = || ContextError::runtime(format!("node {name} was not loaded"));
        self.subject(side)?.node.as_ref().ok_or_else(gone)
    }

    pub(super) async fn load_instance(&self, id: &str) -> Result<Instance, ContextError> {
        let query = [("_evaluate_functions", "True")];
        let fields = self.session.get(&["node-instances", id], &query).await?;
        Ok(Instance::from_fields(fields))
    }

    pub(super) async fn load_node(
        &self,
        name: &str,
        instance_id: Option<&str>,
    ) -> Result<Value, ContextError> {
        let deployment = self
            .task
            .context
            .deployment_id
            .as_deref()
            .unwrap_or_default();
        let mut query = vec![
            ("deployment_id", deployment),
            ("id", name),
            ("_evaluate_functions", "True"),
        ];
        if let Some(id) = instance_id {
            query.push(("_instance_context", id));
        }
        let list = self.session.get(&["nodes"], &query).await?;
        let missing = || ContextError::definite(format!("no node {name} in {deployment}"));
        list.pointer("/items/0").cloned().ok_or_else(missing)
    }

    /// Writes the changed runtime properties of every instance; called at the end of the operation,
    /// failed or not.
    pub(in crate::worker) async fn store(&mut self) -> Result<(), ContextError> {
        for side in [Side::Own, Side::Source, Side::Target] {
            if self.subjects.contains_key(&side) {
                self.update(side).await?;
            }
        }
        Ok(())
    }

    /// Writes and forgets the instance, so that the next use reads it afresh. When somebody else
    /// wrote in between, our changes are put on top of theirs, unless both changed the same
    /// property.
    pub(super) async fn update(&mut self, side: Side) -> Result<(), ContextError> {
        let id = self.subject(side)?.instance_id.clone();
        let Some(mut ours) = self.subject(side)?.instance.take() else {
            return Ok(());
        };
        if !ours.is_dirty() {
            return Ok(());
        }
        for _ in 0..MERGES_MAX {
            let body = json!({"version": ours.version, "runtime_properties": ours.properties});
            match self.session.patch(&["node-instances", &id], &body).await {
                Ok(_) => return Ok(()),
                Err(error) if error.status() == Some(StatusCode::CONFLICT) => {
                    let theirs = self.load_instance(&id).await?;
                    ours = ours.merged_onto(theirs).ok_or(ContextError::from(error))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let message = format!("the runtime properties of {id} are changed by too many at once");
        Err(ContextError {
            kind: "CloudifyClientError",
            message,
        })
    }
}

impl Instance {
    fn from_fields(fields: Value) -> Self {
        let properties = fields
            .get("runtime_properties")
            .and_then(Value::as_object)
            .cloned();
        let version = fields.get("version").and_then(Value::as_i64).unwrap_or(1);
        let loaded = properties.unwrap_or_default();
        Self {
            fields,
            version,
            properties: loaded.clone(),
            loaded,
        }
    }

    /// `None` when both sides changed the same property to different values.
    fn merged_onto(self, theirs: Self) -> Option<Self> {
        let properties = merge(&self.loaded, &self.properties, &theirs.properties)?;
        Some(Self {
            properties,
            ..theirs
        })
    }
}

/// Three-way merge of the top-level properties.
pub(super) fn merge(
    base: &Map<String, Value>,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
) -> Option<Map<String, Value>> {
    let mut merged = theirs.clone();
    let removed = base.keys().filter(|key| !ours.contains_key(*key));
    for key in ours.keys().chain(removed) {
        let (before, wanted, found) = (base.get(key), ours.get(key), theirs.get(key));
        if before == wanted || wanted == found {
            continue;
        }
        if before != found {
            return None;
        }
        match wanted {
            Some(value) => merged.insert(key.clone(), value.clone()),
            None => merged.shift_remove(key),
        };
    }
    Some(merged)
}
