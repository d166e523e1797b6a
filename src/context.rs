//! What commands and all drivers share: the store, the people, the files, the broker.
use std::sync::{Arc, atomic::AtomicBool};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};

use crate::{
    auth::{Authenticator, Directory},
    broker::{Admin, Broker, Tenants},
    config::Settings,
    files::{blobs::BlobStore, manifest, serve::FileServer},
    seal::Sealer,
    store::Store,
    tasks::Tasks,
};

mod changes;
mod follow;
mod metrics;
mod remembered;
mod reports;
mod resources;
mod selections;

pub use changes::Changes;
pub use follow::follow;
pub use remembered::{Kept, Marks, Remembered};
pub use reports::{Report, Reports, Source};
pub use resources::Resources;
pub use selections::{Chosen, Keys, Selections};

/// How far the restore of a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoring {
    /// None is under way.
    No,
    /// The log is being replaced: nothing can be written.
    Replacing,
    /// What ran when the snapshot was taken is not yet cancelled: nothing may be begun.
    Finishing,
}

/// Roles that run in this process, as long as they do.
#[derive(Debug, Default)]
pub struct Roles {
    /// Runs operations.
    pub worker: AtomicBool,
    /// Runs workflows, whenever no other process does.
    pub executor: AtomicBool,
    /// It is this process that runs them.
    pub leads: watch::Sender<bool>,
}

/// Everything a command or a driver works with.
pub struct Context {
    /// How the process was configured.
    pub settings: Settings,
    /// The log and its views.
    pub store: Store,
    /// Users, tokens and tenants.
    pub directory: Directory,
    /// Proves who asks.
    pub authenticator: Authenticator,
    /// The resource directory.
    pub files: Arc<manifest::Directory>,
    /// What keeps the resource directory up to date.
    pub resources: Resources,
    /// Which views have changed since when.
    pub changes: Arc<Changes>,
    /// Answers that may be given again.
    pub remembered: Remembered,
    /// Rows of lists, as sets.
    pub selections: Selections,
    /// Content of files.
    pub blobs: BlobStore,
    /// Serves stored files.
    pub file_server: FileServer,
    /// The connection to RabbitMQ; absent when none is configured.
    pub broker: Option<Broker>,
    /// The connections to the virtual hosts of tenants; absent when none is configured.
    pub tenants: Option<Tenants>,
    /// RabbitMQ's management API; absent when none is configured.
    pub broker_admin: Option<Admin>,
    /// Encrypts what must not enter the log in clear.
    pub sealer: Sealer,
    /// Metrics, to be rendered.
    pub metrics: PrometheusHandle,
    /// What workers and agents told last.
    pub reports: Reports,
    /// Which roles run in this process.
    pub roles: Roles,
    /// Whether the process is about to end and wants no more requests.
    pub is_draining: AtomicBool,
    /// How far the restore of a snapshot has come.
    pub restoring: watch::Sender<Restoring>,
    /// Asks for what other processes have appended to be taken in at once.
    pub behind: Notify,
    /// The log's own tasks: they end last.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
