//! Blueprints with the execution that uploads them.
use std::collections::HashMap;

use serde::Deserialize;
use stratalog_projections::{StoredRow, View as ViewName, views::scoped};

use super::{appended, tenant_of};
use crate::{error::Error, rest::Include, store::View};

/// The execution of a blueprint that has none.
const NO_EXECUTION: &str = r#"{"created_at":null,"visibility":null,"id":null,"ended_at":null,"error":null,"is_system_workflow":null,"parameters_p":null,"parameters":null,"status":null,"workflow_id":null,"started_at":null,"scheduled_for":null,"is_dry_run":null,"resume":null,"total_operations":0,"finished_operations":0,"allow_custom_parameters":null,"blueprint_id":null,"execution_group_id":null,"deployment_display_name":null,"deployment_id":null,"status_display":null,"tenant_name":null,"created_by":null,"resource_availability":null,"private_resource":null}"#;

#[derive(Deserialize)]
struct Hidden {
    upload_execution: Option<String>,
}

/// The documents of these rows, in their order.
pub(in crate::rest) async fn join(
    view: &View,
    rows: &[StoredRow],
    include: Option<&Include>,
) -> Result<Vec<String>, Error> {
    if include.is_some_and(|include| !include.names("upload_execution")) {
        return Ok(rows.iter().map(|row| row.doc.clone()).collect());
    }
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        keys.push(execution_key(row)?);
    }
    let wanted: Vec<String> = keys.iter().flatten().cloned().collect();
    let executions = match wanted.is_empty() {
        true => Vec::new(),
        false => view.rows(ViewName::Executions, &wanted).await?,
    };
    let executions: HashMap<&str, &StoredRow> = executions
        .iter()
        .map(|row| (row.key.as_str(), row))
        .collect();
    let document = |(row, key): (&StoredRow, &Option<String>)| {
        let execution = key.as_ref().and_then(|key| executions.get(key.as_str()));
        let execution = execution.map_or_else(
            || NO_EXECUTION.to_owned(),
            // no group has it; the reference writes an empty list as text
            |execution| appended(&execution.doc, r#""execution_group_id":"[]""#),
        );
        appended(&row.doc, &format!(r#""upload_execution":{execution}"#))
    };
    Ok(rows.iter().zip(&keys).map(document).collect())
}

fn execution_key(row: &StoredRow) -> Result<Option<String>, Error> {
    let Some(hidden) = &row.hidden else {
        return Ok(None);
    };
    let hidden: Hidden = serde_json::from_str(hidden).map_err(Error::internal)?;
    Ok(hidden
        .upload_execution
        .map(|id| scoped(tenant_of(row), &id)))
}
