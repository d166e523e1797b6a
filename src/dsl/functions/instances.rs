//! Which node instances a function means.

use std::sync::Arc;

use crate::dsl::value::Value;

use super::fault::{failed, key_error};
use super::scope::{Party, Scope};
use super::storage::Storage;
use crate::dsl::DslError;

const CONTAINED_IN: &str = "cloudify.relationships.contained_in";
/// Instances within each other.
const DEPTH_MAX: usize = 1000;

pub(super) fn is_keyword(name: &str) -> bool {
    matches!(name, "SELF" | "SOURCE" | "TARGET")
}

/// The node a name or keyword means.
pub(super) fn node_of(name: &str, scope: &Scope) -> Result<Arc<str>, DslError> {
    if !is_keyword(name) {
        return Ok(name.into());
    }
    match scope.keyword(name) {
        Some(party) => Ok(Arc::clone(&party.node)),
        None => Err(nobody(name)),
    }
}

fn nobody(name: &str) -> DslError {
    failed(format!("{name} means no node instance in this context"))
}

/// The one instance a name or keyword means.
pub(super) fn instance_of(
    storage: &dyn Storage,
    name: &str,
    scope: &Scope,
) -> Result<Arc<Value>, DslError> {
    let (name, hint) = if is_keyword(name) {
        let party = scope.keyword(name).ok_or_else(|| nobody(name))?;
        (&*party.node, party.instance.as_deref())
    } else {
        (name, None)
    };
    if let Some(id) = hint {
        return storage
            .node_instance(id)?
            .ok_or_else(|| failed(format!("node instance '{id}' does not exist")));
    }
    let candidates = storage.node_instances(name)?;
    match candidates.as_slice() {
        [] => Err(failed(format!("node '{name}' has no instances"))),
        [only] => Ok(Arc::clone(only)),
        _ => nearest(storage, name, &candidates, scope),
    }
}

/// Among several instances, the one the asking instance is related to, or else shares a scaling
/// group with.
fn nearest(
    storage: &dyn Storage,
    name: &str,
    candidates: &[Arc<Value>],
    scope: &Scope,
) -> Result<Arc<Value>, DslError> {
    let own = instance(storage, scope.keyword("SELF"))?;
    if let Some(own) = &own
        && let Some(found) = related(own, name, candidates)
    {
        return Ok(found);
    }
    let asking = match own {
        Some(own) => vec![own],
        None => [scope.keyword("SOURCE"), scope.keyword("TARGET")]
            .into_iter()
            .filter_map(|party| instance(storage, party).transpose())
            .collect::<Result<_, _>>()?,
    };
    let groups: Vec<Vec<String>> = candidates
        .iter()
        .map(|candidate| groups_around(storage, candidate))
        .collect::<Result<_, _>>()?;
    for asker in &asking {
        let around = groups_around(storage, asker)?;
        for group in &around {
            let mut sharing = candidates
                .iter()
                .zip(&groups)
                .filter(|(_, groups)| groups.contains(group));
            match (sharing.next(), sharing.next()) {
                (Some((only, _)), None) => return Ok(Arc::clone(only)),
                (None, _) => {}
                (Some(_), Some(_)) => break,
            }
        }
    }
    Err(failed(format!(
        "node '{name}' has {} instances, and the context does not tell which is meant",
        candidates.len()
    )))
}

fn instance(storage: &dyn Storage, party: Option<&Party>) -> Result<Option<Arc<Value>>, DslError> {
    match party.and_then(|party| party.instance.as_deref()) {
        Some(id) => storage.node_instance(id),
        None => Ok(None),
    }
}

fn related(own: &Value, name: &str, candidates: &[Arc<Value>]) -> Option<Arc<Value>> {
    let mut targets = relationships(own).filter(|relationship| {
        relationship.get("target_name").and_then(Value::as_str) == Some(name)
    });
    let (only, None) = (targets.next()?, targets.next()) else {
        return None;
    };
    let id = only.get("target_id")?;
    candidates
        .iter()
        .find(|candidate| candidate.get("id") == Some(id))
        .cloned()
}

fn relationships(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .get("relationships")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The group instances an instance is in, directly or with what contains it, innermost first.
fn groups_around(storage: &dyn Storage, instance: &Arc<Value>) -> Result<Vec<String>, DslError> {
    let mut groups = Vec::new();
    let mut current = Arc::clone(instance);
    for _ in 0..DEPTH_MAX {
        let own = current.get("scaling_groups").and_then(Value::as_array);
        groups.extend(
            own.into_iter()
                .flatten()
                .filter_map(|group| Some(group.get("id")?.as_str()?.to_owned())),
        );
        match container(storage, &current)? {
            Some(next) => current = next,
            None => break,
        }
    }
    Ok(groups)
}

fn container(storage: &dyn Storage, instance: &Value) -> Result<Option<Arc<Value>>, DslError> {
    let node_id = instance
        .get("node_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(node) = storage.node(node_id)? else {
        return Ok(None);
    };
    let contained_in = relationships(&node).find(|relationship| {
        let ancestors = relationship.get("type_hierarchy").and_then(Value::as_array);
        ancestors
            .into_iter()
            .flatten()
            .any(|ancestor| ancestor.as_str() == Some(CONTAINED_IN))
    });
    let target = contained_in.and_then(|relationship| relationship.get("target_id"));
    let Some(target) = target.filter(|target| target.is_string()) else {
        return Ok(None);
    };
    let id = relationships(instance)
        .find(|relationship| relationship.get("target_name") == Some(target))
        .and_then(|relationship| relationship.get("target_id")?.as_str());
    id.map_or(Ok(None), |id| storage.node_instance(id))
}

/// All instances of a node that exists.
pub(super) fn instances_of(storage: &dyn Storage, node: &str) -> Result<Vec<Arc<Value>>, DslError> {
    let found = storage.node_instances(node)?;
    if found.is_empty() && storage.node(node)?.is_none() {
        return Err(key_error(format!("node '{node}' does not exist")));
    }
    Ok(found)
}

/// The instance with an id; callers that care for all instances of a node may name the node
/// instead.
pub(super) fn party(storage: &dyn Storage, id: &str) -> Result<Party, DslError> {
    if let Some(instance) = storage.node_instance(id)? {
        return Ok(party_of(&instance));
    }
    if storage.node(id)?.is_some() {
        return Ok(Party::node(id));
    }
    Err(key_error(format!("node instance '{id}' does not exist")))
}

pub(super) fn party_of(instance: &Value) -> Party {
    let text = |key: &str| {
        instance
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    Party {
        node: text("node_id").into(),
        instance: Some(text("id").into()),
    }
}
