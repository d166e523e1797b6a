//! Who stands against a deployment's deletion, and against workflows that would disturb others.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{
        deployments::Deployment,
        inter_deployment_dependencies::{COMPONENT, InterDeploymentDependency, SHARED_RESOURCE},
    },
};
use stratalog_schema::{Category, Event, StreamId, events::InterDeploymentDependentsAnnounced};

use super::{EXTERNAL, components_of, deployment, of_target, plan::FUNCTION};
use crate::{
    commands::deployments::{self, PARENT_LABEL},
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// Workflows that others' use of a deployment stands against.
const DISTURBING: [&str; 5] = [
    "stop",
    "uninstall",
    "update",
    "csys_new_deployment_update",
    "heal",
];
/// How many of each kind are told.
const TOLD_MAX: usize = 3;

/// What is about to happen to a deployment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance<'a> {
    /// It is deleted.
    Deletion {
        /// With the deployments that live in it.
        recursive: bool,
    },
    /// A workflow runs with these parameters.
    Workflow(&'a str, &'a Map<String, Value>),
}

impl Disturbance<'_> {
    fn is_one(self) -> bool {
        match self {
            Self::Deletion { .. } => true,
            Self::Workflow(name, _) => DISTURBING.contains(&name),
        }
    }

    /// Whether the deployments that live in it go with it.
    fn is_recursive(self) -> bool {
        match self {
            Self::Deletion { recursive } => recursive,
            Self::Workflow(name, parameters) => {
                name == "uninstall" && parameters.get("recursive") == Some(&Value::Bool(true))
            }
        }
    }

    fn refuse(self, id: &str, lines: &str) -> Error {
        let message = match self {
            Self::Deletion { .. } => format!(
                "Can't delete deployment {id} - the following existing installations depend on \
                 it:\n{lines}"
            ),
            Self::Workflow(name, _) => format!(
                "Can't execute workflow `{name}` on deployment {id} - existing installations \
                 depend on it:\n{lines}"
            ),
        };
        Error::refused(ErrorCode::DependentExists, message)
    }
}

