//! `check_status` and `check_drift`: operations whose results are kept with the node instances.
use std::collections::BTreeSet;

use super::{
    order::{self, Order},
    sequence::{Builder, Sequence},
};
use crate::{
    error::Error,
    workflow::{
        graph::task::Handler,
        operation::{Call, Side},
        topology::{Instance, Topology},
    },
};

/// Operation that checks whether an instance is well.
pub(crate) const CHECK_STATUS: &str = "cloudify.interfaces.validation.check_status";
/// Operation that compares an instance with what it should be.
pub(crate) const CHECK_DRIFT: &str = "cloudify.interfaces.lifecycle.check_drift";
const CHECK_RELATED: &str = "cloudify.interfaces.relationship_lifecycle.check_drift";

/// How a check is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    /// Targets of relationships come first.
    pub(crate) in_order: bool,
    /// Failures are kept, but fail nothing.
    pub(crate) ignores: bool,
}

/// The graph that checks the status of instances.
pub(super) fn status(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    check: Check,
) -> Result<(), Error> {
    each(
        builder,
        topology,
        (chosen, check),
        |builder, instance, at| {
            let Some(call) = Call::of_instance(topology, instance, CHECK_STATUS) else {
                return Ok(());
            };
            let handler = Handler::checked(&instance.id, "status", check.ignores);
            Sequence::within(at).then_checked(builder, call, handler)
        },
    )
}

/// The graph that looks for drift in instances and their relationships.
pub(super) fn drift(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    check: Check,
) -> Result<(), Error> {
    each(
        builder,
        topology,
        (chosen, check),
        |builder, instance, at| {
            let mut sequence = Sequence::within(at);
            if let Some(call) = Call::of_instance(topology, instance, CHECK_DRIFT) {
                let handler = Handler::checked(&instance.id, "configuration_drift", check.ignores);
                sequence.then_checked(builder, call, handler)?;
            }
            for relationship in &instance.relationships {
                let target = relationship.target_id.as_str();
                for (side, on, kind, other) in [
                    (
                        Side::Source,
                        instance.id.as_str(),
                        "source_relationships_configuration_drift",
                        target,
                    ),
                    (
                        Side::Target,
                        target,
                        "target_relationships_configuration_drift",
                        &instance.id,
                    ),
                ] {
                    let pair = (instance, relationship);
                    if let Some(call) = Call::of_relationship(topology, pair, side, CHECK_RELATED) {
                        let handler = Handler::checked(on, kind, check.ignores).about(other);
                        sequence.then_checked(builder, call, handler)?;
                    }
                }
            }
            Ok(())
        },
    )
}

fn each(
    builder: &mut Builder<'_>,
    topology: &Topology,
    (chosen, check): (&BTreeSet<String>, Check),
    add: impl Fn(&mut Builder<'_>, &Instance, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let at = builder.subgraph(&instance.id, None, None);
        order.place(&instance.id, at);
        add(builder, instance, at)?;
    }
    if check.in_order {
        order::stubs(builder, &mut order, None)?;
        order.sources_after_targets(builder);
    }
    Ok(())
}
