//! Which installation of a plugin counts.
use crate::worker::interpreter::{MARKER, newest};

#[tokio::test]
async fn the_newest_finished_installation_is_the_one_that_packages_call_so() {
    let versions = tempfile::tempdir().unwrap();
    let install = |version: &str, is_finished: bool| {
        let directory = versions.path().join(version);
        std::fs::create_dir(&directory).unwrap();
        if is_finished {
            std::fs::write(directory.join(MARKER), "id").unwrap();
        }
    };
    assert_eq!(newest(versions.path()).await, None);
    std::fs::write(versions.path().join("9.0.lock"), "").unwrap();
    install("1.9.0", true);
    for (version, is_finished, expected) in [
        ("1.10.0rc1", true, "1.10.0rc1"),
        ("1.10.0", true, "1.10.0"),
        ("1.10.0.dev3", true, "1.10.0"),
        ("2.0", false, "1.10.0"),
        ("no version", true, "1.10.0"),
    ] {
        install(version, is_finished);
        let found = newest(versions.path()).await;
        assert_eq!(found, Some(versions.path().join(expected)), "{version}");
    }
    assert_eq!(newest(&versions.path().join("nosuch")).await, None);
}
