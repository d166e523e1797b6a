//! `install_new_agents` and `validate_agents`: what is done to the agents of hosts.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    flag, lifecycle,
    sequence::{Builder, Sequence, Step, event},
    text,
};
use crate::{
    error::{Error, ErrorCode},
    workflow::{
        operation::Call,
        topology::{Instance, Topology},
    },
};

/// An operation, and what is told before and after it.
struct Part {
    before: &'static str,
    operation: &'static str,
    after: &'static str,
}

const VALIDATED: Part = Part {
    before: "Validating agent connection.",
    operation: "cloudify.interfaces.cloudify_agent.validate_amqp",
    after: "Validation done",
};
const INSTALLED: Part = Part {
    before: "Installing new agent",
    operation: "cloudify.interfaces.cloudify_agent.create_amqp",
    after: "New agent installed.",
};
const MONITORING_AGENT: [&str; 2] = [
    "cloudify.interfaces.monitoring_agent.install",
    "cloudify.interfaces.monitoring_agent.start",
];
const MONITOR: &str = "cloudify.interfaces.monitoring.start";

/// What a workflow on agents is to do.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    /// Whether agents are asked whether they live.
    validates: bool,
    /// Whether they get a successor, and with which arguments.
    installs: Option<Map<String, Value>>,
    /// Hosts with one of these install methods only; all when empty.
    methods: BTreeSet<String>,
}

impl Renewal {
    /// `validate_agents`.
    pub(super) fn validation(parameters: &Map<String, Value>) -> Self {
        Self {
            validates: true,
            installs: None,
            methods: methods(parameters),
        }
    }

    /// `install_new_agents`.
    ///
    /// # Errors
    /// Parameters that mean another kind of installation.
    pub(super) fn installation(parameters: &Map<String, Value>) -> Result<Self, Error> {
        if !text(parameters, "install_script").is_empty() {
            return Err(Error::refused(
                ErrorCode::BadParameters,
                "The parameter install_script cannot be used: new agents are installed by the \
                 manager's own script",
            ));
        }
        let names = [
            "install_agent_timeout",
            "manager_ip",
            "manager_certificate",
            "stop_old_agent",
        ];
        let arguments = names.into_iter().filter_map(|name| {
            let value = parameters.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        });
        let installs = flag(parameters, "install").unwrap_or(true);
        Ok(Self {
            validates: flag(parameters, "validate").unwrap_or(true),
            installs: installs.then(|| arguments.collect()),
            methods: methods(parameters),
        })
    }

    /// Whether it takes in a host.
    fn admits(&self, topology: &Topology, instance: &Instance) -> bool {
        let node = topology.node_of(instance);
        let method = lifecycle::install_method(node);
        node.is_compute()
            && method != "none"
            && (self.methods.is_empty() || self.methods.contains(&method))
    }
}

fn methods(parameters: &Map<String, Value>) -> BTreeSet<String> {
    let listed = parameters.get("install_methods").and_then(Value::as_array);
    let texts = listed.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The graph: all agents are asked before the first one is replaced.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    renewal: &Renewal,
) -> Result<(), Error> {
    let hosts: Vec<&Instance> = topology
        .instances()
        .iter()
        .filter(|instance| chosen.contains(&instance.id) && renewal.admits(topology, instance))
        .collect();
    if let Some(host) = hosts.iter().find(|host| host.state != "started") {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            format!("Node {} is not started (state: {})", host.id, host.state),
        ));
    }
    let mut before = None;
    if renewal.validates {
        let at = builder.subgraph("validate", None, None);
        let arguments = validation(renewal, renewal.installs.is_none());
        for host in &hosts {
            let mut sequence = Sequence::within(at);
            told(
                builder,
                (topology, host),
                (&mut sequence, &VALIDATED, &arguments),
            )?;
        }
        before = Some(at);
    }
    let Some(arguments) = &renewal.installs else {
        return Ok(());
    };
    let at = builder.subgraph("install", None, None);
    if let Some(before) = before {
        builder.depend(at, before);
    }
    for host in hosts {
        let mut sequence = Sequence::within(at);
        let of = (topology, host);
        told(builder, of, (&mut sequence, &INSTALLED, arguments))?;
        let current = validation(renewal, true);
        told(builder, of, (&mut sequence, &VALIDATED, &current))?;
        for operation in MONITORING_AGENT {
            monitor(builder, topology, host, (&mut sequence, operation))?;
        }
        for id in topology.contained(&host.id) {
            if let Some(instance) = topology.instance(&id) {
                monitor(builder, topology, instance, (&mut sequence, MONITOR))?;
            }
        }
    }
    Ok(())
}

fn monitor(
    builder: &mut Builder<'_>,
    topology: &Topology,
    instance: &Instance,
    (sequence, operation): (&mut Sequence, &'static str),
) -> Result<(), Error> {
    match Call::of_instance(topology, instance, operation) {
        Some(call) => sequence.then(builder, &instance.id, vec![Step::Call(Box::new(call))]),
        None => Ok(()),
    }
}

fn validation(renewal: &Renewal, is_current: bool) -> Map<String, Value> {
    let mut arguments = Map::from_iter([("current_amqp".to_owned(), json!(is_current))]);
    for name in ["manager_ip", "manager_certificate"] {
        let given = renewal.installs.as_ref().and_then(|given| given.get(name));
        if let Some(given) = given.filter(|_| !is_current) {
            arguments.insert(name.to_owned(), given.clone());
        }
    }
    arguments
}

/// Adds an operation between its events; hosts whose type does not have it do without.
fn told(
    builder: &mut Builder<'_>,
    (topology, host): (&Topology, &Instance),
    (sequence, part, arguments): (&mut Sequence, &Part, &Map<String, Value>),
) -> Result<(), Error> {
    let Some(mut call) = Call::of_instance(topology, host, part.operation) else {
        return Ok(());
    };
    call.declared = call
        .declared
        .with(arguments, true)
        .map_err(|why| Error::refused(ErrorCode::BadParameters, why))?;
    for step in [
        event(part.before),
        Step::Call(Box::new(call)),
        event(part.after),
    ] {
        sequence.then(builder, &host.id, vec![step])?;
    }
    Ok(())
}
