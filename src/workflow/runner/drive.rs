//! Drives one graph: decisions into the log, then operations to the broker, then answers into the
//! graph.
use std::time::{Duration, Instant};

use stratalog_projections::{
    At, Condition, ListQuery, Scope, View,
    views::{executions::Execution, operations::Operation, tasks_graphs::TasksGraph},
};

use super::{Runner, Signal, Stop};
use crate::{
    broker::{Ack, wire::Response},
    clock,
    error::{Error, ErrorCode},
    workflow::{
        builtin::Plan,
        commit::{self, Step},
        graph::{
            Action, Failed, Graph, Input, Mode, Progress,
            task::{State, Task},
        },
        operation::Facts,
        outbox::{Outbox, RETRY, Stamp},
        topology::Topology,
    },
};

/// One graph to drive.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) plan: Plan,
    /// Its number and name.
    pub(super) name: String,
    pub(super) facts: Facts,
    pub(super) topology: Topology,
}

/// The operation, what it came to, and the message that says so.
type Answer = (String, Response, Option<Ack>);

/// Longest sleep; after it everything is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(20);

impl Runner {
    /// Until everything in the graph has been done, or something failed.
    pub(super) async fn drive(
        &mut self,
        execution: &Execution,
        phase: Phase,
        token: &str,
    ) -> Result<(), Stop> {
        let stamp = Stamp::new(&phase.facts, token.to_owned());
        let mut outbox = Outbox::new(&self.ctx, stamp.clone());
        let mode = Mode {
            dry_run: execution.is_dry_run,
            wait_after_fail_ms: execution.own.wait_after_fail_s.saturating_mul(1_000),
        };
        let now_ms = clock::now_ms();
        let stored = self.stored(execution, &phase.name).await?;
        let mut fresh = None;
        let tasks = match stored {
            Some(tasks) => tasks,
            None => {
                let built = phase
                    .plan
                    .build(&phase.name, &phase.topology, &phase.facts)?;
                fresh = Some(built.clone());
                built
            }
        };
        let mut graph = Graph::restore(tasks, mode);
        for task in graph.in_flight() {
            self.routes.add(&task.id, &self.sender);
            if task.is_for_agent() {
                let is_sent = task.state != State::Sending;
                self.errands.run(task, stamp.clone().sent(is_sent));
            } else {
                outbox.again(task, now_ms);
            }
        }
        let actions = graph.step(Input::Begin, now_ms);
        self.decide((execution, &phase), (fresh, actions), &mut outbox)
            .await?;
        self.attend((execution, &phase), &mut graph, &mut outbox)
            .await?;
        failure(&graph)
    }

