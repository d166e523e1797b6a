//! Maps that share their entries.

use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, map};

use super::{Memo, Value};

type Items = IndexMap<Arc<str>, Value, RandomState>;

/// A map in the order of the document. Changing one of several copies copies the entries first.
#[derive(Debug, Clone, Default)]
pub struct Map(Arc<Inner>);

#[derive(Debug, Clone, Default)]
struct Inner {
    items: Items,
    memo: Memo,
}

impl Map {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Items::with_capacity_and_hasher(capacity, RandomState::default()).into()
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.items.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.items_mut().get_mut(key)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.0.items.contains_key(key)
    }

    /// Sets a value. A key that is there keeps its place.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) -> Option<Value> {
        self.items_mut().insert(key.into(), value)
    }

    pub fn entry(&mut self, key: impl Into<Arc<str>>) -> map::Entry<'_, Arc<str>, Value> {
        self.items_mut().entry(key.into())
    }

    /// Removes an entry; those after it move up.
    pub fn shift_remove(&mut self, key: &str) -> Option<Value> {
        if !self.contains_key(key) {
            return None;
        }
        self.items_mut().shift_remove(key)
    }

    pub fn len(&self) -> usize {
        self.0.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.items.is_empty()
    }

    pub fn keys(&self) -> map::Keys<'_, Arc<str>, Value> {
        self.0.items.keys()
    }

    /// The keys as plain texts.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.items.keys().map(|key| &**key)
    }

    pub fn values(&self) -> map::Values<'_, Arc<str>, Value> {
        self.0.items.values()
    }

    pub fn values_mut(&mut self) -> map::ValuesMut<'_, Arc<str>, Value> {
        self.items_mut().values_mut()
    }

    pub fn iter(&self) -> map::Iter<'_, Arc<str>, Value> {
        self.0.items.iter()
    }

    pub fn iter_mut(&mut self) -> map::IterMut<'_, Arc<str>, Value> {
        self.items_mut().iter_mut()
    }

    pub(crate) fn memo(&self) -> &Memo {
        &self.0.memo
    }

    /// Whether both are the same map in memory, which makes them equal.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn items_mut(&mut self) -> &mut Items {
        let inner = Arc::make_mut(&mut self.0);
        inner.memo.clear();
        &mut inner.items
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.items == other.0.items
    }
}

impl From<Items> for Map {
    fn from(items: Items) -> Self {
        let memo = Memo::default();
        Self(Arc::new(Inner { items, memo }))
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect::<Items>()
            .into()
    }
}

impl<'m> IntoIterator for &'m Map {
    type Item = (&'m Arc<str>, &'m Value);
    type IntoIter = map::Iter<'m, Arc<str>, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'m> IntoIterator for &'m mut Map {
    type Item = (&'m Arc<str>, &'m mut Value);
    type IntoIter = map::IterMut<'m, Arc<str>, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl IntoIterator for Map {
    type Item = (Arc<str>, Value);
    type IntoIter = map::IntoIter<Arc<str>, Value>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).items.into_iter()
    }
}
