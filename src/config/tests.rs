//! Where settings come from and which goes first.
use std::collections::BTreeMap;

use super::*;

fn gather(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, Box<figment::Error>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, file).unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let flags: BTreeMap<_, _> = flags.iter().map(owned).collect();
    Settings::gather(
        Some(&path),
        variables.iter().map(owned),
        Serialized::defaults(flags),
    )
    .map_err(Box::new)
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let settings = gather(
        "log = \"debug\"\npython = \"/file\"\ndatabase_readers = 3",
        &[
            ("STRATALOG_PYTHON", "/env"),
            ("STRATALOG_LOG", "warn"),
            ("STRATALOG_ADMIN_PASSWORD", "12345"),
            ("STRATALOG_DRAIN_TIMEOUT_S", "7"),
            ("STRATALOG_TEST_DATABASE_URL", "not ours"),
            ("HOME", "/root"),
        ],
        &[("log", "trace")],
    )
    .unwrap();
    assert_eq!(settings.log, "trace");
    assert_eq!(settings.python, PathBuf::from("/env"));
    assert_eq!(settings.database_readers, 3);
    assert_eq!(settings.admin_password, Some(Hidden("12345".to_owned())));
    assert_eq!(settings.drain_timeout_s, 7);
    assert!(!format!("{settings:?}").contains("12345"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(gather("databse_url = \"x\"", &[], &[]).is_err());
    assert!(gather("", &[("STRATALOG_DATABASE_READERS", "many")], &[]).is_err());
    assert!(gather("", &[], &[("log_format", "xml")]).is_err());
    assert!(Settings::load(Some(Path::new("/nowhere.toml")), Toml::string("")).is_err());
}