    /// Waits for what comes, and deals with it, until the graph has ended.
    async fn attend(
        &mut self,
        (execution, phase): (&Execution, &Phase),
        graph: &mut Graph,
        outbox: &mut Outbox,
    ) -> Result<(), Stop> {
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                check_status(self.reload().await?.status)?;
                let given_up = self.errands.watch().into_iter();
                let answers: Vec<Answer> = given_up
                    .map(|(id, error)| (id, Response::Error(error), None))
                    .collect();
                if !answers.is_empty() {
                    self.answered((execution, phase), graph, answers, outbox)
                        .await?;
                }
            }
            self.sent(execution, outbox.flush().await).await?;
            let now_ms = clock::now_ms();
            let Progress::Waiting { wake_at_ms } = graph.progress(now_ms) else {
                return Ok(());
            };
            let wake_at_ms = wake_at_ms.into_iter().chain(outbox.due_ms()).min();
            let pause = wake_at_ms.map_or(LOOK_AGAIN, |at_ms| {
                let away_ms = at_ms.saturating_sub(now_ms).max(0);
                Duration::from_millis(u64::try_from(away_ms).unwrap_or(0)).min(LOOK_AGAIN)
            });
            let signal = tokio::select! {
                () = self.stop.cancelled() => return Err(Stop::Draining),
                signal = self.signals.recv() => signal,
                () = tokio::time::sleep(pause) => None,
            };
            match signal {
                None => {
                    let actions = graph.step(Input::Tick, clock::now_ms());
                    let decided = (None, actions);
                    self.decide((execution, phase), decided, outbox).await?;
                }
                Some(Signal::Status(status)) => check_status(status)?,
                Some(Signal::Sent(id)) => self.sent(execution, vec![id]).await?,
                Some(Signal::Answer { id, response, ack }) => {
                    let (answers, sent) = self.more((id, response, ack)).await?;
                    self.answered((execution, phase), graph, answers, outbox)
                        .await?;
                    self.sent(execution, sent).await?;
                }
            }
        }
    }

    /// Answers that have arrived together are dealt with together, unless the execution is to end.
    async fn more(&mut self, first: Answer) -> Result<(Vec<Answer>, Vec<String>), Stop> {
        let mut answers = vec![first];
        let mut sent = Vec::new();
        while let Ok(signal) = self.signals.try_recv() {
            let checked = match signal {
                Signal::Answer { id, response, ack } => {
                    answers.push((id, response, ack));
                    Ok(())
                }
                Signal::Sent(id) => {
                    sent.push(id);
                    Ok(())
                }
                Signal::Status(status) => check_status(status),
            };
            if let Err(stop) = checked {
                for (_, _, ack) in answers {
                    self.give_back(ack).await;
                }
                return Err(stop);
            }
        }
        Ok((answers, sent))
    }

    async fn answered(
        &mut self,
        of: (&Execution, &Phase),
        graph: &mut Graph,
        answers: Vec<Answer>,
        outbox: &mut Outbox,
    ) -> Result<(), Stop> {
        let mut actions = Vec::new();
        let mut acks = Vec::new();
        for (id, response, ack) in answers {
            outbox.done(&id);
            self.errands.done(&id);
            self.routes.remove(&id);
            actions.extend(graph.step(Input::Answer(id, response), clock::now_ms()));
            acks.extend(ack);
        }
        let decided = self.decide(of, (None, actions), outbox).await;
        for ack in acks {
            // a lost connection brings the message again, and then it changes nothing
            let told = match &decided {
                Ok(()) => ack.ack().await,
                Err(_) => ack.reject(true).await,
            };
            if let Err(error) = told {
                tracing::debug!(execution = self.id, %error, "an answer will come again");
            }
        }
        decided
    }

    /// Writes decisions down; then what was decided to be sent goes to the outbox.
    async fn decide(
        &mut self,
        (execution, phase): (&Execution, &Phase),
        (fresh, actions): (Option<Vec<Task>>, Vec<Action>),
        outbox: &mut Outbox,
    ) -> Result<(), Stop> {
        let step = Step {
            graph: phase.name.clone(),
            fresh,
            actions,
        };
        commit::commit(&self.ctx, execution, &step, outbox.is_open()).await?;
        for action in step.actions {
            if action.task.state != State::Sent {
                continue;
            }
            self.routes.add(&action.task.id, &self.sender);
            if action.task.is_for_agent() {
                self.errands.run(action.task, outbox.stamp());
            } else {
                outbox.put(action.task);
            }
        }
        Ok(())
    }

    /// Operations that had to wait for the broker are shown as sent.
    async fn sent(&self, execution: &Execution, late: Vec<String>) -> Result<(), Stop> {
        if late.is_empty() {
            return Ok(());
        }
        Ok(commit::sent(&self.ctx, execution, &late).await?)
    }

    /// The tasks of a graph that is stored already.
    pub(super) async fn stored(
        &self,
        execution: &Execution,
        name: &str,
    ) -> Result<Option<Vec<Task>>, Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let by =
            |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
        let query = ListQuery::all(View::TasksGraphs, Scope::Everything)
            .with(by("execution_id", &execution.id))
            .with(by("name", name));
        let graph: Option<TasksGraph> = view.select_as(&query).await?.pop();
        let Some(graph) = graph else {
            drop(view.finish().await?);
            return Ok(None);
        };
        let query = ListQuery::all(View::Operations, Scope::Everything)
            .with(by("tasks_graph_id", &graph.id));
        let operations: Vec<Operation> = view.select_as(&query).await?;
        drop(view.finish().await?);
        let tasks = operations
            .iter()
            .map(Task::from_stored)
            .collect::<Result<_, _>>();
        tasks.map(Some).map_err(Error::internal)
    }
}

impl Runner {
    /// What a signal means while no graph is driven.
    pub(super) async fn heed(&self, signal: Option<Signal>) -> Result<(), Stop> {
        match signal {
            Some(Signal::Status(status)) => check_status(status),
            Some(Signal::Answer { ack, .. }) => {
                self.give_back(ack).await;
                Ok(())
            }
            Some(Signal::Sent(_)) | None => Ok(()),
        }
    }
}

/// What a status that somebody set means for the runner.
fn check_status(status: String) -> Result<(), Stop> {
    match status.as_str() {
        "pending" | "started" => Ok(()),
        "cancelling" | "force_cancelling" | "kill_cancelling" => Err(Stop::Cancelled(status)),
        _ => Err(Stop::Over),
    }
}

/// The error of a graph that has ended with failures, or with tasks that could never run.
fn failure(graph: &Graph) -> Result<(), Stop> {
    let refuse = |text: String| Err(Stop::Failed(Error::refused(ErrorCode::IllegalAction, text)));
    match graph.failures() {
        [] if graph.is_complete() => Ok(()),
        [] => refuse("Tasks are left over that wait for each other".to_owned()),
        [one] => refuse(format!("Task failed: {}{}", summary(one), traceback(one))),
        several => {
            let lines: Vec<String> = several.iter().map(summary).collect();
            let traces: Vec<String> = several.iter().map(traceback).collect();
            let count = several.len();
            let (lines, traces) = (lines.join("\n"), traces.concat());
            refuse(format!("{count} operation errors:\n{lines}{traces}"))
        }
    }
}

fn summary(failed: &Failed) -> String {
    let Failed {
        description,
        failure,
    } = failed;
    format!("{description}: {} `{}`", failure.class, failure.message)
}

fn traceback(failed: &Failed) -> String {
    match failed.failure.traceback.as_deref() {
        None | Some("") => String::new(),
        Some(text) => {
            format!(
                "\nTraceback of {} (most recent call last):\n{text}",
                failed.description
            )
        }
    }
}

/// How long the outbox waits between attempts is also how long a graph sleeps at most while
/// something is unsent.
const _: () = assert!(RETRY.as_secs() < LOOK_AGAIN.as_secs());
