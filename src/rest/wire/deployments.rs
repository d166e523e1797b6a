//! Deployments with what their instances and executions say of them now.
use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, StoredRow, View as ViewName,
    views::{deployments::Deployment, scoped},
};

use super::{appended, groups, id_of, tenant_of, workflows};
use crate::{error::Error, rest::Include, store::View};

/// Members that come from other rows.
const INSTANCES: [&str; 2] = ["drifted_instances", "unavailable_instances"];
const OPERATIONS: [&str; 2] = [
    "latest_execution_finished_operations",
    "latest_execution_total_operations",
];

/// Two counts that come from the same rows.
type Pair = (i64, i64);

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    drifted: i64,
    unavailable: i64,
    finished: i64,
    total: i64,
}

#[derive(Deserialize)]
struct Latest<'d> {
    #[serde(borrow)]
    latest_execution: Option<Cow<'d, str>>,
}

/// A document that counts what is directly below the deployment, and nothing further down.
pub(in crate::rest) fn with_children_only(row: &StoredRow) -> Result<String, Error> {
    let mut deployment: Deployment = row.resource()?;
    let children = deployment.own.below.children();
    deployment.sub_services_count = children.services;
    deployment.sub_environments_count = children.environments;
    deployment.sub_services_status = children.services_status.map(str::to_owned);
    deployment.sub_environments_status = children.environments_status.map(str::to_owned);
    serde_json::to_string(&deployment).map_err(Error::internal)
}

/// The documents of these rows, in their order, as lists show them.
pub(in crate::rest) async fn join(
    view: &View,
    rows: &[StoredRow],
    include: Option<&Include>,
) -> Result<Vec<String>, Error> {
    let wants =
        |names: &[&str]| include.is_none_or(|include| names.iter().any(|name| include.names(name)));
    let (with_instances, with_operations) = (wants(&INSTANCES), wants(&OPERATIONS));
    // sent together, answered in one round trip
    let with_groups = wants(&["deployment_groups"]);
    let (instances, operations, groups) = futures::try_join!(
        count_instances(view, if with_instances { rows } else { &[] }),
        count_operations(view, if with_operations { rows } else { &[] }),
        groups::around_deployments(view, if with_groups { rows } else { &[] })
    )?;
    let document = |row: &StoredRow| {
        let of = |counts: &HashMap<String, Pair>| counts.get(&row.key).copied();
        let (drifted, unavailable) = of(&instances).unwrap_or_default();
        let (finished, total) = of(&operations).unwrap_or_default();
        let counts = Counts {
            drifted,
            unavailable,
            finished,
            total,
        };
        appended(&row.doc, &members(counts, groups.get(&row.key)))
    };
    Ok(rows.iter().map(document).collect())
}

fn members(counts: Counts, groups: Option<&Vec<String>>) -> String {
    let none = Vec::new();
    let groups = Value::from(groups.unwrap_or(&none).clone());
    let Counts {
        drifted,
        unavailable,
        finished,
        total,
    } = counts;
    format!(
        r#""drifted_instances":{drifted},"unavailable_instances":{unavailable},"latest_execution_finished_operations":{finished},"latest_execution_total_operations":{total},"workdir_zip":null,"deployment_groups":{groups}"#
    )
}

async fn count_instances(view: &View, rows: &[StoredRow]) -> Result<HashMap<String, Pair>, Error> {
    let mut counts: HashMap<String, Pair> = HashMap::with_capacity(rows.len());
    if rows.is_empty() {
        return Ok(counts);
    }
    let ids = rows.iter().map(|row| id_of(row).to_owned()).collect();
    let query = ListQuery::all(ViewName::NodeInstances, Scope::Everything)
        .with(Condition::AnyOf("deployment_id".to_owned(), ids));
    let fields = [
        "tenant_name",
        "deployment_id",
        "has_configuration_drift",
        "is_status_check_ok",
    ];
    let groups = view.group(&query, &fields).await?;
    for (values, number) in groups {
        let [Some(tenant), Some(id), Some(drifted), Some(ok)] = values.as_slice() else {
            continue;
        };
        let entry = counts.entry(scoped(tenant, id)).or_default();
        entry.0 += if drifted == "true" { number } else { 0 };
        entry.1 += if ok == "true" { 0 } else { number };
    }
    Ok(counts)
}

async fn count_operations(view: &View, rows: &[StoredRow]) -> Result<HashMap<String, Pair>, Error> {
    let mut counts: HashMap<String, Pair> = HashMap::with_capacity(rows.len());
    let mut latest: HashMap<String, &String> = HashMap::new();
    for row in rows {
        let parsed: Latest<'_> = serde_json::from_str(&row.doc).map_err(Error::internal)?;
        if let Some(id) = parsed.latest_execution {
            latest.insert(scoped(tenant_of(row), &id), &row.key);
        }
    }
    if latest.is_empty() {
        return Ok(counts);
    }
    let query = ListQuery::all(ViewName::Executions, Scope::Everything)
        .with(Condition::Keys(latest.keys().cloned().collect()));
    let fields = ["finished_operations", "total_operations"];
    for (key, values) in view.pick(&query, &fields).await? {
        let number = |at: usize| -> i64 {
            let text = values.get(at).and_then(Option::as_deref);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        if let Some(deployment) = latest.get(&key) {
            counts.insert((*deployment).clone(), (number(0), number(1)));
        }
    }
    Ok(counts)
}

/// The documents of these rows with their workflows told in full.
pub(in crate::rest) async fn expanded(
    view: &View,
    rows: &[StoredRow],
    include: Option<&Include>,
) -> Result<Vec<String>, Error> {
    let joined = join(view, rows, include).await?;
    if include.is_some_and(|include| !include.names("workflows")) {
        return Ok(joined);
    }
    let mut documents = Vec::with_capacity(rows.len());
    for (row, document) in rows.iter().zip(joined) {
        let deployment: Deployment = row.resource()?;
        let mut document: Map<String, Value> =
            serde_json::from_str(&document).map_err(Error::internal)?;
        let told = workflows::of_deployment(view, &deployment).await?;
        let told = told.map_or(Value::Null, Value::Array);
        document.insert("workflows".to_owned(), told);
        documents.push(Value::Object(document).to_string());
    }
    Ok(documents)
}
