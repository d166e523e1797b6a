//! `execute_operation` and its kin: one operation on many instances.
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    order::{self, Order},
    sequence::{Builder, Sequence, Step, event},
};
use crate::{
    error::{Error, ErrorCode},
    workflow::{operation::Call, topology::Topology},
};

/// What is to be executed.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(super) operation: String,
    pub(super) kwargs: Map<String, Value>,
    pub(super) may_override: bool,
    pub(super) in_order: bool,
}

/// The graph that runs one operation on the chosen instances.
pub(super) fn graph(
    builder: &mut Builder<'_>,
    topology: &Topology,
    chosen: &BTreeSet<String>,
    request: &Request,
) -> Result<(), Error> {
    let mut order = Order::new(topology, chosen);
    for instance in topology.instances() {
        if !chosen.contains(&instance.id) {
            continue;
        }
        let at = builder.subgraph(&instance.id, None, None);
        order.place(&instance.id, at);
        let Some(mut call) = Call::of_instance(topology, instance, &request.operation) else {
            continue;
        };
        call.declared = call
            .declared
            .with(&request.kwargs, request.may_override)
            .map_err(|message| Error::refused(ErrorCode::BadParameters, message))?;
        let mut sequence = Sequence::within(at);
        let start = format!(
            "Starting operation {}{}",
            request.operation,
            shown(&request.kwargs)?
        );
        let end = format!("Finished operation {}", request.operation);
        sequence.then(builder, &instance.id, vec![event(start)])?;
        sequence.then(builder, &instance.id, vec![Step::Call(Box::new(call))])?;
        sequence.then(builder, &instance.id, vec![event(end)])?;
    }
    if request.in_order {
        order::stubs(builder, &mut order, None)?;
        order.sources_after_targets(builder);
    }
    Ok(())
}

fn shown(kwargs: &Map<String, Value>) -> Result<String, Error> {
    if kwargs.is_empty() {
        return Ok(String::new());
    }
    let text = serde_json::to_string(kwargs).map_err(Error::internal)?;
    Ok(format!(" (Operation parameters: {text})"))
}
