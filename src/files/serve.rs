//! HTTP replies made of stored files: whole, in part, conditional; directory index and archive.
//!
//! Who may see what is decided before; here an entry becomes a reply. Large files are streamed;
//! small ones are read at once and the hot ones are kept in memory.
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use warp::Reply;

use super::blobs::BlobStore;
use super::digest::Digest;
use super::error::Result;
use super::manifest::{Entry, Manifest};
use super::pack::{Content, PackFormat, PackedFile, pack_stream};
use super::path::ResourcePath;
use conditions::{Answer, Conditions};

mod conditions;
#[cfg(test)]
mod tests;

type HttpResponse = warp::reply::Response;

/// Files up to this size are read in one go and may be kept.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// The index that travels inside the archive of a directory.
const INDEX_NAME: &str = ".cloudify-index.json";
/// Characters that `filename*` need not escape.
const EXTENDED_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// Serves files of the blob store.
#[derive(Debug, Clone)]
pub struct FileServer {
    blobs: BlobStore,
    hot: moka::sync::Cache<Digest, Bytes>,
}

/// A file somebody asked for.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// The file.
    pub entry: &'a Entry,
    /// Name to save it under.
    pub file_name: &'a str,
    /// Headers of the request: ranges and conditions.
    pub headers: &'a HeaderMap,
    /// Only the headers are wanted, so the content is not touched.
    pub is_head: bool,
}

impl FileServer {
    /// Keeps up to `cache_bytes_max` bytes of small files in memory.
    pub fn new(blobs: BlobStore, cache_bytes_max: u64) -> Self {
        // What the map itself needs per entry, so that many tiny files stay within the bound.
        const OVERHEAD_BYTES: u32 = 128;
        let weight = |_: &Digest, bytes: &Bytes| {
            u32::try_from(bytes.len())
                .unwrap_or(u32::MAX)
                .saturating_add(OVERHEAD_BYTES)
        };
        let hot = moka::sync::Cache::builder()
            .weigher(weight)
            .max_capacity(cache_bytes_max)
            .build();
        Self { blobs, hot }
    }

    /// The reply to a request for one file.
    pub async fn file(&self, download: Download<'_>) -> Result<HttpResponse> {
        let entry = download.entry;
        let etag = format!("\"{}\"", entry.digest);
        let modified = modified(entry);
        let conditions = Conditions {
            etag: &etag,
            modified,
            size_bytes: entry.size_bytes,
        };
        let answer = conditions.answer(download.headers);
        let (status, range) = match answer {
            Answer::Whole => (StatusCode::OK, 0..entry.size_bytes),
            Answer::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Answer::NotModified => (StatusCode::NOT_MODIFIED, 0..0),
            Answer::Failed => (StatusCode::PRECONDITION_FAILED, 0..0),
            Answer::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let size_bytes = entry.size_bytes;
        let mut response = match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT if !download.is_head => {
                self.content(entry, range.clone()).await?
            }
            _ => empty(),
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::ETAG, value(etag));
        headers.insert(
            header::LAST_MODIFIED,
            value(httpdate::fmt_http_date(modified)),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        match status {
            StatusCode::OK => attachment(headers, download.file_name, Some(size_bytes)),
            StatusCode::PARTIAL_CONTENT => {
                attachment(headers, download.file_name, Some(range.end - range.start));
                let text = format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1);
                headers.insert(header::CONTENT_RANGE, value(text));
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                headers.insert(
                    header::CONTENT_RANGE,
                    value(format!("bytes */{size_bytes}")),
                );
            }
            _ => {}
        }
        Ok(response)
    }

