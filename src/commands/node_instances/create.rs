//! Node instances in bulk.
use std::collections::{HashMap, HashSet};

use rand::Rng;
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{deployments::Deployment, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{self, NodeInstanceChanged, NodeInstancesCreated},
};

use super::flags;
use crate::{
    auth::{Caller, Permission},
    commands::{deployments::belonging, visibility},
    context::Context,
    error::Error,
    store::{Decision, View as Reader},
};

const SUFFIX_CHARS: usize = 6;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An instance to create.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NewNodeInstance {
    /// Its id; made anew when it is taken.
    pub id: String,
    /// Its node.
    pub node_id: String,
    /// Instance of its host.
    pub host_id: Option<String>,
    /// `[{target_id, target_name, type}]`.
    pub relationships: Option<Vec<Value>>,
    /// `[{id, name}]`.
    pub scaling_groups: Option<Value>,
    /// Number among the instances of the node; the next one when absent.
    pub index: Option<i64>,
    /// `uninitialized` when absent.
    pub state: Option<String>,
    /// 1 when absent.
    pub version: Option<i64>,
    /// What operations stored.
    pub runtime_properties: Option<Map<String, Value>>,
    /// What workflows stored.
    pub system_properties: Option<Map<String, Value>>,
    /// As stored elsewhere; otherwise it follows from the system properties.
    pub is_status_check_ok: Option<bool>,
    /// As stored elsewhere; otherwise it follows from the system properties.
    pub has_configuration_drift: Option<bool>,
}

