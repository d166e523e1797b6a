//! The snapshot file: reproducible, complete, and refused when anything about it is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::files::blobs::BlobStore;
use crate::files::manifest::{Entry, Manifest};
use crate::files::path::ResourcePath;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap()
}

fn header() -> Header {
    Header {
        product_version: "0.1.0".into(),
        position: 42,
        chain: Digest::of(b"chain"),
    }
}

/// A store with the files in it, and their manifest.
fn stored(dir: &std::path::Path, files: &[(String, Vec<u8>)]) -> (BlobStore, Manifest) {
    let store = BlobStore::local(dir).unwrap();
    let staged: Vec<_> = files
        .iter()
        .map(|(_, content)| store.stage_reader(&mut &content[..], u64::MAX).unwrap())
        .collect();
    let entries = files.iter().zip(&staged).map(|((name, _), blob)| {
        let Entry {
            digest, size_bytes, ..
        } = entry(blob.stored().digest, blob.stored().size_bytes);
        (
            ResourcePath::parse(name).unwrap(),
            entry(digest, size_bytes),
        )
    });
    let manifest = entries.collect();
    runtime().block_on(store.commit(staged)).unwrap();
    (store, manifest)
}

fn entry(digest: Digest, size_bytes: u64) -> Entry {
    Entry {
        digest,
        size_bytes,
        mode: 0o755,
        mtime_us: 1_795_367_973_000_001,
    }
}

fn export(store: &BlobStore, manifest: &Manifest, segments: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.blobs_of(manifest, [], store, &mut |_| {}).unwrap();
    for segment in segments {
        writer.segment(segment).unwrap();
    }
    writer.finish(header(), manifest).unwrap().0
}

fn open(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>> {
    Reader::open(Cursor::new(bytes), &Limits::default())
}

/// A good snapshot of two files and two segments.
fn sample() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("blueprints/t/b/a".into(), b"one".to_vec()),
        ("plugins/p/x".into(), b"two".to_vec()),
    ];
    let (store, manifest) = stored(dir.path(), &files);
    export(
        &store,
        &manifest,
        &[b"first segment".to_vec(), vec![7; 100_000]],
    )
}

/// The members of a zip, by hand, so that a test may change them.
type Parts = Vec<(String, Vec<u8>)>;

fn parts(bytes: &[u8]) -> Parts {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            std::io::copy(&mut entry, &mut content).unwrap();
            (entry.name().to_owned(), content)
        })
        .collect()
}

