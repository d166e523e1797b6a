//! Rows of a view as sets, by what stands in their columns: which rows meet conditions, and how
//! many, is found out in memory. Conditions that look into texts are left to the database.
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
};

use roaring::{MultiOps, RoaringBitmap};
use tokio_postgres::Row as SqlRow;

use crate::{
    Error,
    query::{Condition, ListQuery, Scope},
    reader::{Connection, Reader},
    tables::LIVE,
    view::{Column as ColumnDef, FOREVER, Kind, View},
};

mod order;

use order::Orders;

/// Rows of a view, by number.
pub type Rows = RoaringBitmap;

/// Rows read at once: few enough to come from the index in the order of keys.
const PAGE_ROWS: usize = 1_000;
/// Of more changed rows at once, all are brought in order anew.
const RANKED_ONE_BY_ONE: usize = 1_000;
/// Starts of values that are kept; the keys of labels are fewer.
const STARTS_MAX: usize = 64;
const OWNER: [&str; 3] = ["tenant", "visibility", "created_by"];

/// Whether rows make sets by what stands in a column; what differs from row to row makes none.
fn is_value(column: &ColumnDef) -> bool {
    let is_text = matches!(column.kind, Kind::Text | Kind::Texts);
    is_text && !column.sorted && column.name != "id"
}

/// Views whose lists are narrowed by labels.
pub fn are_kept(view: View) -> bool {
    let mut columns = view.def().columns.iter();
    columns.any(|column| column.kind == Kind::Texts)
}

/// A column, with a number for each value that stands in it.
#[derive(Debug)]
struct Column {
    name: &'static str,
    kind: Kind,
    values: BTreeMap<Arc<str>, u32>,
}

/// A value, with the rows it stands in.
#[derive(Debug)]
struct Value {
    column: usize,
    text: Arc<str>,
    rows: RoaringBitmap,
}

/// Rows in which a column holds something that starts in a certain way.
#[derive(Debug)]
struct Starting {
    rows: RoaringBitmap,
    /// No row holds two such values, so rows with one of them hold no other.
    is_single: bool,
}

/// Those that were asked for since a row has changed: by column and start.
type Starts = HashMap<(usize, Box<str>), Arc<Starting>>;

/// The current rows of one view. Rows and values go by numbers, which are given again when what had
/// them is gone.
#[derive(Debug)]
pub struct Sets {
    view: View,
    columns: Vec<Column>,
    keys: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
    rows: RoaringBitmap,
    values: Vec<Value>,
    free_values: Vec<u32>,
    /// Values by row.
    held: Vec<Box<[u32]>>,
    orders: Orders,
    starts: Mutex<Starts>,
    changed: i64,
    known: i64,
}

impl Sets {
    /// The rows of a view that is kept like this, as a reader of the present sees them.
    ///
    /// # Errors
    /// Database errors.
    pub async fn load<C: Connection>(reader: &Reader<C>, view: View) -> Result<Self, Error> {
        let own = view.def().columns.iter().filter(|column| is_value(column));
        let owner = OWNER.iter().map(|name| (*name, Kind::Text));
        let mut sets = Self {
            view,
            columns: owner
                .chain(own.map(|column| (column.name, column.kind)))
                .map(|(name, kind)| Column {
                    name,
                    kind,
                    values: BTreeMap::new(),
                })
                .collect(),
            keys: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            rows: RoaringBitmap::new(),
            values: Vec::new(),
            free_values: Vec::new(),
            held: Vec::new(),
            orders: Orders::new(reader, view).await?,
            starts: Mutex::default(),
            changed: 0,
            known: 0,
        };
        let table = sets.table();
        let page = format!("{table} AND v.key > $1 ORDER BY v.key LIMIT {PAGE_ROWS}");
        let mut last = String::new();
        loop {
            let rows = reader.fetch(&page, &[&last]).await?;
            for row in &rows {
                sets.put(row)?;
            }
            match rows.last() {
                Some(row) if rows.len() == PAGE_ROWS => last = row.try_get(0)?,
                _ => break,
            }
        }
        sets.rank_all();
        sets.known = reader.head();
        Ok(sets)
    }

    /// Pages of more rows than this are found in the order of all rows.
    #[must_use]
    pub fn sorting_at_most(mut self, rows: u64) -> Self {
        self.orders.sorted_max = rows;
        self
    }

