//! `/audit`: who did what, in the shape audit clients know; `/audit/events`: the same with
//! everything the log holds, a page at a time. The log cannot be truncated, nor can entries be
//! injected: whoever tries is told so.
mod stream;

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value, json};
use stratalog_projections::At;
use warp::Filter as _;

use crate::{
    auth::Permission,
    context::Context,
    error::{Error, ErrorCode},
    log::audit::{self, Entry, Filter, Question},
    rest::{Answer, Request, Route, extract, one_of, reply},
};

/// Entries on a page when the client names no size.
const SIZE: i64 = 100;
/// Entries fetched at a time.
const FETCH: usize = 1_000;

/// `/audit`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("audit")
        .and(one_of(vec![
            all(ctx),
            truncate(ctx),
            inject(ctx),
            events(ctx),
            checkpoint(ctx),
            stream::route(ctx),
        ]))
        .boxed()
}

/// `GET /audit`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::AuditLogView)?;
            listed(&req).await
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /audit`: refused.
fn truncate(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            req?.caller.require(Permission::AuditLogTruncate)?;
            Err::<(), _>(Error::refused(
                ErrorCode::IllegalAction,
                "The audit log is the manager's own log, of which nothing is ever taken out",
            ))
        })
        .map(reply::no_content)
        .boxed()
}

/// `POST /audit`: refused.
fn inject(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            req?.caller.require(Permission::AuditLogInject)?;
            Err::<(), _>(Error::refused(
                ErrorCode::IllegalAction,
                "The audit log is the manager's own log: it tells of nothing but what was done here",
            ))
        })
        .map(reply::no_content)
        .boxed()
}

/// `GET /audit/events`
fn events(ctx: &Arc<Context>) -> Route {
    warp::path!("events")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::AuditLogView)?;
            let question = Question::from_query(|name| req.query().get(name))?;
            let view = req.ctx.store.read(At::Now).await?;
            let page = audit::page(view.client(), &question).await?;
            drop(view.finish().await?);
            let body = json!({"items": page.entries, "metadata": {"next": page.next}});
            Ok(Answer::json(&body)?.at(page.head))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /audit/checkpoint`: where the log stands, to be kept elsewhere and verified against.
fn checkpoint(ctx: &Arc<Context>) -> Route {
    warp::path!("checkpoint")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::AuditLogView)?;
            let view = req.ctx.store.read(At::Now).await?;
            let head = view.head();
            let chain = crate::log::read::chain_at(view.client(), head).await?;
            drop(view.finish().await?);
            let chain = hex::encode(chain.unwrap_or_default());
            Ok(Answer::json(&json!({"position": head, "chain": chain}))?.at(head))
        })
        .map(reply::ok)
        .boxed()
}

async fn listed(req: &Request) -> Result<Answer, Error> {
    let query = req.query();
    let text = |name: &str| query.get(name).map(str::to_owned);
    let filter = Filter {
        actor: text("creator_name"),
        execution: text("execution_id"),
        since: moment("since", query.get("since"))?,
        until: moment("before", query.get("before"))?,
        ..Filter::default()
    };
    if filter.since.is_some() && filter.until.is_some() {
        let message = "`since` and `before` cannot be given together";
        return Err(Error::bad_parameters(message));
    }
    for field in query.get("order_by").unwrap_or_default().split(',') {
        if !matches!(field.trim(), "" | "created_at" | "id") {
            let message = format!("The audit log cannot be ordered by `{field}`");
            return Err(Error::bad_parameters(message));
        }
    }
    let offset = query.number("offset")?.unwrap_or(0);
    let size = query.number("size")?.unwrap_or(SIZE);
    let end = if size == 0 {
        i64::MAX
    } else {
        offset.saturating_add(size)
    };
    let view = req.ctx.store.read(At::Now).await?;
    let mut question = Question::new(filter, query.flag("desc")?, FETCH);
    let (mut items, mut total) = (Vec::new(), 0);
    loop {
        let page = audit::page(view.client(), &question).await?;
        for entry in &page.entries {
            if (offset..end).contains(&total) {
                items.push(item(entry));
            }
            total += 1;
        }
        question.beyond = page.next;
        if page.next.is_none() {
            drop(view.finish().await?);
            let pagination = json!({"offset": offset, "size": size, "total": total});
            let body = json!({"items": items, "metadata": {"pagination": pagination}});
            return Ok(Answer::json(&body)?.at(page.head));
        }
    }
}

/// A time with or without a zone; without one it is UTC.
fn moment(name: &str, text: Option<&str>) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(text) = text else { return Ok(None) };
    // an unescaped plus sign of a time zone arrives as a space
    if let Ok(at) = DateTime::parse_from_rfc3339(&text.replace(' ', "+")) {
        return Ok(Some(at.to_utc()));
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let naive = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let naive = naive.ok_or_else(|| Error::bad_parameters(format!("`{name}` is no time")))?;
    Ok(Some(naive.and_utc()))
}

