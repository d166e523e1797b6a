//! `install`: brings instances up, each after those it has relationships to.
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

const VALIDATE: &str = "cloudify.interfaces.validation.create";
const PRECREATE: &str = "cloudify.interfaces.lifecycle.precreate";
const CREATE: &str = "cloudify.interfaces.lifecycle.create";
const PRECONFIGURE: &str = "cloudify.interfaces.relationship_lifecycle.preconfigure";
const CONFIGURE: &str = "cloudify.interfaces.lifecycle.configure";
const POSTCONFIGURE: &str = "cloudify.interfaces.relationship_lifecycle.postconfigure";
const START: &str = "cloudify.interfaces.lifecycle.start";
const POSTSTART: &str = "cloudify.interfaces.lifecycle.poststart";
const MONITOR: &str = "cloudify.interfaces.monitoring.start";
const ESTABLISH: &str = "cloudify.interfaces.relationship_lifecycle.establish";
const GET_STATE: &str = "cloudify.interfaces.host.get_state";
const AGENT_CREATE: &str = "cloudify.interfaces.cloudify_agent.create";
const AGENT_START: &str = "cloudify.interfaces.cloudify_agent.start";
const MONITORING_AGENT: [&str; 2] = [
    "cloudify.interfaces.monitoring_agent.install",
    "cloudify.interfaces.monitoring_agent.start",
];

/// States in which a part has been gone through already.
const CREATED: &[&str] = &[
    "started",
    "starting",
    "created",
    "creating",
    "configured",
    "configuring",
];
const PAST_CREATE: &[&str] = &[
    "started",
    "starting",
    "created",
    "configured",
    "configuring",
];
const CONFIGURED: &[&str] = &["started", "starting", "configured"];
const STARTED: &[&str] = &["started"];

/// The graph that installs `chosen`; `intact` instances are there already.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in order.instances() {
        let handler = Handler::subgraph(&instance.id, "reinstall");
        let name = format!("install_{}", instance.id);
        let at = builder.subgraph(&name, None, Some(handler));
        order.place(&instance.id, at);
        sequence(builder, topology, instance, at)?;
    }
    order::stubs(
        builder,
        &mut order,
        Some(order::Stub {
            operation: ESTABLISH,
            before: "Establishing relationships",
            after: "Relationships established",
            is_ignored: false,
        }),
    )?;
    order.sources_after_targets(builder);
    Ok(())
}

/// Everything an instance goes through to be started, from its present state on.
pub(super) fn sequence(
    builder: &mut Builder<'_>,
    topology: &Topology,
    instance: &Instance,
    at: usize,
) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new(builder, topology, instance, at);
    if !has_anything(&lifecycle) {
        return lifecycle.steps(vec![
            Step::State("started"),
            event("Node instance started (nothing to do)"),
        ]);
    }
    lifecycle.steps(vec![Step::State("initializing")])?;
    create(&mut lifecycle)?;
    configure(&mut lifecycle)?;
    start(&mut lifecycle)?;
    lifecycle.steps(vec![Step::State("started"), event("Node instance started")])
}

fn has_anything(lifecycle: &Lifecycle<'_, '_, '_>) -> bool {
    let host = lifecycle.is_host() && lifecycle.install_method() != "none";
    let agent = host && lifecycle.has_any(&[AGENT_CREATE, AGENT_START]);
    let monitored = lifecycle.is_host() && lifecycle.has_any(&MONITORING_AGENT);
    let host_state = lifecycle.is_host() && lifecycle.has_any(&[GET_STATE]);
    let part = |passed: &[&str], operations: &[&'static str]| {
        !lifecycle.is_in(passed) && lifecycle.has_any(operations)
    };
    let related = |passed: &[&str], operation: &'static str| {
        !lifecycle.is_in(passed) && lifecycle.has_related(operation)
    };
    part(CREATED, &[VALIDATE, PRECREATE])
        || part(PAST_CREATE, &[CREATE])
        || part(CONFIGURED, &[CONFIGURE])
        || part(STARTED, &[START, POSTSTART, MONITOR])
        || related(CONFIGURED, PRECONFIGURE)
        || related(STARTED, POSTCONFIGURE)
        || related(STARTED, ESTABLISH)
        || (!lifecycle.is_in(STARTED) && (agent || monitored || host_state))
}

fn create(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    if !lifecycle.is_in(CREATED) {
        lifecycle.part(Part {
            before: vec![event("Validating node instance before creation")],
            operation: VALIDATE,
            after: vec![event("Node instance validated before creation")],
            nothing: Some("Validating node instance before creation: nothing to do"),
        })?;
        lifecycle.part(Part {
            before: vec![event("Precreating node instance")],
            operation: PRECREATE,
            after: vec![event("Node instance precreated")],
            nothing: Some("Precreating node instance: nothing to do"),
        })?;
    }
    if !lifecycle.is_in(PAST_CREATE) {
        lifecycle.part(Part {
            before: vec![event("Creating node instance"), Step::State("creating")],
            operation: CREATE,
            after: vec![event("Node instance created"), Step::State("created")],
            nothing: Some("Creating node instance: nothing to do"),
        })?;
    }
    Ok(())
}

fn configure(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    if !lifecycle.is_in(CONFIGURED) {
        let texts = (
            "Pre-configuring relationships",
            "Relationships pre-configured",
        );
        lifecycle.related(PRECONFIGURE, texts, false)?;
        lifecycle.part(Part {
            before: vec![
                Step::State("configuring"),
                event("Configuring node instance"),
            ],
            operation: CONFIGURE,
            after: vec![Step::State("configured"), event("Node instance configured")],
            nothing: Some("Configuring node instance: nothing to do"),
        })?;
    }
    if !lifecycle.is_in(STARTED) {
        let texts = (
            "Post-configuring relationships",
            "Relationships post-configured",
        );
        lifecycle.related(POSTCONFIGURE, texts, false)?;
    }
    Ok(())
}

fn start(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    if lifecycle.is_in(STARTED) {
        return Ok(());
    }
    lifecycle.part(Part {
        before: vec![Step::State("starting"), event("Starting node instance")],
        operation: START,
        after: Vec::new(),
        nothing: Some("Starting node instance: nothing to do"),
    })?;
    if lifecycle.is_host() {
        host_started(lifecycle)?;
    }
    lifecycle.part(Part {
        before: vec![event("Poststarting node instance")],
        operation: POSTSTART,
        after: vec![event("Node instance poststarted")],
        nothing: Some("Poststarting node instance: nothing to do"),
    })?;
    lifecycle.bare(MONITOR)?;
    let texts = ("Establishing relationships", "Relationships established");
    lifecycle.related(ESTABLISH, texts, false)
}

fn host_started(lifecycle: &mut Lifecycle<'_, '_, '_>) -> Result<(), Error> {
    lifecycle.bare(GET_STATE)?;
    let method = lifecycle.install_method();
    if method != "none" {
        lifecycle.part(Part {
            before: vec![event("Creating agent")],
            operation: AGENT_CREATE,
            after: vec![event("Agent created")],
            nothing: None,
        })?;
    }
    if matches!(method.as_str(), "plugin" | "init_script") {
        lifecycle.part(Part {
            before: vec![event("Waiting for agent to start")],
            operation: AGENT_START,
            after: vec![event("Agent started")],
            nothing: None,
        })?;
    }
    for operation in MONITORING_AGENT {
        lifecycle.bare(operation)?;
    }
    Ok(())
}
