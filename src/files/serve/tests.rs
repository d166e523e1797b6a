//! Replies made of files: ranges, conditions, names, index and archive.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::io::Read;

use http_body_util::BodyExt;

use super::*;
use crate::files::manifest::Change;

struct Fixture {
    server: FileServer,
    manifest: Manifest,
    _dir: tempfile::TempDir,
}

const LARGE: usize = 300_000;

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::local(dir.path()).unwrap();
    let large: Vec<u8> = (0..LARGE).map(|n| (n % 251) as u8).collect();
    let mut manifest = Manifest::default();
    for (name, content) in [
        ("d/t/dep/small.txt", b"0123456789".to_vec()),
        ("d/t/dep/sub/large", large),
        ("d/t/dep/empty", vec![]),
    ] {
        let stored = blobs.put_bytes(content.into()).await.unwrap();
        let entry = Entry {
            digest: stored.digest,
            size_bytes: stored.size_bytes,
            mode: 0o644,
            mtime_us: 784_111_777_500_000,
        };
        manifest.apply(&Change::FilesStored {
            entries: vec![(path(name), entry)],
        });
    }
    Fixture {
        server: FileServer::new(blobs, 1 << 20),
        manifest,
        _dir: dir,
    }
}

impl Fixture {
    async fn get(&self, name: &str, headers: &[(&'static str, &str)]) -> (Response<()>, Bytes) {
        self.request(name, headers, false).await
    }

    async fn request(
        &self,
        name: &str,
        headers: &[(&'static str, &str)],
        is_head: bool,
    ) -> (Response<()>, Bytes) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let path = path(name);
        let entry = self.manifest.get(&path).unwrap();
        let file_name = path.file_name();
        let download = Download {
            entry,
            file_name,
            headers: &headers,
            is_head,
        };
        let (parts, body) = self.server.file(download).await.unwrap().into_parts();
        (
            Response::from_parts(parts, ()),
            body.collect().await.unwrap().to_bytes(),
        )
    }
}

fn field<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn whole_files_small_large_and_empty() {
    let fixture = fixture().await;
    for (name, size) in [
        ("d/t/dep/small.txt", 10),
        ("d/t/dep/sub/large", LARGE),
        ("d/t/dep/empty", 0),
    ] {
        for _ in 0..2 {
            let (response, body) = fixture.get(name, &[]).await;
            assert_eq!(response.status(), 200);
            assert_eq!(body.len(), size);
            assert_eq!(field(&response, "content-length"), size.to_string());
            assert_eq!(field(&response, "content-type"), "application/octet-stream");
            assert_eq!(
                field(&response, "etag"),
                format!("\"{}\"", Digest::of(&body))
            );
            assert_eq!(
                field(&response, "last-modified"),
                "Sun, 06 Nov 1994 08:49:37 GMT"
            );
            assert_eq!(field(&response, "accept-ranges"), "bytes");
        }
    }
    let (response, _) = fixture.get("d/t/dep/small.txt", &[]).await;
    assert_eq!(
        field(&response, "content-disposition"),
        "attachment; filename=\"small.txt\""
    );
    let (response, body) = fixture.request("d/t/dep/sub/large", &[], true).await;
    assert_eq!(field(&response, "content-length"), LARGE.to_string());
    assert!(body.is_empty());
}

#[tokio::test]
async fn ranges() {
    let fixture = fixture().await;
    let table = [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=-200", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=5-500", 206, "56789", "bytes 5-9/10"),
        ("bytes=9-99999999999999999999999", 206, "9", "bytes 9-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=10-12", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=3-1", 200, "0123456789", ""),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
        ("bytes=a-b", 200, "0123456789", ""),
        ("bytes=+1-2", 200, "0123456789", ""),
        ("bytes=-", 200, "0123456789", ""),
        ("lines=0-3", 200, "0123456789", ""),
    ];
    for (range, status, content, content_range) in table {
        let (response, body) = fixture.get("d/t/dep/small.txt", &[("range", range)]).await;
        assert_eq!(response.status(), status, "{range}");
        assert_eq!(body, content, "{range}");
        assert_eq!(field(&response, "content-range"), content_range, "{range}");
        if status != 416 {
            assert_eq!(
                field(&response, "content-length"),
                content.len().to_string()
            );
        }
    }
    let range = [("range", "bytes=100000-200001")];
    let (response, body) = fixture.get("d/t/dep/sub/large", &range).await;
    assert_eq!(response.status(), 206);
    assert_eq!(body.len(), 100_002);
    assert_eq!(body[0], (100_000 % 251) as u8);
    let (response, _) = fixture.get("d/t/dep/empty", &[("range", "bytes=0-")]).await;
    assert_eq!(response.status(), 416);
}

#[tokio::test]
async fn conditions() {
    let fixture = fixture().await;
    let etag = &*format!("\"{}\"", Digest::of(b"0123456789"));
    let weak = &*format!("W/{etag}");
    let listed = &*format!("\"x\", {etag}");
    let (same, before, after) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:36 GMT",
        "Sun, 06 Nov 1994 08:49:38 GMT",
    );
    let part = ("range", "bytes=0-3");
    let table: &[(&[(&'static str, &str)], u16)] = &[
        (&[("if-none-match", etag)], 304),
        (&[("if-none-match", weak)], 304),
        (&[("if-none-match", listed)], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"x\"")], 200),
        (
            &[("if-none-match", "\"x\""), ("if-modified-since", after)],
            200,
        ),
        (&[("if-modified-since", same)], 304),
        (&[("if-modified-since", after)], 304),
        (&[("if-modified-since", before)], 200),
        (&[("if-modified-since", "yesterday")], 200),
        (&[("if-match", etag)], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", weak)], 412),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-match", etag), ("if-unmodified-since", before)], 200),
        (&[("if-unmodified-since", before)], 412),
        (&[("if-unmodified-since", same)], 200),
        (&[part, ("if-range", etag)], 206),
        (&[part, ("if-range", weak)], 200),
        (&[part, ("if-range", "\"x\"")], 200),
        (&[part, ("if-range", same)], 206),
        (&[part, ("if-range", before)], 200),
        (&[part, ("if-none-match", etag)], 304),
    ];
    for (headers, status) in table {
        let (response, body) = fixture.get("d/t/dep/small.txt", headers).await;
        assert_eq!(response.status(), *status, "{headers:?}");
        assert_eq!(field(&response, "etag"), etag, "{headers:?}");
        if matches!(status, 304 | 412) {
            assert!(body.is_empty());
        }
    }
}

#[test]
fn file_names() {
    let name = |text: &str| disposition(text).to_str().unwrap().to_owned();
    assert_eq!(name("a b.zip"), "attachment; filename=\"a b.zip\"");
    assert_eq!(
        name("a\"b\\é.zip"),
        "attachment; filename=\"a_b__.zip\"; filename*=UTF-8''a%22b%5C%C3%A9.zip"
    );
}

#[tokio::test]
async fn directories_as_index_and_archive() {
    let fixture = fixture().await;
    let index = index_json(&fixture.manifest, &path("d/t/dep")).unwrap();
    let time = "1994-11-06T08:49:37.500000+00:00";
    let expected = format!(r#"{{"empty":"{time}","small.txt":"{time}","sub/large":"{time}"}}"#);
    assert_eq!(index, expected);
    assert_eq!(index_json(&fixture.manifest, &path("d/t/none")), None);
    assert!(
        fixture
            .server
            .archive(&fixture.manifest, &path("d/t/none"), false)
            .is_none()
    );

    let reply = fixture
        .server
        .archive(&fixture.manifest, &path("d/t/dep"), false);
    let (parts, body) = reply.unwrap().unwrap().into_parts();
    let header = &parts.headers["content-disposition"];
    assert_eq!(header, "attachment; filename=\"dep.tar.gz\"");
    let body = body.collect().await.unwrap().to_bytes();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&body[..]));
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.push((entry.path().unwrap().display().to_string(), content));
    }
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [INDEX_NAME, "empty", "small.txt", "sub/large"]);
    assert_eq!(files[0].1, expected.as_bytes());
    assert_eq!(files[2].1, b"0123456789");
}

#[tokio::test]
async fn a_missing_blob_is_an_error_and_not_a_short_file() {
    let fixture = fixture().await;
    for name in ["d/t/dep/small.txt", "d/t/dep/sub/large"] {
        let path = path(name);
        let entry = fixture.manifest.get(&path).unwrap();
        fixture.server.blobs.remove(&entry.digest).await.unwrap();
        let headers = HeaderMap::new();
        let download = Download {
            entry,
            file_name: path.file_name(),
            headers: &headers,
            is_head: false,
        };
        let refused = fixture.server.file(download).await;
        assert!(matches!(refused, Err(crate::files::Error::BlobMissing(_))));
    }
}
