//! Which deployments are meant: by id, by filter, by another group.
use std::collections::BTreeSet;

use serde_json::Value;
use stratalog_projections::{Condition, ListQuery, Scope, View as ViewName, views::scoped};

use super::{
    change::{Changing, Membership},
    load, member_ids,
};
use crate::{
    auth::{Caller, Permission},
    commands::{
        deployments::MODEL,
        filters::{self, Kind},
    },
    error::Error,
    store::View,
};

/// What a whole description says of the members: where it names any, they are all; rules only add.
pub(super) async fn put(
    view: &View,
    caller: &Caller,
    changing: &mut Changing,
    members: &Membership,
) -> Result<(), Error> {
    let named = Membership {
        filter_rules: None,
        ..members.clone()
    };
    let is_named = named.deployment_ids.is_some()
        || named.filter_id.is_some()
        || named.deployments_from_group.is_some();
    if is_named {
        changing.after = chosen(view, caller, &named).await?;
    }
    if let Some(rules) = &members.filter_rules {
        changing.after.extend(admitted(view, caller, rules).await?);
    }
    Ok(())
}

/// All deployments that are meant.
pub(super) async fn chosen(
    view: &View,
    caller: &Caller,
    members: &Membership,
) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    if let Some(ids) = &members.deployment_ids {
        require(view, caller.tenant()?, ids).await?;
        found.extend(ids.iter().cloned());
    }
    if let Some(id) = &members.filter_id {
        let rules = filters::rules(view, caller, Kind::Deployments, id).await?;
        found.extend(admitted(view, caller, &rules).await?);
    }
    if let Some(rules) = &members.filter_rules {
        found.extend(admitted(view, caller, rules).await?);
    }
    if let Some(id) = &members.deployments_from_group {
        let other = load(view, caller, id).await?;
        found.extend(member_ids(view, (&other.tenant_name, &other.id)).await?);
    }
    Ok(found)
}

/// Every one of them must exist.
async fn require(view: &View, tenant: &str, ids: &[String]) -> Result<(), Error> {
    let keys: Vec<String> = ids.iter().map(|id| scoped(tenant, id)).collect();
    let query =
        ListQuery::all(ViewName::Deployments, Scope::Everything).with(Condition::Keys(keys));
    let known: BTreeSet<String> = view
        .pick(&query, &["id"])
        .await?
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect();
    match ids.iter().find(|id| !known.contains(*id)) {
        Some(id) => Err(Error::not_found(MODEL.1, id)),
        None => Ok(()),
    }
}

/// Deployments of the tenant that rules admit.
async fn admitted(
    view: &View,
    caller: &Caller,
    rules: &[Value],
) -> Result<BTreeSet<String>, Error> {
    let scope = caller.scope(false, Permission::DeploymentList)?;
    let tenant = vec![caller.tenant()?.to_owned()];
    let mut query = ListQuery::all(ViewName::Deployments, scope)
        .with(Condition::AnyOf("tenant_name".to_owned(), tenant));
    query
        .conditions
        .extend(filters::conditions(ViewName::Deployments, rules)?);
    let found = view.pick(&query, &["id"]).await?;
    Ok(found
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect())
}
