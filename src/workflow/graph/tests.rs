//! Orders, failures, retries and going on after a restart, without any database.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::{
    task::{Handler, Parameters},
    *,
};

const MODE: Mode = Mode {
    dry_run: false,
    wait_after_fail_ms: 1_000,
};

fn task(id: &str, kind: Kind, parent: Option<&str>, after: &[&str]) -> Task {
    let mut parameters = Parameters::local(Map::new(), Value::Null);
    parameters.containing_subgraph = parent.map(str::to_owned);
    parameters.total_retries = 2;
    parameters.retry_interval = 10.into();
    let dependencies = parent.into_iter().chain(after.iter().copied());
    Task {
        id: id.to_owned(),
        name: id.to_owned(),
        kind,
        state: State::Pending,
        dependencies: dependencies.map(str::to_owned).collect(),
        parameters,
    }
}

fn remote(id: &str, parent: Option<&str>, after: &[&str]) -> Task {
    task(id, Kind::Remote, parent, after)
}

fn local(id: &str, parent: Option<&str>, after: &[&str]) -> Task {
    task(id, Kind::SetState, parent, after)
}

fn subgraph(id: &str, parent: Option<&str>, after: &[&str]) -> Task {
    task(id, Kind::Subgraph, parent, after)
}

fn graph(tasks: Vec<Task>) -> Graph {
    Graph::restore(tasks, MODE)
}

/// `id=state`, in order.
fn told(actions: &[Action]) -> Vec<String> {
    let one = |action: &Action| format!("{}={}", action.task.id, action.task.state.wire());
    actions.iter().map(one).collect()
}

fn ok(id: &str) -> Input {
    Input::Answer(id.to_owned(), Response::Ok(Value::Null))
}

fn failed(id: &str, error: TaskError) -> Input {
    Input::Answer(id.to_owned(), Response::Error(error))
}

#[test]
fn local_tasks_of_a_chain_are_decided_in_one_step() {
    let mut graph = graph(vec![
        subgraph("s", None, &[]),
        local("a", Some("s"), &[]),
        local("b", Some("s"), &["a"]),
        local("after", None, &["s"]),
    ]);
    let actions = graph.step(Input::Begin, 0);
    assert_eq!(
        told(&actions),
        [
            "s=started",
            "a=succeeded",
            "b=succeeded",
            "s=succeeded",
            "after=succeeded"
        ]
    );
    assert_eq!(graph.progress(0), Progress::Ended);
    assert!(graph.failures().is_empty());
}

#[test]
fn operations_are_sent_and_awaited() {
    let mut graph = graph(vec![
        local("a", None, &[]),
        remote("op", None, &["a"]),
        local("b", None, &["op"]),
    ]);
    assert_eq!(
        told(&graph.step(Input::Begin, 0)),
        ["a=succeeded", "op=sent"]
    );
    assert_eq!(graph.progress(0), Progress::Waiting { wake_at_ms: None });
    assert_eq!(
        told(&graph.step(ok("op"), 1)),
        ["op=succeeded", "b=succeeded"]
    );
    assert!(
        told(&graph.step(ok("op"), 2)).is_empty(),
        "a second answer changes nothing"
    );
    assert_eq!(graph.progress(2), Progress::Ended);
}

#[test]
fn a_failure_is_retried_after_the_interval_under_a_new_id() {
    let mut graph = graph(vec![remote("op", None, &[]), local("b", None, &["op"])]);
    graph.step(Input::Begin, 0);
    let actions = graph.step(failed("op", TaskError::recoverable("boom")), 100);
    assert_eq!(told(&actions), ["op=failed"]);
    let next = actions[0].next.clone().unwrap();
    assert_eq!(next.parameters.retried_task.as_deref(), Some("op"));
    assert_eq!(next.parameters.current_retries, 1);
    assert_eq!(
        graph.progress(100),
        Progress::Waiting {
            wake_at_ms: Some(10_100)
        }
    );
    assert!(graph.step(Input::Tick, 10_099).is_empty());
    let sent = graph.step(Input::Tick, 10_100);
    assert_eq!(told(&sent), [format!("{}=sent", next.id)]);
    let ended = graph.step(ok(&next.id), 10_200);
    assert_eq!(
        told(&ended),
        [format!("{}=succeeded", next.id), "b=succeeded".to_owned()]
    );
}

