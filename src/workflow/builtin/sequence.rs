//! Builds graphs: subgraphs and sequences of steps inside them. What does nothing is left out, so
//! that nobody waits for it.
use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    error::Error,
    workflow::{
        graph::task::{Handler, Kind, Parameters, State, Task},
        operation::{Call, Facts},
    },
};

/// A graph under construction. Ids follow from execution, graph and place: building again gives the
/// same graph.
#[derive(Debug)]
pub(crate) struct Builder<'f> {
    facts: &'f Facts,
    name: String,
    tasks: Vec<Task>,
    /// Place of an instance's operation.
    operations: HashMap<(String, String), usize>,
}

/// One step of a sequence.
#[derive(Debug, Clone)]
pub(crate) enum Step<'t> {
    Event(String),
    State(&'t str),
    Call(Box<Call<'t>>),
}

/// Steps that may run at the same time.
pub(crate) type Steps<'t> = Vec<Step<'t>>;

/// A node event.
pub(crate) fn event<'t>(text: impl Into<String>) -> Step<'t> {
    Step::Event(text.into())
}

impl<'f> Builder<'f> {
    pub(crate) fn new(facts: &'f Facts, name: impl Into<String>) -> Self {
        Self {
            facts,
            name: name.into(),
            tasks: Vec::new(),
            operations: HashMap::new(),
        }
    }

    /// The tasks.
    pub(crate) fn finish(self) -> Vec<Task> {
        self.tasks
    }

    fn next_id(&self) -> String {
        let place = format!(
            "stratalog:{}:{}:{}",
            self.facts.execution_id,
            self.name,
            self.tasks.len()
        );
        Uuid::new_v5(&Uuid::NAMESPACE_OID, place.as_bytes()).to_string()
    }

    fn push(&mut self, task: Task) -> usize {
        self.tasks.push(task);
        self.tasks.len() - 1
    }

    /// A subgraph; its place.
    pub(crate) fn subgraph(
        &mut self,
        name: &str,
        parent: Option<usize>,
        on_failure: Option<Handler>,
    ) -> usize {
        let mut parameters = Parameters::local(Map::new(), json!({"name": name}));
        parameters.send_task_events = true;
        parameters.on_failure = on_failure;
        let task = self.task(name, Kind::Subgraph, parameters, parent);
        self.push(task)
    }

    fn task(
        &self,
        name: &str,
        kind: Kind,
        mut parameters: Parameters,
        parent: Option<usize>,
    ) -> Task {
        parameters.containing_subgraph = parent.map(|at| self.tasks[at].id.clone());
        Task {
            id: self.next_id(),
            name: name.to_owned(),
            kind,
            state: State::Pending,
            dependencies: parameters.containing_subgraph.iter().cloned().collect(),
            parameters,
        }
    }

    fn step(&mut self, parent: usize, instance: &str, step: Step<'_>) -> Result<usize, Error> {
        Ok(match step {
            Step::Event(text) => {
                let arguments = json!({
                    "node_instance_id": instance, "event": text, "additional_context": null,
                });
                self.local(parent, (Kind::NodeEvent, text.into()), arguments)
            }
            Step::State(state) => {
                let arguments = json!({"node_instance_id": instance, "state": state});
                self.local(parent, (Kind::SetState, state.into()), arguments)
            }
            Step::Call(call) => self.call(parent, &call)?,
        })
    }

    fn local(&mut self, parent: usize, (kind, info): (Kind, Value), arguments: Value) -> usize {
        let Value::Object(arguments) = arguments else {
            return parent;
        };
        let name = kind.wire().to_owned();
        let task = self.task(
            &name,
            kind,
            Parameters::local(arguments, info),
            Some(parent),
        );
        self.push(task)
    }

    fn call(&mut self, parent: usize, call: &Call<'_>) -> Result<usize, Error> {
        let id = self.next_id();
        let context = call.context(self.facts, &id);
        let kwargs = call.kwargs(&context).map_err(Error::internal)?;
        let mut arguments = Map::new();
        arguments.insert("kwargs".to_owned(), Value::Object(kwargs));
        let mut parameters = Parameters::local(arguments, Value::Null);
        parameters.send_task_events = true;
        parameters.total_retries = call.declared.total_retries(self.facts);
        parameters.retry_interval = call.declared.retry_interval(self.facts);
        let name = call.declared.task_name();
        let task = self.task(name, Kind::Remote, parameters, Some(parent));
        let at = self.push(task);
        if call.related.is_none() {
            let key = (call.instance.id.clone(), call.name.to_owned());
            self.operations.insert(key, at);
        }
        Ok(at)
    }

    /// The task at `later` waits for the one at `earlier`.
    pub(crate) fn depend(&mut self, later: usize, earlier: usize) {
        let id = self.tasks[earlier].id.clone();
        let dependencies = &mut self.tasks[later].dependencies;
        if !dependencies.contains(&id) {
            dependencies.push(id);
        }
    }

    /// The tasks that directly follow an instance's operation; nothing when there is no such
    /// operation.
    pub(crate) fn following(&self, instance: &str, operation: &str) -> Vec<usize> {
        let key = (instance.to_owned(), operation.to_owned());
        let Some(at) = self.operations.get(&key) else {
            return Vec::new();
        };
        let id = &self.tasks[*at].id;
        let follows = |task: &Task| task.dependencies.contains(id);
        (0..self.tasks.len())
            .filter(|at| follows(&self.tasks[*at]))
            .collect()
    }

    /// What is to happen when a task succeeds.
    pub(crate) fn on_success(&mut self, at: usize, handler: Handler) {
        self.tasks[at].parameters.on_success = Some(handler);
    }

    /// Failures of all tasks in a subgraph are passed over; those of the subgraphs in it then never
    /// happen.
    pub(crate) fn ignore_failures(&mut self, from: usize) {
        for task in self.tasks.iter_mut().skip(from) {
            if task.kind != Kind::Subgraph {
                task.parameters.on_failure = Some(Handler::ignore());
            }
        }
    }
}

/// Adds steps one after the other to a subgraph.
#[derive(Debug)]
pub(crate) struct Sequence {
    parent: usize,
    last: Vec<usize>,
}

impl Sequence {
    pub(crate) fn within(parent: usize) -> Self {
        Self {
            parent,
            last: Vec::new(),
        }
    }

    /// Steps that wait for all earlier ones, but not for each other.
    pub(crate) fn then(
        &mut self,
        builder: &mut Builder<'_>,
        instance: &str,
        steps: Steps<'_>,
    ) -> Result<(), Error> {
        let mut added = Vec::with_capacity(steps.len());
        for step in steps {
            added.push(builder.step(self.parent, instance, step)?);
        }
        self.follow(builder, added);
        Ok(())
    }

    /// A check that waits for all earlier steps: it says at once what it finds, and that is handled
    /// whatever it is.
    pub(crate) fn then_checked(
        &mut self,
        builder: &mut Builder<'_>,
        mut call: Call<'_>,
        handler: Handler,
    ) -> Result<(), Error> {
        call.declared = call.declared.once();
        let at = builder.call(self.parent, &call)?;
        builder.on_success(at, handler.clone());
        builder.tasks[at].parameters.on_failure = Some(handler);
        self.follow(builder, vec![at]);
        Ok(())
    }

    /// A subgraph of calls that waits for all earlier steps.
    pub(crate) fn then_subgraph(
        &mut self,
        builder: &mut Builder<'_>,
        name: &str,
        groups: Vec<Vec<Call<'_>>>,
    ) -> Result<(), Error> {
        let at = builder.subgraph(name, Some(self.parent), Some(Handler::relationship()));
        let mut inner = Self::within(at);
        for group in groups {
            let mut added = Vec::with_capacity(group.len());
            for call in &group {
                added.push(builder.call(at, call)?);
            }
            inner.follow(builder, added);
        }
        self.follow(builder, vec![at]);
        Ok(())
    }

    fn follow(&mut self, builder: &mut Builder<'_>, added: Vec<usize>) {
        if added.is_empty() {
            return;
        }
        for later in &added {
            for earlier in &self.last {
                builder.depend(*later, *earlier);
            }
        }
        self.last = added;
    }
}
