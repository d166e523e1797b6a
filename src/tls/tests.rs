//! Certificates: made once, kept, renewed in time, and left alone when they are not ours.
#![allow(clippy::unwrap_used, reason = "tests")]
use chrono::Duration;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_367_973, 0).unwrap()
}

fn at(days: i64) -> DateTime<Utc> {
    now() + Duration::days(days)
}

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn load_with(dir: &Path, names: &[&str], now: DateTime<Utc>) -> Tls {
    Tls::load_or_create(dir, hosts(names), now).unwrap()
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[test]
fn makes_them_once_with_private_keys() {
    let dir = tempfile::tempdir().unwrap();
    let ssl = dir.path().join("ssl");
    load_with(&ssl, &["manager"], now());
    let before = (
        text(&ssl, CA_CERT_FILE),
        text(&ssl, CERT_FILE),
        text(&ssl, KEY_FILE),
    );
    for (file, mode) in [(CA_KEY_FILE, 0o600), (KEY_FILE, 0o600), (CERT_FILE, 0o644)] {
        let found = fs::metadata(ssl.join(file)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    let tls = load_with(&ssl, &["manager"], at(1));
    assert!(!tls.renew_if_due(at(360)).unwrap());
    let after = (
        text(&ssl, CA_CERT_FILE),
        text(&ssl, CERT_FILE),
        text(&ssl, KEY_FILE),
    );
    assert_eq!(before, after);
    assert_eq!(fs::read_dir(&ssl).unwrap().count(), 4);
}

#[test]
fn processes_that_share_a_directory_make_them_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load_with(dir.path(), &[], now()));
        }
    });
    assert!(
        !load_with(dir.path(), &[], now())
            .renew_if_due(now())
            .unwrap()
    );
}

#[test]
fn renews_the_server_under_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let tls = load_with(dir.path(), &[], now());
    let (ca, cert) = (text(dir.path(), CA_CERT_FILE), text(dir.path(), CERT_FILE));
    let config = tls.config.load_full();
    assert!(tls.renew_if_due(at(370)).unwrap());
    assert_eq!(text(dir.path(), CA_CERT_FILE), ca);
    assert_ne!(text(dir.path(), CERT_FILE), cert);
    assert!(!Arc::ptr_eq(&config, &tls.config.load_full()));
    assert!(!tls.renew_if_due(at(371)).unwrap());
    // The authority itself ends as well, after ten years.
    assert!(tls.renew_if_due(at(3640)).unwrap());
    assert_ne!(text(dir.path(), CA_CERT_FILE), ca);
}

#[test]
fn another_host_needs_another_certificate() {
    let dir = tempfile::tempdir().unwrap();
    load_with(
        dir.path(),
        &["manager", "192.0.2.7", "2001:0db8::0001"],
        now(),
    );
    let cert = text(dir.path(), CERT_FILE);
    load_with(dir.path(), &["192.0.2.7", "2001:db8::1"], now());
    assert_eq!(text(dir.path(), CERT_FILE), cert);
    load_with(dir.path(), &["192.0.2.8"], now());
    assert_ne!(text(dir.path(), CERT_FILE), cert);
}

#[test]
fn makes_again_what_is_missing() {
    for file in [CA_CERT_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE] {
        let dir = tempfile::tempdir().unwrap();
        load_with(dir.path(), &[], now());
        let ca = text(dir.path(), CA_CERT_FILE);
        fs::remove_file(dir.path().join(file)).unwrap();
        load_with(dir.path(), &[], now());
        let is_kept = text(dir.path(), CA_CERT_FILE) == ca;
        assert_eq!(is_kept, matches!(file, CERT_FILE | KEY_FILE), "{file}");
    }
}

#[test]
fn leaves_certificates_of_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(hosts(&["manager"])).unwrap();
    fs::write(dir.path().join(CERT_FILE), own.cert.pem()).unwrap();
    fs::write(dir.path().join(KEY_FILE), own.signing_key.serialize_pem()).unwrap();
    let tls = load_with(dir.path(), &["another"], now());
    assert!(!tls.renew_if_due(at(36_500)).unwrap());
    assert_eq!(text(dir.path(), CERT_FILE), own.cert.pem());
}

#[test]
fn says_which_file_is_wrong() {
    for file in [CA_CERT_FILE, CERT_FILE] {
        let dir = tempfile::tempdir().unwrap();
        load_with(dir.path(), &[], now());
        fs::write(dir.path().join(file), "no certificate").unwrap();
        let error = Tls::load_or_create(dir.path(), [], now()).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    load_with(one.path(), &[], now());
    load_with(two.path(), &[], now());
    fs::copy(one.path().join(KEY_FILE), two.path().join(KEY_FILE)).unwrap();
    let error = Tls::load_or_create(two.path(), [], now()).unwrap_err();
    assert!(matches!(error, TlsError::Config { .. }), "{error}");
}
