//! What an update has taken down goes, and the update ends.
use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use stratalog_projections::views::{
    deployment_updates::DeploymentUpdate, executions::Execution, node_instances::NodeInstance,
};
use stratalog_schema::{
    Event, StreamId,
    events::{DeploymentChanged, DeploymentUpdateChanged, NodeDeleted, NodeInstanceDeleted},
};

use super::{
    Changes, EXECUTING, Related, SUCCESSFUL,
    begin::told,
    differences::{identity, items, unchanged},
    load, stream,
};
use crate::{
    auth::Caller,
    clock,
    commands::{
        deployments,
        json::{list, object},
        labels,
        modifications::{Whole, related_to},
        nodes::keep_relationship,
        operations::{self, UpdateStored},
        schedules,
        secrets::Opener,
    },
    context::Context,
    dsl::Plan,
    error::Error,
    store::{Decision, View},
};

/// Steps of the end, as clients of the reference read of them.
const ENDED: [&str; 2] = ["update_schedules", "update_operations"];
/// Steps of the removal.
const REMOVED: [&str; 3] = [
    "delete_removed_relationships",
    "delete_removed_instances",
    "delete_removed_nodes",
];

/// Removes what an update has taken down.
///
/// # Errors
/// 404; database errors.
pub async fn remove(
    ctx: &Context,
    caller: &Caller,
    (execution, id): (&Execution, &str),
) -> Result<(), Error> {
    let tenant = execution.tenant_name.as_str();
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let update = load(view, tenant, id).await?;
            let mut decision = Decision::nothing();
            removed(&mut decision, (view, execution), &update).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn removed(
    decision: &mut Decision,
    (view, execution): (&View, &Execution),
    update: &DeploymentUpdate,
) -> Result<(), Error> {
    if update.own.is_removed || update.state != EXECUTING {
        return Ok(());
    }
    let (tenant, id) = (update.tenant_name.as_str(), update.id.as_str());
    decision.rests_on(view, stream(tenant, id)).await?;
    let of = deployments::stream(tenant, &update.deployment_id);
    decision.rests_on(view, of.clone()).await?;
    let deployment = deployments::load(view, tenant, &update.deployment_id).await?;
    let whole = Whole::read(view, deployment).await?;
    let plan = Planned::new(update)?;
    instances(decision, &whole, (&plan, &Changes::of(update)?))?;
    nodes(decision, (&whole, &of), &plan)?;
    let changed = DeploymentUpdateChanged {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        removed: true,
        ..DeploymentUpdateChanged::default()
    };
    decision.event(stream(tenant, id), Event::DeploymentUpdateChanged(changed));
    decision.telemetry.extend(told(execution, &REMOVED));
    Ok(())
}

/// Ends an update that has done its work.
///
/// # Errors
/// 404; database errors.
pub async fn finish(
    ctx: &Context,
    caller: &Caller,
    (execution, id): (&Execution, &str),
) -> Result<(), Error> {
    let tenant = execution.tenant_name.as_str();
    let opener = Opener { ctx, caller };
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let update = load(view, tenant, id).await?;
            let mut decision = Decision::nothing();
            if update.state != EXECUTING {
                return Ok((decision, ()));
            }
            removed(&mut decision, (view, execution), &update).await?;
            if decision.expected.is_empty() {
                decision.rests_on(view, stream(tenant, id)).await?;
            }
            let changed = DeploymentUpdateChanged {
                id: id.to_owned(),
                tenant: tenant.to_owned(),
                state: Some(SUCCESSFUL.to_owned()),
                ..DeploymentUpdateChanged::default()
            };
            decision.event(stream(tenant, id), Event::DeploymentUpdateChanged(changed));
            let of = deployments::stream(tenant, &update.deployment_id);
            decision.event(of, Event::DeploymentChanged(touched(&update)));
            decision.extend(scheduled((view, opener), &update).await?);
            let touched = touched_operations(&update);
            decision.extend(operations::stored_anew(view, tenant, &touched).await?);
            decision.telemetry.extend(told(execution, &ENDED));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// The schedules of the deployment follow its plan.
async fn scheduled(
    (view, opener): (&View, Opener<'_>),
    update: &DeploymentUpdate,
) -> Result<Decision, Error> {
    let deployment = deployments::load(view, &update.tenant_name, &update.deployment_id).await?;
    let mut plan = object(update.deployment_plan.as_ref())?;
    // settings need nothing else of it
    plan.retain(|name, _| matches!(name.as_str(), "deployment_settings" | "inputs"));
    let plan = Plan::new(plan.into());
    let labels = labels::kept(&deployment.labels);
    let settings = deployments::Settings::of((view, opener), (&deployment, &labels), &plan).await?;
    schedules::follow(view, opener.caller, (&deployment, &settings.schedules()?)).await
}

/// Operations that the update changes, as its steps name them: those of nodes, and those of their
/// relationships, which are named by their place.
fn touched_operations(update: &DeploymentUpdate) -> Vec<UpdateStored> {
    let mut touched: Vec<UpdateStored> = Vec::new();
    for step in &update.steps {
        let words: Vec<&str> = step.entity_id.iter().map(String::as_str).collect();
        let (node, operation, place) = match words[..] {
            ["nodes", node, "operations", operation, ..] => (node, operation, None),
            ["nodes", node, "relationships", index, key, operation, ..] => {
                let index = index.trim_matches(['[', ']']).parse().ok();
                let Some(index) = index else { continue };
                (node, operation, Some((key.to_owned(), index)))
            }
            _ => continue,
        };
        let (key, rel_index) = place.unzip();
        let what = UpdateStored {
            deployment_id: update.deployment_id.clone(),
            node_id: node.to_owned(),
            operation: operation.to_owned(),
            key,
            rel_index,
        };
        if !touched.contains(&what) {
            touched.push(what);
        }
    }
    touched
}

/// The deployment was changed now.
pub(super) fn touched(update: &DeploymentUpdate) -> DeploymentChanged {
    DeploymentChanged {
        id: update.deployment_id.clone(),
        tenant: update.tenant_name.clone(),
        updated_at_ms: clock::now_ms(),
        ..DeploymentChanged::default()
    }
}

/// What the plan of an update says of nodes.
struct Planned {
    /// Nodes by name.
    nodes: HashMap<String, Value>,
    /// Names of those that go.
    removed: BTreeSet<String>,
}

impl Planned {
    fn new(update: &DeploymentUpdate) -> Result<Self, Error> {
        let mut plan = object(update.deployment_plan.as_ref())?;
        let nodes = plan.remove("nodes").unwrap_or_default();
        let named = |node: Value| {
            let id = node.get("id")?.as_str()?.to_owned();
            Some((id, node))
        };
        let described = object(update.deployment_update_nodes.as_ref())?;
        let removed = described.get("remove").map(items).unwrap_or_default();
        let name = |name: Value| name.as_str().map(str::to_owned);
        Ok(Self {
            nodes: items(&nodes).into_iter().filter_map(named).collect(),
            removed: removed.into_iter().filter_map(name).collect(),
        })
    }

    fn list(&self, node: &str, section: &str) -> Vec<Value> {
        let node = self.nodes.get(node);
        node.and_then(|node| node.get(section))
            .map(items)
            .unwrap_or_default()
    }
}

/// Instances go, and whoever stays loses its relationships to them and those that were taken down;
/// the others come in the order of the plan.
fn instances(
    decision: &mut Decision,
    whole: &Whole,
    (plan, changes): (&Planned, &Changes),
) -> Result<(), Error> {
    for instance in &whole.instances {
        if changes.removed.contains(&instance.id) {
            let event = NodeInstanceDeleted {
                id: instance.id.clone(),
                tenant: instance.tenant_name.clone(),
            };
            whole.change(decision, instance, Event::NodeInstanceDeleted(event));
            continue;
        }
        let before = list(instance.relationships.as_ref())?;
        let after = kept(instance, &before, (plan, changes));
        if after != before {
            whole.change(decision, instance, related_to(instance, after));
        }
    }
    Ok(())
}

fn kept(
    instance: &NodeInstance,
    before: &[Value],
    (plan, changes): (&Planned, &Changes),
) -> Vec<Value> {
    let mut gone: Vec<&Related> = changes
        .reduced
        .get(&instance.id)
        .into_iter()
        .flatten()
        .collect();
    let mut kept = Vec::with_capacity(before.len());
    // of several equal ones the last go
    for one in before.iter().rev() {
        let related = Related::of(one);
        let at = gone.iter().position(|gone| Some(*gone) == related.as_ref());
        let target_goes = |related: &Related| changes.removed.contains(&related.target_id);
        match at {
            Some(at) => drop(gone.swap_remove(at)),
            None if related.as_ref().is_some_and(target_goes) => {}
            None => kept.push(one.clone()),
        }
    }
    kept.reverse();
    let planned = plan.list(&instance.node_id, "relationships");
    let places: Vec<(&str, &str)> = planned.iter().map(identity).collect();
    kept.sort_by_key(|one| {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        let own = (text("type"), text("target_name"));
        let place = places.iter().position(|known| *known == own);
        place.unwrap_or(usize::MAX)
    });
    kept
}

/// Nodes go, and the others have the relationships and plugins of the plan.
fn nodes(
    decision: &mut Decision,
    (whole, of): (&Whole, &StreamId),
    plan: &Planned,
) -> Result<(), Error> {
    for node in &whole.nodes {
        if plan.removed.contains(&node.id) {
            let event = NodeDeleted {
                deployment_id: node.deployment_id.clone(),
                tenant: node.tenant_name.clone(),
                id: node.id.clone(),
            };
            decision.event(of.clone(), Event::NodeDeleted(event));
            continue;
        }
        let mut change = unchanged(&whole.deployment, &node.id);
        for (section, stored, field) in [
            (
                "relationships",
                &node.relationships,
                &mut change.relationships_json,
            ),
            ("plugins", &node.plugins, &mut change.plugins_json),
        ] {
            let mut planned = plan.list(&node.id, section);
            if section == "relationships" {
                planned.iter_mut().for_each(keep_relationship);
            }
            if list(stored.as_ref())? != planned {
                *field = Some(Value::from(planned).to_string());
            }
        }
        if change != unchanged(&whole.deployment, &node.id) {
            decision.event(of.clone(), Event::NodeChanged(change));
        }
    }
    Ok(())
}
