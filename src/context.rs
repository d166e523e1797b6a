//! What commands and all drivers share: the store, the people, the files, the broker.
use std::sync::Arc;

use crate::{
    auth::{Authenticator, Directory},
    broker::{Admin, Broker},
    config::Settings,
    files::{blobs::BlobStore, manifest, serve::FileServer},
    seal::Sealer,
    store::Store,
    tasks::Tasks,
};

/// Everything a command or a driver works with.
#[derive(Debug)]
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
    /// Content of files.
    pub blobs: BlobStore,
    /// Serves stored files.
    pub file_server: FileServer,
    /// The connection to RabbitMQ; absent when none is configured.
    pub broker: Option<Broker>,
    /// RabbitMQ's management API; absent when none is configured.
    pub broker_admin: Option<Admin>,
    /// Encrypts what must not enter the log in clear.
    pub sealer: Sealer,
    /// Long-lived tasks of the process.
    pub tasks: Tasks,
}
