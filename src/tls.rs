//! Certificates of the internal TLS listener: an own CA and a server certificate, made on first
//! start, renewed in time. A certificate that somebody else put there is used and left alone.
//!
//! File names are the ones operators of Cloudify know. Keys are readable by the owner alone.
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

mod issue;
#[cfg(test)]
mod tests;

/// Whether a text holds certificates in PEM, and none that is broken.
pub fn holds_certificates(pem: &str) -> bool {
    reqwest::Certificate::from_pem_bundle(pem.as_bytes()).is_ok_and(|found| !found.is_empty())
}

/// Certificate of the CA: what clients trust.
pub const CA_CERT_FILE: &str = "cloudify_internal_ca_cert.pem";
/// Key of the CA.
pub const CA_KEY_FILE: &str = "cloudify_internal_ca_key.pem";
/// Certificate of the server.
pub const CERT_FILE: &str = "cloudify_internal_cert.pem";
/// Key of the server.
pub const KEY_FILE: &str = "cloudify_internal_key.pem";

/// Certificates are renewed when less than this is left.
const RENEW_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Certificates cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// Certificate and key do not go together.
    #[error("certificate and key in {path}: {source}")]
    Config {
        /// Their directory.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
}

type Result<T, E = TlsError> = std::result::Result<T, E>;

/// The certificates in use. Renewing them needs no restart.
#[derive(Debug)]
pub struct Tls {
    directory: PathBuf,
    hosts: BTreeSet<String>,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Loads the certificates, making what is missing or due. `hosts` are the names and addresses
    /// that clients use, besides those of this machine.
    pub fn load_or_create(
        directory: &Path,
        hosts: impl IntoIterator<Item = String>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|e| file_error(directory, e))?;
        let hosts = own_hosts().into_iter().chain(hosts).collect();
        let _lock = lock(directory)?;
        issue::renew(directory, &hosts, now)?;
        let config = ArcSwap::new(load(directory)?);
        Ok(Self {
            directory: directory.to_owned(),
            hosts,
            config,
        })
    }

    /// Renews what is due. True when connections from now on get another certificate.
    pub fn renew_if_due(&self, now: DateTime<Utc>) -> Result<bool> {
        let _lock = lock(&self.directory)?;
        let is_new = issue::renew(&self.directory, &self.hosts, now)?;
        if is_new {
            self.config.store(load(&self.directory)?);
        }
        Ok(is_new)
    }

    /// Accepts connections with the current certificate.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// The file that clients trust.
    pub fn ca_cert_path(&self) -> PathBuf {
        self.directory.join(CA_CERT_FILE)
    }
}

/// Several processes may share a directory; certificates and keys are made by one of them, and read
/// when they belong together. The lock ends with the file.
fn lock(directory: &Path) -> Result<fs::File> {
    let locked = fs::File::open(directory).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| file_error(directory, error))
}

/// Names under which this machine is reached in any case.
fn own_hosts() -> Vec<String> {
    let mut hosts = vec![
        "localhost".to_owned(),
        IpAddr::from(Ipv4Addr::LOCALHOST).to_string(),
        IpAddr::from(Ipv6Addr::LOCALHOST).to_string(),
    ];
    hosts.extend(
        nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok()),
    );
    hosts
}

fn load(directory: &Path) -> Result<Arc<ServerConfig>> {
    let path = directory.join(CERT_FILE);
    let content = |path: &Path, reason: String| TlsError::Content {
        path: path.into(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(&path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| content(&path, error.to_string()))?;
    let path = directory.join(KEY_FILE);
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|e| content(&path, e.to_string()))?;
    let fail = |source| TlsError::Config {
        path: directory.to_owned(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(fail)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Writes beside and renames, so that a reader never sees half a file.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let attempt = || {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(directory)?.sync_all()
    };
    attempt().map_err(|error| file_error(path, error))
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, error)),
    }
}

fn file_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        source,
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error(path, error)),
    }
}