fn assemble(parts: &Parts) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(name.as_str(), SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The sample after a change of its metadata.
fn with_metadata(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let mut parts = parts(&sample());
    let (_, json) = parts.last_mut().unwrap();
    let mut metadata: serde_json::Value = serde_json::from_slice(json).unwrap();
    change(&mut metadata);
    *json = serde_json::to_vec(&metadata).unwrap();
    assemble(&parts)
}

fn refusal(bytes: &[u8]) -> String {
    let outcome = open(bytes).and_then(|mut reader| reader.verify(&mut |_| {}).map(drop));
    outcome.unwrap_err().to_string()
}

#[test]
fn tells_what_is_in_it() {
    let bytes = sample();
    let names: Vec<_> = parts(&bytes).into_iter().map(|(name, _)| name).collect();
    let (mut one, mut two) = (Digest::of(b"one"), Digest::of(b"two"));
    if one > two {
        std::mem::swap(&mut one, &mut two);
    }
    let blobs = [format!("blobs/{one}"), format!("blobs/{two}")];
    let [first, second] = &blobs;
    let expected = [
        first.as_str(),
        second.as_str(),
        "log/000000001.bin",
        "log/000000002.bin",
        "manifest.json",
        "metadata.json",
    ];
    assert_eq!(names, expected);
    let mut reader = open(&bytes).unwrap();
    assert_eq!(reader.metadata().header(), header());
    assert_eq!(reader.manifest().len(), 2);
    assert_eq!(reader.segment(0).unwrap(), b"first segment");
    assert_eq!(reader.segment(1).unwrap(), vec![7; 100_000]);
    assert!(matches!(reader.segment(2), Err(ContainerError::Missing(_))));
    let mut content = Vec::new();
    assert_eq!(reader.blob(&Digest::of(b"two"), &mut content).unwrap(), 3);
    assert_eq!(content, b"two");
    let mut seen_bytes = 0;
    let verified = reader.verify(&mut |bytes| seen_bytes += bytes).unwrap();
    assert_eq!((verified.segments, verified.blobs), (2, 2));
    assert_eq!(seen_bytes, 100_000 + 13 + 6);
    assert_eq!(
        verified.content_bytes,
        seen_bytes + reader.metadata().manifest.size_bytes
    );
}

#[test]
fn an_empty_manager_has_a_snapshot_too() {
    let (bytes, _) = Writer::new(Vec::new())
        .finish(header(), &Manifest::default())
        .unwrap();
    let mut reader = open(&bytes).unwrap();
    assert!(reader.manifest().is_empty());
    assert_eq!(reader.verify(&mut |_| {}).unwrap().segments, 0);
}

#[test]
fn the_writer_keeps_its_order_and_checks_what_it_gets() {
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let (low, high) = (one.min(two), one.max(two));
    let content = |digest| if digest == one { &b"one"[..] } else { b"two" };
    let mut writer = Writer::new(Vec::new());
    writer.blob(high, 3, &mut content(high)).unwrap();
    let again = writer.blob(high, 3, &mut content(high));
    assert!(matches!(again, Err(ContainerError::Unexpected(_))));
    let unordered = writer.blob(low, 3, &mut content(low));
    assert!(matches!(unordered, Err(ContainerError::Unexpected(_))));

    let wrong = Writer::new(Vec::new()).blob(one, 3, &mut &b"two"[..]);
    assert!(matches!(wrong, Err(ContainerError::Digest { .. })));
    let short = Writer::new(Vec::new()).blob(one, 4, &mut &b"one"[..]);
    assert!(matches!(short, Err(ContainerError::Digest { .. })));

    let mut late = Writer::new(Vec::new());
    late.segment(b"x").unwrap();
    assert!(matches!(
        late.blob(one, 3, &mut &b"one"[..]),
        Err(ContainerError::Unexpected(_))
    ));

    let path = ResourcePath::parse("plugins/p/x").unwrap();
    let manifest: Manifest = [(path, entry(one, 3))].into_iter().collect();
    let lacking = Writer::new(Vec::new()).finish(header(), &manifest);
    assert!(matches!(lacking, Err(ContainerError::Missing(_))));
}

#[test]
fn refuses_missing_extra_doubled_and_moved_parts() {
    let good = parts(&sample());
    assert!(open(&assemble(&good)).is_ok());
    for index in 0..good.len() {
        let mut without = good.clone();
        let (name, _) = without.remove(index);
        assert!(
            refusal(&assemble(&without)).contains(&format!("lacks {name}")),
            "{name}"
        );
    }
    for name in [
        "extra",
        "log/000000003.bin",
        "../evil",
        "blobs/",
        "a/metadata.json",
    ] {
        for at in [0, good.len()] {
            let mut more = good.clone();
            more.insert(at, (name.to_owned(), b"x".to_vec()));
            assert!(
                refusal(&assemble(&more)).contains("unexpected"),
                "{name} {at}"
            );
        }
    }
    let mut moved = good.clone();
    moved.swap(2, 3);
    assert!(refusal(&assemble(&moved)).contains("unexpected"));
    // The same name twice: a third segment renamed to the second in both of its headers.
    let mut more = good;
    more.insert(4, ("log/00000000X.bin".to_owned(), b"x".to_vec()));
    let mut bytes = assemble(&more);
    let (from, to) = (b"log/00000000X.bin", b"log/000000002.bin");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    assert!(refusal(&bytes).contains("twice"));
}

#[test]
fn refuses_changed_content() {
    let good = parts(&sample());
    for index in 0..good.len() - 1 {
        let mut changed = good.clone();
        let (name, content) = &mut changed[index];
        let at = content.len() / 2;
        content[at] ^= 1;
        let name = name.clone();
        assert!(
            refusal(&assemble(&changed)).contains(&format!("{name} is damaged")),
            "{name}"
        );
        let mut longer = good.clone();
        longer[index].1.push(b' ');
        refusal(&assemble(&longer));
        let mut shorter = good.clone();
        shorter[index].1.pop();
        refusal(&assemble(&shorter));
    }
}

#[test]
fn refuses_wrong_metadata() {
    let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let refused = refusal(&with_metadata(change));
        assert!(refused.contains(expected), "{refused}");
    };
    check(
        &|m| m["format_version"] = 2.into(),
        "snapshot format 2 is not supported",
    );
    check(
        &|m| {
            m["format_version"] = 9.into();
            m["news"] = true.into();
        },
        "snapshot format 9 is not supported",
    );
    check(&|m| m["format"] = "other".into(), "not a snapshot");
    check(&|m| m["news"] = true.into(), "unknown field");
    check(&|m| m["chain"] = "ABC".into(), "SHA-256");
    check(
        &|m| drop(m["blobs"].as_array_mut().unwrap().pop()),
        "unexpected",
    );
    check(
        &|m| m["blobs"].as_array_mut().unwrap().reverse(),
        "order of blobs",
    );
    check(
        &|m| m["segments"][0]["size_bytes"] = (65_u64 << 20).into(),
        "bytes in one segment",
    );
    check(
        &|m| m["segments"][1]["size_bytes"] = 3.into(),
        "larger than listed",
    );
    check(
        &|m| m["blobs"][0]["size_bytes"] = (1_u64 << 50).into(),
        "bytes of content",
    );
    check(&|m| m["blobs"][0]["size_bytes"] = 4.into(), "lacks blobs/");
    assert!(open(&with_metadata(|_| {})).is_ok());
}

