//! Looking into values by key and position, as `value["nodes"][0]` too.

#![allow(clippy::panic, reason = "indexing panics, as that of a slice does")]

use std::ops;

use super::{Map, Value};

static NULL: Value = Value::Null;

/// What leads one step into a value: a key of a map, or a position in a list.
pub trait Index {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value>;

    fn of_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value>;

    /// Where to write: a key that is missing is made, with null behind it, and so is its map where
    /// there was null.
    ///
    /// # Panics
    /// When nothing can be there.
    fn of_made<'v>(&self, value: &'v mut Value) -> &'v mut Value;
}

impl Index for str {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.as_object()?.get(self)
    }

    fn of_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        value.as_object_mut()?.get_mut(self)
    }

    fn of_made<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        let Value::Object(map) = value else {
            panic!("there is no `{self}` in {value}");
        };
        map.entry(self).or_default()
    }
}

impl Index for usize {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.as_array()?.get(*self)
    }

    fn of_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        value.as_array_mut()?.get_mut(*self)
    }

    fn of_made<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        let Value::Array(items) = value else {
            panic!("there is no {self} in {value}");
        };
        match items.get_mut(*self) {
            Some(item) => item,
            None => panic!("there is no item {self}"),
        }
    }
}

impl<T: Index + ?Sized> Index for &T {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        (**self).of(value)
    }

    fn of_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        (**self).of_mut(value)
    }

    fn of_made<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        (**self).of_made(value)
    }
}

/// Null where there is nothing.
impl<I: Index> ops::Index<I> for Value {
    type Output = Self;

    fn index(&self, index: I) -> &Self {
        index.of(self).unwrap_or(&NULL)
    }
}

impl<I: Index> ops::IndexMut<I> for Value {
    fn index_mut(&mut self, index: I) -> &mut Self {
        index.of_made(self)
    }
}

/// # Panics
/// For a key that is not there.
impl ops::Index<&str> for Map {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key)
            .unwrap_or_else(|| panic!("there is no `{key}`"))
    }
}
