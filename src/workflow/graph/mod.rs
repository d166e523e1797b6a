//! The task graph: a deterministic state machine over the tasks of one phase of an execution.
//!
//! [`Graph::step`] is pure: it is given what happened and the time, and says which tasks take which
//! states; it sends nothing and stores nothing. The same stored tasks and the same inputs give the
//! same decisions, so a graph restored from its stored operations goes on exactly where the stored
//! decisions left it.
pub(crate) mod restore;
pub(crate) mod task;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use task::{Failure, Kind, State, Task};
use uuid::Uuid;

use super::retry::{Verdict, verdict};
use crate::broker::wire::{Response, TaskError};

/// What happened.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "an input is used up where it is made"
)]
pub(crate) enum Input {
    /// Nothing; tasks that may run do.
    Begin,
    /// An operation was answered.
    Answer(String, Response),
    /// Time went by.
    Tick,
}

/// A decision: the task takes its state. The task is as it is after that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Action {
    pub(crate) task: Arc<Task>,
    /// Of a success.
    pub(crate) result: Value,
    /// Of a failure.
    pub(crate) error: Option<TaskError>,
    /// The attempt that follows.
    pub(crate) next: Option<Arc<Task>>,
    /// The failure was passed over.
    pub(crate) ignored: bool,
}

/// How far a graph is.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// Answers are awaited, or a time.
    Waiting { wake_at_ms: Option<i64> },
    /// Everything that could run has.
    Ended,
}

/// How a graph treats its tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// Operations succeed without being sent.
    pub(crate) dry_run: bool,
    /// How long others may go on after the first failure; milliseconds.
    pub(crate) wait_after_fail_ms: i64,
}

/// A failed task at the top of the graph, by the description of what failed in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failed {
    pub(crate) description: String,
    pub(crate) failure: Failure,
}

/// Tasks, each in a slot that its later attempts take over.
#[derive(Debug)]
pub(crate) struct Graph {
    mode: Mode,
    tasks: Vec<Arc<Task>>,
    slots: HashMap<String, usize>,
    /// Tasks that wait for the end of this one; of a subgraph, those outside.
    dependents: Vec<Vec<usize>>,
    /// Tasks inside this subgraph that wait for its start.
    starters: Vec<Vec<usize>>,
    waits: Vec<usize>,
    parents: Vec<Option<usize>>,
    unfinished: Vec<usize>,
    ready: VecDeque<usize>,
    running: usize,
    delayed: BTreeSet<(i64, usize)>,
    failed: Vec<Failed>,
    failed_at_ms: Option<i64>,
}

