//! Stored filters: lists of filter rules that searches name by id.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{
    Condition, ListQuery, Scope as Rows, StoredRow, View as ViewName,
    views::filters::{self, Filter},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{FilterChanged, FilterCreated, FilterDeleted, Scope},
};

pub use super::filter_rules::conditions;
use super::{ids, visibility};
use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// Filters whose ids begin so come with the manager.
const RESERVED: &str = "csys-";

/// What a filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lists of blueprints.
    Blueprints,
    /// Lists of deployments.
    Deployments,
}

impl Kind {
    /// The kind for lists of a view, if those can be filtered.
    pub fn of(view: ViewName) -> Option<Self> {
        match view {
            ViewName::Blueprints => Some(Self::Blueprints),
            ViewName::Deployments => Some(Self::Deployments),
            _ => None,
        }
    }

    /// As paths and the log call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blueprints => "blueprints",
            Self::Deployments => "deployments",
        }
    }

    fn view(self) -> ViewName {
        match self {
            Self::Blueprints => ViewName::Blueprints,
            Self::Deployments => ViewName::Deployments,
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Blueprints => "BlueprintsFilter",
            Self::Deployments => "DeploymentsFilter",
        }
    }

    fn stream(self, tenant: &str, id: &str) -> StreamId {
        StreamId::scoped(Category::Filter, tenant, &format!("{}/{id}", self.name()))
    }

    /// What picks the filters of this kind.
    pub fn condition(self) -> Condition {
        Condition::AnyOf("kind".to_owned(), vec![self.name().to_owned()])
    }
}

/// A filter somebody asks for.
#[derive(Debug, Deserialize)]
pub struct NewFilter {
    /// Its rules.
    pub filter_rules: Vec<Value>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
}

/// What is to change of a filter. What is absent stays.
#[derive(Debug, Default, Deserialize)]
pub struct UpdateFilter {
    /// Rules; those of one type alone replace only the rules of that type.
    pub filter_rules: Option<Vec<Value>>,
    /// `tenant` or `global`.
    pub visibility: Option<String>,
}

fn is_of_label(rule: &Value) -> bool {
    rule.get("type").and_then(Value::as_str) == Some("label")
}

async fn find(
    view: &View,
    caller: &Caller,
    kind: Kind,
    id: &str,
) -> Result<Option<StoredRow>, Error> {
    let key = filters::key(caller.tenant()?, kind.name(), id);
    if let Some(row) = view.row(ViewName::Filters, &key).await? {
        return Ok(caller.may_see(&row.owner).then_some(row));
    }
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let global = ListQuery::all(ViewName::Filters, Rows::Everything)
        .with(kind.condition())
        .with(is("id", id))
        .with(is("visibility", "global"));
    Ok(view.select(&global).await?.pop())
}

/// The filter as the caller sees it: of the tenant asked for, or global of any.
///
/// # Errors
/// 404; 403 without a tenant; database errors.
pub async fn get(view: &View, caller: &Caller, kind: Kind, id: &str) -> Result<StoredRow, Error> {
    let found = find(view, caller, kind, id).await?;
    found.ok_or_else(|| Error::not_found(kind.model(), id))
}

/// The rules of a stored filter, for a list.
///
/// # Errors
/// As [`get`].
pub async fn rules(
    view: &View,
    caller: &Caller,
    kind: Kind,
    id: &str,
) -> Result<Vec<Value>, Error> {
    let filter: Filter = get(view, caller, kind, id).await?.resource()?;
    serde_json::from_str(filter.value.get()).map_err(Error::internal)
}

