//! Nodes with the counts of their instances.
use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, StoredRow, View as ViewName,
    views::{nodes::Node, scoped},
};

use super::{appended, tenant_of};
use crate::{error::Error, rest::Include, store::View};

/// Members that come from other rows.
const JOINED: [&str; 4] = [
    "drifted_instances",
    "unavailable_instances",
    "actual_number_of_instances",
    "actual_planned_number_of_instances",
];

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    drifted: i64,
    unavailable: i64,
    all: i64,
}

/// What of a node decides its counts.
#[derive(Deserialize)]
struct Place {
    id: String,
    deployment_id: String,
    host_id: Option<String>,
    planned_number_of_instances: i64,
}

#[derive(Deserialize)]
struct Groups {
    scaling_groups: Option<Map<String, Value>>,
}

/// The documents of these rows, in their order.
pub(in crate::rest) async fn join(
    view: &View,
    rows: &[StoredRow],
    include: Option<&Include>,
) -> Result<Vec<String>, Error> {
    let is_wanted = include.is_none_or(|include| JOINED.iter().any(|name| include.names(name)));
    if !is_wanted || rows.is_empty() {
        return Ok(rows.iter().map(|row| row.doc.clone()).collect());
    }
    let mut places: Vec<Place> = Vec::with_capacity(rows.len());
    for row in rows {
        places.push(serde_json::from_str(&row.doc).map_err(Error::internal)?);
    }
    let counts = count(view, &places).await?;
    let groups = scaling_groups(view, rows, &places).await?;
    let document = |(row, place): (&StoredRow, &Place)| {
        let key = Node::key_of(tenant_of(row), &place.deployment_id, &place.id);
        let Counts {
            drifted,
            unavailable,
            all,
        } = counts.get(&key).copied().unwrap_or_default();
        let factor = groups
            .get(&scoped(tenant_of(row), &place.deployment_id))
            .map_or(1, |groups| factor(groups, place));
        let planned = place.planned_number_of_instances.saturating_mul(factor);
        let members = format!(
            r#""drifted_instances":{drifted},"unavailable_instances":{unavailable},"actual_number_of_instances":{all},"actual_planned_number_of_instances":{planned}"#
        );
        appended(&row.doc, &members)
    };
    Ok(rows.iter().zip(&places).map(document).collect())
}

async fn count(view: &View, places: &[Place]) -> Result<HashMap<String, Counts>, Error> {
    let deployments: BTreeSet<String> = places
        .iter()
        .map(|place| place.deployment_id.clone())
        .collect();
    let query = ListQuery::all(ViewName::NodeInstances, Scope::Everything).with(Condition::AnyOf(
        "deployment_id".to_owned(),
        deployments.into_iter().collect(),
    ));
    let fields = [
        "tenant_name",
        "deployment_id",
        "node_id",
        "has_configuration_drift",
        "is_status_check_ok",
    ];
    let mut counts: HashMap<String, Counts> = HashMap::new();
    for (values, number) in view.group(&query, &fields).await? {
        let [
            Some(tenant),
            Some(deployment),
            Some(node),
            Some(drifted),
            Some(ok),
        ] = values.as_slice()
        else {
            continue;
        };
        let entry = counts
            .entry(Node::key_of(tenant, deployment, node))
            .or_default();
        entry.all += number;
        entry.drifted += if drifted == "true" { number } else { 0 };
        entry.unavailable += if ok == "true" { 0 } else { number };
    }
    Ok(counts)
}

/// Scaling groups by deployment, of those that have any.
async fn scaling_groups(
    view: &View,
    rows: &[StoredRow],
    places: &[Place],
) -> Result<HashMap<String, Map<String, Value>>, Error> {
    let keys: BTreeSet<String> = rows
        .iter()
        .zip(places)
        .map(|(row, place)| scoped(tenant_of(row), &place.deployment_id))
        .collect();
    let keys: Vec<String> = keys.into_iter().collect();
    let mut found = HashMap::new();
    for row in view.rows(ViewName::Deployments, &keys).await? {
        let groups: Groups = serde_json::from_str(&row.doc).map_err(Error::internal)?;
        if let Some(groups) = groups.scaling_groups.filter(|groups| !groups.is_empty()) {
            found.insert(row.key, groups);
        }
    }
    Ok(found)
}

/// By how much the groups around a node, or around its host, multiply it.
fn factor(groups: &Map<String, Value>, place: &Place) -> i64 {
    let is_inside = |group: &&Value| {
        let members = group.get("members").and_then(Value::as_array);
        members.into_iter().flatten().any(|member| {
            let member = member.as_str();
            member == Some(&place.id) || (member.is_some() && member == place.host_id.as_deref())
        })
    };
    groups
        .values()
        .filter(is_inside)
        .filter_map(|group| group.pointer("/properties/planned_instances")?.as_i64())
        .product()
}
