//! Workflows of deployments, with whether they can be started now.
use serde_json::{Map, Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{deployments::Deployment, nodes::Node},
};

use crate::{error::Error, store::View};

/// The workflows a deployment has; nothing before its environment is made.
pub(in crate::rest) async fn of_deployment(
    view: &View,
    deployment: &Deployment,
) -> Result<Option<Vec<Value>>, Error> {
    let Some(workflows) = &deployment.workflows else {
        return Ok(None);
    };
    let specs: Map<String, Value> =
        serde_json::from_str(workflows.get()).map_err(Error::internal)?;
    let state = State::read(view, deployment, &specs).await?;
    Ok(Some(
        specs
            .iter()
            .map(|(name, spec)| document(name, spec, state.admits(spec)))
            .collect(),
    ))
}

/// A workflow as clients see it.
pub(in crate::rest) fn document(name: &str, spec: &Value, is_available: bool) -> Value {
    let member = |key: &str| spec.get(key).cloned().unwrap_or(Value::Null);
    json!({
        "name": name,
        "plugin": member("plugin"),
        "operation": member("operation"),
        "parameters": member("parameters"),
        "is_cascading": spec.get("is_cascading").cloned().unwrap_or(Value::Bool(false)),
        "is_available": is_available,
        "availability_rules": member("availability_rules"),
    })
}

/// What rules look at.
#[derive(Debug, Default)]
struct State {
    /// States that occur among the instances.
    instance_states: Vec<String>,
    /// Types that occur among the nodes.
    node_types: Vec<String>,
}

impl State {
    async fn read(
        view: &View,
        deployment: &Deployment,
        specs: &Map<String, Value>,
    ) -> Result<Self, Error> {
        let asks = |rule: &str| {
            let pointer = format!("/availability_rules/{rule}");
            specs.values().any(|spec| spec.pointer(&pointer).is_some())
        };
        let mut state = Self::default();
        if asks("node_instances_active") {
            let query = belonging(ViewName::NodeInstances, deployment);
            let groups = view.group(&query, &["state"]).await?;
            let states = groups.into_iter();
            state.instance_states = states.filter_map(|(mut v, _)| v.pop().flatten()).collect();
        }
        if asks("node_types_required") {
            let query = belonging(ViewName::Nodes, deployment);
            let nodes: Vec<Node> = view.select_as(&query).await?;
            state.node_types = nodes.into_iter().flat_map(|n| n.type_hierarchy).collect();
        }
        Ok(state)
    }

    /// Whether every rule of a workflow holds.
    fn admits(&self, spec: &Value) -> bool {
        let Some(rules) = spec.get("availability_rules").and_then(Value::as_object) else {
            return true;
        };
        let texts = |name: &str| -> Option<Vec<&str>> {
            let listed = rules.get(name)?.as_array()?;
            Some(listed.iter().filter_map(Value::as_str).collect())
        };
        if rules.get("available") == Some(&Value::Bool(false)) {
            return false;
        }
        if let Some(wanted) = texts("node_instances_active")
            && !wanted.iter().any(|rule| self.is_active(rule))
        {
            return false;
        }
        texts("node_types_required").is_none_or(|wanted| {
            let is_there = |name: &&str| self.node_types.iter().any(|known| known == name);
            wanted.iter().any(is_there)
        })
    }

    fn is_active(&self, rule: &str) -> bool {
        let states = &self.instance_states;
        let all_started = states.iter().all(|state| state == "started");
        let none_there = states
            .iter()
            .all(|state| matches!(state.as_str(), "uninitialized" | "deleted"));
        match rule {
            "all" => all_started,
            "partial" => !all_started && !none_there,
            "none" => !states.iter().any(|state| state == "started"),
            _ => false,
        }
    }
}

fn belonging(view: ViewName, deployment: &Deployment) -> ListQuery {
    ListQuery::all(view, Scope::Everything)
        .with(Condition::AnyOf(
            "deployment_id".to_owned(),
            vec![deployment.id.clone()],
        ))
        .with(Condition::AnyOf(
            "tenant_name".to_owned(),
            vec![deployment.tenant_name.clone()],
        ))
}

#[cfg(test)]
mod tests;
