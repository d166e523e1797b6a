//! `value["nodes"][0]`, for tests.
#![allow(clippy::panic, reason = "tests")]

use std::ops;

use super::{Index, Map, Value};

static NULL: Value = Value::Null;

/// Null where there is nothing.
impl<I: Index> ops::Index<I> for Value {
    type Output = Self;

    fn index(&self, index: I) -> &Self {
        index.of(self).unwrap_or(&NULL)
    }
}

/// A key that is missing is made.
impl ops::IndexMut<&str> for Value {
    fn index_mut(&mut self, key: &str) -> &mut Self {
        match self {
            Self::Object(map) => map.entry(key).or_default(),
            other => panic!("there is no `{key}` in {other}"),
        }
    }
}

impl ops::IndexMut<usize> for Value {
    fn index_mut(&mut self, index: usize) -> &mut Self {
        match self.get_mut(index) {
            Some(item) => item,
            None => panic!("there is no item {index}"),
        }
    }
}

impl ops::Index<&str> for Map {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key)
            .unwrap_or_else(|| panic!("there is no `{key}`"))
    }
}
