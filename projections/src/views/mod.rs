//! One file per view: its document, its columns, the rows its fold needs, and the fold.
pub mod agents;
pub mod blueprints;
pub mod cluster_nodes;
pub mod config;
pub mod deployment_group_members;
pub mod deployment_groups;
pub mod deployment_modifications;
pub mod deployment_updates;
pub mod deployments;
pub mod event_deletions;
pub mod execution_groups;
pub mod executions;
pub mod files;
pub mod filters;
pub mod hierarchy;
pub mod inter_deployment_dependencies;
pub mod log_bundles;
pub mod maintenance;
pub mod node_instances;
pub mod nodes;
pub mod operations;
pub mod permissions;
pub mod plugins;
pub mod plugins_updates;
pub mod provider_context;
pub mod schedules;
pub mod secrets;
pub mod secrets_providers;
pub mod sites;
pub mod snapshots;
pub mod tasks_graphs;
pub mod tenants;
pub mod tokens;
pub mod user_groups;
pub mod users;

use serde_json::value::RawValue;
use stratalog_schema::{
    events::{Label as LabelEvent, Scope},
    time::wire,
};

use crate::{Error, view::Owner};

/// A JSON text kept as it is.
pub type Json = Box<RawValue>;

/// Key of what belongs to a tenant.
pub fn scoped(tenant: &str, id: &str) -> String {
    format!("{tenant}/{id}")
}

/// A JSON text of an event; `null` becomes `None`.
pub(crate) fn json(text: &str) -> Result<Option<Json>, Error> {
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    RawValue::from_string(text.to_owned())
        .map(Some)
        .map_err(Error::EventDocument)
}

/// A label as resources show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Label {
    /// Lower-case key.
    pub key: String,
    /// Value as given.
    pub value: String,
    /// When it was attached.
    pub created_at: String,
    /// Who attached it.
    pub created_by: String,
}

impl Label {
    pub(crate) fn all(labels: &[LabelEvent]) -> Vec<Self> {
        labels
            .iter()
            .map(|label| Self {
                key: label.key.clone(),
                value: label.value.clone(),
                created_at: wire(label.created_at_ms),
                created_by: label.created_by.clone(),
            })
            .collect()
    }

    /// As the `labels` column holds them: `key` and `key=value` of each.
    pub(crate) fn column(labels: &[Self]) -> Vec<String> {
        labels
            .iter()
            .flat_map(|label| [label.key.clone(), format!("{}={}", label.key, label.value)])
            .collect()
    }
}

/// The owner an event names.
pub(crate) fn owner(tenant: &str, visibility: &str, created_by: &str) -> Owner {
    Owner {
        tenant: Some(tenant.to_owned()),
        visibility: Some(visibility.to_owned()),
        created_by: Some(created_by.to_owned()),
    }
}

/// The scope of an event that must have one.
pub(crate) fn scope(scope: Option<&Scope>) -> Scope {
    scope.cloned().unwrap_or_default()
}
