//! Task graphs of executions, as workers store them.
use std::collections::BTreeSet;

use stratalog_projections::{Condition, ListQuery, Scope, View, views::tasks_graphs::TasksGraph};
use stratalog_schema::{
    Event,
    events::{self, TasksGraphCreated},
};
use uuid::Uuid;

use super::{
    executions::{self, stream},
    operations::NewOperation,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::TasksGraphs, "TasksGraph");

/// A graph to be stored.
#[derive(Debug, Clone, Default)]
pub struct NewTasksGraph {
    /// Its id, where it is restored.
    pub id: Option<String>,
    /// Unique within the execution.
    pub name: String,
    /// Its execution.
    pub execution_id: String,
    /// Its operations.
    pub operations: Vec<NewOperation>,
    /// When it was created; milliseconds since the epoch.
    pub created_at_ms: Option<i64>,
}

/// Stores a graph: `POST /tasks_graphs/tasks_graphs`. Gives its id and the position.
///
/// # Errors
/// 403; 404 for the execution; 409 when it has such a graph, or one of the operations is there
/// already.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    new: NewTasksGraph,
) -> Result<(String, i64), Error> {
    caller.require(Permission::Operations)?;
    if new.id.is_some() || new.created_at_ms.is_some() {
        caller.require(Permission::SetExecutionDetails)?;
    }
    #[allow(clippy::disallowed_methods, reason = "ids of graphs are minted here")]
    let id = new.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let execution = executions::load(view, caller, &new.execution_id).await?;
            let query = ListQuery::all(View::TasksGraphs, Scope::Everything)
                .with(Condition::AnyOf(
                    "execution_id".to_owned(),
                    vec![execution.id.clone()],
                ))
                .with(Condition::AnyOf("name".to_owned(), vec![new.name.clone()]));
            let ids: BTreeSet<&str> = new.operations.iter().map(|o| o.id.as_str()).collect();
            if view.count(&query).await? > 0 || ids.len() < new.operations.len() {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!(
                        "Execution {} has a graph {} already",
                        execution.id, new.name
                    ),
                ));
            }
            let operations = new.operations.iter().cloned().map(NewOperation::into_event);
            let event = TasksGraphCreated {
                id: id.clone(),
                execution_id: execution.id.clone(),
                scope: Some(events::Scope {
                    tenant: execution.tenant_name.clone(),
                    visibility: execution.visibility.clone(),
                    created_by: execution.created_by.clone(),
                }),
                name: new.name.clone(),
                created_at_ms: new.created_at_ms.unwrap_or_else(clock::now_ms),
                operations: operations.collect(),
            };
            let mut decision = Decision::nothing();
            let changes = stream(&execution.tenant_name, &execution.id);
            decision.rests_on(view, changes.clone()).await?;
            decision.event(changes, Event::TasksGraphCreated(event));
            Ok((decision, ()))
        })
        .await?;
    Ok((id, appended.last_position))
}

/// Whose a graph is.
pub(crate) fn scope_of(graph: &TasksGraph) -> events::Scope {
    events::Scope {
        tenant: graph.tenant_name.clone(),
        visibility: graph.visibility.clone(),
        created_by: graph.created_by.clone(),
    }
}
