//! Values from what they are made of, and to and from plain JSON.

use std::sync::Arc;

use serde_json::Number;

use super::{List, Map, Value};

macro_rules! from {
    ($($from:ty: |$it:pat_param| $make:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $make
            }
        })*
    };
}

from! {
    bool: |it| Self::Bool(it);
    i32: |it| Self::Number(it.into());
    i64: |it| Self::Number(it.into());
    u32: |it| Self::Number(it.into());
    u64: |it| Self::Number(it.into());
    usize: |it| Self::Number(it.into());
    f64: |it| Number::from_f64(it).map_or(Self::Null, Self::Number);
    &str: |it| Self::String(it.into());
    String: |it| Self::String(it.into());
    &String: |it| Self::String(it.as_str().into());
    Arc<str>: |it| Self::String(it);
    &Arc<str>: |it| Self::String(Arc::clone(it));
    List: |it| Self::Array(it);
    Map: |it| Self::Object(it);
    &Map: |it| Self::Object(it.clone());
    &List: |it| Self::Array(it.clone());
    &Value: |it| it.clone();
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl<T: Clone + Into<Value>> From<&[T]> for Value {
    fn from(items: &[T]) -> Self {
        Self::Array(items.iter().cloned().collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl<T: Clone + Into<Value>> From<&Vec<T>> for Value {
    fn from(items: &Vec<T>) -> Self {
        items.as_slice().into()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Clone + Into<Value>> From<&Option<T>> for Value {
    fn from(value: &Option<T>) -> Self {
        value.clone().into()
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::String(text) => Self::String(text.into()),
            serde_json::Value::Array(items) => Self::Array(items.into_iter().collect()),
            serde_json::Value::Object(map) => Self::Object(map.into()),
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => Self::Number(number.clone()),
            serde_json::Value::String(text) => Self::String(text.as_str().into()),
            serde_json::Value::Array(items) => Self::Array(items.iter().collect()),
            serde_json::Value::Object(map) => Self::Object(map.into()),
        }
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for Map {
    fn from(map: serde_json::Map<String, serde_json::Value>) -> Self {
        map.into_iter().collect()
    }
}

impl From<&serde_json::Map<String, serde_json::Value>> for Map {
    fn from(map: &serde_json::Map<String, serde_json::Value>) -> Self {
        map.iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect()
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::String(text.as_ref().to_owned()),
            Value::Array(items) => Self::Array(items.iter().map(Into::into).collect()),
            Value::Object(map) => Self::Object(map.into()),
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        (&value).into()
    }
}

impl From<&Map> for serde_json::Map<String, serde_json::Value> {
    fn from(map: &Map) -> Self {
        map.iter()
            .map(|(key, value)| (key.as_ref().to_owned(), value.into()))
            .collect()
    }
}

impl From<Map> for serde_json::Map<String, serde_json::Value> {
    fn from(map: Map) -> Self {
        (&map).into()
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, other: &bool) -> bool {
        self.as_bool() == Some(*other)
    }
}
