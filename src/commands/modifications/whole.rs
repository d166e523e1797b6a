//! A deployment with all it consists of, and what a change of its instances comes to.
use std::collections::HashMap;

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Resource, Scope, View as ViewName,
    views::{deployments::Deployment, node_instances::NodeInstance, nodes::Node, scoped},
};
use stratalog_schema::{Category, Event, StreamId, events::NodeInstanceChanged};

use crate::{
    commands::{
        deployments::belonging,
        json::{list, object},
        node_instances::NewNodeInstance,
    },
    dsl::{
        self, DslError,
        planner::{Change, Modification, RandomIds, modify},
    },
    error::Error,
    log::{Expected, read},
    store::{Decision, View},
};

/// A deployment with all it consists of.
#[derive(Debug)]
pub(in crate::commands) struct Whole {
    pub(in crate::commands) deployment: Deployment,
    pub(in crate::commands) nodes: Vec<Node>,
    pub(in crate::commands) instances: Vec<NodeInstance>,
    /// Versions of the instances' streams.
    versions: HashMap<String, i64>,
}

impl Whole {
    pub(in crate::commands) async fn read(
        view: &View,
        deployment: Deployment,
    ) -> Result<Self, Error> {
        let within = |of| belonging(of, (&deployment.tenant_name, &deployment.id));
        let instances = within(ViewName::NodeInstances);
        let instances: Vec<NodeInstance> = view.select_as(&instances).await?;
        let keys: Vec<String> = instances.iter().map(Resource::key).collect();
        Ok(Self {
            nodes: view.select_as(&within(ViewName::Nodes)).await?,
            versions: read::stream_versions(view, Category::NodeInstance, &keys).await?,
            instances,
            deployment,
        })
    }

    /// Rests a decision on an instance as it was read.
    pub(in crate::commands) fn rest_on(&self, decision: &mut Decision, instance: &NodeInstance) {
        let stream = instance_stream(instance);
        let version = self.versions.get(&stream.key).copied().unwrap_or(0);
        decision.expected.push((stream, Expected::Version(version)));
    }

    /// Adds the change of an instance to a decision, which then rests on it.
    pub(in crate::commands) fn change(
        &self,
        decision: &mut Decision,
        instance: &NodeInstance,
        event: Event,
    ) {
        self.rest_on(decision, instance);
        decision.event(instance_stream(instance), event);
    }

    pub(in crate::commands) fn scaling_groups(&self) -> Result<Map<String, Value>, Error> {
        object(self.deployment.scaling_groups.as_ref())
    }
}

fn instance_stream(instance: &NodeInstance) -> StreamId {
    StreamId::scoped(Category::NodeInstance, &instance.tenant_name, &instance.id)
}

pub(in crate::commands) fn documents<T: serde::Serialize>(of: &[T]) -> Result<Vec<Value>, Error> {
    of.iter()
        .map(|one| serde_json::to_value(one).map_err(Error::internal))
        .collect()
}

/// Works out which instances appear and go. Ids of new ones are free in the whole tenant.
///
/// # Errors
/// Database errors; within, what stands against the change.
pub(in crate::commands) async fn modified(
    view: &View,
    tenant: &str,
    change: &Change<'_>,
) -> Result<Result<Modification, DslError>, Error> {
    loop {
        let modification = match modify(change, &mut RandomIds(rand::rng())) {
            Ok(modification) => modification,
            Err(error) => return Ok(Err(error)),
        };
        let id = |one: &dsl::Value| {
            one.get("modification")?;
            Some(scoped(tenant, one.get("id")?.as_str()?))
        };
        let keys: Vec<String> = modification
            .added_and_related
            .iter()
            .filter_map(id)
            .collect();
        let taken =
            ListQuery::all(ViewName::NodeInstances, Scope::Everything).with(Condition::Keys(keys));
        if view.count(&taken).await? == 0 {
            return Ok(Ok(modification));
        }
    }
}

/// Instances of a part of a modification that are marked with what it does to them.
pub(in crate::commands) fn marked<'m>(
    part: &'m [Value],
    mark: &'static str,
) -> impl Iterator<Item = &'m Value> + 'm {
    let is = move |one: &&Value| one.get("modification").and_then(Value::as_str) == Some(mark);
    part.iter().filter(is)
}

/// The new instances among those of a modification.
pub(in crate::commands) fn added(
    added_and_related: &[Value],
) -> Result<Vec<NewNodeInstance>, Error> {
    marked(added_and_related, "added")
        .map(|one| serde_json::from_value(one.clone()).map_err(Error::internal))
        .collect()
}

/// Whoever gains relationships has them from now on.
pub(in crate::commands) fn extend(
    decision: &mut Decision,
    whole: &Whole,
    extended_and_related: &[Value],
) -> Result<(), Error> {
    for one in marked(extended_and_related, "extended") {
        let gained = one.get("relationships").and_then(Value::as_array);
        let id = one.get("id").and_then(Value::as_str).unwrap_or_default();
        let found = whole.instances.iter().find(|instance| instance.id == id);
        let (Some(gained), Some(instance)) = (gained, found) else {
            continue;
        };
        let mut all = list(instance.relationships.as_ref())?;
        let before = all.len();
        for relationship in gained {
            if !all.contains(relationship) {
                all.push(relationship.clone());
            }
        }
        if all.len() > before {
            decision.event(instance_stream(instance), related_to(instance, all));
        }
    }
    Ok(())
}

/// An instance has these relationships from now on.
pub(in crate::commands) fn related_to(instance: &NodeInstance, all: Vec<Value>) -> Event {
    Event::NodeInstanceChanged(NodeInstanceChanged {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
        version: instance.version + 1,
        relationships_json: Some(Value::from(all).to_string()),
        ..NodeInstanceChanged::default()
    })
}
