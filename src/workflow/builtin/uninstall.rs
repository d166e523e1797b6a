//! `uninstall`: takes instances down, each before those it has relationships to.
use std::collections::BTreeSet;

use super::{
    lifecycle::{Lifecycle, Part},
    order::{self, Order},
    sequence::{Builder, Step, event},
};
use crate::{
    error::Error,
    workflow::{
        graph::task::Handler,
        topology::{Instance, Topology},
    },
};

const VALIDATE: &str = "cloudify.interfaces.validation.delete";
const MONITOR: &str = "cloudify.interfaces.monitoring.stop";
const PRESTOP: &str = "cloudify.interfaces.lifecycle.prestop";
const STOP: &str = "cloudify.interfaces.lifecycle.stop";
const UNLINK: &str = "cloudify.interfaces.relationship_lifecycle.unlink";
const DELETE: &str = "cloudify.interfaces.lifecycle.delete";
const POSTDELETE: &str = "cloudify.interfaces.lifecycle.postdelete";
const AGENT_STOP: &str = "cloudify.interfaces.cloudify_agent.stop";
const AGENT_STOP_AMQP: &str = "cloudify.interfaces.cloudify_agent.stop_amqp";
const AGENT_DELETE: &str = "cloudify.interfaces.cloudify_agent.delete";
const MONITORING_AGENT: [&str; 2] = [
    "cloudify.interfaces.monitoring_agent.stop",
    "cloudify.interfaces.monitoring_agent.uninstall",
];

/// States in which there is nothing to stop.
const NOT_RUNNING: &[&str] = &[
    "stopped",
    "deleting",
    "deleted",
    "uninitialized",
    "configured",
];
/// States that need not be told to be `stopped`.
const PAST_STOP: &[&str] = &["stopped", "deleting", "deleted"];
const GONE: &[&str] = &["deleted", "uninitialized"];

/// The graph that uninstalls `chosen`; the others are left as they are.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    ignore_failure: bool,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let handler = (!ignore_failure).then(|| Handler::subgraph(&instance.id, "uninstall"));
        let at = builder.subgraph(&instance.id, None, handler);
        order.place(&instance.id, at);
        sequence(builder, topology, instance, at)?;
        if ignore_failure {
            builder.ignore_failures(at);
        }
    }
    order::stubs(
        builder,
        &mut order,
        Some(order::Stub {
            operation: UNLINK,
            before: "Unlinking relationships",
            after: "Relationships unlinked",
            is_ignored: true,
        }),
    )?;
    order.targets_after_sources(builder);
    Ok(())
}

/// Everything an instance goes through to be deleted, from its present state on.
pub(super) fn sequence(
    builder: &mut Builder<'_>,
    topology: &Topology,
    instance: &Instance,
    at: usize,
) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new(builder, topology, instance, at);
    let state = instance.state.as_str();
    if lifecycle.is_in(NOT_RUNNING) {
        lifecycle.steps(vec![event(format!("Stop: instance already {state}"))])?;
    } else {
        stop(&mut lifecycle)?;
    }
    if !lifecycle.is_in(PAST_STOP) {
        lifecycle.steps(vec![Step::State("stopped")])?;
    }
    if lifecycle.is_in(GONE) {
        lifecycle.steps(vec![event(format!("Delete: instance already {state}"))])?;
    } else {
        delete(&mut lifecycle)?;
    }
    if state == "deleted" {
        return Ok(());
    }
    lifecycle.steps(vec![Step::State("deleted"), event("Deleted node instance")])
}

/// The graph that takes back instances which are half way up, each before those it has
/// relationships to.
pub(super) fn roll_back(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    ignores: bool,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let at = builder.subgraph(&instance.id, None, None);
        order.place(&instance.id, at);
        back(builder, topology, instance, at)?;
        if ignores {
            builder.ignore_failures(at);
        }
    }
    order::stubs(builder, &mut order, None)?;
    order.targets_after_sources(builder);
    Ok(())
}

fn back(
    builder: &mut Builder<'_>,
    topology: &Topology,
    instance: &Instance,
    at: usize,
) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new(builder, topology, instance, at);
    let state = instance.state.as_str();
    let nothing = |what: &str| {
        vec![event(format!(
            "Rollback {what}: nothing to do, instance state is {state}"
        ))]
    };
    let is_starting = lifecycle.is_in(&["starting"]);
    let is_created = lifecycle.is_in(&["creating", "configuring"]);
    if is_starting {
        stop(&mut lifecycle)?;
        lifecycle.steps(vec![Step::State("configured")])?;
    } else {
        lifecycle.steps(nothing("Stop"))?;
    }
    if is_created {
        delete(&mut lifecycle)?;
        lifecycle.steps(vec![Step::State("uninitialized")])?;
    } else {
        lifecycle.steps(nothing("Delete"))?;
    }
    if is_starting || is_created {
        lifecycle.steps(vec![event("Rollbacked node instance")])?;
    }
    Ok(())
}

fn stop(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    lifecycle.steps(vec![
        Step::State("stopping"),
        event("Stopping node instance"),
    ])?;
    lifecycle.part(Part {
        before: vec![event("Validating node instance before deletion")],
        operation: VALIDATE,
        after: vec![event("Node instance validated before deletion")],
        nothing: Some("Validating node instance after deletion: nothing to do"),
    })?;
    lifecycle.bare(MONITOR)?;
    lifecycle.part(Part {
        before: vec![event("Prestopping node instance")],
        operation: PRESTOP,
        after: vec![event("Node instance prestopped")],
        nothing: None,
    })?;
    if lifecycle.is_host() {
        host_stopping(lifecycle)?;
    }
    lifecycle.part(Part {
        before: Vec::new(),
        operation: STOP,
        after: vec![event("Stopped node instance")],
        nothing: Some("Stopped node instance: nothing to do"),
    })
}

fn host_stopping(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    for operation in MONITORING_AGENT {
        lifecycle.bare(operation)?;
    }
    let stop = match lifecycle.install_method().as_str() {
        "none" => return Ok(()),
        "init_script" | "provided" | "plugin" => Some(AGENT_STOP_AMQP),
        "remote" => Some(AGENT_STOP),
        _ => None,
    };
    if !lifecycle.has_any(&[AGENT_STOP, AGENT_STOP_AMQP, AGENT_DELETE]) {
        return Ok(());
    }
    lifecycle.steps(vec![event("Stopping agent")])?;
    if let Some(stop) = stop {
        lifecycle.bare(stop)?;
    }
    lifecycle.steps(vec![event("Deleting agent")])?;
    lifecycle.bare(AGENT_DELETE)?;
    lifecycle.steps(vec![event("Agent deleted")])
}

fn delete(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    let texts = ("Unlinking relationships", "Relationships unlinked");
    lifecycle.related(UNLINK, texts, true)?;
    lifecycle.part(Part {
        before: vec![Step::State("deleting"), event("Deleting node instance")],
        operation: DELETE,
        after: Vec::new(),
        nothing: Some("Deleting node instance: nothing to do"),
    })?;
    lifecycle.part(Part {
        before: vec![event("Postdeleting node instance")],
        operation: POSTDELETE,
        after: vec![event("Node instance postdeleted")],
        nothing: None,
    })
}
