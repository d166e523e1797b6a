//! Operations of node instances and relationships: what a worker is told, and where it is sent.
use serde_json::{Map, Number, Value, json};

use super::topology::{Instance, Node, Relationship, Topology};
use crate::broker::wire::{
    CONTEXT_VERSION, Operation, OperationContext, Plugin, Related, TenantRef,
};

/// What all operations of an execution have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) execution_id: String,
    pub(crate) workflow_id: String,
    pub(crate) tenant: String,
    pub(crate) created_by: String,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) blueprint_id: Option<String>,
    pub(crate) deployment_id: Option<String>,
    pub(crate) deployment_display_name: Option<String>,
    pub(crate) deployment_creator: Option<String>,
    pub(crate) deployment_resource_tags: Value,
    pub(crate) rest_host: Vec<String>,
    pub(crate) rest_port: u16,
    pub(crate) retries: Retries,
}

/// How often failed tasks are tried again, where the blueprint says nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    /// -1: without end.
    pub(crate) task_retries: i64,
    pub(crate) task_retry_interval_s: Number,
    pub(crate) subgraph_retries: i64,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            task_retries: 60,
            task_retry_interval_s: 15.into(),
            subgraph_retries: 0,
        }
    }
}

/// A declared operation.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    plugin: String,
    task_name: String,
    executor: Option<String>,
    inputs: Map<String, Value>,
    has_intrinsic_functions: bool,
    max_retries: Option<i64>,
    retry_interval: Option<Number>,
    timeout_s: Option<f64>,
    timeout_recoverable: Option<bool>,
}

