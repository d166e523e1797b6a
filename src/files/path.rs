//! Paths of the resource directory: one canonical spelling, and who owns what by the first segment.
//!
//! What stands below `/resources/` is checked once, on the decoded and validated path, for every
//! method. A first segment that is not in the table is denied.
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

#[cfg(test)]
mod tests;

/// Longest path.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest segment, the limit of common file systems.
pub const SEGMENT_BYTES_MAX: usize = 255;
/// Deepest nesting.
pub const SEGMENTS_MAX: usize = 64;

/// Characters of a segment that an URL must escape.
pub(crate) const SEGMENT_ESCAPES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a text is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing left to name a file.
    #[error("the path is empty")]
    Empty,
    /// Starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// `a//b` or `a/`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("the path has a relative segment")]
    Relative,
    /// Control characters, NUL, backslash, or a slash hidden by an escape.
    #[error("the path has a forbidden character")]
    Character,
    /// Not UTF-8 after decoding, or a broken escape.
    #[error("the path is not encoded properly")]
    Encoding,
    /// Over one of the limits.
    #[error("the path is too long or too deep")]
    TooLong,
}

/// A file or directory of the resource directory: relative, canonical, harmless.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourcePath(Arc<str>);

/// What an URL asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The canonical path.
    pub path: ResourcePath,
    /// A trailing slash asks for a directory.
    pub is_directory: bool,
}

impl ResourcePath {
    /// From plain text that is already decoded: archive members, form fields, stored paths.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        let mut segments = 0;
        for segment in text.split('/') {
            check_segment(segment)?;
            segments += 1;
        }
        if segments > SEGMENTS_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// From the raw part of an URL below `/resources/`. Escapes are decoded once, segment by
    /// segment, so an escaped slash cannot make a new segment. Repeated slashes count as one, as in
    /// the reference's proxy; what is checked and what is served is the same canonical path.
    pub fn from_url(raw: &str) -> Result<Requested, PathError> {
        let is_directory = raw.ends_with('/');
        let mut text = String::with_capacity(raw.len());
        for segment in raw.split('/').filter(|segment| !segment.is_empty()) {
            let decoded = decode(segment)?;
            if decoded.contains('/') {
                return Err(PathError::Character);
            }
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(&decoded);
        }
        Ok(Requested {
            path: Self::parse(&text)?,
            is_directory,
        })
    }

    /// The path below this one.
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        if relative.starts_with('/') {
            return Err(PathError::Absolute);
        }
        Self::parse(&format!("{}/{relative}", self.0))
    }

    /// Escaped for an URL, without a leading slash.
    pub fn to_url(&self) -> String {
        let escaped: Vec<String> = self
            .segments()
            .map(|segment| utf8_percent_encode(segment, SEGMENT_ESCAPES).to_string())
            .collect();
        escaped.join("/")
    }

    /// The text, without leading or trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether this is `directory` or lies below it (by whole segments).
    pub fn is_within(&self, directory: &ResourcePath) -> bool {
        self == directory || self.below(directory).is_some()
    }

    /// The part below `directory`; `None` when this lies elsewhere.
    pub fn below(&self, directory: &ResourcePath) -> Option<&str> {
        self.0.strip_prefix(directory.as_str())?.strip_prefix('/')
    }

    /// Who owns it.
    pub fn class(&self) -> Class<'_> {
        classify(&self.0)
    }
}

/// Lets sorted maps be searched by plain text, as for the range below a directory.
impl Borrow<str> for ResourcePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourcePath({:?})", self.0)
    }
}

/// Directories that belong to a tenant, named by the second segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantArea {
    /// Unpacked blueprints.
    Blueprints,
    /// Blueprint archives as uploaded.
    UploadedBlueprints,
    /// Working directories of deployments.
    Deployments,
    /// What administrators of a tenant put there.
    TenantResources,
}

/// Who may have to do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class<'a> {
    /// Of one tenant. `item` is the blueprint or deployment, or the first name in tenant-resources.
    Tenant {
        /// Which directory.
        area: TenantArea,
        /// Whose.
        tenant: &'a str,
        /// Third segment.
        item: Option<&'a str>,
    },
    /// Of a plugin, so of the plugin's tenant.
    Plugin {
        /// Id of the plugin.
        id: &'a str,
    },
    /// A snapshot: holds everything of everybody.
    Snapshot {
        /// Id of the snapshot.
        id: &'a str,
    },
    /// A bundle of logs of all tenants.
    LogBundle {
        /// Id of the bundle.
        id: &'a str,
    },
    /// For every authenticated caller to read, for administrators to write.
    Shared,
    /// Agent packages: read without authentication, before there are credentials.
    Public,
    /// Nobody's business.
    Denied,
}

fn classify(path: &str) -> Class<'_> {
    let mut segments = path.split('/');
    let first = segments.next().unwrap_or_default();
    // Names with a leading dot are internal (`.uploading`), as owner they name nobody.
    let second = segments.next().filter(|name| !name.starts_with('.'));
    let item = segments.next();
    let tenant = |area| match second {
        Some(tenant) => Class::Tenant { area, tenant, item },
        None => Class::Denied,
    };
    match (first, second) {
        ("blueprints", _) => tenant(TenantArea::Blueprints),
        ("uploaded-blueprints", _) => tenant(TenantArea::UploadedBlueprints),
        ("deployments", _) => tenant(TenantArea::Deployments),
        ("tenant-resources", _) => tenant(TenantArea::TenantResources),
        ("plugins", Some(id)) => Class::Plugin { id },
        ("snapshots", Some(id)) => Class::Snapshot { id },
        ("log_bundles", Some(id)) => Class::LogBundle {
            id: id.strip_suffix(".zip").unwrap_or(id),
        },
        ("packages" | "cloudify" | "spec" | "global-resources", Some(_)) => Class::Shared,
        ("cloudify_agent", Some(_)) => Class::Public,
        _ => Class::Denied,
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    if segment.is_empty() {
        return Err(PathError::EmptySegment);
    }
    if segment == "." || segment == ".." {
        return Err(PathError::Relative);
    }
    if segment.len() > SEGMENT_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if segment.chars().any(|c| c.is_control() || c == '\\') {
        return Err(PathError::Character);
    }
    Ok(())
}

/// Strict: a `%` must be followed by two hexadecimal digits and the result must be UTF-8.
fn decode(segment: &str) -> Result<String, PathError> {
    let mut rest = segment.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(PathError::Encoding),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    match percent_decode_str(segment).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(PathError::Encoding),
    }
}
