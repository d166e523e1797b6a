//! Packing: deterministic, and what comes out unpacks to what went in.
#![allow(clippy::unwrap_used, reason = "tests")]
use futures::TryStreamExt;
use proptest::prelude::*;

use super::*;
use crate::files::archive::{Limits, walk};

fn file(path: &str, content: &str) -> PackedFile {
    PackedFile {
        path: ResourcePath::parse(path).unwrap(),
        mode: 0o755,
        mtime_s: 1_795_367_973,
        size_bytes: content.len() as u64,
        content: Content::Bytes(content.to_owned().into()),
    }
}

fn unpack(packed: Vec<u8>) -> Vec<(String, u32, String)> {
    let mut files = Vec::new();
    walk(
        &mut io::Cursor::new(packed),
        &Limits::default(),
        &mut |member, content| {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            files.push((member.path.as_str().to_owned(), member.mode, text));
            Ok(())
        },
    )
    .unwrap();
    files
}

fn store() -> (BlobStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (BlobStore::local(dir.path()).unwrap(), dir)
}

#[tokio::test]
async fn streams_blobs_and_bytes() {
    let (blobs, _dir) = store();
    let stored = blobs
        .put_bytes(Bytes::from(vec![b'x'; 300_000]))
        .await
        .unwrap();
    let mut big = file("dep/big", "");
    big.content = Content::Blob(stored.digest);
    big.size_bytes = stored.size_bytes;
    for format in [PackFormat::TarGz, PackFormat::Zip] {
        let files = vec![big.clone(), file("dep/a", "hello")];
        let packed: Vec<_> = pack_stream(blobs.clone(), format, files)
            .try_collect()
            .await
            .unwrap();
        let unpacked = unpack(packed.concat());
        assert_eq!(unpacked[0], ("dep/a".into(), 0o755, "hello".into()));
        assert_eq!(unpacked[1].2.len(), 300_000);
    }
}

#[tokio::test]
async fn a_missing_or_wrong_blob_ends_the_stream_with_an_error() {
    let (blobs, _dir) = store();
    let stored = blobs.put_bytes(Bytes::from_static(b"four")).await.unwrap();
    for (digest, size_bytes) in [
        (Digest::of(b"absent"), 6),
        (stored.digest, 5),
        (stored.digest, 3),
    ] {
        let mut broken = file("dep/b", "");
        broken.content = Content::Blob(digest);
        broken.size_bytes = size_bytes;
        for format in [PackFormat::TarGz, PackFormat::Zip] {
            let files = vec![file("dep/a", "hello"), broken.clone()];
            let outcome: Result<Vec<_>> = pack_stream(blobs.clone(), format, files)
                .try_collect()
                .await;
            assert!(outcome.is_err(), "{size_bytes} {format:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn same_tree_same_bytes(
        tree in proptest::collection::btree_map("[a-z]{1,3}/[a-zé ]{1,90}x", "\\PC{0,200}", 0..8)
    ) {
        let (blobs, _dir) = store();
        let forward: Vec<_> = tree.iter().map(|(path, content)| file(path, content)).collect();
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        for format in [PackFormat::TarGz, PackFormat::Zip] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            pack(&blobs, format, forward.clone(), &mut one).unwrap();
            pack(&blobs, format, backward.clone(), &mut two).unwrap();
            prop_assert_eq!(&one, &two);
            let expected: Vec<_> =
                tree.iter().map(|(p, c)| (p.clone(), 0o755, c.clone())).collect();
            prop_assert_eq!(unpack(one), expected);
        }
    }
}
