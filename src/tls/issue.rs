//! Makes and renews certificates.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use chrono::{DateTime, Datelike, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::{Pem, parse_x509_pem};

use super::{
    CA_CERT_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE, RENEW_DAYS, Result, SECONDS_PER_DAY, TlsError,
    read, write,
};

const CA_DAYS: i64 = 3650;
/// What clients at most accept for a server.
const SERVER_DAYS: i64 = 397;
/// Marks the authorities that are ours; behind it stands something unique.
const CA_NAME: &str = "Stratalog internal CA";

/// Makes what is missing, due, or does not name all hosts. True when the server's is new.
pub(super) fn renew(
    directory: &Path,
    hosts: &BTreeSet<String>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let (cert_path, key_path) = (directory.join(CERT_FILE), directory.join(KEY_FILE));
    let found = match (read(&cert_path)?, read(&key_path)?) {
        (Some(cert), Some(_)) => Some(Facts::read(&cert_path, &cert)?),
        _ => None,
    };
    if let Some(facts) = &found
        && !facts.is_ours()
    {
        if facts.is_due(now) {
            tracing::warn!(path = %cert_path.display(), "certificate expires soon or has expired");
        }
        return Ok(false);
    }
    let (ca_cert, ca_key) = authority(directory, now)?;
    let ca = Facts::read(&directory.join(CA_CERT_FILE), &ca_cert)?;
    if found.is_some_and(|f| f.issuer == ca.subject && !f.is_due(now) && f.names_all(hosts)) {
        return Ok(false);
    }
    let issuer = Issuer::from_ca_cert_pem(&ca_cert, ca_key)?;
    let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())?;
    let name = hosts.iter().find(|host| host.parse::<IpAddr>().is_err());
    params.distinguished_name = common_name(name.map_or("localhost", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, SERVER_DAYS);
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?;
    // Key first: a crash in between leaves a pair that does not fit, and `load` would say so; the
    // old certificate is removed before, so that the next start makes a new pair instead.
    super::remove(&cert_path)?;
    write(&key_path, &key.serialize_pem(), 0o600)?;
    write(&cert_path, &cert.pem(), 0o644)?;
    Ok(true)
}

/// The CA that is there, or a new one.
fn authority(directory: &Path, now: DateTime<Utc>) -> Result<(String, KeyPair)> {
    let (cert_path, key_path) = (directory.join(CA_CERT_FILE), directory.join(CA_KEY_FILE));
    if let (Some(cert), Some(key)) = (read(&cert_path)?, read(&key_path)?)
        && !Facts::read(&cert_path, &cert)?.is_due(now)
    {
        return Ok((cert, KeyPair::from_pem(&key)?));
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // Two authorities of different keys must not have the same name.
    let unique = crate::files::Digest::of(key.public_key_raw()).to_string();
    let unique = unique.get(..8).unwrap_or_default();
    params.distinguished_name = common_name(&format!("{CA_NAME} {unique}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, CA_DAYS);
    let cert = params.self_signed(&key)?.pem();
    super::remove(&cert_path)?;
    write(&key_path, &key.serialize_pem(), 0o600)?;
    write(&cert_path, &cert, 0o644)?;
    Ok((cert, key))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From the day before, for clients whose clock is behind.
fn set_validity(params: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    let date = |at: DateTime<Utc>| {
        let (month, day) = (u8::try_from(at.month()), u8::try_from(at.day()));
        rcgen::date_time_ymd(at.year(), month.unwrap_or(1), day.unwrap_or(1))
    };
    params.not_before = date(now - Duration::days(1));
    params.not_after = date(now + Duration::days(days));
}

/// What a certificate says about itself.
#[derive(Debug)]
struct Facts {
    subject: String,
    issuer: String,
    not_after_s: i64,
    names: BTreeSet<String>,
}

impl Facts {
    fn read(path: &Path, pem: &str) -> Result<Self> {
        let fail = |reason: String| TlsError::Content {
            path: path.to_owned(),
            reason,
        };
        let (_, pem): (_, Pem) = parse_x509_pem(pem.as_bytes()).map_err(|e| fail(e.to_string()))?;
        let cert = pem.parse_x509().map_err(|e| fail(e.to_string()))?;
        let names = cert
            .subject_alternative_name()
            .map_err(|e| fail(e.to_string()))?;
        let names = names
            .map(|names| &names.value.general_names[..])
            .unwrap_or_default();
        Ok(Self {
            subject: cert.subject().to_string(),
            issuer: cert.issuer().to_string(),
            not_after_s: cert.validity().not_after.timestamp(),
            names: names.iter().filter_map(plain_name).collect(),
        })
    }

    fn is_ours(&self) -> bool {
        self.issuer.starts_with(&format!("CN={CA_NAME} "))
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.not_after_s - now.timestamp() < RENEW_DAYS * SECONDS_PER_DAY
    }

    fn names_all(&self, hosts: &BTreeSet<String>) -> bool {
        // Addresses have several spellings.
        let plain = |host: &String| match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host.clone(),
        };
        hosts.iter().all(|host| self.names.contains(&plain(host)))
    }
}

fn plain_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|b| IpAddr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|b| IpAddr::from(b).to_string()),
        },
        _ => None,
    }
}