#[test]
fn retries_end_and_fail_everything_around() {
    let mut graph = graph(vec![
        subgraph("s", None, &[]),
        remote("op", Some("s"), &[]),
        local("b", Some("s"), &["op"]),
        local("after", None, &["s"]),
    ]);
    graph.step(Input::Begin, 0);
    let mut id = "op".to_owned();
    for attempt in 0..2 {
        let actions = graph.step(
            failed(&id, TaskError::recoverable("boom")),
            attempt * 10_000,
        );
        id = actions[0].next.clone().unwrap().id.clone();
        graph.step(Input::Tick, (attempt + 1) * 10_000);
    }
    let actions = graph.step(failed(&id, TaskError::recoverable("boom")), 30_000);
    assert_eq!(
        told(&actions),
        [format!("{id}=failed"), "s=failed".to_owned()]
    );
    assert_eq!(graph.progress(30_000), Progress::Ended);
    assert_eq!(graph.failures()[0].failure.message, "boom");
    assert_eq!(
        graph.tasks()[2].state,
        State::Pending,
        "what followed never ran"
    );
}

#[test]
fn non_recoverable_errors_are_not_retried_and_asked_ones_are_rescheduled() {
    let mut first = graph(vec![remote("op", None, &[])]);
    first.step(Input::Begin, 0);
    let actions = first.step(failed("op", TaskError::non_recoverable("no")), 0);
    assert!(actions[0].next.is_none());
    let mut second = graph(vec![remote("op", None, &[])]);
    second.step(Input::Begin, 0);
    let asked = TaskError::operation_retry("later", Some(3.0));
    let actions = second.step(failed("op", asked), 0);
    assert_eq!(told(&actions), ["op=rescheduled"]);
    assert_eq!(
        second.progress(0),
        Progress::Waiting {
            wake_at_ms: Some(3_000)
        }
    );
}

#[test]
fn ignored_failures_let_others_go_on() {
    let mut op = remote("op", Some("s"), &[]);
    op.parameters.on_failure = Some(Handler::ignore());
    let mut graph = graph(vec![
        subgraph("s", None, &[]),
        op,
        local("b", Some("s"), &["op"]),
    ]);
    graph.step(Input::Begin, 0);
    let actions = graph.step(failed("op", TaskError::non_recoverable("no")), 0);
    assert_eq!(told(&actions), ["op=failed", "b=succeeded", "s=succeeded"]);
    assert!(actions[0].ignored);
    assert!(graph.failures().is_empty());
}

#[test]
fn after_a_failure_others_get_some_time() {
    let mut graph = graph(vec![remote("bad", None, &[]), remote("slow", None, &[])]);
    graph.step(Input::Begin, 0);
    graph.step(failed("bad", TaskError::non_recoverable("no")), 500);
    assert_eq!(
        graph.progress(500),
        Progress::Waiting {
            wake_at_ms: Some(1_500)
        }
    );
    assert_eq!(graph.progress(1_500), Progress::Ended);
    graph.step(ok("slow"), 600);
    assert_eq!(graph.progress(600), Progress::Ended);
}

#[test]
fn nothing_starts_in_a_failed_subgraph() {
    let mut graph = graph(vec![
        subgraph("s", None, &[]),
        remote("bad", Some("s"), &[]),
        remote("slow", Some("s"), &[]),
        local("b", Some("s"), &["slow"]),
    ]);
    graph.step(Input::Begin, 0);
    graph.step(failed("bad", TaskError::non_recoverable("no")), 0);
    assert_eq!(told(&graph.step(ok("slow"), 1)), ["slow=succeeded"]);
}

#[test]
fn in_a_dry_run_operations_are_not_sent() {
    let mode = Mode {
        dry_run: true,
        ..MODE
    };
    let mut graph = Graph::restore(vec![remote("op", None, &[])], mode);
    assert_eq!(told(&graph.step(Input::Begin, 0)), ["op=succeeded"]);
}

/// What the log knows of tasks: the latest decision about each, and attempts that were added.
fn stored(initial: &[Task], decided: &[Action]) -> Vec<Task> {
    let mut tasks: BTreeMap<String, Task> = initial
        .iter()
        .map(|task| (task.id.clone(), task.clone()))
        .collect();
    for action in decided {
        tasks.insert(action.task.id.clone(), (*action.task).clone());
        if let Some(next) = &action.next {
            tasks.insert(next.id.clone(), (**next).clone());
        }
    }
    tasks.into_values().collect()
}