impl Declared {
    /// An operation that is declared and does something.
    pub(crate) fn find(operations: &Map<String, Value>, name: &str) -> Option<Self> {
        let declared = operations.get(name)?.as_object()?;
        let text = |key: &str| {
            let text = declared.get(key).and_then(Value::as_str)?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let inputs = declared.get("inputs").and_then(Value::as_object);
        Some(Self {
            plugin: text("plugin")?,
            task_name: text("operation")?,
            executor: text("executor"),
            inputs: inputs.cloned().unwrap_or_default(),
            has_intrinsic_functions: flag(declared, "has_intrinsic_functions").unwrap_or(false),
            max_retries: declared.get("max_retries").and_then(Value::as_i64),
            retry_interval: match declared.get("retry_interval") {
                Some(Value::Number(number)) => Some(number.clone()),
                _ => None,
            },
            timeout_s: declared.get("timeout").and_then(Value::as_f64),
            timeout_recoverable: flag(declared, "timeout_recoverable"),
        })
    }

    pub(crate) fn task_name(&self) -> &str {
        &self.task_name
    }

    /// Without further attempts, unless the blueprint says otherwise.
    pub(crate) fn once(mut self) -> Self {
        self.max_retries.get_or_insert(0);
        self
    }

    pub(crate) fn total_retries(&self, facts: &Facts) -> i64 {
        self.max_retries.unwrap_or(facts.retries.task_retries)
    }

    pub(crate) fn retry_interval(&self, facts: &Facts) -> Number {
        let own = self.retry_interval.clone();
        own.unwrap_or_else(|| facts.retries.task_retry_interval_s.clone())
    }

    /// Adds a workflow's own arguments.
    ///
    /// # Errors
    /// Names that the operation has already, unless overriding them was allowed.
    pub(crate) fn with(
        mut self,
        kwargs: &Map<String, Value>,
        may_override: bool,
    ) -> Result<Self, String> {
        let doubled: Vec<&str> = kwargs
            .keys()
            .filter(|name| self.inputs.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !may_override && !doubled.is_empty() {
            return Err(format!(
                "Duplicate definition of {} in operation properties and in kwargs. To allow \
                 redefinition, pass \"allow_kwargs_override: true\"",
                doubled.join(", ")
            ));
        }
        self.inputs.extend(kwargs.clone());
        Ok(self)
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> Option<bool> {
    map.get(key).and_then(Value::as_bool)
}

/// One side of a relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

/// An operation of an instance, or of one of its relationships, to become a task.
#[derive(Debug, Clone)]
pub(crate) struct Call<'t> {
    pub(crate) name: &'t str,
    pub(crate) declared: Declared,
    pub(crate) instance: &'t Instance,
    pub(crate) node: &'t Node,
    /// Of a relationship: the other end, and on which side the operation runs.
    pub(crate) related: Option<(&'t Instance, Side)>,
}

impl<'t> Call<'t> {
    /// The lifecycle (or any other) operation of an instance; nothing when it does nothing.
    pub(crate) fn of_instance(
        topology: &'t Topology,
        instance: &'t Instance,
        name: &'t str,
    ) -> Option<Self> {
        let node = topology.node_of(instance);
        Some(Self {
            name,
            declared: Declared::find(&node.operations, name)?,
            instance,
            node,
            related: None,
        })
    }

    /// One side's operation of a relationship; nothing when it does nothing.
    pub(crate) fn of_relationship(
        topology: &'t Topology,
        (source, relationship): (&'t Instance, &'t Relationship),
        side: Side,
        name: &'t str,
    ) -> Option<Self> {
        let target = topology.instance(&relationship.target_id)?;
        let spec = topology
            .node_of(source)
            .relationships
            .get(relationship.of_node?)?;
        let (operations, instance, other) = match side {
            Side::Source => ("source_operations", source, target),
            Side::Target => ("target_operations", target, source),
        };
        Some(Self {
            name,
            declared: Declared::find(spec.get(operations)?.as_object()?, name)?,
            instance,
            node: topology.node_of(instance),
            related: Some((other, side)),
        })
    }

    /// The context as it is stored with the task: without tokens, which never are.
    pub(crate) fn context(&self, facts: &Facts, task_id: &str) -> OperationContext {
        let declared = &self.declared;
        let side = self.related.map(|(_, side)| side);
        OperationContext {
            version: Some(CONTEXT_VERSION.to_owned()),
            kind: "operation".to_owned(),
            task_id: Some(task_id.to_owned()),
            task_name: declared.task_name.clone(),
            execution_id: Some(facts.execution_id.clone()),
            workflow_id: Some(facts.workflow_id.clone()),
            tenant: TenantRef::new(facts.tenant.clone()),
            timeout: declared.timeout_s,
            timeout_recoverable: declared.timeout_recoverable,
            node_id: Some(self.instance.id.clone()),
            node_name: Some(self.node.id.clone()),
            plugin: self.plugin(),
            operation: Operation {
                name: Some(self.name.to_owned()),
                retry_number: 0,
                max_retries: declared.total_retries(facts),
                relationship: side.map(|side| match side {
                    Side::Source => "source".to_owned(),
                    Side::Target => "target".to_owned(),
                }),
            },
            has_intrinsic_functions: declared.has_intrinsic_functions,
            host_id: self.instance.host_id.clone(),
            executor: Some(self.executor().to_owned()),
            execution_env: (self.executor() != HOST_AGENT).then(Map::new),
            related: self.related.map(|(other, side)| Related {
                node_id: other.id.clone(),
                node_name: other.node_id.clone(),
                is_target: side == Side::Source,
            }),
            local: false,
            rest_host: facts.rest_host.clone(),
            rest_port: Some(facts.rest_port),
            workflow_parameters: Value::Object(facts.parameters.clone()),
            execution_creator_username: Some(facts.created_by.clone()),
            blueprint_id: facts.blueprint_id.clone(),
            deployment_id: facts.deployment_id.clone(),
            deployment_display_name: facts.deployment_display_name.clone(),
            deployment_creator: facts.deployment_creator.clone(),
            deployment_resource_tags: facts.deployment_resource_tags.clone(),
            ..OperationContext::default()
        }
    }

    fn executor(&self) -> &str {
        match (self.declared.executor.as_deref(), &self.instance.host_id) {
            (Some(HOST_AGENT), _) | (Some("auto"), Some(_)) => HOST_AGENT,
            _ => CENTRAL,
        }
    }

    fn plugin(&self) -> Plugin {
        let name = &self.declared.plugin;
        let found = self
            .node
            .plugins
            .iter()
            .find(|plugin| plugin.get("name").and_then(Value::as_str) == Some(name));
        let text =
            |key: &str| found.and_then(|plugin| plugin.get(key)?.as_str().map(str::to_owned));
        let properties = found.and_then(|plugin| plugin.get("properties").cloned());
        Plugin {
            name: Some(name.clone()),
            package_name: text("package_name"),
            package_version: text("package_version"),
            source: text("source"),
            extra: Plugin::arguments(text("install_arguments")),
            properties: properties
                .filter(|p| !p.is_null())
                .unwrap_or_else(|| json!({})),
            ..Plugin::default()
        }
    }

    pub(crate) fn kwargs(
        &self,
        context: &OperationContext,
    ) -> Result<Map<String, Value>, serde_json::Error> {
        let mut context = serde_json::to_value(context)?;
        if let Value::Object(context) = &mut context {
            for absent in ["rest_token", "execution_token", "task_queue", "task_target"] {
                context.shift_remove(absent);
            }
        }
        let mut kwargs = self.declared.inputs.clone();
        kwargs.insert(crate::broker::wire::CONTEXT_KEY.to_owned(), context);
        Ok(kwargs)
    }
}

pub(crate) const HOST_AGENT: &str = "host_agent";
const CENTRAL: &str = "central_deployment_agent";