/// An entry as audit clients know it; members without a value are left out.
fn item(entry: &Entry) -> Value {
    let (table, operation) = kind(&entry.kind);
    let mut item = Map::new();
    item.insert("id".to_owned(), entry.position.into());
    item.insert("ref_table".to_owned(), table.into());
    item.insert("ref_id".to_owned(), entry.stream_no.into());
    item.insert("ref_identifier".to_owned(), identifier(entry, table));
    item.insert("operation".to_owned(), operation.into());
    item.insert("creator_name".to_owned(), entry.actor.clone().into());
    if !entry.execution_id.is_empty() {
        item.insert("execution_id".to_owned(), entry.execution_id.clone().into());
    }
    // milliseconds without a zone
    let at = entry.recorded_at.get(..23).unwrap_or(&entry.recorded_at);
    item.insert("created_at".to_owned(), at.into());
    Value::Object(item)
}

/// Table and operation of an event type.
fn kind(event: &str) -> (&'static str, &'static str) {
    const TABLES: [(&str, &str); 36] = [
        ("user_group", "groups"),
        ("user", "users"),
        ("token", "tokens"),
        ("tenant", "tenants"),
        ("provider_context", "provider_context"),
        ("config", "config"),
        ("blueprint", "blueprints"),
        ("deployment_group", "deployment_groups"),
        ("deployment_modification", "deployment_modifications"),
        ("deployment_update", "deployment_updates"),
        ("deployment", "deployments"),
        ("inter_deployment", "inter_deployment_dependencies"),
        ("node_instance", "node_instances"),
        ("node", "nodes"),
        ("execution_group", "execution_groups"),
        ("executions_grouped", "execution_groups"),
        ("execution", "executions"),
        ("executor", "managers"),
        ("decision", "executions"),
        ("tasks_graph", "tasks_graphs"),
        ("operation", "operations"),
        ("files", "files"),
        ("snapshot", "snapshots"),
        ("agent", "agents"),
        ("filter", "filters"),
        ("schedule", "execution_schedules"),
        ("site", "sites"),
        ("secrets_provider", "secrets_providers"),
        ("secret", "secrets"),
        ("maintenance", "maintenance_mode"),
        ("permission", "permissions"),
        ("plugins_update", "plugins_updates"),
        ("plugin", "plugins"),
        ("events", "events"),
        ("log_bundle", "log_bundles"),
        ("cluster_node", "cluster_nodes"),
    ];
    let table = TABLES.iter().find(|(prefix, _)| event.starts_with(prefix));
    let operation = match event.rsplit('_').next() {
        Some("removed") if event.starts_with("cluster_node") => "delete",
        // members and operations change the tenant and the execution they belong to
        Some("created" | "stored" | "uploaded") => "create",
        Some("deleted") => "delete",
        _ => "update",
    };
    (table.map_or("log", |(_, table)| table), operation)
}

fn identifier(entry: &Entry, table: &str) -> Value {
    let mut identifier = Map::new();
    let own = |name: &str| entry.data.get(name).and_then(Value::as_str);
    let (tenant, id) = match entry.stream.split_once('/') {
        // what kind of node it is stands before its name
        Some((_, name)) if table == "cluster_nodes" => (None, name),
        Some((tenant, id)) => (Some(tenant), id),
        None => (None, entry.stream.as_str()),
    };
    match table {
        "users" => identifier.insert("username".to_owned(), id.into()),
        "tenants" => identifier.insert("name".to_owned(), id.into()),
        _ => identifier.insert("id".to_owned(), own("id").unwrap_or(id).into()),
    };
    if let Some(tenant) = tenant {
        identifier.insert("tenant_name".to_owned(), tenant.into());
    }
    Value::Object(identifier)
}

#[cfg(test)]
mod tests {
    //! Types of events in the words of audit clients.
    use stratalog_schema::events::TYPES;

    use super::*;

    #[test]
    fn every_event_belongs_to_a_table() {
        for (name, _) in TYPES {
            let expected = *name == "log_restored";
            assert_eq!(kind(name).0 == "log", expected, "{name}");
        }
        assert_eq!(kind("deployment_created"), ("deployments", "create"));
        assert_eq!(kind("node_instance_deleted"), ("node_instances", "delete"));
        assert_eq!(kind("nodes_created"), ("nodes", "create"));
        assert_eq!(kind("tenant_user_removed"), ("tenants", "update"));
        assert_eq!(kind("cluster_node_removed"), ("cluster_nodes", "delete"));
        assert_eq!(kind("events_deleted"), ("events", "delete"));
    }
}