/// A graph in which every task only waits for tasks before it, with subgraphs two deep.
fn any_tasks() -> impl Strategy<Value = Vec<Task>> {
    let shape = (
        0..4_u8,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..3_u8,
    );
    prop::collection::vec(shape, 1..24).prop_map(|shapes| {
        let mut tasks: Vec<Task> = Vec::new();
        for (n, (kind, parent, after, ignore)) in shapes.into_iter().enumerate() {
            let groups: Vec<String> = tasks
                .iter()
                .filter(|t| t.kind == Kind::Subgraph)
                .map(|t| t.id.clone())
                .collect();
            let parent = match groups.as_slice() {
                [] => None,
                groups => Some(groups[parent.index(groups.len())].clone()).filter(|_| kind != 0),
            };
            let same = |t: &&Task| t.parameters.containing_subgraph == parent;
            let siblings: Vec<String> = tasks.iter().filter(same).map(|t| t.id.clone()).collect();
            let after = match siblings.as_slice() {
                [] => Vec::new(),
                siblings => vec![siblings[after.index(siblings.len())].as_str()],
            };
            let kind = match kind {
                0 => Kind::Subgraph,
                1 => Kind::SetState,
                _ => Kind::Remote,
            };
            let mut task = task(&format!("t{n:02}"), kind, parent.as_deref(), &after);
            if ignore == 0 && task.kind != Kind::Subgraph {
                task.parameters.on_failure = Some(Handler::ignore());
            }
            tasks.push(task);
        }
        tasks
    })
}

/// Answers operations in turn until nothing is left; after every step `restart` may replace the
/// graph.
fn run(
    initial: &[Task],
    answers: &[u8],
    mut restart: impl FnMut(&[Action]) -> Option<Graph>,
) -> (Vec<Action>, Graph) {
    let mut graph = graph(initial.to_vec());
    let mut now_ms = 0;
    let mut decided = graph.step(Input::Begin, now_ms);
    for turn in 0..1_000 {
        if let Some(restarted) = restart(&decided) {
            graph = restarted;
            decided.extend(graph.step(Input::Begin, now_ms));
        }
        let mut waiting: Vec<String> = graph.in_flight().iter().map(|t| t.id.clone()).collect();
        waiting.sort();
        let input = match waiting.first() {
            Some(id) => match answers[turn % answers.len()] {
                0 => failed(id, TaskError::recoverable("again")),
                1 => failed(id, TaskError::non_recoverable("no")),
                _ => ok(id),
            },
            None => match graph.progress(now_ms) {
                Progress::Waiting { wake_at_ms } => {
                    now_ms = wake_at_ms.unwrap();
                    Input::Tick
                }
                Progress::Ended => return (decided, graph),
            },
        };
        decided.extend(graph.step(input, now_ms));
    }
    panic!("the graph never ended");
}

proptest! {
    /// Whoever restarts from the stored decisions decides the same as whoever never stopped.
    #[test]
    fn restarting_anywhere_changes_no_decision(
        tasks in any_tasks(),
        answers in prop::collection::vec(0..8_u8, 1..6),
        at in 0..40_usize,
    ) {
        let (steady, graph) = run(&tasks, &answers, |_| None);
        let mut steps = 0;
        let (restarted, other) = run(&tasks, &answers, |decided| {
            steps += 1;
            (steps % (at + 1) == 0)
                .then(|| Graph::restore(stored(&tasks, decided), MODE))
        });
        prop_assert_eq!(told(&steady), told(&restarted));
        prop_assert_eq!(graph.failures().len(), other.failures().len());
    }

    /// The graph always ends, and without failures everything has been done.
    #[test]
    fn every_task_ends_when_nothing_fails(tasks in any_tasks()) {
        let (_, graph) = run(&tasks, &[9], |_| None);
        prop_assert!(graph.tasks().iter().all(|task| task.state == State::Succeeded));
    }
}

#[test]
fn parameters_survive_storing() {
    let mut task = remote("op", Some("s"), &[]);
    task.parameters.on_failure = Some(Handler::subgraph("app_1", "reinstall"));
    let text = serde_json::to_string(&task.parameters).unwrap();
    let back: Parameters = serde_json::from_str(&text).unwrap();
    assert_eq!(back, task.parameters);
    assert_eq!(
        serde_json::to_value(&task.parameters.on_failure).unwrap(),
        json!({"path": "cloudify.plugins.lifecycle._SubgraphOnFailure",
            "instance_id": "app_1", "on_retry": "reinstall"})
    );
}
