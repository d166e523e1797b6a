//! Decisions of a graph as events: states of operations, later attempts, node instances and what is
//! told about them, all in one append.
use std::collections::HashSet;

use serde_json::{Value, json};
use stratalog_projections::views::executions::Execution;
use stratalog_schema::{
    Event,
    events::{
        Operation, OperationChange, OperationsAdded, OperationsChanged, Scope, TasksGraphCreated,
    },
    time::wire,
};
use uuid::Uuid;

use super::graph::{
    Action,
    task::{Kind, State, Task},
};
use crate::{
    auth::Caller,
    clock,
    commands::{
        executions::{
            stream,
            telemetry::{MANAGER, TaskEvent, node_event},
        },
        operations::{
            claims,
            effects::{self, Effect, Finding, Instances},
        },
    },
    context::Context,
    error::Error,
    log::Append,
    store::Decision,
};

/// What is to be written down together.
#[derive(Debug)]
pub(super) struct Step {
    /// Name of the graph.
    pub(super) graph: String,
    /// Its tasks, when it is new.
    pub(super) fresh: Option<Vec<Task>>,
    pub(super) actions: Vec<Action>,
}

/// Most actions of one append, so that other writers get their turn within a step over thousands of
/// node instances. The tasks of a new graph are one event, whatever their number.
const AT_ONCE: usize = 2_000;

/// What of a step goes into one append.
#[derive(Debug, Clone, Copy)]
struct Part<'s> {
    graph: &'s str,
    fresh: Option<&'s [Task]>,
    actions: &'s [Action],
}

/// Writes a step down, in order: whoever finds only the beginning of it decides the rest alike.
/// `is_open`: what is decided to be sent will be at once.
///
/// # Errors
/// Database errors; `Conflict` when others kept changing the same node instances.
pub(super) async fn commit(
    ctx: &Context,
    execution: &Execution,
    step: &Step,
    is_open: bool,
) -> Result<(), Error> {
    let mut fresh = step.fresh.as_deref();
    let mut rest = step.actions.as_slice();
    while fresh.is_some() || !rest.is_empty() {
        let (actions, later) = rest.split_at(rest.len().min(AT_ONCE));
        let part = Part {
            graph: &step.graph,
            fresh: fresh.take(),
            actions,
        };
        append(ctx, execution, part, is_open).await?;
        rest = later;
    }
    Ok(())
}

