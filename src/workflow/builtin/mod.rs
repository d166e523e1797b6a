//! Workflows built into the manager: each a row of graphs, one after the other.
mod agents;
mod check;
mod execute_operation;
mod heal;
mod install;
mod lifecycle;
mod order;
mod plan;
mod sequence;
mod uninstall;
mod update;

#[cfg(test)]
mod tests;

use agents::Renewal;
pub(crate) use check::{CHECK_STATUS, Check};
use execute_operation::Request;
pub(crate) use heal::HEAL;
pub(crate) use plan::Plan;
use serde_json::{Map, Value};
pub(crate) use update::{Drift, Link, UPDATES, has_check};

use super::topology::{Filter, Topology};
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
    InstallNewAgents,
    ValidateAgents,
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
                "install_new_agents" => Self::InstallNewAgents,
                "validate_agents" => Self::ValidateAgents,
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
            Self::InstallNewAgents => one("install_agents"),
            Self::ValidateAgents => one("validate_agents"),
            // they follow from what earlier ones find
            Self::Heal | Self::Scale => Vec::new(),
        }
    }

    /// The graph of a phase, over the deployment as it is when the phase begins.
    ///
    /// # Errors
    /// Parameters that do not fit.
    pub(crate) fn plan(
        self,
        index: usize,
        topology: &Topology,
        parameters: &Map<String, Value>,
    ) -> Result<Plan, Error> {
        let chosen = topology.select(&Filter::from_parameters(parameters));
        let ignores = |default: bool| flag(parameters, "ignore_failure").unwrap_or(default);
        let check = |default: bool| Check {
            in_order: flag(parameters, "run_by_dependency_order").unwrap_or(default),
            ignores: false,
        };
        Ok(match (self, index) {
            (Self::CheckStatus, _) => Plan::CheckStatus(chosen, check(false)),
            (Self::CheckDrift, _) => Plan::CheckDrift(chosen, check(true)),
            (Self::ValidateAgents, _) => Plan::Agents(chosen, Renewal::validation(parameters)),
            (Self::InstallNewAgents, _) => Plan::Agents(chosen, Renewal::installation(parameters)?),
            (Self::RollBack, 0) => Plan::RollBack(chosen, ignores(true)),
            (Self::RollBack, _) => Plan::Uninstall(chosen, true),
            (Self::Install, _) | (Self::Reinstall, 1) => Plan::Install(chosen),
            (Self::Uninstall | Self::Reinstall, _) => Plan::Uninstall(chosen, ignores(false)),
            _ => Plan::Execute(chosen, self.request(index, parameters)?),
        })
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

pub(crate) fn text<'p>(parameters: &'p Map<String, Value>, name: &str) -> &'p str {
    parameters
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(crate) fn flag(parameters: &Map<String, Value>, name: &str) -> Option<bool> {
    parameters.get(name).and_then(Value::as_bool)
}
