//! The version segment of paths.
use std::str::FromStr;

/// A version of the API, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1`
    V1,
    /// `v2`
    V2,
    /// `v2.1`
    V2_1,
    /// `v3`
    V3,
    /// `v3.1`
    V3_1,
}

/// The segment names no version we speak.
#[derive(Debug, thiserror::Error)]
#[error("unknown version of the API")]
pub struct UnknownVersion;

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            "v2.1" => Ok(Self::V2_1),
            "v3" => Ok(Self::V3),
            "v3.1" => Ok(Self::V3_1),
            _ => Err(UnknownVersion),
        }
    }
}

impl Version {
    /// The version a path asks for; the newest where it names none.
    pub(super) fn of_path(path: &str) -> Self {
        path.strip_prefix("/api/")
            .and_then(|rest| rest.split('/').next())
            .and_then(|segment| segment.parse().ok())
            .unwrap_or(Self::V3_1)
    }
}
