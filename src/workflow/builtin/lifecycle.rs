//! What an instance goes through: the parts that lifecycle graphs are put together from.
use super::sequence::{Builder, Sequence, Step, Steps, event};
use crate::{
    error::Error,
    workflow::{
        operation::{Call, Side},
        topology::{Instance, Node, Topology},
    },
};

/// Before an operation, the operation, after it. Without the operation there is nothing, or one
/// line that says so.
#[derive(Debug)]
pub(super) struct Part<'t> {
    pub(super) before: Steps<'t>,
    pub(super) operation: &'t str,
    pub(super) after: Steps<'t>,
    pub(super) nothing: Option<&'t str>,
}

/// Adds the parts of one instance to its subgraph.
#[derive(Debug)]
pub(super) struct Lifecycle<'b, 'f, 't> {
    pub(super) builder: &'b mut Builder<'f>,
    pub(super) topology: &'t Topology,
    pub(super) instance: &'t Instance,
    pub(super) sequence: Sequence,
}

impl<'b, 'f, 't> Lifecycle<'b, 'f, 't> {
    pub(super) fn new(
        builder: &'b mut Builder<'f>,
        topology: &'t Topology,
        instance: &'t Instance,
        at: usize,
    ) -> Self {
        Self {
            builder,
            topology,
            instance,
            sequence: Sequence::within(at),
        }
    }

    pub(super) fn steps(&mut self, steps: Steps<'_>) -> Result<(), Error> {
        self.sequence.then(self.builder, &self.instance.id, steps)
    }

    pub(super) fn call(&self, operation: &'t str) -> Option<Call<'t>> {
        Call::of_instance(self.topology, self.instance, operation)
    }

    /// Whether any of these operations of the instance does something.
    pub(super) fn has_any(&self, operations: &[&'t str]) -> bool {
        operations.iter().any(|name| self.call(name).is_some())
    }

    pub(super) fn part(&mut self, part: Part<'t>) -> Result<(), Error> {
        match self.call(part.operation) {
            Some(call) => {
                self.steps(part.before)?;
                self.steps(vec![Step::Call(Box::new(call))])?;
                self.steps(part.after)
            }
            None => match part.nothing {
                Some(text) => self.steps(vec![event(text)]),
                None => Ok(()),
            },
        }
    }

    /// An operation that nothing is told about.
    pub(super) fn bare(&mut self, operation: &'t str) -> Result<(), Error> {
        self.part(Part {
            before: Vec::new(),
            operation,
            after: Vec::new(),
            nothing: None,
        })
    }

    /// Both sides' operations of the instance's relationships, one target node after the other.
    pub(super) fn related(
        &mut self,
        operation: &'t str,
        (before, after): (&str, &str),
        is_reversed: bool,
    ) -> Result<(), Error> {
        let groups = self.related_calls(operation, is_reversed);
        if groups.is_empty() {
            return Ok(());
        }
        self.steps(vec![event(before)])?;
        let name = format!("{operation}_subgraph");
        self.sequence.then_subgraph(self.builder, &name, groups)?;
        self.steps(vec![event(after)])
    }

    pub(super) fn has_related(&self, operation: &'t str) -> bool {
        !self.related_calls(operation, false).is_empty()
    }

    /// Calls of relationships with consecutive equal target nodes may run at the same time.
    fn related_calls(&self, operation: &'t str, is_reversed: bool) -> Vec<Vec<Call<'t>>> {
        let mut groups: Vec<(&str, Vec<Call<'t>>)> = Vec::new();
        for relationship in &self.instance.relationships {
            let pair = (self.instance, relationship);
            let calls = [Side::Source, Side::Target]
                .into_iter()
                .filter_map(|side| Call::of_relationship(self.topology, pair, side, operation));
            match groups.last_mut() {
                Some((name, group)) if *name == relationship.target_name => group.extend(calls),
                _ => groups.push((&relationship.target_name, calls.collect())),
            }
        }
        if is_reversed {
            groups.reverse();
        }
        let groups = groups.into_iter().map(|(_, group)| group);
        groups.filter(|group| !group.is_empty()).collect()
    }

    pub(super) fn is_host(&self) -> bool {
        self.topology.node_of(self.instance).is_compute()
    }

    /// How the agent of a host gets there.
    pub(super) fn install_method(&self) -> String {
        install_method(self.topology.node_of(self.instance))
    }

    pub(super) fn is_in(&self, states: &[&str]) -> bool {
        states.contains(&self.instance.state.as_str())
    }
}

/// How the agents of a node's instances get there.
pub(super) fn install_method(node: &Node) -> String {
    let nested = |key: &str| {
        let config = node.properties.get(key)?.as_object()?;
        config.get("install_method")?.as_str().map(str::to_owned)
    };
    nested("cloudify_agent")
        .or_else(|| nested("agent_config"))
        .unwrap_or_else(|| "none".to_owned())
}