    /// Takes in what has changed up to what a reader of the present sees.
    ///
    /// # Errors
    /// Database errors.
    pub async fn refresh<C: Connection>(&mut self, reader: &Reader<C>) -> Result<(), Error> {
        debug_assert_eq!(reader.position(), reader.head());
        let gone = format!(
            "SELECT v.key, v.valid_to FROM {LIVE}.{} v WHERE v.valid_to <> {FOREVER} AND \
             v.valid_to > $1",
            self.view.name()
        );
        let gone = reader.fetch(&gone, &[&self.known]).await?;
        let now = format!("{} AND v.valid_from > $1", self.table());
        let now = reader.fetch(&now, &[&self.known]).await?;
        if gone.len() + now.len() > RANKED_ONE_BY_ONE {
            self.orders.loosen();
        }
        for row in gone {
            self.remove(row.try_get(0)?);
            self.changed = self.changed.max(row.try_get(1)?);
        }
        for row in now {
            self.put(&row)?;
        }
        if !self.is_ranked() {
            self.rank_all();
        }
        self.known = reader.head();
        Ok(())
    }

    fn table(&self) -> String {
        let names = self.columns.iter().map(|column| column.name);
        let names = names.chain(self.orders.names());
        let names = names.map(|name| format!(", v.\"{name}\""));
        format!(
            "SELECT v.key, v.valid_from{} FROM {LIVE}.{} v WHERE v.valid_to = {FOREVER}",
            names.collect::<String>(),
            self.view.name()
        )
    }

    /// Position of the latest change that is taken in.
    pub fn changed(&self) -> i64 {
        self.changed
    }

    /// Everything up to this position is taken in.
    pub fn known(&self) -> i64 {
        self.known
    }

    fn remove(&mut self, key: &str) {
        let Some(number) = self.numbers.remove(key) else {
            return;
        };
        self.forget_starts();
        if self.is_ranked() {
            self.unrank(number);
        }
        self.rows.remove(number);
        for id in std::mem::take(&mut self.held[number as usize]) {
            let value = &mut self.values[id as usize];
            value.rows.remove(number);
            if value.rows.is_empty() {
                self.columns[value.column].values.remove(&value.text);
                self.free_values.push(id);
            }
        }
        self.free.push(number);
    }

    fn put(&mut self, row: &SqlRow) -> Result<(), Error> {
        let key: &str = row.try_get(0)?;
        self.changed = self.changed.max(row.try_get(1)?);
        self.remove(key);
        self.forget_starts();
        let number = self.free.pop().unwrap_or_else(|| {
            self.keys.push("".into());
            self.held.push(Box::default());
            self.orders.grow();
            numbered(self.keys.len() - 1)
        });
        let key: Arc<str> = key.into();
        self.keys[number as usize] = key.clone();
        self.numbers.insert(key, number);
        self.rows.insert(number);
        let mut held = Vec::new();
        for column in 0..self.columns.len() {
            match self.columns[column].kind {
                Kind::Texts => {
                    let texts: Vec<&str> = row.try_get(column + 2)?;
                    held.extend(texts.into_iter().map(|text| self.value(column, text)));
                }
                _ => {
                    let text: Option<&str> = row.try_get(column + 2)?;
                    held.extend(text.map(|text| self.value(column, text)));
                }
            }
        }
        // a text that stands twice in a row
        held.sort_unstable();
        held.dedup();
        for id in &held {
            self.values[*id as usize].rows.insert(number);
        }
        self.held[number as usize] = held.into();
        let begin = self.columns.len() + 2;
        self.orders.put(number as usize, row, begin)?;
        if self.is_ranked() {
            self.rank(number);
        }
        Ok(())
    }

    /// The number of a value.
    fn value(&mut self, column: usize, text: &str) -> u32 {
        if let Some(id) = self.columns[column].values.get(text) {
            return *id;
        }
        let value = Value {
            column,
            text: text.into(),
            rows: RoaringBitmap::new(),
        };
        let text = value.text.clone();
        let id = match self.free_values.pop() {
            Some(id) => {
                self.values[id as usize] = value;
                id
            }
            None => {
                self.values.push(value);
                numbered(self.values.len() - 1)
            }
        };
        self.columns[column].values.insert(text, id);
        id
    }

    /// The rows that a query admits, pages aside; nothing where only the database can say.
    pub fn chosen(&self, query: &ListQuery) -> Option<RoaringBitmap> {
        let mut chosen = self.visible(&query.scope);
        for condition in &query.conditions {
            chosen &= self.meeting(condition)?;
        }
        Some(chosen)
    }

    /// Their keys.
    pub fn keys(&self, rows: &RoaringBitmap) -> Vec<String> {
        rows.iter().map(|row| self.key(row)).collect()
    }

    fn key(&self, row: u32) -> String {
        self.keys[row as usize].to_string()
    }

    /// As `query::visible` has the database decide it.
    fn visible(&self, scope: &Scope) -> RoaringBitmap {
        let Scope::Tenants {
            tenants,
            user,
            administered,
        } = scope
        else {
            return self.rows.clone();
        };
        let [tenant, visibility, created_by] = [0, 1, 2];
        let private = self.any(visibility, &["private".to_owned()]);
        let near = self.any(tenant, tenants) | self.any(visibility, &["global".to_owned()]);
        let mut open = self.all(visibility) - private;
        open |= self.any(created_by, std::slice::from_ref(user));
        open |= self.any(tenant, administered);
        near & open
    }