    /// The tree as tar.gz with its index inside; `None` when there is no such directory.
    pub fn archive(
        &self,
        manifest: &Manifest,
        directory: &ResourcePath,
        is_head: bool,
    ) -> Option<Result<HttpResponse>> {
        let index = index_json(manifest, directory)?;
        let file_name = format!("{}.tar.gz", directory.file_name());
        let files = match packed_files(manifest, directory, index) {
            Ok(files) => files,
            Err(error) => return Some(Err(error)),
        };
        let mut response = if is_head {
            empty()
        } else {
            let packed = pack_stream(self.blobs.clone(), PackFormat::TarGz, files);
            warp::reply::stream(packed).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        attachment(headers, &file_name, None);
        Some(Ok(response))
    }

    /// The tree as zip, whose paths begin with its name; `None` when there is no such directory.
    pub fn zipped(
        &self,
        manifest: &Manifest,
        directory: &ResourcePath,
        is_head: bool,
    ) -> Option<Result<HttpResponse>> {
        let name = directory.file_name();
        let mut files = match files_below(manifest, directory) {
            Ok(files) if files.is_empty() => return None,
            Ok(files) => files,
            Err(error) => return Some(Err(error)),
        };
        for file in &mut files {
            match ResourcePath::parse(&format!("{name}/{}", file.path)) {
                Ok(path) => file.path = path,
                Err(error) => return Some(Err(error.into())),
            }
        }
        let mut response = if is_head {
            empty()
        } else {
            let packed = pack_stream(self.blobs.clone(), PackFormat::Zip, files);
            warp::reply::stream(packed).into_response()
        };
        attachment(response.headers_mut(), &format!("{name}.zip"), None);
        Some(Ok(response))
    }

    async fn content(&self, entry: &Entry, range: std::ops::Range<u64>) -> Result<HttpResponse> {
        if entry.size_bytes <= SMALL_BYTES_MAX {
            let bytes = self.small(&entry.digest).await?;
            let slice = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let part = bytes.slice(slice(range.start)..slice(range.end));
            return Ok(Response::new(part.into()));
        }
        let stream = self.blobs.stream(&entry.digest, range).await?;
        Ok(warp::reply::stream(Shareable::new(stream)).into_response())
    }

    async fn small(&self, digest: &Digest) -> Result<Bytes> {
        if let Some(bytes) = self.hot.get(digest) {
            return Ok(bytes);
        }
        let bytes = self.blobs.bytes(digest).await?;
        self.hot.insert(*digest, bytes.clone());
        Ok(bytes)
    }
}

/// The files below a directory with their times, as JSON; `None` when there is none.
pub fn index_json(manifest: &Manifest, directory: &ResourcePath) -> Option<String> {
    let mut index = serde_json::Map::new();
    for (path, entry) in manifest.below(directory) {
        let relative = path.below(directory)?.to_owned();
        index.insert(relative, entry.mtime_iso().into());
    }
    (!index.is_empty()).then(|| serde_json::Value::Object(index).to_string())
}

fn packed_files(
    manifest: &Manifest,
    directory: &ResourcePath,
    index: String,
) -> Result<Vec<PackedFile>> {
    let mut files = vec![PackedFile {
        path: ResourcePath::parse(INDEX_NAME)?,
        mode: 0o644,
        mtime_s: 0,
        size_bytes: index.len() as u64,
        content: Content::Bytes(index.into()),
    }];
    let index = ResourcePath::parse(INDEX_NAME)?;
    let others = files_below(manifest, directory)?.into_iter();
    files.extend(others.filter(|file| file.path != index));
    Ok(files)
}

fn files_below(manifest: &Manifest, directory: &ResourcePath) -> Result<Vec<PackedFile>> {
    let mut files = Vec::new();
    for (path, entry) in manifest.below(directory) {
        let relative = path.below(directory).unwrap_or_default();
        files.push(PackedFile {
            path: ResourcePath::parse(relative)?,
            mode: entry.mode,
            mtime_s: entry.mtime_us.div_euclid(1_000_000),
            size_bytes: entry.size_bytes,
            content: Content::Blob(entry.digest),
        });
    }
    Ok(files)
}

/// HTTP dates have whole seconds, and none before 1970.
fn modified(entry: &Entry) -> SystemTime {
    let seconds = u64::try_from(entry.mtime_us.div_euclid(1_000_000)).unwrap_or_default();
    // The last date that has four digits for its year.
    const YEAR_9999_S: u64 = 253_402_300_799;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(YEAR_9999_S))
}

fn attachment(headers: &mut HeaderMap, file_name: &str, size_bytes: Option<u64>) {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        "content-description",
        HeaderValue::from_static("File Transfer"),
    );
    headers.insert(header::CONTENT_DISPOSITION, disposition(file_name));
    if let Some(size_bytes) = size_bytes {
        headers.insert(header::CONTENT_LENGTH, size_bytes.into());
    }
}

/// The plain form alone wherever it can say the name: the client reads no other.
fn disposition(file_name: &str) -> HeaderValue {
    let plain: String = file_name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .map(|c| if matches!(c, '"' | '\\') { '_' } else { c })
        .collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != file_name {
        let extended = utf8_percent_encode(file_name, EXTENDED_VALUE);
        text = format!("{text}; filename*=UTF-8''{extended}");
    }
    value(text)
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of visible ASCII characters")
}

fn empty() -> HttpResponse {
    Response::new(Bytes::new().into())
}

/// Makes a stream shareable, as reply bodies must be. It is only ever polled through `&mut`, so
/// the lock is never taken.
pub struct Shareable<T>(Mutex<BoxStream<'static, T>>);

impl<T> Shareable<T> {
    /// Of a stream that is not.
    pub fn new(stream: BoxStream<'static, T>) -> Self {
        Self(Mutex::new(stream))
    }
}

impl<T> std::fmt::Debug for Shareable<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shareable")
    }
}

impl<T> Stream for Shareable<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.0.get_mut() {
            Ok(stream) => stream.as_mut().poll_next(cx),
            Err(poisoned) => poisoned.into_inner().as_mut().poll_next(cx),
        }
    }
}
