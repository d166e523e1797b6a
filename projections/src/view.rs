//! What a view is: its name, columns and fields, and how a resource becomes a row of it.
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error,
    views::{
        agents, blueprints, cluster_nodes, config, deployment_group_members, deployment_groups,
        deployment_modifications, deployment_updates, deployments, event_deletions,
        execution_groups, executions, files, filters, inter_deployment_dependencies, log_bundles,
        maintenance, node_instances, nodes, operations, permissions, plugins, plugins_updates,
        provider_context, schedules, secrets, secrets_providers, sites, snapshots, tasks_graphs,
        tenants, tokens, user_groups, users,
    },
};

/// `valid_to` of a row that is true now.
pub const FOREVER: i64 = i64::MAX;

/// All views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Users with their roles.
    Users,
    /// Access tokens.
    Tokens,
    /// Tenants with their members.
    Tenants,
    /// Manager configuration.
    Config,
    /// The provider context.
    ProviderContext,
    /// Blueprints.
    Blueprints,
    /// Deployments.
    Deployments,
    /// Nodes.
    Nodes,
    /// Node instances.
    NodeInstances,
    /// Executions.
    Executions,
    /// Task graphs.
    TasksGraphs,
    /// Operations of task graphs.
    Operations,
    /// The resource directory.
    Files,
    /// Snapshots.
    Snapshots,
    /// Agents.
    Agents,
    /// Stored filters.
    Filters,
    /// Schedules of executions.
    Schedules,
    /// Groups of deployments.
    DeploymentGroups,
    /// Which deployment is in which group.
    DeploymentGroupMembers,
    /// Groups of executions.
    ExecutionGroups,
    /// Modifications of deployments.
    DeploymentModifications,
    /// Updates of deployments.
    DeploymentUpdates,
    /// What deployments depend on.
    InterDeploymentDependencies,
    /// Sites.
    Sites,
    /// Secrets.
    Secrets,
    /// Providers of secrets.
    SecretsProviders,
    /// Groups of users.
    UserGroups,
    /// Maintenance of the manager.
    Maintenance,
    /// What roles may do that differs from the rule.
    Permissions,
    /// Plugins.
    Plugins,
    /// Updates of plugins.
    PluginsUpdates,
    /// Which execution logs and events are not shown any more.
    EventDeletions,
    /// Bundles for support.
    LogBundles,
    /// Further nodes of the cluster.
    ClusterNodes,
}

impl View {
    /// Every view, in the order they are created and rebuilt.
    pub const ALL: [Self; 34] = [
        Self::Users,
        Self::Tokens,
        Self::Tenants,
        Self::Config,
        Self::ProviderContext,
        Self::Blueprints,
        Self::Deployments,
        Self::Nodes,
        Self::NodeInstances,
        Self::Executions,
        Self::TasksGraphs,
        Self::Operations,
        Self::Files,
        Self::Snapshots,
        Self::Agents,
        Self::Filters,
        Self::Schedules,
        Self::DeploymentGroups,
        Self::DeploymentGroupMembers,
        Self::ExecutionGroups,
        Self::DeploymentModifications,
        Self::DeploymentUpdates,
        Self::InterDeploymentDependencies,
        Self::Sites,
        Self::Secrets,
        Self::SecretsProviders,
        Self::UserGroups,
        Self::Maintenance,
        Self::Permissions,
        Self::Plugins,
        Self::PluginsUpdates,
        Self::EventDeletions,
        Self::LogBundles,
        Self::ClusterNodes,
    ];

    /// Its definition.
    pub fn def(self) -> &'static Def {
        match self {
            Self::Users => &users::DEF,
            Self::Tokens => &tokens::DEF,
            Self::Tenants => &tenants::DEF,
            Self::Config => &config::DEF,
            Self::ProviderContext => &provider_context::DEF,
            Self::Blueprints => &blueprints::DEF,
            Self::Deployments => &deployments::DEF,
            Self::Nodes => &nodes::DEF,
            Self::NodeInstances => &node_instances::DEF,
            Self::Executions => &executions::DEF,
            Self::TasksGraphs => &tasks_graphs::DEF,
            Self::Operations => &operations::DEF,
            Self::Files => &files::DEF,
            Self::Snapshots => &snapshots::DEF,
            Self::Agents => &agents::DEF,
            Self::Filters => &filters::DEF,
            Self::Schedules => &schedules::DEF,
            Self::DeploymentGroups => &deployment_groups::DEF,
            Self::DeploymentGroupMembers => &deployment_group_members::DEF,
            Self::ExecutionGroups => &execution_groups::DEF,
            Self::DeploymentModifications => &deployment_modifications::DEF,
            Self::DeploymentUpdates => &deployment_updates::DEF,
            Self::InterDeploymentDependencies => &inter_deployment_dependencies::DEF,
            Self::Sites => &sites::DEF,
            Self::Secrets => &secrets::DEF,
            Self::SecretsProviders => &secrets_providers::DEF,
            Self::UserGroups => &user_groups::DEF,
            Self::Maintenance => &maintenance::DEF,
            Self::Permissions => &permissions::DEF,
            Self::Plugins => &plugins::DEF,
            Self::PluginsUpdates => &plugins_updates::DEF,
            Self::EventDeletions => &event_deletions::DEF,
            Self::LogBundles => &log_bundles::DEF,
            Self::ClusterNodes => &cluster_nodes::DEF,
        }
    }

    /// Its table's name.
    pub fn name(self) -> &'static str {
        self.def().name
    }

    /// The view of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }
}

