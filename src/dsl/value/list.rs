//! Lists that share their items.

use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use super::{Memo, Value};

/// A list. Changing one of several copies copies the items first.
#[derive(Debug, Clone, Default)]
pub struct List(Arc<Inner>);

#[derive(Debug, Clone, Default)]
struct Inner {
    items: Vec<Value>,
    memo: Memo,
}

impl List {
    pub fn as_slice(&self) -> &[Value] {
        &self.0.items
    }

    pub fn push(&mut self, value: Value) {
        self.items_mut().push(value);
    }

    pub fn extend(&mut self, items: impl IntoIterator<Item = Value>) {
        self.items_mut().extend(items);
    }

    pub fn iter_mut(&mut self) -> slice::IterMut<'_, Value> {
        self.items_mut().iter_mut()
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Value> {
        self.items_mut().get_mut(index)
    }

    pub fn as_mut_slice(&mut self) -> &mut [Value] {
        self.items_mut()
    }

    pub(crate) fn memo(&self) -> &Memo {
        &self.0.memo
    }

    /// Whether both are the same list in memory, which makes them equal.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn items_mut(&mut self) -> &mut Vec<Value> {
        let inner = Arc::make_mut(&mut self.0);
        inner.memo.clear();
        &mut inner.items
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.items
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.items == other.0.items
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        let memo = Memo::default();
        Self(Arc::new(Inner { items, memo }))
    }
}

impl<T: Into<Value>> FromIterator<T> for List {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        items
            .into_iter()
            .map(Into::into)
            .collect::<Vec<Value>>()
            .into()
    }
}

impl<'l> IntoIterator for &'l List {
    type Item = &'l Value;
    type IntoIter = slice::Iter<'l, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.items.iter()
    }
}

impl<'l> IntoIterator for &'l mut List {
    type Item = &'l mut Value;
    type IntoIter = slice::IterMut<'l, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl IntoIterator for List {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).items.into_iter()
    }
}
