//! The resource directory as a value.
#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

fn entry(content: &str) -> Entry {
    Entry {
        digest: Digest::of(content.as_bytes()),
        size_bytes: content.len() as u64,
        mode: 0o644,
        mtime_us: 1_795_367_973_000_000,
    }
}

fn manifest(files: &[&str]) -> Manifest {
    files.iter().map(|name| (path(name), entry(name))).collect()
}

fn names<'a>(entries: impl Iterator<Item = (&'a ResourcePath, &'a Entry)>) -> Vec<&'a str> {
    entries.map(|(path, _)| path.as_str()).collect()
}

#[test]
fn lists_below_a_directory_and_nothing_beside_it() {
    let manifest = manifest(&["a/b", "a/b/c", "a/b/d/e", "a/b-x/f", "a/b0", "a/bc", "z"]);
    assert_eq!(names(manifest.below(&path("a/b"))), ["a/b/c", "a/b/d/e"]);
    assert_eq!(names(manifest.below(&path("z"))), [""; 0]);
    assert!(manifest.has_directory(&path("a")));
    assert!(!manifest.has_directory(&path("a/bc")));
}

#[test]
fn names_the_conflict_of_file_and_directory() {
    let manifest = manifest(&["a/b/c"]);
    assert_eq!(manifest.conflict(&path("a/b")), Some(&path("a/b/c")));
    assert_eq!(manifest.conflict(&path("a/b/c/d")), Some(&path("a/b/c")));
    assert_eq!(manifest.conflict(&path("a/b/c")), None);
    assert_eq!(manifest.conflict(&path("a/bc")), None);
}

#[test]
fn directory_keeps_what_readers_hold_and_skips_repeated_events() {
    let directory = Directory::new(7, manifest(&["a/b", "a/c"]));
    let held = directory.load();
    let stored = Change::FilesStored {
        entries: vec![(path("a/d"), entry("new"))],
    };
    let removed = Change::FilesRemoved {
        target: Removal::File(path("a/b")),
    };
    assert!(directory.apply(8, &[stored.clone(), removed]));
    assert!(!directory.apply(8, &[stored]));
    assert_eq!(names(held.manifest.iter()), ["a/b", "a/c"]);
    assert_eq!(names(directory.load().manifest.iter()), ["a/c", "a/d"]);
    assert_eq!(directory.get(&path("a/d")), Some(entry("new")));
    let tree = Change::FilesRemoved {
        target: Removal::Tree(path("a")),
    };
    assert!(directory.apply(9, &[tree]));
    assert!(directory.load().manifest.is_empty());
    assert_eq!(directory.load().position, 9);
}

#[test]
fn times_are_spelled_as_clients_compare_them() {
    let mut file = entry("x");
    assert_eq!(file.mtime_iso(), "2026-11-22T17:19:33+00:00");
    file.mtime_us += 42;
    assert_eq!(file.mtime_iso(), "2026-11-22T17:19:33.000042+00:00");
}

#[test]
fn one_change_of_a_large_directory_is_cheap() {
    let base: Manifest = (0..100_000)
        .map(|n| (path(&format!("blueprints/t{}/b/{n}", n % 10)), entry("x")))
        .collect();
    let directory = Directory::new(0, base);
    let started = std::time::Instant::now();
    for n in 1..=1_000_u64 {
        let entries = vec![(path(&format!("deployments/t/d/{n}")), entry("y"))];
        let _old = directory.load();
        directory.apply(n, &[Change::FilesStored { entries }]);
    }
    // Copying the whole map a thousand times would take minutes.
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert_eq!(directory.load().manifest.len(), 101_000);
}

proptest! {
    /// Same files, any history: same digest; another entry: another digest.
    #[test]
    fn digest_depends_on_content_only(
        files in proptest::collection::btree_map("[a-c]/[a-z]{1,3}", "[a-z]{0,4}", 1..20),
        extra in "d/[a-z]{1,3}",
    ) {
        let pairs: Vec<_> = files.iter().map(|(p, c)| (path(p), entry(c))).collect();
        let forward: Manifest = pairs.iter().cloned().collect();
        let mut other = Manifest::default();
        other.apply(&Change::FilesStored { entries: vec![(path(&extra), entry("x"))] });
        for pair in pairs.iter().rev() {
            other.apply(&Change::FilesStored { entries: vec![pair.clone()] });
        }
        prop_assert_ne!(forward.digest(), other.digest());
        other.apply(&Change::FilesRemoved { target: Removal::Tree(path("d")) });
        prop_assert_eq!(forward.digest(), other.digest());
        prop_assert_eq!(&forward, &other);
        prop_assert_eq!(forward.blobs().len(), pairs.iter().map(|(_, e)| e.digest)
            .collect::<std::collections::HashSet<_>>().len());
    }
}
