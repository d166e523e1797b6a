//! The plan as a source of answers: inputs and properties, nothing a deployment would know.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::dsl::value::{Map, Value};

use super::call::Call;
use super::evaluate::{Answer, Nested, Source};
use super::scope::Scope;
use crate::dsl::{DslError, Plan};

#[derive(Debug)]
pub(crate) struct PlanSource<'p> {
    plan: &'p Plan,
    inputs: &'p Map,
    nodes: HashMap<&'p str, &'p Value>,
}

impl<'p> PlanSource<'p> {
    pub(crate) fn new(plan: &'p Plan, inputs: &'p Map) -> Self {
        let nodes = plan
            .nodes()
            .iter()
            .filter_map(super::places::properties_of_node)
            .collect();
        Self {
            plan,
            inputs,
            nodes,
        }
    }

    pub(super) fn plan(&self) -> &'p Plan {
        self.plan
    }

    pub(super) fn has_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    pub(super) fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.names()
    }

    /// The properties of a node.
    pub(super) fn node(&self, name: &str) -> Option<&'p Value> {
        self.nodes.get(name).copied()
    }
}

impl Source for PlanSource<'_> {
    fn input(&self, name: &str) -> Result<Option<Cow<'_, Value>>, DslError> {
        Ok(self.inputs.get(name).map(Cow::Borrowed))
    }

    fn properties(&self, node: &str) -> Result<Option<Cow<'_, Value>>, DslError> {
        Ok(self.nodes.get(node).map(|value| Cow::Borrowed(*value)))
    }

    fn ask(&self, _: &Call<'_>, _: &Scope, _: &mut Nested<'_>) -> Result<Option<Answer>, DslError> {
        Ok(None)
    }
}
