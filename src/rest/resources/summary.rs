//! `/summary`
use std::sync::Arc;

use serde_json::{Map, Value, json};
use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, reply},
};

/// What can be summed up.
struct Summary {
    name: &'static str,
    view: ViewName,
    permission: Permission,
    fields: &'static [&'static str],
}

static SUMMARIES: [Summary; 6] = [
    Summary {
        name: "deployments",
        view: ViewName::Deployments,
        permission: Permission::DeploymentList,
        fields: &[
            "blueprint_id",
            "tenant_name",
            "visibility",
            "site_name",
            "deployment_status",
        ],
    },
    Summary {
        name: "nodes",
        view: ViewName::Nodes,
        permission: Permission::NodeList,
        fields: &["deployment_id", "tenant_name", "visibility"],
    },
    Summary {
        name: "node_instances",
        view: ViewName::NodeInstances,
        permission: Permission::NodeInstanceList,
        fields: &[
            "deployment_id",
            "index",
            "node_id",
            "state",
            "host_id",
            "tenant_name",
            "visibility",
        ],
    },
    Summary {
        name: "executions",
        view: ViewName::Executions,
        permission: Permission::ExecutionList,
        fields: &[
            "status",
            "status_display",
            "blueprint_id",
            "deployment_id",
            "workflow_id",
            "tenant_name",
            "visibility",
        ],
    },
    Summary {
        name: "blueprints",
        view: ViewName::Blueprints,
        permission: Permission::BlueprintList,
        fields: &["tenant_name", "visibility"],
    },
    Summary {
        name: "execution_schedules",
        view: ViewName::Schedules,
        permission: Permission::ExecutionScheduleList,
        fields: &["deployment_id", "workflow_id", "tenant_name", "visibility"],
    },
];

/// `GET /summary/{type}`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path!("summary" / Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| answer(&req?, &name).await)
        .map(reply::ok)
        .boxed()
}

async fn answer(req: &Request, name: &str) -> Result<Answer, Error> {
    let summary = SUMMARIES
        .iter()
        .find(|summary| summary.name == name)
        .ok_or_else(|| Error::not_found("Summary", name))?;
    let scope = req.caller.scope(req.all_tenants()?, summary.permission)?;
    let mut fields = vec![checked(
        summary,
        req.query().get("_target_field"),
        "_target_field",
    )?];
    if let Some(field) = req
        .query()
        .get("_sub_field")
        .filter(|field| !field.is_empty())
    {
        fields.push(checked(summary, Some(field), "_sub_field")?);
    }
    let listing = Listing::parse(req, summary.view, scope)?;
    let view = req.view().await?;
    let groups = view.group(&listing.query, &fields).await?;
    let position = view.position();
    drop(view.finish().await?);
    let total = groups.len();
    let bound = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let page: Vec<_> = groups
        .into_iter()
        .skip(bound(listing.query.offset))
        .take(listing.query.size.map_or(usize::MAX, bound))
        .collect();
    let body = json!({
        "items": items(summary, &fields, &page),
        "metadata": {
            "pagination": { "total": total, "size": listing.size, "offset": listing.offset },
        },
    });
    Ok(Answer::json(&body)?.at(position))
}

fn checked(
    summary: &'static Summary,
    field: Option<&str>,
    parameter: &str,
) -> Result<&'static str, Error> {
    let known = summary.fields.iter().find(|known| Some(**known) == field);
    known.copied().ok_or_else(|| {
        Error::bad_parameters(format!(
            "Field {} is not summarizable: {parameter} must be one of {}",
            field.unwrap_or("None"),
            summary.fields.join(", ")
        ))
    })
}

type Group = (Vec<Option<String>>, i64);

/// Groups nested by the first field, then the second.
fn items(summary: &Summary, fields: &[&str], groups: &[Group]) -> Vec<Value> {
    let mut items: Vec<Map<String, Value>> = Vec::new();
    for (values, number) in groups {
        let (Some(target), Some(field)) = (values.first(), fields.first()) else {
            continue;
        };
        let target = value(summary, field, target.as_deref());
        let is_open = items
            .last()
            .is_some_and(|item| item.get(*field) == Some(&target));
        if !is_open {
            let mut item = Map::new();
            item.insert((*field).to_owned(), target);
            item.insert(summary.name.to_owned(), Value::from(0));
            items.push(item);
        }
        let Some(item) = items.last_mut() else {
            continue;
        };
        let sum = item.get(summary.name).and_then(Value::as_i64).unwrap_or(0);
        item.insert(summary.name.to_owned(), Value::from(sum + number));
        if let (Some(sub), Some(sub_field)) = (values.get(1), fields.get(1)) {
            let entry = item
                .entry(format!("by {sub_field}"))
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(subs) = entry {
                subs.push(json!({
                    (*sub_field): value(summary, sub_field, sub.as_deref()),
                    (summary.name): number,
                }));
            }
        }
    }
    items.into_iter().map(Value::Object).collect()
}

/// A grouped value as its field has it.
fn value(summary: &Summary, field: &str, text: Option<&str>) -> Value {
    let kind = summary.view.def().field(field).map(|field| field.kind);
    match (text, kind) {
        (None, _) => Value::Null,
        (Some(text), Some(stratalog_projections::Kind::Int)) => {
            text.parse::<i64>().map_or(Value::Null, Value::from)
        }
        (Some(text), _) => Value::from(text),
    }
}
