//! `update`: instances follow their changed nodes, and relationships between instances that stay
//! come and go.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    lifecycle::{Lifecycle, Part},
    order::{self, Order},
    sequence::{Builder, Step, event},
};
use crate::{
    commands::{deployment_updates::Related, operations::effects::is_truthy},
    error::Error,
    workflow::{
        graph::task::Handler,
        operation::{Call, Side},
        topology::{Instance, Relationship, Topology},
    },
};

const BEFORE_AND_AFTER: [&str; 6] = [
    "cloudify.interfaces.lifecycle.preupdate",
    "cloudify.interfaces.lifecycle.update",
    "cloudify.interfaces.lifecycle.postupdate",
    "cloudify.interfaces.lifecycle.update_config",
    "cloudify.interfaces.lifecycle.update_apply",
    "cloudify.interfaces.lifecycle.update_postapply",
];
/// Operations of which an instance needs one to follow a changed node without being installed anew.
pub(crate) const UPDATES: [&str; 3] = [
    BEFORE_AND_AFTER[1],
    BEFORE_AND_AFTER[3],
    BEFORE_AND_AFTER[4],
];
const UPDATE_RELATED: &str = "cloudify.interfaces.relationship_lifecycle.update";
const ESTABLISH: &str = "cloudify.interfaces.relationship_lifecycle.establish";
const UNLINK: &str = "cloudify.interfaces.relationship_lifecycle.unlink";

/// What becomes of relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// They are gained.
    Establish,
    /// They are lost; whether failures are passed over.
    Unlink(bool),
}

/// Whether an instance can be asked for its drift.
pub(crate) fn has_check(topology: &Topology, instance: &Instance) -> bool {
    Call::of_instance(topology, instance, super::check::CHECK_DRIFT).is_some()
}

/// The graph in which instances follow their nodes. Those among `changed` do so whatever checks
/// found; what cannot is noted with the instance.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    (chosen, changed): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let handler = Handler::updated(&instance.id);
        let name = format!("update_{}", instance.id);
        let at = builder.subgraph(&name, None, Some(handler.clone()));
        builder.on_success(at, handler);
        order.place(&instance.id, at);
        let mut lifecycle = Lifecycle::new(builder, topology, instance, at);
        lifecycle.steps(vec![event("Updating node instance")])?;
        if changed.contains(&instance.id) || is_drifted(instance, "configuration_drift", None) {
            for operation in BEFORE_AND_AFTER {
                lifecycle.part(Part {
                    before: Vec::new(),
                    operation,
                    after: Vec::new(),
                    nothing: None,
                })?;
            }
        }
        related(&mut lifecycle, topology, instance)?;
        lifecycle.steps(vec![event("Node instance updated")])?;
    }
    order::stubs(builder, &mut order, None)?;
    order.sources_after_targets(builder);
    Ok(())
}

fn related<'t>(
    lifecycle: &mut Lifecycle<'_, '_, 't>,
    topology: &'t Topology,
    instance: &'t Instance,
) -> Result<(), Error> {
    for relationship in &instance.relationships {
        let Some(target) = topology.instance(&relationship.target_id) else {
            continue;
        };
        for (side, kept_as, on, other) in [
            (
                Side::Source,
                "source_relationships_configuration_drift",
                instance,
                &target.id,
            ),
            (
                Side::Target,
                "target_relationships_configuration_drift",
                target,
                &instance.id,
            ),
        ] {
            let pair = (instance, relationship);
            let call = Call::of_relationship(topology, pair, side, UPDATE_RELATED);
            if let (Some(call), true) = (call, is_drifted(on, kept_as, Some(other))) {
                lifecycle.steps(vec![Step::Call(Box::new(call))])?;
            }
        }
    }
    Ok(())
}

/// Whether the latest check found a difference; `other`: in the relationship with that instance.
fn is_drifted(instance: &Instance, kept_as: &str, other: Option<&str>) -> bool {
    let kept = instance.system_properties.get(kept_as);
    let kept = match other {
        Some(other) => kept.and_then(|kept| kept.get(other)),
        None => kept,
    };
    kept.and_then(|kept| kept.get("result"))
        .is_some_and(is_truthy)
}

/// What is known of an instance's drift.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drift {
    /// A check went wrong.
    pub(crate) failed: bool,
    /// The instance is not what it should be.
    pub(crate) own: bool,
    /// A relationship of it is not.
    pub(crate) related: bool,
}

impl Drift {
    /// As it was found out last.
    pub(crate) fn of(instance: &Instance) -> Self {
        let mut drift = Self::default();
        let is_bad = |kept: &Value| kept.get("ok") == Some(&Value::Bool(false));
        if let Some(kept) = instance.system_properties.get("configuration_drift") {
            drift.failed = is_bad(kept);
            drift.own = is_drifted(instance, "configuration_drift", None);
        }
        for kept_as in [
            "source_relationships_configuration_drift",
            "target_relationships_configuration_drift",
        ] {
            let all = instance.system_properties.get(kept_as);
            for (other, kept) in all.and_then(Value::as_object).into_iter().flatten() {
                drift.failed |= is_bad(kept);
                drift.related |= is_drifted(instance, kept_as, Some(other));
            }
        }
        drift
    }
}

/// The graph in which instances that stay gain or lose relationships to others that stay.
pub(super) fn relate(
    builder: &mut Builder<'_>,
    topology: &Topology,
    (chosen, link): (&BTreeMap<String, Vec<Related>>, Link),
) -> Result<(), Error> {
    let (name, operation, texts) = match link {
        Link::Establish => (
            "establish",
            ESTABLISH,
            ("Establishing relationships", "Relationships established"),
        ),
        Link::Unlink(_) => (
            "unlink",
            UNLINK,
            ("Unlinking relationships", "Relationships unlinked"),
        ),
    };
    for (id, related) in chosen {
        let Some(instance) = topology.instance(id) else {
            continue;
        };
        let narrowed = instance.with_relationships(among(instance, related));
        let at = builder.subgraph(&format!("{name}_{id}"), None, None);
        let mut lifecycle = Lifecycle::new(builder, topology, &narrowed, at);
        lifecycle.related(operation, texts, link != Link::Establish)?;
        if link == Link::Unlink(true) {
            builder.ignore_failures(at);
        }
    }
    Ok(())
}

/// The relationships of an instance that are meant: of several equal ones the last, which are both
/// the latest gained and the first to go.
fn among(instance: &Instance, related: &[Related]) -> Vec<Relationship> {
    let mut open: Vec<&Related> = related.iter().collect();
    let mut found = Vec::new();
    for relationship in instance.relationships.iter().rev() {
        let is_meant = |one: &&Related| {
            one.kind == relationship.kind && one.target_id == relationship.target_id
        };
        if let Some(at) = open.iter().position(is_meant) {
            open.swap_remove(at);
            found.push(relationship.clone());
        }
    }
    found.reverse();
    found
}
