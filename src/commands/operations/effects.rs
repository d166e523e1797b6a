//! What tasks inside the server do when they succeed: states of node instances, and what is told
//! about them.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};
use stratalog_projections::{
    View,
    view::restore,
    views::{executions::Execution, node_instances::NodeInstance, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId, events::NodeInstanceChanged, events::TelemetryRecord, time::wire,
};

use crate::{
    clock,
    commands::{executions::telemetry::node_event, node_instances::flags},
    context::Context,
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
    /// Something about a node instance is found out.
    Found {
        /// The instance.
        instance: String,
        /// What.
        finding: Finding,
    },
    /// Something is told about a node instance.
    Told {
        /// The instance.
        instance: String,
        /// The text.
        text: String,
    },
}

/// What a check or a cure of a node instance came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The result of a check.
    Checked {
        /// The system property that keeps it.
        kept_as: String,
        /// The instance at the other end, when it speaks of a relationship.
        other: Option<String>,
        /// `{ok, timestamp, task, result}`
        result: Value,
    },
    /// The instance cured itself.
    Healed,
    /// It could not, in this execution.
    NotHealed(String),
    /// That it could not has been dealt with.
    HealForgotten,
    /// The instance follows its changed node.
    Updated,
    /// It does not, in this execution.
    NotUpdated(String),
    /// Whatever differed from what it should be does not any more.
    DriftForgotten,
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

/// Node instances that effects change, by id.
#[derive(Debug, Default)]
pub struct Instances(BTreeMap<String, Known>);

/// A node instance in memory.
#[derive(Debug)]
struct Known {
    instance: NodeInstance,
    /// The version of its stream, until a decision rests on it.
    version: Option<i64>,
}

/// Keys of the instances that effects speak of.
fn keys<'e>(execution: &Execution, effects: impl Iterator<Item = &'e Effect>) -> Vec<String> {
    let tenant = execution.tenant_name.as_str();
    let mut keys: Vec<String> = effects
        .filter_map(|effect| match effect {
            Effect::Nothing => None,
            Effect::State { instance, .. }
            | Effect::Found { instance, .. }
            | Effect::Told { instance, .. } => Some(scoped(tenant, instance)),
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

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
        let keys = keys(execution, effects);
        if keys.is_empty() {
            return Ok(());
        }
        let versions = read::stream_versions(view, Category::NodeInstance, &keys).await?;
        for row in view.rows(View::NodeInstances, &keys).await? {
            let version = versions.get(&row.key).copied().unwrap_or(0);
            self.add(row.resource()?, version);
        }
        Ok(())
    }

    /// The instances that effects speak of, if the log's writer knows all of them by heart; a
    /// decision on them rests on the generation of what it knows.
    ///
    /// # Errors
    /// `Internal` for stored documents of another shape.
    pub(crate) fn known<'e>(
        ctx: &Context,
        execution: &Execution,
        effects: impl Iterator<Item = &'e Effect>,
    ) -> Result<Option<(Self, u64)>, Error> {
        let keys = keys(execution, effects);
        let known = ctx.store.log().latest().ask(|known| {
            let rows = keys.iter().map(|key| {
                let stream = StreamId {
                    category: Category::NodeInstance,
                    key: key.clone(),
                };
                let row = known.row(View::NodeInstances, key)?;
                Some((key, row, known.version(&stream)?))
            });
            Some((rows.collect::<Option<Vec<_>>>()?, known.generation()))
        });
        let Some((rows, generation)) = known else {
            return Ok(None);
        };
        let mut instances = Self::default();
        for (key, row, version) in rows {
            instances.add(restore(key, &row.doc, row.hidden.as_deref())?, version);
        }
        Ok(Some((instances, generation)))
    }

    fn add(&mut self, instance: NodeInstance, version: i64) {
        let known = Known {
            version: Some(version),
            instance,
        };
        self.0.insert(known.instance.id.clone(), known);
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
                self.change(instance, decision, |instance| {
                    let event = changed(instance, state)?;
                    instance.state.clone_from(state);
                    Ok(event)
                })?;
            }
            Effect::Found { instance, finding } => {
                self.change(instance, decision, |instance| found(instance, finding))?;
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        id: &str,
        decision: &mut Decision,
        make: impl FnOnce(&mut NodeInstance) -> Result<NodeInstanceChanged, Error>,
    ) -> Result<(), Error> {
        let Some(Known { instance, version }) = self.0.get_mut(id) else {
            return Ok(());
        };
        let stream = StreamId::scoped(Category::NodeInstance, &instance.tenant_name, &instance.id);
        let event = make(instance)?;
        instance.version = event.version;
        if let Some(system) = &event.system_properties_json {
            let system = RawValue::from_string(system.clone()).map_err(Error::internal)?;
            instance.system_properties = Some(system);
        }
        if let Some(version) = version.take() {
            let expected = Expected::Version(version);
            decision.expected.push((stream.clone(), expected));
        }
        decision.event(stream, Event::NodeInstanceChanged(event));
        Ok(())
    }

    fn told(&self, execution: &Execution, instance: &str, text: &str) -> TelemetryRecord {
        let node = self
            .0
            .get(instance)
            .map(|known| known.instance.node_id.as_str());
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
    let mut system = system_properties(instance)?;
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

fn system_properties(instance: &NodeInstance) -> Result<Map<String, Value>, Error> {
    match &instance.system_properties {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal),
        None => Ok(Map::new()),
    }
}

/// The change of an instance about which something was found out.
fn found(instance: &NodeInstance, finding: &Finding) -> Result<NodeInstanceChanged, Error> {
    let mut system = system_properties(instance)?;
    match finding {
        Finding::Checked {
            kept_as,
            other: Some(other),
            result,
        } => {
            let kept = system.entry(kept_as.clone()).or_insert_with(|| json!({}));
            if !kept.is_object() {
                *kept = json!({});
            }
            kept[other.as_str()] = result.clone();
        }
        Finding::Checked {
            kept_as, result, ..
        } => {
            let before = system.insert(kept_as.clone(), result.clone());
            if kept_as == "status" {
                system.insert("previous_status".to_owned(), before.unwrap_or(Value::Null));
            }
        }
        Finding::Healed => {
            let status = system.entry("status").or_insert_with(|| json!({}));
            if !status.is_object() {
                *status = json!({});
            }
            status["ok"] = true.into();
            status["task"] = Value::Null;
            status["healed"] = true.into();
        }
        Finding::NotHealed(execution) => {
            system.insert("heal_failed".to_owned(), execution.as_str().into());
        }
        Finding::HealForgotten => drop(system.remove("heal_failed")),
        Finding::Updated => {
            system.insert("configuration_drift".to_owned(), Value::Null);
        }
        Finding::NotUpdated(execution) => {
            system.insert("update_failed".to_owned(), execution.as_str().into());
        }
        Finding::DriftForgotten => {
            system.insert("configuration_drift".to_owned(), Value::Null);
            for name in [
                "source_relationships_configuration_drift",
                "target_relationships_configuration_drift",
                "update_failed",
                "heal_failed",
            ] {
                system.remove(name);
            }
        }
    }
    let system = Value::Object(system);
    let (is_ok, is_drifted) = flags(&system);
    Ok(NodeInstanceChanged {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
        version: instance.version + 1,
        system_properties_json: Some(system.to_string()),
        is_status_check_ok: Some(is_ok),
        has_configuration_drift: Some(is_drifted),
        ..NodeInstanceChanged::default()
    })
}

/// As the reference's language takes values for true or false.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
