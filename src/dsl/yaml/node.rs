//! The located tree. Cloning a node shares what it holds.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use serde_json::Number;

use crate::dsl::diagnostics::{Location, Path, Step};
use crate::dsl::value::{Map, Value};

/// Where a value is written. Lines and columns count from one; line zero is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl Mark {
    pub(crate) fn location(&self) -> Option<Location> {
        let (line, column) = (self.line, self.column);
        (line > 0).then(|| Location {
            file: Arc::clone(&self.file),
            line,
            column,
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
    Str(Arc<str>),
    /// A date or a point in time, as ISO text: not a string to a schema.
    Timestamp(Arc<str>),
    List(Arc<[Node]>),
    Set(Arc<[Node]>),
    Map(Arc<Mapping>),
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub kind: Kind,
    pub mark: Mark,
}

/// A mapping key; nearly always a string.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Str(Arc<str>),
    /// Any other scalar, under the text that JSON makes of it.
    Other(Arc<str>),
}

impl Key {
    /// The key as JSON spells it.
    pub(crate) fn text(&self) -> &Arc<str> {
        match self {
            Self::Str(text) | Self::Other(text) => text,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Other(_) => None,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str().is_some() == other.as_str().is_some() && self.text() == other.text()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key_mark: Mark,
    pub value: Node,
}

pub(crate) type Mapping = IndexMap<Key, Entry>;

impl Node {
    pub(crate) fn new(kind: Kind, mark: Mark) -> Self {
        Self { kind, mark }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Mapping> {
        match &self.kind {
            Kind::Map(mapping) => Some(mapping),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|entry| &entry.value)
    }

    /// The node as deep along the path as the tree goes, and where its last key is written.
    pub(crate) fn locate(&self, path: &Path) -> Mark {
        let mut node = self;
        let mut mark = &self.mark;
        for step in &path.0 {
            let next = match (step, &node.kind) {
                (Step::Key(key), Kind::Map(mapping)) => mapping
                    .get(&**key)
                    .map(|entry| (&entry.value, &entry.key_mark)),
                (Step::Index(index), Kind::List(items)) => {
                    items.get(*index).map(|item| (item, &item.mark))
                }
                _ => None,
            };
            let Some((value, key_mark)) = next else { break };
            node = value;
            mark = key_mark;
        }
        mark.clone()
    }

    /// What the value is called in a message.
    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Str(_) => "a string",
            Kind::Timestamp(_) => "a date",
            Kind::List(_) => "a list",
            Kind::Set(_) => "a set",
            Kind::Map(_) => "a map",
        }
    }

    /// A value that is written nowhere of its own.
    pub(crate) fn from_value(value: &Value, mark: &Mark) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(number) if number.is_f64() => {
                Kind::Float(number.as_f64().unwrap_or_default())
            }
            Value::Number(number) => Kind::Int(number.clone()),
            Value::String(text) => Kind::Str(Arc::clone(text)),
            Value::Array(items) => Kind::List(
                items
                    .iter()
                    .map(|item| Self::from_value(item, mark))
                    .collect(),
            ),
            Value::Object(items) => {
                let entry = |(key, value): (&Arc<str>, &Value)| {
                    let value = Self::from_value(value, mark);
                    let key_mark = mark.clone();
                    (Key::Str(Arc::clone(key)), Entry { key_mark, value })
                };
                Kind::Map(Arc::new(items.iter().map(entry).collect()))
            }
        };
        Self::new(kind, mark.clone())
    }

    /// The plain value: keys become strings, dates text, not-a-number nothing.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(number) => Value::Number(number.clone()),
            Kind::Float(value) => Value::from(*value),
            Kind::Str(text) | Kind::Timestamp(text) => Value::String(Arc::clone(text)),
            Kind::List(items) | Kind::Set(items) => items.iter().map(Self::to_value).collect(),
            Kind::Map(mapping) => Value::Object(
                mapping
                    .iter()
                    .map(|(key, entry)| (Arc::clone(key.text()), entry.value.to_value()))
                    .collect::<Map>(),
            ),
        }
    }
}