impl Graph {
    /// Deals with what happened; says what that leads to, in order.
    pub(crate) fn step(&mut self, input: Input, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Begin | Input::Tick => {}
            Input::Answer(id, Response::Ok(result)) => {
                if let Some(slot) = self.answered(&id) {
                    self.succeed(slot, result, &mut actions);
                }
            }
            Input::Answer(id, Response::Error(error)) => {
                if let Some(slot) = self.answered(&id) {
                    self.attempt_failed(slot, error, now_ms, &mut actions);
                }
            }
        }
        self.wake(now_ms);
        self.run_ready(&mut actions);
        actions
    }

    /// How far it is.
    pub(crate) fn progress(&self, now_ms: i64) -> Progress {
        let next = self.delayed.first().map(|(at_ms, _)| *at_ms);
        if self.running == 0 && next.is_none() {
            return Progress::Ended;
        }
        let Some(failed_at_ms) = self.failed_at_ms else {
            return Progress::Waiting { wake_at_ms: next };
        };
        let limit_ms = failed_at_ms.saturating_add(self.mode.wait_after_fail_ms);
        if now_ms >= limit_ms {
            return Progress::Ended;
        }
        let wake_at_ms = Some(next.map_or(limit_ms, |at_ms| at_ms.min(limit_ms)));
        Progress::Waiting { wake_at_ms }
    }

    /// What failed, in order.
    pub(crate) fn failures(&self) -> &[Failed] {
        &self.failed
    }

    /// Operations that were decided to be sent and have not been answered.
    pub(crate) fn in_flight(&self) -> Vec<Arc<Task>> {
        self.tasks
            .iter()
            .filter(|task| is_in_flight(task))
            .cloned()
            .collect()
    }

    /// Whether nothing is left to be done.
    pub(crate) fn is_complete(&self) -> bool {
        let is_over = |task: &Arc<Task>| task.is_done() || self.is_given_up(task);
        self.tasks.iter().all(is_over)
    }

    /// Whether a task is in a subgraph whose failure is passed over.
    fn is_given_up(&self, task: &Task) -> bool {
        let mut holder = task.parameters.containing_subgraph.as_ref();
        while let Some(id) = holder {
            let found = self.slots.get(id).and_then(|slot| self.tasks.get(*slot));
            let Some(found) = found else { return false };
            if found.state == State::Failed && found.is_ignored() {
                return true;
            }
            holder = found.parameters.containing_subgraph.as_ref();
        }
        false
    }

    /// The tasks in order of their slots.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> &[Arc<Task>] {
        &self.tasks
    }

    /// The slot of an unanswered operation. Answers that come twice, or to former attempts, find
    /// none.
    fn answered(&self, id: &str) -> Option<usize> {
        let slot = *self.slots.get(id)?;
        let task = self.tasks.get(slot)?;
        (task.id == id && is_in_flight(task)).then_some(slot)
    }

    fn wake(&mut self, now_ms: i64) {
        while let Some(&(at_ms, slot)) = self.delayed.first() {
            if at_ms > now_ms {
                return;
            }
            self.delayed.pop_first();
            self.ready.push_back(slot);
        }
    }

    fn run_ready(&mut self, actions: &mut Vec<Action>) {
        while let Some(slot) = self.ready.pop_front() {
            if !self.may_run(slot) {
                continue;
            }
            match self.tasks[slot].kind {
                Kind::Subgraph => self.start(slot, actions),
                Kind::Remote if !self.mode.dry_run => {
                    self.running += 1;
                    self.set(slot, State::Sent, actions);
                }
                _ => self.succeed(slot, Value::Null, actions),
            }
        }
    }

    /// Nothing starts in a subgraph that does not run (any more).
    fn may_run(&self, slot: usize) -> bool {
        let mut parent = self.parents[slot];
        while let Some(slot) = parent {
            if self.tasks[slot].state != State::Started {
                return false;
            }
            parent = self.parents[slot];
        }
        self.tasks[slot].state == State::Pending
    }

    fn start(&mut self, slot: usize, actions: &mut Vec<Action>) {
        self.set(slot, State::Started, actions);
        if self.unfinished[slot] == 0 {
            return self.succeed(slot, Value::Null, actions);
        }
        for waiting in std::mem::take(&mut self.starters[slot]) {
            self.release(waiting);
        }
    }

    fn release(&mut self, slot: usize) {
        self.waits[slot] = self.waits[slot].saturating_sub(1);
        if self.waits[slot] == 0 && self.tasks[slot].state == State::Pending {
            match self.tasks[slot].parameters.execute_after_ms {
                Some(at_ms) => drop(self.delayed.insert((at_ms, slot))),
                None => self.ready.push_back(slot),
            }
        }
    }

    fn set(&mut self, slot: usize, state: State, actions: &mut Vec<Action>) {
        if is_in_flight(&self.tasks[slot]) && state.is_ended() {
            self.running -= 1;
        }
        Arc::make_mut(&mut self.tasks[slot]).state = state;
        actions.push(Action {
            task: self.tasks[slot].clone(),
            result: Value::Null,
            error: None,
            next: None,
            ignored: false,
        });
    }

    fn succeed(&mut self, slot: usize, result: Value, actions: &mut Vec<Action>) {
        self.set(slot, State::Succeeded, actions);
        if let Some(action) = actions.last_mut() {
            action.result = result;
        }
        self.done(slot, actions);
    }

    /// Those who waited go on, and the subgraph may be through.
    fn done(&mut self, slot: usize, actions: &mut Vec<Action>) {
        for waiting in std::mem::take(&mut self.dependents[slot]) {
            self.release(waiting);
        }
        let Some(parent) = self.parents[slot] else {
            return;
        };
        self.unfinished[parent] -= 1;
        if self.unfinished[parent] == 0 && self.tasks[parent].state == State::Started {
            self.succeed(parent, Value::Null, actions);
        }
    }

    fn attempt_failed(
        &mut self,
        slot: usize,
        error: TaskError,
        now_ms: i64,
        actions: &mut Vec<Action>,
    ) {
        let failure = Failure::new(&error, now_ms);
        let verdict = verdict(&self.tasks[slot], &error);
        let state = match verdict {
            Verdict::Retry { asked: true, .. } => State::Rescheduled,
            _ => State::Failed,
        };
        Arc::make_mut(&mut self.tasks[slot]).parameters.error = Some(failure.clone());
        self.set(slot, state, actions);
        let Some(action) = actions.last_mut() else {
            return;
        };
        action.error = Some(error);
        match verdict {
            Verdict::Retry { after_ms, .. } => {
                let at_ms = now_ms.saturating_add(after_ms);
                let next = Arc::new(self.tasks[slot].retried(next_id(&self.tasks[slot].id), at_ms));
                action.next = Some(next.clone());
                self.slots.insert(next.id.clone(), slot);
                self.tasks[slot] = next;
                self.delayed.insert((at_ms, slot));
            }
            Verdict::Ignore => {
                action.ignored = true;
                self.done(slot, actions);
            }
            Verdict::Fail => {
                let description = self.tasks[slot].description().into_owned();
                let failed = Failed {
                    description,
                    failure,
                };
                self.fail_above(slot, failed, actions);
            }
        }
    }

    /// A failed task fails the subgraphs around it; at the top it is an error of the graph.
    fn fail_above(&mut self, slot: usize, failed: Failed, actions: &mut Vec<Action>) {
        let Some(parent) = self.parents[slot] else {
            self.failed_at_ms.get_or_insert(failed.failure.at_ms);
            self.failed.push(failed);
            return;
        };
        if self.tasks[parent].state.is_ended() {
            return;
        }
        Arc::make_mut(&mut self.tasks[parent]).parameters.error = Some(failed.failure.clone());
        self.set(parent, State::Failed, actions);
        if self.tasks[parent].is_ignored() {
            if let Some(action) = actions.last_mut() {
                action.ignored = true;
            }
            return self.done(parent, actions);
        }
        self.fail_above(parent, failed, actions);
    }
}

fn is_in_flight(task: &Task) -> bool {
    task.kind == Kind::Remote
        && matches!(
            task.state,
            State::Sending | State::Sent | State::Started | State::ResponseSent
        )
}

/// Ids of later attempts follow from the first one's, so that deciding again mints nothing new.
fn next_id(id: &str) -> String {
    let name = format!("stratalog:retry:{id}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
