//! The working set of a fold: current rows in memory, and the changes events made to them.
use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use crate::{
    Error,
    view::{Col, Owner, Resource, View, restore},
};

/// One version of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Position of the event that created the resource (kept over its versions).
    pub born: i64,
    /// Whose it is.
    pub owner: Owner,
    /// The wire document.
    pub doc: String,
    /// What is stored beside it.
    pub hidden: Option<String>,
    /// Typed columns.
    pub columns: Vec<Col>,
}

impl Row {
    /// What a text column of the view holds.
    pub fn text(&self, view: View, name: &str) -> Option<&str> {
        let mut columns = view.def().columns.iter();
        let at = columns.position(|column| column.name == name)?;
        match self.columns.get(at)? {
            Col::Text(text) => text.as_deref(),
            _ => None,
        }
    }
}

/// A row became this at that position.
#[derive(Debug, Clone)]
pub struct Change {
    /// The view.
    pub view: View,
    /// The row's key.
    pub key: String,
    /// The position from which it holds.
    pub position: i64,
    /// The new version, or nothing.
    pub row: Option<Row>,
}

/// Rows a fold will look at; they are fetched before it runs.
#[derive(Debug, Default)]
pub struct Needs {
    /// By key.
    pub keys: HashMap<View, BTreeSet<String>>,
    /// By the value of a linked column.
    pub links: BTreeSet<(View, &'static str, String)>,
}

impl Needs {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.links.is_empty()
    }

    /// One row.
    pub fn key(&mut self, view: View, key: impl Into<String>) {
        self.keys.entry(view).or_default().insert(key.into());
    }

    /// All rows with that value in a linked column.
    pub fn link(&mut self, view: View, column: &'static str, value: impl Into<String>) {
        self.links.insert((view, column, value.into()));
    }
}

type Index = HashMap<String, BTreeSet<String>>;

/// Rows and their changes.
#[derive(Debug, Default)]
pub struct Rows {
    current: HashMap<(View, String), Option<Row>>,
    indexes: HashMap<(View, &'static str), Index>,
    changes: Vec<Change>,
    latest: HashMap<(View, String), usize>,
    position: i64,
}

impl Rows {
    /// The following changes happen at this position.
    pub fn at(&mut self, position: i64) {
        self.position = position;
    }

    /// Puts a stored row (or the knowledge that there is none) into the working set; what is there
    /// already stays.
    pub fn preload(&mut self, view: View, key: String, row: Option<Row>) {
        if let Entry::Vacant(entry) = self.current.entry((view, key.clone())) {
            let indexed = row.clone();
            entry.insert(row);
            if let Some(row) = indexed {
                self.index(view, &key, &row.columns, true);
            }
        }
    }

    /// The row's current version as stored.
    pub fn row(&self, view: View, key: &str) -> Option<&Row> {
        self.current.get(&(view, key.to_owned()))?.as_ref()
    }

    /// Whether it is known if there is such a row.
    pub(crate) fn holds(&self, view: View, key: &str) -> bool {
        self.current.contains_key(&(view, key.to_owned()))
    }

    /// The current rows of a view.
    pub(crate) fn all(&self, view: View) -> impl Iterator<Item = &Row> {
        self.current
            .iter()
            .filter(move |((of, _), _)| *of == view)
            .filter_map(|(_, row)| row.as_ref())
    }

    /// The resource, if it exists.
    ///
    /// # Errors
    /// `Document` when it has another shape.
    pub fn get<T: Resource>(&self, key: &str) -> Result<Option<T>, Error> {
        self.row(T::VIEW, key)
            .map(|row| restore(key, &row.doc, row.hidden.as_deref()))
            .transpose()
    }

    /// The resource, which must exist.
    ///
    /// # Errors
    /// `Missing`, or `Document` when it has another shape.
    pub fn expect<T: Resource>(&self, key: &str) -> Result<T, Error> {
        self.get(key)?.ok_or_else(|| Error::Missing {
            view: T::VIEW.name(),
            key: key.to_owned(),
        })
    }

    /// Keys of the rows with that value in a linked column.
    pub fn find(&self, view: View, column: &'static str, value: &str) -> Vec<String> {
        self.indexes
            .get(&(view, column))
            .and_then(|index| index.get(value))
            .map(|keys| keys.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Stores a new version of a resource.
    ///
    /// # Errors
    /// `Document` when it cannot be serialised.
    pub fn put<T: Resource>(&mut self, resource: &T) -> Result<(), Error> {
        let key = resource.key();
        let fail = |source| Error::Document {
            view: T::VIEW.name(),
            key: key.clone(),
            source,
        };
        let born = self
            .row(T::VIEW, &key)
            .map_or(self.position, |row| row.born);
        let row = Row {
            born,
            owner: resource.owner(),
            doc: serde_json::to_string(resource).map_err(fail)?,
            hidden: resource.hidden().map_err(fail)?,
            columns: resource.columns(),
        };
        self.set(T::VIEW, key, Some(row));
        Ok(())
    }

    /// Removes a row; nothing happens when there is none.
    pub fn remove(&mut self, view: View, key: &str) {
        if self.row(view, key).is_some() {
            self.set(view, key.to_owned(), None);
        }
    }

    fn set(&mut self, view: View, key: String, row: Option<Row>) {
        if let Some(old) = self.row(view, &key) {
            let columns = old.columns.clone();
            self.index(view, &key, &columns, false);
        }
        if let Some(row) = &row {
            let columns = row.columns.clone();
            self.index(view, &key, &columns, true);
        }
        let id = (view, key);
        self.current.insert(id.clone(), row.clone());
        if let Some(&place) = self.latest.get(&id)
            && self.changes[place].position == self.position
        {
            self.changes[place].row = row;
            return;
        }
        self.latest.insert(id.clone(), self.changes.len());
        let (view, key) = id;
        self.changes.push(Change {
            view,
            key,
            position: self.position,
            row,
        });
    }

    fn index(&mut self, view: View, key: &str, columns: &[Col], add: bool) {
        for (column, value) in view.def().columns.iter().zip(columns) {
            let (true, Col::Text(Some(value))) = (column.linked, value) else {
                continue;
            };
            let index = self.indexes.entry((view, column.name)).or_default();
            if add {
                index
                    .entry(value.clone())
                    .or_default()
                    .insert(key.to_owned());
            } else if let Some(keys) = index.get_mut(value) {
                keys.remove(key);
            }
        }
    }

    /// Hands over the changes made since the last call, in order of position.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.latest.clear();
        std::mem::take(&mut self.changes)
    }

    /// How many rows the working set holds.
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }
}
