//! Groups with what is in them: deployments, or executions with their common status.
use std::collections::HashMap;

use serde_json::json;
use stratalog_projections::{
    Condition, ListQuery, Scope, StoredRow, View as ViewName, views::scoped,
};

use super::{appended, id_of};
use crate::{commands::execution_groups, error::Error, store::View};

type Members = HashMap<String, Vec<Vec<Option<String>>>>;

/// Rows of a view by the group a field names, with some of their fields.
async fn members(
    view: &View,
    rows: &[StoredRow],
    (of, group): (ViewName, &str),
    field: &[&str],
) -> Result<Members, Error> {
    let mut found = Members::new();
    if rows.is_empty() {
        return Ok(found);
    }
    let ids = rows.iter().map(|row| id_of(row).to_owned()).collect();
    let query = ListQuery::all(of, Scope::Everything).with(Condition::AnyOf(group.to_owned(), ids));
    let fields = [&["tenant_name", group], field].concat();
    for (_, mut values) in view.pick(&query, &fields).await? {
        let rest = values.split_off(2);
        if let [Some(tenant), Some(id)] = values.as_slice() {
            found.entry(scoped(tenant, id)).or_default().push(rest);
        }
    }
    Ok(found)
}

fn column(members: Option<&Vec<Vec<Option<String>>>>, at: usize) -> Vec<&str> {
    let rows = members.map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter_map(|values| values.get(at)?.as_deref())
        .collect()
}

/// Groups of deployments with the ids of these.
pub(in crate::rest) async fn of_deployments(
    view: &View,
    rows: &[StoredRow],
) -> Result<Vec<String>, Error> {
    let of = (ViewName::DeploymentGroupMembers, "group_id");
    let members = members(view, rows, of, &["deployment_id"]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let ids = json!(column(members.get(&row.key), 0));
            appended(&row.doc, &format!("\"deployment_ids\":{ids}"))
        })
        .collect())
}

/// Groups of executions, with the ids of these and their status where that is wanted.
pub(in crate::rest) async fn of_executions(
    view: &View,
    rows: &[StoredRow],
    is_expanded: bool,
) -> Result<Vec<String>, Error> {
    if !is_expanded {
        let nothing = "\"execution_ids\":null,\"status\":null";
        return Ok(rows.iter().map(|row| appended(&row.doc, nothing)).collect());
    }
    let of = (ViewName::Executions, "execution_group_id");
    let members = members(view, rows, of, &["id", "status"]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let of_group = members.get(&row.key);
            let ids = json!(column(of_group, 0));
            let status = execution_groups::status(column(of_group, 1).into_iter());
            let status = json!(status);
            appended(
                &row.doc,
                &format!("\"execution_ids\":{ids},\"status\":{status}"),
            )
        })
        .collect())
}

/// The groups that each of these deployments is in, by the deployment's key.
pub(in crate::rest) async fn around_deployments(
    view: &View,
    rows: &[StoredRow],
) -> Result<HashMap<String, Vec<String>>, Error> {
    let of = (ViewName::DeploymentGroupMembers, "deployment_id");
    let members = members(view, rows, of, &["group_id"]).await?;
    let groups = members.into_iter().map(|(key, values)| {
        let groups = values.into_iter().flatten().flatten().collect();
        (key, groups)
    });
    Ok(groups.collect())
}
