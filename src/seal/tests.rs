//! Sealing with real key files.
use super::*;

#[test]
fn a_key_file_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/master.key");
    let sealed = Sealer::load_or_create(&path).unwrap().seal("a", "text");
    let again = Sealer::load_or_create(&path).unwrap();
    assert_eq!(again.open("a", &sealed).unwrap(), "text");
    assert!(again.open("b", &sealed).is_err());
    assert!(again.open("a", &sealed[1..]).is_err());
    assert!(again.open("a", b"short").is_err());
    assert_ne!(again.seal("a", "text"), sealed);
}

#[test]
fn a_file_without_a_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.key");
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(
        Sealer::load_or_create(&path),
        Err(SealError::Malformed { .. })
    ));
}
