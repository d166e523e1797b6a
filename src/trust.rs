//! Whom this process trusts when it connects to others with TLS.
use std::io;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

/// Only whom these authorities, in PEM, have signed a certificate for.
///
/// # Errors
/// What is no certificate, or nothing that holds one.
pub fn only(pem: &[u8]) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("there is no certificate in it"));
    }
    let config = builder()?.with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}

/// Whom this machine trusts. Reads its certificates, which may take a while.
///
/// # Errors
/// Certificates that cannot be read.
pub fn as_this_machine() -> io::Result<ClientConfig> {
    let config = builder()?
        .with_platform_verifier()
        .map_err(io::Error::other)?;
    Ok(config.with_no_client_auth())
}

/// The provider is named: several libraries bring one, and none is the process's own then.
fn builder() -> io::Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = rustls::crypto::ring::default_provider();
    ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
}