    fn any(&self, column: usize, texts: &[String]) -> RoaringBitmap {
        let values = &self.columns[column].values;
        let ids = texts.iter().filter_map(|text| values.get(text.as_str()));
        self.of_any(ids)
    }

    /// Rows in which a column holds something.
    fn all(&self, column: usize) -> RoaringBitmap {
        self.of_any(self.columns[column].values.values())
    }

    fn of_any<'a>(&self, ids: impl Iterator<Item = &'a u32>) -> RoaringBitmap {
        ids.map(|id| &self.values[*id as usize].rows).union()
    }

    /// The column that conditions and orders in SQL take a field from.
    fn column_of<'f>(&self, field: &'f str) -> Option<&'f str> {
        let def = self.view.def();
        let field_of = def.field(field).filter(|field| field.is_filterable());
        match field_of {
            Some(field) => field.column,
            None => Some(field),
        }
    }

    fn column(&self, field: &str, wanted: Kind) -> Option<usize> {
        let name = self.column_of(field)?;
        let mut columns = self.columns.iter();
        columns.position(|column| column.name == name && column.kind == wanted)
    }

    fn meeting(&self, condition: &Condition) -> Option<RoaringBitmap> {
        let of_keys = |keys: &[String]| -> RoaringBitmap {
            let keys = keys.iter().map(String::as_str);
            keys.filter_map(|key| self.numbers.get(key)).collect()
        };
        Some(match condition {
            Condition::AnyOf(field, values) => {
                let column = self.column(field, Kind::Text)?;
                match values.as_slice() {
                    [] => &self.rows - self.all(column),
                    values => self.any(column, values),
                }
            }
            Condition::NotAnyOf(field, values) => {
                let column = self.column(field, Kind::Text)?;
                self.all(column) - self.any(column, values)
            }
            Condition::Has(field, values) => self.any(self.column(field, Kind::Texts)?, values),
            Condition::HasNone(field, values) => {
                &self.rows - self.any(self.column(field, Kind::Texts)?, values)
            }
            Condition::HasOther(field, start, values) => {
                let column = self.column(field, Kind::Texts)?;
                self.starting(column, start, values)
            }
            Condition::Or(parts) => {
                let mut rows = RoaringBitmap::new();
                for part in parts {
                    rows |= self.meeting(part)?;
                }
                rows
            }
            Condition::Keys(keys) => of_keys(keys),
            Condition::NotKeys(keys) => &self.rows - of_keys(keys),
            Condition::Search(..)
            | Condition::StartsWith(..)
            | Condition::EndsWith(..)
            | Condition::Contains(..)
            | Condition::NotContains(..)
            | Condition::NotEmpty(_)
            | Condition::Below(..) => return None,
        })
    }

    /// Rows in which a column holds something that starts so and is none of these.
    fn starting(&self, column: usize, start: &str, but: &[String]) -> RoaringBitmap {
        let all = self.all_starting(column, start);
        let but: Vec<&str> = but.iter().map(String::as_str).collect();
        let values = &self.columns[column].values;
        if all.is_single {
            let but = but.into_iter().filter(|text| text.starts_with(start));
            let ids = but.filter_map(|text| values.get(text));
            return &all.rows - self.of_any(ids);
        }
        let others = values_from(values, start).filter(|(text, _)| !but.contains(text));
        self.of_any(others.map(|(_, id)| id))
    }

    fn all_starting(&self, column: usize, start: &str) -> Arc<Starting> {
        let key = (column, Box::from(start));
        let lock = || self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let ids = values_from(&self.columns[column].values, start).map(|(_, id)| id);
        let sets = ids.clone().map(|id| self.values[*id as usize].rows.len());
        let count: u64 = sets.sum();
        let rows = self.of_any(ids);
        let is_single = rows.len() == count;
        let found = Arc::new(Starting { rows, is_single });
        let mut starts = lock();
        if starts.len() >= STARTS_MAX {
            starts.clear();
        }
        starts.insert(key, found.clone());
        found
    }

    fn forget_starts(&mut self) {
        let starts = self.starts.get_mut();
        starts.unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Values that start so, with their numbers.
fn values_from<'v>(
    values: &'v BTreeMap<Arc<str>, u32>,
    start: &'v str,
) -> impl Iterator<Item = (&'v str, &'v u32)> + Clone {
    let from = (Bound::Included(start), Bound::Unbounded);
    let values = values.range::<str, _>(from);
    let values = values.map(|(text, id)| (&**text, id));
    values.take_while(move |(text, _)| text.starts_with(start))
}

fn numbered(at: usize) -> u32 {
    u32::try_from(at).expect("fewer rows and values than numbers")
}
