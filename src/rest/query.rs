//! The query of a request: repeated keys, flags, numbers.
use std::borrow::Cow;

use crate::error::Error;

/// Keys and values, decoded, in order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: &str) -> Self {
        let pairs = url::form_urlencoded::parse(raw.as_bytes());
        Self(
            pairs
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// A query of these keys and values.
    pub(super) fn of(terms: &[(String, String)]) -> Self {
        Self(terms.to_vec())
    }

    /// First value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// 400.
    pub fn required(&self, key: &str) -> Result<&str, Error> {
        self.get(key).ok_or_else(|| {
            Error::bad_parameters(format!("Missing required parameter in the query: {key}"))
        })
    }

    /// A flag: `true`, `false`, `1`, `0` in any case; false when absent.
    ///
    /// # Errors
    /// 400.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        Ok(self.optional_flag(key)?.unwrap_or(false))
    }

    /// A flag that may be absent.
    ///
    /// # Errors
    /// 400.
    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(Error::bad_parameters(format!(
                "{key} is expected to be true or false, but is `{}`",
                shown(value)
            ))),
        }
    }

    /// A number from 0.
    ///
    /// # Errors
    /// 400.
    pub fn number(&self, key: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Some(number)),
            _ => Err(Error::bad_parameters(format!(
                "{key} is expected to be a number not below 0, but is `{}`",
                shown(value)
            ))),
        }
    }
}

/// A value of a client within a message.
pub(super) fn shown(value: &str) -> Cow<'_, str> {
    const SHOWN_CHARS_MAX: usize = 100;
    match value.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => Cow::Owned(format!("{}…", value.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(value),
    }
}
