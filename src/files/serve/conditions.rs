//! Conditional and range requests, in the order of precedence of RFC 9110.
use std::ops::Range;
use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName};

/// What a file can be compared by.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    /// Strong validator, with quotes.
    pub(super) etag: &'a str,
    /// Whole seconds.
    pub(super) modified: SystemTime,
    pub(super) size_bytes: u64,
}

/// What to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Whole,
    Part(Range<u64>),
    NotModified,
    Failed,
    Unsatisfiable,
}

impl Conditions<'_> {
    pub(super) fn answer(&self, headers: &HeaderMap) -> Answer {
        if headers.contains_key(header::IF_MATCH) {
            if !self.is_listed(headers, header::IF_MATCH, Strength::Strong) {
                return Answer::Failed;
            }
        } else if date(headers, header::IF_UNMODIFIED_SINCE).is_some_and(|t| self.modified > t) {
            return Answer::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            if self.is_listed(headers, header::IF_NONE_MATCH, Strength::Weak) {
                return Answer::NotModified;
            }
        } else if date(headers, header::IF_MODIFIED_SINCE).is_some_and(|t| self.modified <= t) {
            return Answer::NotModified;
        }
        match text(headers, header::RANGE) {
            Some(range) if self.is_range_current(headers) => self.range(range),
            _ => Answer::Whole,
        }
    }

    fn is_listed(&self, headers: &HeaderMap, name: HeaderName, strength: Strength) -> bool {
        let lists = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        // Our tags hold no comma, so a list may be split blindly.
        lists
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| match strength {
                Strength::Strong => tag == "*" || tag == self.etag,
                Strength::Weak => tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag,
            })
    }

    /// `If-Range`: the client's part is of the same file.
    fn is_range_current(&self, headers: &HeaderMap) -> bool {
        match text(headers, header::IF_RANGE) {
            None => !headers.contains_key(header::IF_RANGE),
            Some(tag) if tag.starts_with('"') || tag.starts_with("W/") => tag == self.etag,
            Some(_) => date(headers, header::IF_RANGE).is_some_and(|t| t == self.modified),
        }
    }

    /// One range is served; several, or what is no range at all, get the whole file, as the RFC
    /// allows: multipart replies are not worth their attack surface.
    fn range(&self, text: &str) -> Answer {
        let Some(spec) = text.strip_prefix("bytes=").map(str::trim) else {
            return Answer::Whole;
        };
        let Some((first, last)) = spec.split_once('-') else {
            return Answer::Whole;
        };
        let size = self.size_bytes;
        let range = match (number(first), number(last)) {
            (Some(Some(first)), Some(None)) => first..size,
            (Some(Some(first)), Some(Some(last))) if first <= last => {
                first..last.saturating_add(1).min(size)
            }
            (Some(None), Some(Some(tail))) => size.saturating_sub(tail)..size,
            _ => return Answer::Whole,
        };
        if range.is_empty() {
            return Answer::Unsatisfiable;
        }
        Answer::Part(range)
    }
}

#[derive(Clone, Copy)]
enum Strength {
    Strong,
    Weak,
}

/// Outer `None`: no number. Inner `None`: left out.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are beyond the end of any file.
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}
