//! The end: what was to be removed goes, or everything is as it was before.
use std::collections::HashSet;

use serde_json::{Map, Value};
use stratalog_projections::views::{
    deployment_modifications::DeploymentModification, node_instances::NodeInstance, scoped,
};
use stratalog_schema::{
    Event,
    events::{DeploymentModificationEnded, NodeInstanceChanged, NodeInstanceDeleted},
};

use super::{
    Count, MODEL, STARTED, Whole, count, documents, instance_stream, object,
    start::{list, marked, related_to},
    stream,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::node_instances::flags,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// Finishes a modification: what it removes is gone.
///
/// # Errors
/// 403, 404; 400 `deployment_modification_already_ended_error`.
pub async fn finish(ctx: &Context, caller: &Caller, id: &str) -> Result<(), Error> {
    caller.require(Permission::DeploymentModificationFinish)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let (modification, whole) = read(view, caller, id).await?;
            let mut decision = begin(view, &modification).await?;
            let instances = object(modification.node_instances.as_ref())?;
            remove(&mut decision, &whole, &instances)?;
            reduce(&mut decision, &whole, &instances)?;
            let modified = object(modification.modified_nodes.as_ref())?;
            count(&mut decision, &whole, &modified, Count::Reached)?;
            decision.event(
                stream(&modification.tenant_name, id),
                ended(&modification, "finished", None),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Takes a modification back: instances are what they were when it started.
///
/// # Errors
/// As [`finish`].
pub async fn roll_back(ctx: &Context, caller: &Caller, id: &str) -> Result<(), Error> {
    caller.require(Permission::DeploymentModificationRollback)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let (modification, whole) = read(view, caller, id).await?;
            let mut decision = begin(view, &modification).await?;
            let instances = object(modification.node_instances.as_ref())?;
            let before = part(&instances, "before_modification");
            restore(&mut decision, &whole, before)?;
            let modified = object(modification.modified_nodes.as_ref())?;
            count(&mut decision, &whole, &modified, Count::Restored)?;
            let now = Value::from(documents(&whole.instances)?).to_string();
            decision.event(
                stream(&modification.tenant_name, id),
                ended(&modification, "rolledback", Some(now)),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn read(
    view: &View,
    caller: &Caller,
    id: &str,
) -> Result<(DeploymentModification, Whole), Error> {
    let modification: DeploymentModification = caller.get(view, MODEL, id).await?.resource()?;
    if modification.status != STARTED {
        return Err(Error::refused(
            ErrorCode::DeploymentModificationAlreadyEnded,
            format!(
                "Cannot end deployment modification: {id}. It is already in {} status",
                modification.status
            ),
        ));
    }
    let key = scoped(&modification.tenant_name, &modification.deployment_id);
    let deployment = view.get(&key).await?;
    let deployment =
        deployment.ok_or_else(|| Error::not_found("Deployment", &modification.deployment_id))?;
    Ok((modification, Whole::read(view, deployment).await?))
}

async fn begin(view: &View, modification: &DeploymentModification) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    let stream = stream(&modification.tenant_name, &modification.id);
    decision.rests_on(view, stream).await?;
    Ok(decision)
}

fn ended(modification: &DeploymentModification, status: &str, before: Option<String>) -> Event {
    Event::DeploymentModificationEnded(DeploymentModificationEnded {
        id: modification.id.clone(),
        tenant: modification.tenant_name.clone(),
        status: status.to_owned(),
        ended_at_ms: clock::now_ms(),
        before_rollback_json: before,
    })
}

fn part<'m>(instances: &'m Map<String, Value>, name: &str) -> &'m [Value] {
    let listed = instances.get(name).and_then(Value::as_array);
    listed.map_or(&[], Vec::as_slice)
}

fn ids<'m>(marked: impl Iterator<Item = &'m Value>) -> HashSet<&'m str> {
    marked
        .filter_map(|one| one.get("id").and_then(Value::as_str))
        .collect()
}

fn delete(decision: &mut Decision, instance: &NodeInstance) {
    let event = NodeInstanceDeleted {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
    };
    decision.event(
        instance_stream(&instance.tenant_name, &instance.id),
        Event::NodeInstanceDeleted(event),
    );
}

fn remove(
    decision: &mut Decision,
    whole: &Whole,
    instances: &Map<String, Value>,
) -> Result<(), Error> {
    let removed = ids(marked(part(instances, "removed_and_related"), "removed"));
    for instance in &whole.instances {
        if removed.contains(instance.id.as_str()) {
            delete(decision, instance);
        }
    }
    Ok(())
}

/// Whoever stays loses its relationships to those that go.
fn reduce(
    decision: &mut Decision,
    whole: &Whole,
    instances: &Map<String, Value>,
) -> Result<(), Error> {
    let removed = ids(marked(part(instances, "removed_and_related"), "removed"));
    for instance in &whole.instances {
        if removed.contains(instance.id.as_str()) {
            continue;
        }
        let all = list(instance)?;
        let stays = |relationship: &Value| {
            let target = relationship.get("target_id").and_then(Value::as_str);
            target.is_none_or(|target| !removed.contains(target))
        };
        let kept: Vec<Value> = all.iter().filter(|one| stays(one)).cloned().collect();
        if kept.len() < all.len() {
            decision.event(
                instance_stream(&instance.tenant_name, &instance.id),
                Event::NodeInstanceChanged(related_to(instance, kept)),
            );
        }
    }
    Ok(())
}

/// Instances there were not go; the others get back what they held.
fn restore(decision: &mut Decision, whole: &Whole, before: &[Value]) -> Result<(), Error> {
    for instance in &whole.instances {
        let is = |old: &&Value| old.get("id").and_then(Value::as_str) == Some(&instance.id);
        let Some(old) = before.iter().find(is) else {
            delete(decision, instance);
            continue;
        };
        let text = |name: &str| old.get(name).filter(|value| !value.is_null());
        let json = |name: &str| text(name).map(Value::to_string);
        let (is_ok, is_drifted) = text("system_properties").map(flags).unwrap_or_default();
        let event = NodeInstanceChanged {
            id: instance.id.clone(),
            tenant: instance.tenant_name.clone(),
            version: instance.version + 1,
            state: text("state").and_then(Value::as_str).map(str::to_owned),
            runtime_properties_json: json("runtime_properties"),
            system_properties_json: json("system_properties"),
            relationships_json: json("relationships"),
            is_status_check_ok: Some(is_ok),
            has_configuration_drift: Some(is_drifted),
        };
        decision.event(
            instance_stream(&instance.tenant_name, &instance.id),
            Event::NodeInstanceChanged(event),
        );
    }
    Ok(())
}