/// What a view is made of.
#[derive(Debug)]
pub struct Def {
    /// Table name within the schema of views.
    pub name: &'static str,
    /// Raised whenever fold, columns or documents change: a start with another number rebuilds the
    /// view.
    pub version: i32,
    /// Typed columns beside the document, in the order `Resource::columns` gives their values.
    pub columns: &'static [Column],
    /// Fields of the wire document, in wire order.
    pub fields: &'static [Field],
}

impl Def {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Place of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A typed column.
#[derive(Debug)]
pub struct Column {
    /// SQL name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Rows are found by it (indexed; usable in `Rows::find`).
    pub linked: bool,
    /// Long lists are sorted by it (indexed).
    pub sorted: bool,
}

impl Column {
    /// A column that is sorted or filtered by, without an index of its own.
    pub const fn plain(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            linked: false,
            sorted: false,
        }
    }

    /// A column that long lists are sorted by.
    pub const fn sorted(name: &'static str, kind: Kind) -> Self {
        Self {
            sorted: true,
            ..Self::plain(name, kind)
        }
    }

    /// A text column that rows are found by.
    pub const fn linked(name: &'static str) -> Self {
        Self {
            linked: true,
            ..Self::plain(name, Kind::Text)
        }
    }
}

/// Types of columns and fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// 64-bit integer; moments are milliseconds since the epoch.
    Int,
    /// Boolean.
    Bool,
    /// Several texts.
    Texts,
    /// Any JSON: included, but neither sorted nor filtered by.
    Json,
}

/// A field of the wire document.
#[derive(Debug)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its type there.
    pub kind: Kind,
    /// The column that holds it in a sortable form; otherwise it is taken out of the document.
    pub column: Option<&'static str>,
}

impl Field {
    /// A field that only the document holds.
    pub const fn doc(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            column: None,
        }
    }

    /// A field that a column holds too.
    pub const fn col(name: &'static str, kind: Kind, column: &'static str) -> Self {
        Self {
            name,
            kind,
            column: Some(column),
        }
    }

    /// Whether lists may be sorted and filtered by it.
    pub fn is_filterable(&self) -> bool {
        self.kind != Kind::Json
    }
}

/// The five fields every tenant-scoped resource shares.
pub const COMMON: [Field; 5] = [
    Field::col("visibility", Kind::Text, "visibility"),
    Field::col("tenant_name", Kind::Text, "tenant"),
    Field::col("created_by", Kind::Text, "created_by"),
    Field::col("resource_availability", Kind::Text, "visibility"),
    Field::doc("private_resource", Kind::Bool),
];

/// A value of a typed column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Col {
    /// Text.
    Text(Option<String>),
    /// Integer.
    Int(Option<i64>),
    /// Boolean.
    Bool(Option<bool>),
    /// Texts.
    Texts(Vec<String>),
}

impl From<&str> for Col {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&Option<String>> for Col {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

/// Whose a row is and who may see it; all `None` for what is manager-wide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Tenant name.
    pub tenant: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// User name.
    pub created_by: Option<String>,
}

/// A resource as a view holds it: its serialisation is the document served on the wire.
pub trait Resource: Serialize + DeserializeOwned {
    /// The view it is a row of.
    const VIEW: View;

    /// Identity of the row: `tenant/id` where the resource belongs to a tenant.
    fn key(&self) -> String;

    /// Whose it is.
    fn owner(&self) -> Owner {
        Owner::default()
    }

    /// Values of the typed columns.
    fn columns(&self) -> Vec<Col>;

    /// What is stored beside the document and never served.
    ///
    /// # Errors
    /// When it cannot be serialised.
    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        Ok(None)
    }

    /// Takes back what [`Resource::hidden`] gave.
    ///
    /// # Errors
    /// When it has another shape.
    fn restore_hidden(&mut self, _hidden: &str) -> Result<(), serde_json::Error> {
        Ok(())
    }
}

/// Reads a resource back from its stored parts.
///
/// # Errors
/// `Document` when the shape is another one.
pub fn restore<T: Resource>(key: &str, doc: &str, hidden: Option<&str>) -> Result<T, Error> {
    let fail = |source| Error::Document {
        view: T::VIEW.name(),
        key: key.to_owned(),
        source,
    };
    let mut resource: T = serde_json::from_str(doc).map_err(fail)?;
    if let Some(hidden) = hidden {
        resource.restore_hidden(hidden).map_err(fail)?;
    }
    Ok(resource)
}