/// Refuses what would disturb others: deployments that live in this one, and those that depend on
/// it. With `force`, it is only noted.
///
/// # Errors
/// 400; database errors.
pub(crate) async fn check(
    view: &View,
    deployment: &Deployment,
    (disturbance, force): (Disturbance<'_>, bool),
) -> Result<(), Error> {
    if !disturbance.is_one() {
        return Ok(());
    }
    let mut lines = Vec::new();
    if !disturbance.is_recursive() {
        lines = children(view, deployment, disturbance).await?;
        lines.truncate(TOLD_MAX);
    }
    let others = users(view, deployment, disturbance).await?;
    lines.extend(others.iter().take(TOLD_MAX).map(line));
    if lines.is_empty() {
        return Ok(());
    }
    let numbered = lines.iter().enumerate();
    let numbered: Vec<String> = numbered
        .map(|(at, line)| format!("[{}] {line}", at + 1))
        .collect();
    let numbered = numbered.join("\n");
    if !force {
        return Err(disturbance.refuse(&deployment.id, &numbered));
    }
    tracing::warn!(
        tenant = deployment.tenant_name,
        deployment = deployment.id,
        dependents = numbered,
        "forced although others depend on it"
    );
    Ok(())
}

/// The stream of who begins to depend on a deployment. It is not that of what the deployment itself
/// depends on, so those who begin at once do not stand in each other's way.
pub(super) fn stream(tenant: &str, target: &str) -> StreamId {
    let key = format!("{EXTERNAL}{target}");
    StreamId::scoped(Category::InterDeploymentDependency, tenant, &key)
}

/// Whether others may begin to depend on a deployment: it is there, and stays.
///
/// # Errors
/// Database errors.
pub(super) async fn may_gain(view: &View, (tenant, id): (&str, &str)) -> Result<bool, Error> {
    Ok(deployment(view, tenant, id).await?.is_some()
        && !deployments::is_leaving(view, (tenant, id)).await?)
}

/// Notes that another deployment begins to depend on this one or to live in it; without an id, one
/// of another manager. Whoever decides on its end at the same moment decides anew.
pub(crate) fn announced(
    decision: &mut Decision,
    (tenant, id): (&str, &str),
    dependent: Option<&str>,
) {
    let event = InterDeploymentDependentsAnnounced {
        tenant: tenant.to_owned(),
        id: id.to_owned(),
        dependents: dependent.map(str::to_owned).into_iter().collect(),
    };
    decision.event(
        stream(tenant, id),
        Event::InterDeploymentDependentsAnnounced(event),
    );
}

/// Rests a decision on nobody's beginning to depend on a deployment.
///
/// # Errors
/// Database errors.
pub(crate) async fn rest_on_dependents(
    view: &View,
    decision: &mut Decision,
    (tenant, id): (&str, &str),
) -> Result<(), Error> {
    decision.rests_on_once(view, stream(tenant, id)).await?;
    Ok(())
}

/// Deployments that live in this one. Before a workflow, those it made itself as components do not
/// count.
async fn children(
    view: &View,
    parent: &Deployment,
    disturbance: Disturbance<'_>,
) -> Result<Vec<String>, Error> {
    let (tenant, id) = (&parent.tenant_name, &parent.id);
    let own = match disturbance {
        Disturbance::Deletion { .. } => BTreeSet::new(),
        Disturbance::Workflow(..) => components_of(view, (tenant, id)).await?,
    };
    let label = vec![format!("{PARENT_LABEL}={id}")];
    let query = ListQuery::all(ViewName::Deployments, Scope::Everything)
        .with(Condition::Has("labels".to_owned(), label))
        .with(Condition::AnyOf(
            "tenant_name".to_owned(),
            vec![tenant.clone()],
        ));
    let rows = view.pick(&query, &["id"]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .filter(|child| !own.contains(child))
        .map(|child| format!("Deployment `{id}` is the parent of deployment {child}"))
        .collect())
}

/// Dependencies on a deployment that count.
async fn users(
    view: &View,
    target: &Deployment,
    disturbance: Disturbance<'_>,
) -> Result<Vec<InterDeploymentDependency>, Error> {
    let tenant = target.tenant_name.as_str();
    let all = of_target(view, (tenant, &target.id)).await?;
    let is_uninstall = matches!(disturbance, Disturbance::Workflow("uninstall", _));
    let mut counts: BTreeMap<String, Source> = BTreeMap::new();
    let mut left = Vec::new();
    for one in all {
        let Some(id) = &one.source_deployment_id else {
            if !one.dependency_creator.starts_with(COMPONENT) {
                left.push(one);
            }
            continue;
        };
        if *id == target.id {
            continue;
        }
        if !counts.contains_key(id) {
            counts.insert(id.clone(), Source::read(view, (tenant, id)).await?);
        }
        let Some(source) = counts.get(id) else {
            continue;
        };
        let may_be_idle = is_uninstall && one.dependency_creator.ends_with(FUNCTION);
        if !source.is_disturbed && (source.is_active || !may_be_idle) {
            left.push(one);
        }
    }
    Ok(left)
}

/// What is known of a deployment that depends on another one.
#[derive(Debug)]
struct Source {
    /// It is installed.
    is_active: bool,
    /// It is being uninstalled or the like itself.
    is_disturbed: bool,
}

impl Source {
    async fn read(view: &View, (tenant, id): (&str, &str)) -> Result<Self, Error> {
        let is = |field: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned());
            Condition::AnyOf(field.to_owned(), values.collect())
        };
        let running = ListQuery::all(ViewName::Executions, Scope::Everything)
            .with(is("tenant_name", &[tenant]))
            .with(is("deployment_id", &[id]))
            .with(is("status", &["started", "pending", "queued"]))
            .with(is("workflow_id", &DISTURBING));
        let found = deployment(view, tenant, id).await?;
        Ok(Self {
            is_active: found.is_some_and(|found| found.installation_status == "active"),
            is_disturbed: view.count(&running).await? > 0,
        })
    }
}

fn line(dependency: &InterDeploymentDependency) -> String {
    let creator = dependency.dependency_creator.as_str();
    let uses = match creator {
        _ if creator.starts_with(COMPONENT) => "contains",
        _ if creator.starts_with(SHARED_RESOURCE) => "uses a shared resource from",
        _ => "uses capabilities of",
    };
    let node = creator.split('.').nth(1).unwrap_or("<unknown node>");
    let source = match (
        &dependency.source_deployment_id,
        &dependency.external_source,
    ) {
        (Some(id), _) => id.clone(),
        (None, Some(external)) => format!("EXTERNAL:{}", external.get()),
        (None, None) => "<unknown deployment>".to_owned(),
    };
    format!("Deployment `{source}` {uses} the current deployment in its node `{node}`")
}
