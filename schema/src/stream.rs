//! Streams: one per thing whose versions must be dense. A stream is named by its category and a
//! key.
use std::fmt;

use crate::Error;

/// What kind of thing a stream tells the story of. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Category {
    /// One user.
    User = 1,
    /// One access token.
    Token = 2,
    /// One tenant and its members.
    Tenant = 3,
    /// Manager-wide settings.
    Settings = 4,
    /// One blueprint.
    Blueprint = 5,
    /// One deployment with its nodes.
    Deployment = 6,
    /// One node instance.
    NodeInstance = 7,
    /// One execution with its graphs and operations.
    Execution = 8,
    /// One tree of the resource directory.
    Files = 9,
    /// One snapshot.
    Snapshot = 10,
    /// One agent.
    Agent = 11,
    /// One stored filter.
    Filter = 12,
    /// One schedule of executions.
    Schedule = 30,
    /// One group of deployments.
    DeploymentGroup = 31,
    /// One group of executions.
    ExecutionGroup = 32,
    /// One modification of a deployment.
    DeploymentModification = 50,
    /// One update of a deployment.
    DeploymentUpdate = 51,
    /// One update of the plugins of deployments.
    PluginsUpdate = 52,
    /// What one deployment depends on; `*` for those of other managers.
    InterDeploymentDependency = 53,
    /// What was deleted of the logs and events of one deployment.
    EventDeletion = 54,
    /// One bundle for support.
    LogBundle = 55,
    /// One further node of the cluster.
    ClusterNode = 56,
    /// One site.
    Site = 40,
    /// One secret.
    Secret = 41,
    /// One provider of secrets.
    SecretsProvider = 42,
    /// One group of users.
    UserGroup = 43,
    /// Who runs executions.
    Executor = 57,
    /// Who runs one operation.
    OperationClaim = 58,
    /// One plugin.
    Plugin = 60,
}

impl Category {
    /// All categories.
    pub const ALL: [Self; 29] = [
        Self::User,
        Self::Token,
        Self::Tenant,
        Self::Settings,
        Self::Blueprint,
        Self::Deployment,
        Self::NodeInstance,
        Self::Execution,
        Self::Files,
        Self::Snapshot,
        Self::Agent,
        Self::Filter,
        Self::Schedule,
        Self::DeploymentGroup,
        Self::ExecutionGroup,
        Self::DeploymentModification,
        Self::DeploymentUpdate,
        Self::PluginsUpdate,
        Self::InterDeploymentDependency,
        Self::EventDeletion,
        Self::LogBundle,
        Self::ClusterNode,
        Self::Site,
        Self::Secret,
        Self::SecretsProvider,
        Self::UserGroup,
        Self::Executor,
        Self::OperationClaim,
        Self::Plugin,
    ];

    /// The stored number.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The category of a stored number.
    ///
    /// # Errors
    /// `UnknownCategory` when a newer version wrote it.
    pub fn from_number(number: i16) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|category| category.number() == number)
            .ok_or(Error::UnknownCategory(number))
    }

    /// The word used in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
            Self::Tenant => "tenant",
            Self::Settings => "settings",
            Self::Blueprint => "blueprint",
            Self::Deployment => "deployment",
            Self::NodeInstance => "node_instance",
            Self::Execution => "execution",
            Self::Files => "files",
            Self::Snapshot => "snapshot",
            Self::Agent => "agent",
            Self::Filter => "filter",
            Self::Schedule => "schedule",
            Self::DeploymentGroup => "deployment_group",
            Self::ExecutionGroup => "execution_group",
            Self::DeploymentModification => "deployment_modification",
            Self::DeploymentUpdate => "deployment_update",
            Self::PluginsUpdate => "plugins_update",
            Self::InterDeploymentDependency => "inter_deployment_dependency",
            Self::EventDeletion => "event_deletion",
            Self::LogBundle => "log_bundle",
            Self::ClusterNode => "cluster_node",
            Self::Site => "site",
            Self::Secret => "secret",
            Self::SecretsProvider => "secrets_provider",
            Self::UserGroup => "user_group",
            Self::Executor => "executor",
            Self::OperationClaim => "operation_claim",
            Self::Plugin => "plugin",
        }
    }
}

/// Names one stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// Its category.
    pub category: Category,
    /// Its key within the category; `tenant/id` for what belongs to a tenant.
    pub key: String,
}

impl StreamId {
    /// A stream of something manager-wide.
    pub fn global(category: Category, id: &str) -> Self {
        Self {
            category,
            key: id.to_owned(),
        }
    }

    /// A stream of something that belongs to a tenant.
    pub fn scoped(category: Category, tenant: &str, id: &str) -> Self {
        Self {
            category,
            key: format!("{tenant}/{id}"),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.category.name(), self.key)
    }
}
