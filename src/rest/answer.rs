//! What a handler answers with: a JSON body, and the position it is true at.
use bytes::Bytes;
use serde::Serialize;

use crate::error::Error;

/// An answer that is not yet a response: the status is the route's.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) body: Bytes,
    pub(super) position: Option<i64>,
    pub(super) since: Option<i64>,
}

impl Answer {
    /// A value as JSON.
    ///
    /// # Errors
    /// `Internal` when it cannot be serialised.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Ok(Self::text(
            serde_json::to_vec(value).map_err(Error::internal)?,
        ))
    }

    /// A JSON text as it is.
    pub fn text(json: impl Into<Bytes>) -> Self {
        Self {
            body: json.into(),
            position: None,
            since: None,
        }
    }

    /// `null`, where clients expect some JSON.
    pub fn null() -> Self {
        Self::text("null")
    }

    /// Of a resource that is what it is since this position: its entity tag.
    #[must_use]
    pub fn since(mut self, position: i64) -> Self {
        self.since = Some(position);
        self
    }

    /// True at this position.
    #[must_use]
    pub fn at(mut self, position: i64) -> Self {
        self.position = Some(position);
        self
    }
}
