//! Adding operations to a stored graph, and bringing the inputs of stored ones up to date.
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{nodes::Node, operations::Operation, tasks_graphs::TasksGraph},
};
use stratalog_schema::{
    Event,
    events::{self, OperationChange, OperationsAdded, OperationsChanged},
};

use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{executions::stream, tasks_graphs, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// An operation to be stored.
#[derive(Debug, Clone, Default)]
pub struct NewOperation {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Kind of task.
    pub operation_type: String,
    /// Where it stands; `pending` at first.
    pub state: Option<String>,
    /// Operations it waits for.
    pub dependencies: Vec<String>,
    /// What it does.
    pub parameters: Map<String, Value>,
    /// When it was created; milliseconds since the epoch.
    pub created_at_ms: Option<i64>,
}

impl NewOperation {
    pub(crate) fn into_event(self) -> events::Operation {
        events::Operation {
            id: self.id,
            name: self.name,
            state: self.state.unwrap_or_else(|| "pending".to_owned()),
            r#type: self.operation_type,
            dependencies: self.dependencies,
            parameters_json: Value::Object(self.parameters).to_string(),
            created_at_ms: self.created_at_ms.unwrap_or_else(clock::now_ms),
        }
    }
}

/// Adds an operation to a graph: `PUT /operations/{id}`. Gives the position.
///
/// # Errors
/// 403; 404 for the graph; 409 when there is such an operation.
pub async fn add(
    ctx: &Context,
    caller: &Caller,
    graph_id: &str,
    operation: NewOperation,
) -> Result<i64, Error> {
    caller.require(Permission::Operations)?;
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = visibility::own(caller, view, tasks_graphs::MODEL, graph_id).await?;
            let graph: TasksGraph = row.resource()?;
            if caller
                .find(view, View::Operations, &operation.id)
                .await?
                .is_some()
            {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!("Operation with id {} already exists", operation.id),
                ));
            }
            let event = OperationsAdded {
                graph_id: graph.id.clone(),
                execution_id: graph.execution_id.clone(),
                scope: Some(tasks_graphs::scope_of(&graph)),
                operations: vec![operation.clone().into_event()],
            };
            let mut decision = Decision::nothing();
            let changes = stream(&graph.tenant_name, &graph.execution_id);
            decision.event(changes, Event::OperationsAdded(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(appended.last_position)
}

/// Which stored operations a deployment update touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateStored {
    /// The deployment.
    pub deployment_id: String,
    /// The node.
    pub node_id: String,
    /// The operation's name.
    pub operation: String,
    /// `source_operations` or `target_operations`, of a relationship.
    pub key: Option<String>,
    /// Which of the node's relationships.
    pub rel_index: Option<usize>,
}

/// Gives operations that have yet to run the inputs that the node declares now. Gives the position.
///
/// # Errors
/// 403, 404; database errors.
pub async fn update_stored(
    ctx: &Context,
    caller: &Caller,
    what: &UpdateStored,
) -> Result<i64, Error> {
    caller.require(Permission::Operations)?;
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let tenant = caller.tenant()?;
            let key = Node::key_of(tenant, &what.deployment_id, &what.node_id);
            let node = view.row(View::Nodes, &key).await?;
            if node.is_none_or(|node| !caller.may_see(&node.owner)) {
                return Err(Error::not_found("Node", &what.node_id));
            }
            Ok((
                stored_anew(view, tenant, std::slice::from_ref(what)).await?,
                (),
            ))
        })
        .await?;
    Ok(appended.last_position)
}

/// Operations of one deployment that have yet to run get the inputs that their nodes declare now.
///
/// # Errors
/// Database errors.
pub(crate) async fn stored_anew(
    view: &Reader,
    tenant: &str,
    touched: &[UpdateStored],
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    let Some(deployment_id) = touched.first().map(|what| what.deployment_id.clone()) else {
        return Ok(decision);
    };
    let states = ["rescheduled", "failed", "pending"].map(str::to_owned);
    let query = ListQuery::all(View::Operations, Scope::Everything)
        .with(Condition::AnyOf(
            "deployment_id".to_owned(),
            vec![deployment_id],
        ))
        .with(Condition::AnyOf("state".to_owned(), states.to_vec()));
    let mut operations: Vec<Operation> = view.select_as(&query).await?;
    operations.retain(|operation| operation.tenant_name == tenant);
    if operations.is_empty() {
        return Ok(decision);
    }
    for what in touched {
        let key = Node::key_of(tenant, &what.deployment_id, &what.node_id);
        let node: Option<Node> = view.get(&key).await?;
        let Some(node) = node else { continue };
        let inputs = declared_inputs(&node, what)?;
        for operation in &operations {
            if let Some(parameters) = refreshed(operation, what, &inputs)? {
                change(&mut decision, operation, &parameters);
            }
        }
    }
    Ok(decision)
}

fn change(decision: &mut Decision, operation: &Operation, parameters: &Value) {
    let (tenant, execution) = (&operation.tenant_name, &operation.own.execution_id);
    let event = OperationsChanged {
        execution_id: execution.clone(),
        tenant: tenant.clone(),
        changes: vec![OperationChange {
            id: operation.id.clone(),
            state: operation.state.clone(),
            manager_name: operation.manager_name.clone(),
            agent_name: operation.agent_name.clone(),
            parameters_json: Some(parameters.to_string()),
            ..OperationChange::default()
        }],
    };
    decision.event(stream(tenant, execution), Event::OperationsChanged(event));
}

fn declared_inputs(node: &Node, what: &UpdateStored) -> Result<Map<String, Value>, Error> {
    let json = match (&what.key, what.rel_index) {
        (Some(_), Some(_)) => &node.relationships,
        _ => &node.operations,
    };
    let stored: Value = match json {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Value::Null,
    };
    let operations = match (&what.key, what.rel_index) {
        (Some(key), Some(index)) => stored
            .get(index)
            .and_then(|relationship| relationship.get(key)),
        _ => Some(&stored),
    };
    let inputs = operations.and_then(|operations| {
        operations
            .get(&what.operation)?
            .get("inputs")?
            .as_object()
            .cloned()
    });
    Ok(inputs.unwrap_or_default())
}

/// The parameters with other inputs, if the operation is the one spoken of.
fn refreshed(
    operation: &Operation,
    what: &UpdateStored,
    inputs: &Map<String, Value>,
) -> Result<Option<Value>, Error> {
    let Some(json) = &operation.parameters else {
        return Ok(None);
    };
    let mut parameters: Value = serde_json::from_str(json.get()).map_err(Error::internal)?;
    let Some(Value::Object(kwargs)) = parameters.pointer_mut("/task_kwargs/kwargs") else {
        return Ok(None);
    };
    let Some(context) = kwargs.get("__cloudify_context").cloned() else {
        return Ok(None);
    };
    let is_it = context.get("node_name").and_then(Value::as_str) == Some(&what.node_id)
        && context.pointer("/operation/name").and_then(Value::as_str) == Some(&what.operation);
    if !is_it {
        return Ok(None);
    }
    *kwargs = inputs.clone();
    kwargs.insert("__cloudify_context".to_owned(), context);
    Ok(Some(parameters))
}
