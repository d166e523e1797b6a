//! `heal`: the operations by which instances cure themselves.
use std::collections::BTreeSet;

use super::{
    lifecycle::{Lifecycle, Part},
    order::{self, Order},
    sequence::{Builder, event},
};
use crate::{
    error::Error,
    workflow::{graph::task::Handler, topology::Topology},
};

const PREHEAL: &str = "cloudify.interfaces.lifecycle.preheal";
/// The operation without which an instance cannot be healed.
pub(crate) const HEAL: &str = "cloudify.interfaces.lifecycle.heal";
const POSTHEAL: &str = "cloudify.interfaces.lifecycle.postheal";

/// The graph that heals instances. What cannot be healed is noted with the instance.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let handler = Handler::healed(&instance.id);
        let at = builder.subgraph(
            &format!("heal_{}", instance.id),
            None,
            Some(handler.clone()),
        );
        builder.on_success(at, handler);
        order.place(&instance.id, at);
        let mut lifecycle = Lifecycle::new(builder, topology, instance, at);
        lifecycle.steps(vec![event("Healing node instance")])?;
        for operation in [PREHEAL, HEAL, POSTHEAL] {
            lifecycle.part(Part {
                before: Vec::new(),
                operation,
                after: Vec::new(),
                nothing: None,
            })?;
        }
        lifecycle.steps(vec![event("Node instance healed")])?;
    }
    order::stubs(builder, &mut order, None)?;
    order.sources_after_targets(builder);
    Ok(())
}
