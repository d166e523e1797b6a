//! The blob store, local and remote, through the same cases.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::io::Read;

use super::*;

struct Case {
    store: BlobStore,
    _dir: tempfile::TempDir,
}

fn cases() -> Vec<Case> {
    let dir = tempfile::tempdir().unwrap();
    let local = Case {
        store: BlobStore::local(dir.path()).unwrap(),
        _dir: dir,
    };
    let dir = tempfile::tempdir().unwrap();
    let memory = Arc::new(object_store::memory::InMemory::new());
    let store = BlobStore::remote(memory, ObjectPath::from("some/prefix"), dir.path()).unwrap();
    vec![local, Case { store, _dir: dir }]
}

fn chunks(parts: &[&'static str]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| Ok(Bytes::from_static(part.as_bytes())))
        .collect();
    futures::stream::iter(parts)
}

async fn collect(stream: BoxStream<'static, Result<Bytes>>) -> Vec<u8> {
    stream.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
async fn keeps_content_under_its_digest() {
    for Case { store, _dir } in cases() {
        let stored = store
            .put_stream(chunks(&["hello ", "", "world"]), 100)
            .await
            .unwrap();
        assert_eq!(
            stored,
            Stored {
                digest: Digest::of(b"hello world"),
                size_bytes: 11
            }
        );
        let again = store
            .put_bytes(Bytes::from_static(b"hello world"))
            .await
            .unwrap();
        assert_eq!(again, stored);
        let digest = &stored.digest;
        assert_eq!(store.bytes(digest).await.unwrap(), "hello world");
        assert_eq!(
            collect(store.stream(digest, 6..9).await.unwrap()).await,
            b"wor"
        );
        assert_eq!(
            collect(store.stream(digest, 11..11).await.unwrap()).await,
            b""
        );
        assert_eq!(store.size_bytes(digest).await.unwrap(), Some(11));
        assert_eq!(store.verify(digest).await.unwrap(), 11);
        let mut text = String::new();
        store
            .open(digest)
            .await
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "hello world");
        let listed: Vec<_> = store.list().try_collect().await.unwrap();
        assert_eq!(listed, [stored]);
        store.remove(digest).await.unwrap();
        store.remove(digest).await.unwrap();
        assert!(matches!(store.bytes(digest).await, Err(Error::BlobMissing(d)) if d == *digest));
        assert!(matches!(
            store.stream(digest, 0..1).await,
            Err(Error::BlobMissing(_))
        ));
        assert_eq!(store.size_bytes(digest).await.unwrap(), None);
    }
}

#[tokio::test]
async fn refuses_too_much_and_leaves_nothing() {
    for Case { store, _dir } in cases() {
        let refused = store.put_stream(chunks(&["12345", "67890"]), 9).await;
        assert!(matches!(refused, Err(Error::TooLarge { limit_bytes: 9 })));
        let mut reader = &b"1234567890"[..];
        let refused = store.stage_reader(&mut reader, 9);
        assert!(matches!(refused, Err(Error::TooLarge { limit_bytes: 9 })));
        let exact = store
            .put_stream(chunks(&["12345", "6789"]), 9)
            .await
            .unwrap();
        assert_eq!(exact.size_bytes, 9);
        let listed: Vec<_> = store.list().try_collect().await.unwrap();
        assert_eq!(listed, [exact]);
    }
}

#[tokio::test]
async fn broken_upload_leaves_nothing() {
    for Case { store, _dir } in cases() {
        let broken = chunks(&["abc"]).chain(futures::stream::iter([Err(io::Error::other(
            "connection reset",
        ))]));
        let refused = store.put_stream(broken, 100).await;
        assert!(matches!(refused, Err(Error::Upload(_))), "{refused:?}");
        assert_eq!(store.list().try_collect::<Vec<_>>().await.unwrap(), []);
    }
}

#[tokio::test]
async fn commits_many_files_at_once() {
    for Case { store, _dir } in cases() {
        let staged: Vec<_> = (0..2000_u32)
            .map(|n| {
                store
                    .stage_reader(&mut &(n / 2).to_be_bytes()[..], 4)
                    .unwrap()
            })
            .collect();
        store.commit(staged).await.unwrap();
        assert_eq!(
            store.list().try_collect::<Vec<_>>().await.unwrap().len(),
            1000
        );
        let last = Digest::of(&999_u32.to_be_bytes());
        assert_eq!(store.verify(&last).await.unwrap(), 4);
        assert_eq!(fs::read_dir(&store.spool).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn damage_is_found_and_a_cut_blob_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::local(dir.path()).unwrap();
    let content = Bytes::from_static(b"precious");
    let stored = store.put_bytes(content.clone()).await.unwrap();
    let path = store.local_path(&stored.digest).unwrap();
    fs::write(&path, b"precioUs").unwrap();
    let damaged = store.verify(&stored.digest).await;
    assert!(
        matches!(damaged, Err(Error::BlobDamaged { expected, .. }) if expected == stored.digest)
    );
    fs::write(&path, b"prec").unwrap();
    store.put_bytes(content).await.unwrap();
    assert_eq!(store.verify(&stored.digest).await.unwrap(), 8);
}

#[tokio::test]
async fn starting_again_clears_old_spool_files_and_keeps_the_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::local(dir.path()).unwrap();
    let stored = store.put_bytes(Bytes::from_static(b"kept")).await.unwrap();
    let old = File::create(dir.path().join("spool/blob-left-behind")).unwrap();
    old.set_modified(std::time::SystemTime::now() - 2 * SPOOL_AGE_MAX)
        .unwrap();
    fs::write(dir.path().join("spool/blob-in-use"), b"half").unwrap();
    let again = BlobStore::local(dir.path()).unwrap();
    let left: Vec<_> = fs::read_dir(dir.path().join("spool")).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].as_ref().unwrap().file_name(), "blob-in-use");
    assert_eq!(again.bytes(&stored.digest).await.unwrap(), "kept");
}

#[test]
fn addresses() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().to_str().unwrap();
    assert!(BlobStore::open_url(text, dir.path()).is_ok());
    assert!(BlobStore::open_url(&format!("file://{text}"), dir.path()).is_ok());
    for bad in ["ftp://host/x", "gs://bucket", "file://otherhost/x", "://"] {
        let refused = BlobStore::open_url(bad, dir.path());
        assert!(matches!(refused, Err(Error::StoreUrl { .. })), "{bad}");
    }
    let s3 = BlobStore::open_url("s3://bucket/prefix", dir.path());
    assert_eq!(s3.is_ok(), cfg!(feature = "s3"));
}