/// Stores a filter.
///
/// # Errors
/// 400 for an id or rules that are none, 403, 409 when it exists.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    (kind, id): (Kind, &str),
    new: &NewFilter,
) -> Result<(), Error> {
    caller.require(Permission::FilterCreate)?;
    ids::check("filter_id", id)?;
    refuse_reserved(id)?;
    conditions(kind.view(), &new.filter_rules)?;
    let visibility = visibility::of_new(caller, new.visibility.as_deref(), None)?;
    let tenant = caller.tenant()?;
    let rules_json = Value::from(new.filter_rules.clone()).to_string();
    let decide = async |view: Arc<View>| {
        let view = &*view;
        if find(view, caller, kind, id).await?.is_some() {
            let what = format!("{} id=`{id}`", kind.model());
            return Err(Error::exists(&what, (tenant, tenant)));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, kind.stream(tenant, id)).await?;
        let event = FilterCreated {
            kind: kind.name().to_owned(),
            id: id.to_owned(),
            scope: Some(Scope {
                tenant: tenant.to_owned(),
                visibility: visibility.clone(),
                created_by: caller.username.clone(),
            }),
            rules_json: rules_json.clone(),
            is_system: false,
            created_at_ms: clock::now_ms(),
        };
        decision.event(kind.stream(tenant, id), Event::FilterCreated(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn refuse_reserved(id: &str) -> Result<(), Error> {
    if !id.to_lowercase().starts_with(RESERVED) {
        return Ok(());
    }
    Err(Error::bad_parameters(format!(
        "All filters with a `{RESERVED}` prefix are reserved for internal use."
    )))
}

fn refuse_system(filter: &Filter) -> Result<(), Error> {
    if !filter.is_system_filter {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        format!("The filter `{}` belongs to the manager", filter.id),
    ))
}

/// Changes a filter.
///
/// # Errors
/// 400 for rules that are none or nothing to change, 403, 404.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    (kind, id): (Kind, &str),
    change: &UpdateFilter,
) -> Result<(), Error> {
    caller.require(Permission::FilterUpdate)?;
    if change.filter_rules.is_none() && change.visibility.is_none() {
        return Err(Error::bad_parameters(
            "Filter rules or visibility must be provided to update a filter",
        ));
    }
    let rules = change.filter_rules.as_deref().unwrap_or_default();
    conditions(kind.view(), rules)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let filter: Filter = get(view, caller, kind, id).await?.resource()?;
        refuse_system(&filter)?;
        visibility::require_own(caller, id, &filter.tenant_name)?;
        let mut event = FilterChanged {
            kind: kind.name().to_owned(),
            id: id.to_owned(),
            tenant: filter.tenant_name.clone(),
            updated_at_ms: clock::now_ms(),
            rules_json: None,
            visibility: None,
        };
        if !rules.is_empty() {
            event.rules_json = Some(merged(&filter, rules)?);
        }
        if let Some(wanted) = &change.visibility
            && visibility::change(caller, (id, &filter.visibility), wanted)?
        {
            event.visibility = Some(wanted.clone());
        }
        let stream = kind.stream(&filter.tenant_name, id);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        decision.event(stream, Event::FilterChanged(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// The new rules, with the stored ones of a type that the new ones have nothing of.
fn merged(filter: &Filter, rules: &[Value]) -> Result<String, Error> {
    let labels = rules.iter().filter(|rule| is_of_label(rule)).count();
    let kept = match labels {
        0 => Some(&filter.labels_filter_rules),
        _ if labels == rules.len() => Some(&filter.attrs_filter_rules),
        _ => None,
    };
    let mut all: Vec<Value> = kept
        .map(|kept| serde_json::from_str(kept.get()))
        .transpose()
        .map_err(Error::internal)?
        .unwrap_or_default();
    match labels {
        0 => all.extend_from_slice(rules),
        _ => all = rules.iter().cloned().chain(all).collect(),
    }
    Ok(Value::from(all).to_string())
}

/// Deletes a filter.
///
/// # Errors
/// 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, kind: Kind, id: &str) -> Result<(), Error> {
    caller.require(Permission::FilterDelete)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let filter: Filter = get(view, caller, kind, id).await?.resource()?;
        refuse_system(&filter)?;
        visibility::require_own(caller, id, &filter.tenant_name)?;
        let stream = kind.stream(&filter.tenant_name, id);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        let event = FilterDeleted {
            kind: kind.name().to_owned(),
            id: id.to_owned(),
            tenant: filter.tenant_name,
        };
        decision.event(stream, Event::FilterDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
