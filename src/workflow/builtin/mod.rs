//! Workflows built into the manager: each a row of graphs, one after the other.
mod check;
mod execute_operation;
mod heal;
mod install;
mod lifecycle;
mod order;
mod plan;
mod sequence;
mod uninstall;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use check::{CHECK_STATUS, Check};
use execute_operation::Request;
pub(crate) use heal::HEAL;
pub(crate) use plan::Plan;
use sequence::Builder;
use serde_json::{Map, Value};

use super::{
    graph::task::{Kind, Task},
    operation::Facts,
    topology::{Filter, Topology},
};
use crate::error::{Error, ErrorCode};

/// A built-in workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Install,
    Uninstall,
    Reinstall,
    ExecuteOperation,
    Start,
    Stop,
    Restart,
    Pull,
    CheckStatus,
    CheckDrift,
    RollBack,
    Heal,
    Scale,
}

/// Operations that `start`, `stop` and `pull` run.
const START: &str = "cloudify.interfaces.lifecycle.start";
const STOP: &str = "cloudify.interfaces.lifecycle.stop";
const PULL: &str = "cloudify.interfaces.lifecycle.pull";

impl Builtin {
    /// The workflow behind a declared operation.
    pub(crate) fn from_operation(operation: &str) -> Option<Self> {
        Some(
            match operation.strip_prefix("cloudify.plugins.workflows.")? {
                "install" => Self::Install,
                "uninstall" => Self::Uninstall,
                "reinstall" => Self::Reinstall,
                "execute_operation" => Self::ExecuteOperation,
                "start" => Self::Start,
                "stop" => Self::Stop,
                "restart" => Self::Restart,
                "pull" => Self::Pull,
                "check_status" => Self::CheckStatus,
                "check_drift" => Self::CheckDrift,
                "rollback" => Self::RollBack,
                "auto_heal_reinstall_node_subgraph" => Self::Heal,
                "scale_entity" => Self::Scale,
                _ => return None,
            },
        )
    }

    /// Names of its graphs, in order.
    pub(crate) fn phases(self, parameters: &Map<String, Value>) -> Vec<String> {
        let one = |name: &str| vec![name.to_owned()];
        let operations = |names: &[&str]| {
            names
                .iter()
                .map(|name| format!("execute_operation_{name}"))
                .collect()
        };
        match self {
            Self::Install => one("install"),
            Self::Uninstall => one("uninstall"),
            Self::Reinstall => vec!["reinstall-uninstall".into(), "reinstall-install".into()],
            Self::ExecuteOperation => operations(&[text(parameters, "operation")]),
            Self::Start => operations(&[START]),
            Self::Stop => operations(&[STOP]),
            Self::Restart => operations(&[STOP, START]),
            Self::Pull => operations(&[PULL]),
            Self::CheckStatus => one("check_status"),
            Self::CheckDrift => one("check_drift"),
            Self::RollBack if flag(parameters, "full_rollback") == Some(true) => {
                vec!["rollback".into(), "uninstall-a".into()]
            }
            Self::RollBack => one("rollback"),
            // they follow from what earlier ones find
            Self::Heal | Self::Scale => Vec::new(),
        }
    }

    /// The graph of a phase, for the deployment as it is when the phase begins.
    ///
    /// # Errors
    /// Parameters that do not fit.
    pub(crate) fn build(
        self,
        (index, name): (usize, &str),
        topology: &Topology,
        facts: &Facts,
    ) -> Result<Vec<Task>, Error> {
        let parameters = &facts.parameters;
        let chosen = topology.select(&Filter::from_parameters(parameters));
        let ignore = flag(parameters, "ignore_failure").unwrap_or(false);
        let unretried = plan::unretried(facts);
        let is_check = matches!(self, Self::CheckStatus | Self::CheckDrift);
        let mut builder = Builder::new(if is_check { &unretried } else { facts }, name);
        let check = |default: bool| Check {
            in_order: flag(parameters, "run_by_dependency_order").unwrap_or(default),
            ignores: false,
        };
        match (self, index) {
            (Self::CheckStatus, _) => {
                check::status(&mut builder, topology, &chosen, check(false))?;
            }
            (Self::CheckDrift, _) => {
                check::drift(&mut builder, topology, &chosen, check(true))?;
            }
            (Self::RollBack, 0) => {
                let ignore = flag(parameters, "ignore_failure").unwrap_or(true);
                uninstall::roll_back(&mut builder, topology, &chosen, ignore)?;
            }
            (Self::RollBack, _) => uninstall::graph(&mut builder, topology, &chosen, true)?,
            (Self::Install, _) | (Self::Reinstall, 1) => {
                install::graph(&mut builder, topology, &chosen)?;
            }
            (Self::Uninstall | Self::Reinstall, _) => {
                uninstall::graph(&mut builder, topology, &chosen, ignore)?;
            }
            _ => {
                let request = self.request(index, parameters)?;
                execute_operation::graph(&mut builder, topology, &chosen, &request)?;
            }
        }
        Ok(without_empty_subgraphs(builder.finish()))
    }

    fn request(self, index: usize, parameters: &Map<String, Value>) -> Result<Request, Error> {
        let dict = |name: &str| match parameters.get(name) {
            Some(Value::Object(map)) => Ok(map.clone()),
            None | Some(Value::Null) => Ok(Map::new()),
            Some(_) => Err(Error::refused(
                ErrorCode::BadParameters,
                format!("The parameter {name} must be a dictionary"),
            )),
        };
        let ordered =
            |default: bool| flag(parameters, "run_by_dependency_order").unwrap_or(default);
        let (operation, kwargs) = match (self, index) {
            (Self::Start, _) => (START, dict("operation_parms")?),
            (Self::Stop, _) => (STOP, dict("operation_parms")?),
            (Self::Pull, _) => (PULL, dict("operation_parms")?),
            (Self::Restart, 0) => (STOP, dict("stop_parms")?),
            (Self::Restart, _) => (START, dict("start_parms")?),
            _ => (text(parameters, "operation"), dict("operation_kwargs")?),
        };
        let is_plain = self == Self::ExecuteOperation;
        Ok(Request {
            operation: operation.to_owned(),
            kwargs,
            may_override: !is_plain || flag(parameters, "allow_kwargs_override").unwrap_or(false),
            in_order: ordered(!is_plain),
        })
    }
}

fn text<'p>(parameters: &'p Map<String, Value>, name: &str) -> &'p str {
    parameters
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn flag(parameters: &Map<String, Value>, name: &str) -> Option<bool> {
    parameters.get(name).and_then(Value::as_bool)
}

/// Subgraphs that nothing is in are left out; who waited for them waits for what they waited for.
fn without_empty_subgraphs(tasks: Vec<Task>) -> Vec<Task> {
    let holders: BTreeSet<String> = tasks
        .iter()
        .filter_map(|task| task.parameters.containing_subgraph.clone())
        .collect();
    let is_empty = |task: &Task| task.kind == Kind::Subgraph && !holders.contains(&task.id);
    let (empty, mut kept): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(is_empty);
    if empty.is_empty() {
        return kept;
    }
    let empty: std::collections::HashMap<String, Vec<String>> = empty
        .into_iter()
        .map(|task| (task.id, task.dependencies))
        .collect();
    for task in &mut kept {
        let mut seen = BTreeSet::new();
        let mut wanted: Vec<String> = Vec::new();
        let mut open: Vec<String> = task.dependencies.drain(..).rev().collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            match empty.get(&id) {
                Some(behind) => open.extend(behind.iter().rev().cloned()),
                None => wanted.push(id),
            }
        }
        task.dependencies = wanted;
    }
    kept
}
