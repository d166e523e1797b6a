//! The values blueprints are made of: JSON whose parts are shared.
//!
//! A plan repeats itself a great deal: each node shows all operations of its type, twice. Copies of
//! lists, maps and texts here share what they hold until one of them is changed, so a plan costs
//! what its blueprint says and not what it repeats. Maps keep the order of the document.
#[cfg(test)]
mod brackets;
mod convert;
mod index;
mod list;
mod map;
mod memo;
mod number;
mod serial;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use index::Index;
pub use list::List;
pub use map::Map;
pub(crate) use memo::Memo;

use serde_json::Number;

/// A JSON value. Cloning takes constant time.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(Arc<str>),
    Array(List),
    Object(Map),
}

impl Value {
    pub fn get(&self, index: impl Index) -> Option<&Value> {
        index.of(self)
    }

    pub fn get_mut(&mut self, index: impl Index) -> Option<&mut Value> {
        index.of_mut(self)
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&List> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_array_mut(&mut self) -> Option<&mut List> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    /// The value, with null left in its place.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// As JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A map of keys to anything that makes a value: `object! { "id": id, "count": 3 }`.
macro_rules! object {
    ($($key:tt: $value:expr),* $(,)?) => {{
        let mut map = $crate::dsl::value::Map::with_capacity(
            <[&str]>::len(&[$($key),*]),
        );
        $(map.insert($key, $crate::dsl::value::Value::from($value));)*
        map
    }};
}
pub(crate) use object;

/// A value written as JSON, for tests.
#[cfg(test)]
macro_rules! json {
    ($($json:tt)+) => {
        $crate::dsl::value::Value::from(serde_json::json!($($json)+))
    };
}
#[cfg(test)]
pub(crate) use json;