/// Creates instances of a deployment.
///
/// # Errors
/// 403; 404 for an unknown deployment; 400 for an instance without id or node.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    deployment_id: &str,
    instances: &[NewNodeInstance],
) -> Result<(), Error> {
    caller.require(Permission::NodeList)?;
    for instance in instances {
        for (key, value) in [("id", &instance.id), ("node_id", &instance.node_id)] {
            if value.is_empty() {
                return Err(Error::bad_parameters(format!(
                    "Missing {key} in json request body"
                )));
            }
        }
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let model = (View::Deployments, "Deployment");
            let row = visibility::own(caller, view, model, deployment_id).await?;
            let deployment: Deployment = row.resource()?;
            let decision = decide(view, &deployment, instances).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// What creating instances of a deployment comes to.
pub(crate) async fn decide(
    view: &Reader,
    deployment: &Deployment,
    instances: &[NewNodeInstance],
) -> Result<Decision, Error> {
    let tenant = &deployment.tenant_name;
    let mut instances = instances.to_vec();
    rename_taken(view, tenant, &mut instances).await?;
    let mut last = last_indexes(view, deployment).await?;
    let mut decision = Decision::nothing();
    let mut created = Vec::with_capacity(instances.len());
    let mut flagged = Vec::new();
    for instance in instances {
        let next = last.entry(instance.node_id.clone()).or_insert(0);
        let index = instance.index.unwrap_or(*next + 1);
        *next = index.max(*next);
        flagged.extend(flag_event(tenant, &instance));
        created.push(event(instance, index));
    }
    let scope = events::Scope {
        tenant: tenant.clone(),
        visibility: deployment.visibility.clone(),
        created_by: deployment.created_by.clone(),
    };
    decision.event(
        StreamId::scoped(Category::Deployment, tenant, &deployment.id),
        Event::NodeInstancesCreated(NodeInstancesCreated {
            deployment_id: deployment.id.clone(),
            scope: Some(scope),
            instances: created,
        }),
    );
    for flagged in flagged {
        decision.event(
            StreamId::scoped(Category::NodeInstance, tenant, &flagged.id),
            Event::NodeInstanceChanged(flagged),
        );
    }
    Ok(decision)
}

/// Instances are created unchecked; what a restored one says about its checks is a change at the
/// same version.
fn flag_event(tenant: &str, instance: &NewNodeInstance) -> Option<NodeInstanceChanged> {
    let properties = instance.system_properties.clone().map(Value::Object);
    let (is_ok, is_drifted) = properties.as_ref().map(flags).unwrap_or_default();
    let is_ok = instance.is_status_check_ok.unwrap_or(is_ok);
    let is_drifted = instance.has_configuration_drift.unwrap_or(is_drifted);
    (is_ok || is_drifted).then(|| NodeInstanceChanged {
        id: instance.id.clone(),
        tenant: tenant.to_owned(),
        version: instance.version.unwrap_or(1),
        is_status_check_ok: Some(is_ok),
        has_configuration_drift: Some(is_drifted),
        ..NodeInstanceChanged::default()
    })
}

fn event(instance: NewNodeInstance, index: i64) -> events::NodeInstance {
    let object = |map: Option<Map<String, Value>>| Value::Object(map.unwrap_or_default());
    events::NodeInstance {
        host_id: instance.host_id,
        index,
        state: instance.state.unwrap_or_else(|| "uninitialized".to_owned()),
        relationships_json: Value::Array(instance.relationships.unwrap_or_default()).to_string(),
        runtime_properties_json: object(instance.runtime_properties).to_string(),
        system_properties_json: object(instance.system_properties).to_string(),
        scaling_groups_json: instance
            .scaling_groups
            .unwrap_or_else(|| Value::Array(Vec::new()))
            .to_string(),
        version: instance.version.unwrap_or(1),
        id: instance.id,
        node_id: instance.node_id,
    }
}

/// Ids are unique within a tenant: taken ones are made anew, wherever the instances name them.
async fn rename_taken(
    view: &Reader,
    tenant: &str,
    instances: &mut [NewNodeInstance],
) -> Result<(), Error> {
    let keys: Vec<String> = instances.iter().map(|i| scoped(tenant, &i.id)).collect();
    let query = ListQuery::all(View::NodeInstances, Scope::Everything).with(Condition::Keys(keys));
    let taken: HashSet<String> = view
        .pick(&query, &["id"])
        .await?
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect();
    let mut names: HashSet<String> = taken.clone();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for instance in instances.iter_mut() {
        if names.insert(instance.id.clone()) {
            continue;
        }
        let id = loop {
            let id = format!("{}_{}", instance.node_id, suffix());
            if names.insert(id.clone()) {
                break id;
            }
        };
        renamed.insert(std::mem::replace(&mut instance.id, id.clone()), id);
    }
    if renamed.is_empty() {
        return Ok(());
    }
    for instance in instances {
        if let Some(host) = instance.host_id.as_mut()
            && let Some(id) = renamed.get(host)
        {
            host.clone_from(id);
        }
        for relationship in instance.relationships.iter_mut().flatten() {
            let target = relationship.get("target_id").and_then(Value::as_str);
            if let Some(id) = target.and_then(|target| renamed.get(target)).cloned() {
                relationship["target_id"] = Value::String(id);
            }
        }
    }
    Ok(())
}

fn suffix() -> String {
    let mut random = rand::rng();
    (0..SUFFIX_CHARS)
        .map(|_| {
            let index = random.random_range(0..ALPHABET.len());
            ALPHABET.get(index).map_or('a', |byte| char::from(*byte))
        })
        .collect()
}

async fn last_indexes(
    view: &Reader,
    deployment: &Deployment,
) -> Result<HashMap<String, i64>, Error> {
    let of = (deployment.tenant_name.as_str(), deployment.id.as_str());
    let query = belonging(View::NodeInstances, of);
    let mut last = HashMap::new();
    for (_, values) in view.pick(&query, &["node_id", "index"]).await? {
        let mut values = values.into_iter();
        let (Some(Some(node)), Some(Some(index))) = (values.next(), values.next()) else {
            continue;
        };
        let index: i64 = index.parse().unwrap_or(0);
        let known = last.entry(node).or_insert(0);
        *known = index.max(*known);
    }
    Ok(last)
}