#[test]
fn refuses_manifests_out_of_order_or_with_bad_paths() {
    let file = r#"{"sha256":"HEX","size_bytes":3,"mode":420,"mtime_us":0}"#;
    let file = file.replace("HEX", &Digest::of(b"one").to_string());
    let decode = |paths: &[&str]| {
        let files: Vec<_> = paths
            .iter()
            .map(|path| format!("{path:?}:{file}"))
            .collect();
        manifest_json::decode(format!("{{{}}}", files.join(",")).as_bytes())
    };
    assert_eq!(decode(&["a/b", "a/c"]).unwrap().len(), 2);
    for paths in [
        &["a/c", "a/b"][..],
        &["a", "a"],
        &["../a"],
        &["/a"],
        &["a//b"],
        &[""],
    ] {
        assert!(decode(paths).is_err(), "{paths:?}");
    }
}

#[test]
fn refuses_cut_files_and_other_files() {
    let bytes = sample();
    for keep in [0, 1, 21, bytes.len() / 3, bytes.len() - 40, bytes.len() - 1] {
        assert!(
            matches!(open(&bytes[..keep]), Err(ContainerError::Truncated)),
            "{keep}"
        );
    }
    assert!(open(&[b'x'; 5000]).is_err());
}

#[test]
fn refuses_bombs() {
    // Declares little, unpacks to much.
    let mut zeros = parts(&sample());
    zeros[2].1 = vec![0; 30 << 20];
    assert!(refusal(&assemble(&zeros)).contains("larger than listed"));
    let tight = Limits {
        total_bytes_max: 1000,
        ..Limits::default()
    };
    let bytes = sample();
    let refused = Reader::open(Cursor::new(&bytes[..]), &tight);
    assert!(matches!(
        refused,
        Err(ContainerError::Limit {
            what: "bytes of content",
            ..
        })
    ));
    let few = Limits {
        entries_max: 5,
        ..Limits::default()
    };
    let refused = Reader::open(Cursor::new(&bytes[..]), &few);
    assert!(matches!(
        refused,
        Err(ContainerError::Limit {
            what: "entries",
            ..
        })
    ));
}

#[test]
fn imports_only_what_proves_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::local(dir.path()).unwrap();
    let mut damaged = parts(&sample());
    damaged[1].1[0] ^= 1;
    let damaged = assemble(&damaged);
    let mut reader = open(&damaged).unwrap();
    let runtime = runtime();
    let _guard = runtime.enter();
    let refused = reader.import_blobs(&store, &mut |_| {});
    assert!(matches!(refused, Err(ContainerError::Digest { .. })));
    for content in [b"one", b"two"] {
        let found = runtime
            .block_on(store.size_bytes(&Digest::of(content)))
            .unwrap();
        assert_eq!(found, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Export, import into an empty store, export again: the same bytes.
    #[test]
    fn export_import_export(
        files in proptest::collection::btree_map(
            "[a-z]{1,4}/[a-zé ]{1,8}x", proptest::collection::vec(any::<u8>(), 0..300), 0..10),
        segments in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..2000), 0..5),
    ) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files: Vec<_> = files.into_iter().collect();
        let (store, manifest) = stored(one.path(), &files);
        let first = export(&store, &manifest, &segments);

        let other = BlobStore::local(two.path()).unwrap();
        let mut reader = open(&first).unwrap();
        let runtime = runtime();
        let _guard = runtime.enter();
        reader.import_blobs(&other, &mut |_| {}).unwrap();
        let count = reader.metadata().segments();
        let read: Vec<_> = (0..count).map(|index| reader.segment(index).unwrap()).collect();
        prop_assert_eq!(&read, &segments);
        prop_assert_eq!(reader.manifest(), &manifest);
        prop_assert_eq!(reader.metadata().header(), header());
        let second = export(&other, reader.manifest(), &read);
        prop_assert_eq!(first, second);
    }

    /// Any flipped byte is found or has no effect on what is read.
    #[test]
    fn damage_is_found(at in 0_usize..100_000, bit in 0_u8..8) {
        let good = sample();
        let at = at % good.len();
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        if let Ok(mut reader) = open(&bytes)
            && reader.verify(&mut |_| {}).is_ok()
        {
            let mut original = open(&good).unwrap();
            prop_assert_eq!(reader.metadata(), original.metadata());
            for index in 0..2 {
                prop_assert_eq!(reader.segment(index).unwrap(), original.segment(index).unwrap());
            }
        }
    }
}
