//! A path segment, percent-decoded.
use std::{convert::Infallible, str::FromStr};

use percent_encoding::percent_decode_str;

/// A path segment as the client meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment(pub String);

impl FromStr for Segment {
    type Err = Infallible;

    /// What is no UTF-8 stays with replacement characters: no resource is named so, and it ends as
    /// a plain 404.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(
            percent_decode_str(text).decode_utf8_lossy().into_owned(),
        ))
    }
}