async fn append(
    ctx: &Context,
    execution: &Execution,
    step: Part<'_>,
    is_open: bool,
) -> Result<(), Error> {
    let effects: Vec<Effect> = step
        .actions
        .iter()
        .map(|action| effect(execution, action))
        .collect();
    let meta = caller(execution).meta();
    let known = Instances::known(ctx, execution, effects.iter())?;
    if let Some((mut instances, generation)) = known {
        let decision = decided(execution, (step, &effects), is_open, &mut instances)?;
        if decision.events.is_empty() && decision.telemetry.is_empty() {
            return Ok(());
        }
        let append = Append {
            meta: meta.clone(),
            events: decision.events,
            expected: decision.expected,
            rests_on: Some(generation),
            telemetry: decision.telemetry,
            command_id: None,
        };
        if ctx.store.append_known(append).await?.is_some() {
            return Ok(());
        }
    }
    ctx.store
        .command(&meta, None, async |view| {
            let mut instances = Instances::default();
            instances.load(&view, execution, effects.iter()).await?;
            let decision = decided(execution, (step, &effects), is_open, &mut instances)?;
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// What a step comes to, with its effects on node instances.
fn decided(
    execution: &Execution,
    (step, effects): (Part<'_>, &[Effect]),
    is_open: bool,
    instances: &mut Instances,
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    if !execution.is_dry_run {
        operations(execution, step, is_open, &mut decision);
    }
    for (action, effect) in step.actions.iter().zip(effects) {
        decision.telemetry.extend(told(execution, action));
        let is_change = matches!(effect, Effect::State { .. } | Effect::Found { .. });
        if !(execution.is_dry_run && is_change) {
            instances.apply(execution, effect, &mut decision)?;
        }
    }
    Ok(decision)
}

/// Operations that were shown as being sent have been.
///
/// # Errors
/// Database errors.
pub(super) async fn sent(
    ctx: &Context,
    execution: &Execution,
    ids: &[String],
) -> Result<(), Error> {
    let meta = caller(execution).meta();
    ctx.store
        .command(&meta, None, async |view| {
            let view = &*view;
            let keys: Vec<String> = ids
                .iter()
                .map(|id| format!("{}/{id}", execution.tenant_name))
                .collect();
            let rows = view
                .rows(stratalog_projections::View::Operations, &keys)
                .await?;
            let mut changes = Vec::new();
            let mut decision = Decision::nothing();
            for row in rows {
                let operation: stratalog_projections::views::operations::Operation =
                    row.resource()?;
                // the receiver may have been faster, or be so between this and the append
                if operation.state == "sending" {
                    let claims = claims(&operation.tenant_name, &operation.id);
                    decision.rests_on(view, claims).await?;
                    changes.push(change(&operation.id, State::Sent));
                }
            }
            if !changes.is_empty() {
                changed(execution, changes, &mut decision);
            }
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

fn caller(execution: &Execution) -> Caller {
    Caller::system(&execution.tenant_name).for_execution(&execution.id, &execution.tenant_name)
}

fn change(id: &str, state: State) -> OperationChange {
    OperationChange {
        id: id.to_owned(),
        state: state.wire().to_owned(),
        manager_name: Some(MANAGER.to_owned()),
        ..OperationChange::default()
    }
}

fn changed(execution: &Execution, changes: Vec<OperationChange>, decision: &mut Decision) {
    let event = OperationsChanged {
        execution_id: execution.id.clone(),
        tenant: execution.tenant_name.clone(),
        changes,
    };
    let changes = stream(&execution.tenant_name, &execution.id);
    decision.event(changes, Event::OperationsChanged(event));
}

fn operations(execution: &Execution, step: Part<'_>, is_open: bool, decision: &mut Decision) {
    let now_ms = clock::now_ms();
    let scope = Scope {
        tenant: execution.tenant_name.clone(),
        visibility: execution.visibility.clone(),
        created_by: execution.created_by.clone(),
    };
    let of = stream(&execution.tenant_name, &execution.id);
    if let Some(tasks) = step.fresh {
        let event = TasksGraphCreated {
            id: graph_id(execution, step.graph),
            execution_id: execution.id.clone(),
            scope: Some(scope.clone()),
            name: step.graph.to_owned(),
            created_at_ms: now_ms,
            operations: tasks.iter().map(|task| stored(task, now_ms)).collect(),
        };
        decision.event(of.clone(), Event::TasksGraphCreated(event));
    }
    // an attempt that follows at once is there before it changes
    let next = step
        .actions
        .iter()
        .filter_map(|action| action.next.as_ref());
    let next: HashSet<&str> = next.map(|task| task.id.as_str()).collect();
    let changes = changes(step, is_open).into_iter();
    let (later, changes): (Vec<_>, Vec<_>) =
        changes.partition(|change| next.contains(change.id.as_str()));
    if !changes.is_empty() {
        changed(execution, changes, decision);
    }
    for action in step.actions {
        let Some(next) = &action.next else { continue };
        let event = OperationsAdded {
            graph_id: graph_id(execution, step.graph),
            execution_id: execution.id.clone(),
            scope: Some(scope.clone()),
            operations: vec![stored(next, now_ms)],
        };
        decision.event(of.clone(), Event::OperationsAdded(event));
    }
    if !later.is_empty() {
        changed(execution, later, decision);
    }
}

/// The states that tasks take.
fn changes(step: Part<'_>, is_open: bool) -> Vec<OperationChange> {
    let states = step.actions.iter().map(|action| {
        let state = match action.task.state {
            // agents are asked first whether they are there
            State::Sent if !is_open || action.task.is_for_agent() => State::Sending,
            state => state,
        };
        let failed = action.task.parameters.error.is_some();
        OperationChange {
            parameters_json: failed.then(|| parameters(&action.task).to_string()),
            result_json: (!action.result.is_null()).then(|| action.result.to_string()),
            exception: action.error.as_ref().map(|error| error.message.clone()),
            ..change(&action.task.id, state)
        }
    });
    states.collect()
}

/// Ids of graphs follow from execution and name.
pub(super) fn graph_id(execution: &Execution, name: &str) -> String {
    let name = format!("stratalog:graph:{}:{name}", execution.id);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

fn stored(task: &Task, created_at_ms: i64) -> Operation {
    Operation {
        id: task.id.clone(),
        name: task.name.clone(),
        state: task.state.wire().to_owned(),
        r#type: task.kind.wire().to_owned(),
        dependencies: task.dependencies.clone(),
        parameters_json: parameters(task).to_string(),
        created_at_ms,
    }
}

fn parameters(task: &Task) -> Value {
    serde_json::to_value(&task.parameters).expect("parameters are texts, numbers and JSON")
}

/// What a task that has a handler leaves behind when it ends.
fn finding(execution: &Execution, action: &Action) -> Option<Effect> {
    let task = &action.task;
    let parameters = &task.parameters;
    let (is_ok, handler) = match task.state {
        State::Succeeded => (true, parameters.on_success.as_ref()?),
        State::Failed if action.next.is_none() => (false, parameters.on_failure.as_ref()?),
        _ => return None,
    };
    let finding = if handler.is_check() {
        let said = action.error.as_ref().map(|error| error.message.as_str());
        let result = json!({
            "ok": is_ok,
            "timestamp": wire(clock::now_ms()),
            "task": task.name,
            "result": said.map_or_else(|| action.result.clone(), Value::from),
        });
        Finding::Checked {
            kept_as: handler.argument("kept_as")?.to_owned(),
            other: handler.argument("other").map(str::to_owned),
            result,
        }
    } else if handler.is_updating() {
        match is_ok {
            true => Finding::Updated,
            false => Finding::NotUpdated(execution.id.clone()),
        }
    } else if handler.is_healing() {
        match is_ok {
            true => Finding::Healed,
            false => Finding::NotHealed(execution.id.clone()),
        }
    } else {
        return None;
    };
    Some(Effect::Found {
        instance: handler.argument("instance_id")?.to_owned(),
        finding,
    })
}

fn effect(execution: &Execution, action: &Action) -> Effect {
    if let Some(found) = finding(execution, action) {
        return found;
    }
    match action.task.state {
        State::Succeeded => {
            effects::of(action.task.kind.wire(), &action.task.parameters.task_kwargs)
        }
        _ => Effect::Nothing,
    }
}

/// What is told about a task that takes a state.
fn told(execution: &Execution, action: &Action) -> Vec<stratalog_schema::events::TelemetryRecord> {
    let task = &action.task;
    if !matches!(task.kind, Kind::Remote | Kind::Subgraph) {
        return Vec::new();
    }
    let parameters = parameters(task);
    let causes = action.error.as_ref().map(|error| json!(error.causes()));
    let say = |state: &str| {
        let event = TaskEvent {
            name: &task.name,
            operation_type: task.kind.wire(),
            state,
            parameters: &parameters,
            result: &action.result,
            exception: action.error.as_ref().map(|error| error.message.as_str()),
            causes: causes.as_ref(),
        };
        event.record(execution)
    };
    let is_pretended = execution.is_dry_run && task.kind == Kind::Remote;
    let states: &[&str] = match task.state {
        State::Sent | State::Sending => &["sending"],
        State::Succeeded if is_pretended => &["sending", "started", "succeeded"],
        state => &[state.wire()],
    };
    let mut records: Vec<_> = states.iter().filter_map(|state| say(state)).collect();
    if let (true, Some(instance)) = (action.ignored, task.node_instance()) {
        let text = format!("Ignoring task {} failure", task.name);
        records.push(node_event(execution, (instance, None), &text));
    }
    records
}
