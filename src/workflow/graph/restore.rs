//! A graph from its tasks: fresh ones, or stored ones in whatever states they were left.
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    Failed, Graph, Mode, is_in_flight,
    task::{State, Task},
};

impl Graph {
    /// Takes the tasks over. Attempts that were followed by another are passed over.
    pub(crate) fn restore(tasks: Vec<Task>, mode: Mode) -> Self {
        let (tasks, slots) = slots(tasks);
        let n = tasks.len();
        let mut graph = Self {
            mode,
            tasks,
            slots,
            dependents: vec![Vec::new(); n],
            starters: vec![Vec::new(); n],
            waits: vec![0; n],
            parents: vec![None; n],
            unfinished: vec![0; n],
            ready: VecDeque::new(),
            running: 0,
            delayed: BTreeSet::new(),
            failed: Vec::new(),
            failed_at_ms: None,
        };
        graph.nest();
        graph.connect();
        graph.stand();
        graph
    }

    fn nest(&mut self) {
        for slot in 0..self.tasks.len() {
            let Some(parent) = &self.tasks[slot].parameters.containing_subgraph else {
                continue;
            };
            let parent = self.slots.get(parent).copied().filter(|p| *p != slot);
            self.parents[slot] = parent;
            if let Some(parent) = parent.filter(|_| !self.tasks[slot].is_done()) {
                self.unfinished[parent] += 1;
            }
        }
    }

    fn connect(&mut self) {
        for slot in 0..self.tasks.len() {
            let task = self.tasks[slot].clone();
            let on: BTreeSet<usize> = task
                .dependencies
                .iter()
                .filter_map(|id| self.slots.get(id).copied())
                .collect();
            for on in on {
                if self.is_around(on, slot) {
                    // inside a subgraph that has started, or will not start again
                    if self.tasks[on].state == State::Pending {
                        self.starters[on].push(slot);
                        self.waits[slot] += 1;
                    }
                } else if !self.tasks[on].is_done() {
                    self.dependents[on].push(slot);
                    self.waits[slot] += 1;
                }
            }
        }
    }

    fn is_around(&self, outer: usize, slot: usize) -> bool {
        let mut parent = self.parents[slot];
        // never longer than there are tasks, even if stored ones were to contain each other
        for _ in 0..self.tasks.len() {
            match parent {
                None => return false,
                Some(slot) if slot == outer => return true,
                Some(slot) => parent = self.parents[slot],
            }
        }
        false
    }

    fn stand(&mut self) {
        for slot in 0..self.tasks.len() {
            let task = self.tasks[slot].clone();
            match task.state {
                State::Pending if self.waits[slot] == 0 => match task.parameters.execute_after_ms {
                    Some(at_ms) => drop(self.delayed.insert((at_ms, slot))),
                    None => self.ready.push_back(slot),
                },
                State::Failed | State::Rescheduled if self.is_error(slot) => {
                    let failed = self.innermost(slot);
                    self.failed.extend(failed);
                }
                _ if is_in_flight(&task) => self.running += 1,
                _ => {}
            }
        }
        self.failed.sort_by_key(|failed| failed.failure.at_ms);
        self.failed_at_ms = self.failed.first().map(|failed| failed.failure.at_ms);
    }

    fn is_error(&self, slot: usize) -> bool {
        self.parents[slot].is_none() && !self.tasks[slot].is_done()
    }

    /// What failed in a failed task: itself, or the failed one inside it.
    fn innermost(&self, slot: usize) -> Option<Failed> {
        let inside = (0..self.tasks.len()).find(|inner| {
            self.parents[*inner] == Some(slot)
                && self.tasks[*inner].state == State::Failed
                && !self.tasks[*inner].is_ignored()
        });
        if let Some(inside) = inside {
            return self.innermost(inside);
        }
        let task = &self.tasks[slot];
        Some(Failed {
            description: task.description().into_owned(),
            failure: task.parameters.error.clone()?,
        })
    }
}

/// Each task in the slot of its first attempt.
fn slots(tasks: Vec<Task>) -> (Vec<Arc<Task>>, HashMap<String, usize>) {
    let known: std::collections::HashSet<String> =
        tasks.iter().map(|task| task.id.clone()).collect();
    let follows = |task: &Task| {
        let retried = task.parameters.retried_task.as_ref();
        retried.is_some_and(|id| known.contains(id))
    };
    let (mut later, first): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(follows);
    later.sort_by_key(|task| task.parameters.current_retries);
    let mut slots = HashMap::with_capacity(known.len());
    let mut kept: Vec<Arc<Task>> = Vec::with_capacity(first.len());
    for task in first {
        slots.insert(task.id.clone(), kept.len());
        kept.push(Arc::new(task));
    }
    for task in later {
        let retried = task.parameters.retried_task.as_ref();
        let Some(slot) = retried.and_then(|id| slots.get(id)).copied() else {
            continue;
        };
        slots.insert(task.id.clone(), slot);
        kept[slot] = Arc::new(task);
    }
    (kept, slots)
}
