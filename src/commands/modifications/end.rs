//! The end: what was to be removed goes, or everything is as it was before.
use std::collections::BTreeSet;

use serde_json::Value;
use stratalog_projections::views::{
    deployment_modifications::DeploymentModification, node_instances::NodeInstance,
};
use stratalog_schema::{
    Event,
    events::{DeploymentModificationEnded, NodeInstanceChanged, NodeInstanceDeleted},
};

use super::{
    Count, MODEL, STARTED, Whole, count, deployment_stream, documents, instances, related_to,
    stream,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        deployments,
        json::{list, object},
        node_instances::flags,
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How a modification ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What it removes is gone.
    Finish,
    /// Instances are what they were when it started.
    RollBack,
}

impl End {
    /// The last segment of its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::RollBack => "rollback",
        }
    }

    fn permission(self) -> Permission {
        match self {
            Self::Finish => Permission::DeploymentModificationFinish,
            Self::RollBack => Permission::DeploymentModificationRollback,
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Finish => "finished",
            Self::RollBack => "rolledback",
        }
    }
}

/// Ends a modification.
///
/// # Errors
/// 403, 404; 400 `deployment_modification_already_ended_error`.
pub async fn end(ctx: &Context, caller: &Caller, id: &str, how: End) -> Result<(), Error> {
    caller.require(how.permission())?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let (modification, whole) = read(view, caller, id).await?;
            let of = stream(&modification.tenant_name, id);
            let mut decision = Decision::nothing();
            decision.rests_on(view, of.clone()).await?;
            decision
                .rests_on(view, deployment_stream(&whole.deployment))
                .await?;
            let mut ended = DeploymentModificationEnded {
                id: id.to_owned(),
                tenant: modification.tenant_name.clone(),
                status: how.status().to_owned(),
                ended_at_ms: clock::now_ms(),
                before_rollback_json: None,
            };
            let counted = match how {
                End::Finish => {
                    remove(&mut decision, &whole, &instances(&modification, "removed")?)?;
                    Count::Reached
                }
                End::RollBack => {
                    let parts = object(modification.node_instances.as_ref())?;
                    let before = parts.get("before_modification").and_then(Value::as_array);
                    restore(&mut decision, &whole, before.map_or(&[], Vec::as_slice));
                    let now = Value::from(documents(&whole.instances)?);
                    ended.before_rollback_json = Some(now.to_string());
                    Count::Restored
                }
            };
            let modified = object(modification.modified_nodes.as_ref())?;
            count(&mut decision, &whole, &modified, counted)?;
            decision.event(of, Event::DeploymentModificationEnded(ended));
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
    let modification: DeploymentModification =
        visibility::own(caller, view, MODEL, id).await?.resource()?;
    if modification.status != STARTED {
        return Err(Error::refused(
            ErrorCode::DeploymentModificationAlreadyEnded,
            format!(
                "Cannot end deployment modification: {id}. It is already in {} status",
                modification.status
            ),
        ));
    }
    let (tenant, of) = (&modification.tenant_name, &modification.deployment_id);
    let deployment = deployments::load(view, tenant, of).await?;
    Ok((modification, Whole::read(view, deployment).await?))
}

fn deleted(instance: &NodeInstance) -> Event {
    Event::NodeInstanceDeleted(NodeInstanceDeleted {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
    })
}

/// Instances go, and whoever stays loses its relationships to them.
fn remove(decision: &mut Decision, whole: &Whole, removed: &BTreeSet<String>) -> Result<(), Error> {
    for instance in &whole.instances {
        if removed.contains(&instance.id) {
            whole.change(decision, instance, deleted(instance));
            continue;
        }
        let all = list(instance.relationships.as_ref())?;
        let stays = |relationship: &Value| {
            let target = relationship.get("target_id").and_then(Value::as_str);
            target.is_none_or(|target| !removed.contains(target))
        };
        let kept: Vec<Value> = all.iter().filter(|one| stays(one)).cloned().collect();
        if kept.len() < all.len() {
            whole.change(decision, instance, related_to(instance, kept));
        }
    }
    Ok(())
}

/// Instances there were not go; the others get back what they held.
fn restore(decision: &mut Decision, whole: &Whole, before: &[Value]) {
    for instance in &whole.instances {
        let is = |old: &&Value| old.get("id").and_then(Value::as_str) == Some(&instance.id);
        let Some(old) = before.iter().find(is) else {
            whole.change(decision, instance, deleted(instance));
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
        whole.change(decision, instance, Event::NodeInstanceChanged(event));
    }
}
