//! What tasks inside the server do when they succeed: states of node instances, and what is told
//! about them.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    View,
    views::{executions::Execution, node_instances::NodeInstance, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId, events::NodeInstanceChanged, events::TelemetryRecord, time::wire,
};

use crate::{
    clock,
    commands::executions::telemetry::node_event,
    error::Error,
    log::{Expected, read},
    store::{self, Decision},
};

/// The effect of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// None.
    Nothing,
    /// A node instance takes a state.
    State {
        /// The instance.
        instance: String,
        /// The state.
        state: String,
    },
    /// Something is told about a node instance.
    Told {
        /// The instance.
        instance: String,
        /// The text.
        text: String,
    },
}

/// The effect of a task by the type of its operation and its arguments.
pub fn of(operation_type: &str, arguments: &Map<String, Value>) -> Effect {
    let text = |key: &str| {
        arguments
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let Some(instance) = text("node_instance_id") else {
        return Effect::Nothing;
    };
    match operation_type {
        "SetNodeInstanceStateTask" => match text("state") {
            Some(state) => Effect::State { instance, state },
            None => Effect::Nothing,
        },
        "SendNodeEventTask" => match text("event") {
            Some(text) => Effect::Told { instance, text },
            None => Effect::Nothing,
        },
        _ => Effect::Nothing,
    }
}

/// Adds one effect to a decision.
///
/// # Errors
/// Database errors.
pub async fn add(
    view: &store::View,
    execution: &Execution,
    effect: &Effect,
    decision: &mut Decision,
) -> Result<(), Error> {
    let mut instances = Instances::default();
    instances
        .load(view, execution, std::iter::once(effect))
        .await?;
    instances.apply(execution, effect, decision)
}

/// Node instances that effects change, in memory and with the versions of their streams.
#[derive(Debug, Default)]
pub struct Instances(BTreeMap<String, (NodeInstance, i64)>);

impl Instances {
    /// Reads the instances that effects speak of.
    ///
    /// # Errors
    /// Database errors.
    pub async fn load(
        &mut self,
        view: &store::View,
        execution: &Execution,
        effects: impl Iterator<Item = &Effect>,
    ) -> Result<(), Error> {
        let tenant = execution.tenant_name.as_str();
        let mut keys: Vec<String> = effects
            .filter_map(|effect| match effect {
                Effect::Nothing => None,
                Effect::State { instance, .. } | Effect::Told { instance, .. } => {
                    Some(scoped(tenant, instance))
                }
            })
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let versions = read::stream_versions(view, Category::NodeInstance, &keys).await?;
        for row in view.rows(View::NodeInstances, &keys).await? {
            let version = versions.get(&row.key).copied().unwrap_or(0);
            let instance: NodeInstance = row.resource()?;
            self.0.insert(instance.id.clone(), (instance, version));
        }
        Ok(())
    }

    /// Adds an effect to a decision. Instances that are gone change no more.
    ///
    /// # Errors
    /// `Internal` for stored properties of another shape.
    pub fn apply(
        &mut self,
        execution: &Execution,
        effect: &Effect,
        decision: &mut Decision,
    ) -> Result<(), Error> {
        match effect {
            Effect::Nothing => {}
            Effect::Told { instance, text } => {
                decision
                    .telemetry
                    .push(self.told(execution, instance, text));
            }
            Effect::State { instance, state } => {
                let Some((instance, version)) = self.0.get_mut(instance) else {
                    return Ok(());
                };
                let stream =
                    StreamId::scoped(Category::NodeInstance, &instance.tenant_name, &instance.id);
                let event = changed(instance, state)?;
                instance.version = event.version;
                instance.state.clone_from(state);
                if !decision.expected.iter().any(|(known, _)| *known == stream) {
                    let expected = Expected::Version(*version);
                    decision.expected.push((stream.clone(), expected));
                }
                decision.event(stream, Event::NodeInstanceChanged(event));
            }
        }
        Ok(())
    }

    fn told(&self, execution: &Execution, instance: &str, text: &str) -> TelemetryRecord {
        let node = self
            .0
            .get(instance)
            .map(|(known, _)| known.node_id.as_str());
        node_event(execution, (instance, node), text)
    }
}

/// The change of an instance that takes a state; what checks found out earlier starts anew with
/// some states.
fn changed(instance: &NodeInstance, state: &str) -> Result<NodeInstanceChanged, Error> {
    let mut event = NodeInstanceChanged {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
        version: instance.version + 1,
        state: Some(state.to_owned()),
        ..NodeInstanceChanged::default()
    };
    if !matches!(state, "configured" | "started") {
        return Ok(event);
    }
    let mut system: Map<String, Value> = match &instance.system_properties {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Map::new(),
    };
    let good = json!({
        "ok": true, "result": null, "task": null, "timestamp": wire(clock::now_ms()),
    });
    if state == "configured" {
        system.insert("configuration_drift".to_owned(), good);
    } else {
        system.insert("previous_status".to_owned(), Value::Null);
        system.insert("status".to_owned(), good);
        event.is_status_check_ok = Some(true);
        let drift = system.get("configuration_drift");
        let drifted = drift.and_then(|drift| drift.get("result"));
        event.has_configuration_drift = Some(drifted.is_some_and(is_truthy));
    }
    event.system_properties_json = Some(Value::Object(system).to_string());
    Ok(event)
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
