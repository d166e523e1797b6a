//! The order of lists in memory: what rows differ in is kept beside their sets.
use std::cmp::Ordering;

use roaring::RoaringBitmap;
use tokio_postgres::Row as SqlRow;

use super::{Sets, is_value};
use crate::{
    Error,
    query::ListQuery,
    reader::{Connection, Reader},
    view::{Kind, View},
};

/// So many rows are sorted for a question; of more, those of a page are looked for in the order of
/// all rows.
const SORTED_MAX: u64 = 10_000;
/// True where texts are ordered by their bytes, as here; languages order letters otherwise.
const BYTEWISE: &str = "SELECT 'a'::text > 'B'::text AND '_'::text > 'Z'::text";
const CREATED: &str = "created_at";

/// Values of one column by the number of the row.
#[derive(Debug)]
enum Cells {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<Box<str>>>),
}

/// A column that lists are ordered by.
#[derive(Debug)]
struct OrderColumn {
    name: &'static str,
    cells: Cells,
    /// All rows in its order, the smallest first.
    ranked: Vec<u32>,
}

/// What rows are ordered by.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) sorted_max: u64,
    born: Vec<i64>,
    columns: Vec<OrderColumn>,
    /// Which of them tells when a row was created.
    created: Option<usize>,
    is_bytewise: bool,
    /// While many rows change, the order of all of them is not kept.
    is_ranked: bool,
}

/// A sort key, by where its values are.
#[derive(Debug, Clone, Copy)]
enum Key<'s> {
    Ints(&'s [Option<i64>]),
    Texts(&'s [Option<Box<str>>]),
    /// In the sets of a column.
    Value(usize),
    Born,
    Own,
}

/// The order of a list: keys, true for the largest first, and the place of the column by which all
/// rows are in that order, if there is one.
#[derive(Debug)]
struct Order<'s> {
    keys: Vec<(Key<'s>, bool)>,
    ranked: Option<(usize, bool)>,
}

impl Orders {
    pub(super) async fn new<C: Connection>(reader: &Reader<C>, view: View) -> Result<Self, Error> {
        let columns = view.def().columns.iter();
        let columns = columns.filter(|column| !is_value(column));
        let columns = columns.filter_map(|column| {
            let cells = match column.kind {
                Kind::Int => Cells::Ints(Vec::new()),
                Kind::Text => Cells::Texts(Vec::new()),
                Kind::Bool | Kind::Texts | Kind::Json => return None,
            };
            Some(OrderColumn {
                name: column.name,
                cells,
                ranked: Vec::new(),
            })
        });
        let columns: Vec<OrderColumn> = columns.collect();
        let bytewise = reader.fetch(BYTEWISE, &[]).await?;
        let is_bytewise = bytewise.first().map(|row| row.try_get(0)).transpose()?;
        Ok(Self {
            sorted_max: SORTED_MAX,
            born: Vec::new(),
            created: columns.iter().position(|column| column.name == CREATED),
            columns,
            is_bytewise: is_bytewise.unwrap_or(false),
            is_ranked: false,
        })
    }

    /// Columns to be read.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let own = self.columns.iter().map(|column| column.name);
        std::iter::once("born").chain(own)
    }

    /// Makes room for one more row.
    pub(super) fn grow(&mut self) {
        self.born.push(0);
        for column in &mut self.columns {
            match &mut column.cells {
                Cells::Ints(of) => of.push(None),
                Cells::Texts(of) => of.push(None),
            }
        }
    }

    /// Takes in a row, in which the columns begin somewhere.
    pub(super) fn put(&mut self, at: usize, row: &SqlRow, begin: usize) -> Result<(), Error> {
        self.born[at] = row.try_get(begin)?;
        for (place, column) in (begin + 1..).zip(&mut self.columns) {
            match &mut column.cells {
                Cells::Ints(of) => of[at] = row.try_get(place)?,
                Cells::Texts(of) => {
                    of[at] = row.try_get::<_, Option<&str>>(place)?.map(Into::into);
                }
            }
        }
        Ok(())
    }

    /// Many rows are about to change.
    pub(super) fn loosen(&mut self) {
        self.is_ranked = false;
        for column in &mut self.columns {
            column.ranked = Vec::new();
        }
    }
}

/// PostgreSQL takes what is null for larger than anything.
fn compare<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

impl Sets {
    /// Brings all rows in their orders.
    pub(super) fn rank_all(&mut self) {
        for column in 0..self.orders.columns.len() {
            let mut rows: Vec<u32> = self.rows.iter().collect();
            rows.sort_unstable_by(|a, b| self.by_column(column, *a, *b));
            self.orders.columns[column].ranked = rows;
        }
        self.orders.is_ranked = true;
    }

    /// Gives a row its place in the orders of all rows.
    pub(super) fn rank(&mut self, row: u32) {
        for column in 0..self.orders.columns.len() {
            if let Err(at) = self.place_in(column, row) {
                self.orders.columns[column].ranked.insert(at, row);
            }
        }
    }

    /// Takes it away again, before anything of the row changes.
    pub(super) fn unrank(&mut self, row: u32) {
        for column in 0..self.orders.columns.len() {
            if let Ok(at) = self.place_in(column, row) {
                self.orders.columns[column].ranked.remove(at);
            }
        }
    }

    /// Whether the order of all rows is kept.
    pub(super) fn is_ranked(&self) -> bool {
        self.orders.is_ranked
    }

    fn place_in(&self, column: usize, row: u32) -> Result<usize, usize> {
        let ranked = &self.orders.columns[column].ranked;
        ranked.binary_search_by(|other| self.by_column(column, *other, row))
    }

    fn by_column(&self, column: usize, a: u32, b: u32) -> Ordering {
        let (a, b) = (a as usize, b as usize);
        let of = |column: usize| match &self.orders.columns[column].cells {
            Cells::Ints(of) => self.compare(Key::Ints(of), a, b),
            Cells::Texts(of) => self.compare(Key::Texts(of), a, b),
        };
        let created = || self.orders.created.map_or(Ordering::Equal, of);
        of(column)
            .then_with(created)
            .then_with(|| self.compare(Key::Born, a, b))
            .then_with(|| self.compare(Key::Own, a, b))
    }

    /// The keys of a page of some rows, in order; nothing where only the database can say, or finds
    /// it faster.
    pub fn page(&self, query: &ListQuery, rows: &RoaringBitmap) -> Option<Vec<String>> {
        if query.after.is_some() {
            return None;
        }
        let offset = usize::try_from(query.offset).ok()?;
        let size = query.size.map(usize::try_from).transpose().ok()?;
        let part = (offset, size.unwrap_or(usize::MAX));
        let order = self.order(query)?;
        let page = match order.keys.as_slice() {
            [(Key::Value(column), descending), ties @ ..]
                if query.sort.len() == 1 && rows.len() > self.orders.sorted_max =>
            {
                let created = self.orders.created?;
                let ties = Order {
                    keys: ties.to_vec(),
                    ranked: Some((created, *descending)),
                };
                self.by_value((*column, *descending), rows, &ties, part)?
            }
            _ => self.ordered(rows, &order, part)?,
        };
        Some(page.into_iter().map(|row| self.key(row)).collect())
    }

    /// Some of these rows in order: so many are skipped, and so many wanted.
    fn ordered(
        &self,
        rows: &RoaringBitmap,
        order: &Order<'_>,
        (skipped, wanted): (usize, usize),
    ) -> Option<Vec<u32>> {
        if rows.len() > self.orders.sorted_max {
            let (column, descending) = order.ranked.filter(|_| self.is_ranked())?;
            let ranked = &self.orders.columns[column].ranked;
            let row_at = |place: usize| match descending {
                true => ranked[ranked.len() - 1 - place],
                false => ranked[place],
            };
            let all = (0..ranked.len()).map(row_at);
            let page = all.filter(|row| rows.contains(*row)).skip(skipped);
            return Some(page.take(wanted).collect());
        }
        let by = |a: &u32, b: &u32| {
            let (a, b) = (*a as usize, *b as usize);
            let mut keys = order.keys.iter();
            let differing = keys.find_map(|(key, is_descending)| {
                let ordering = self.compare(*key, a, b);
                let ordering = match is_descending {
                    true => ordering.reverse(),
                    false => ordering,
                };
                ordering.is_ne().then_some(ordering)
            });
            differing.unwrap_or(Ordering::Equal)
        };
        let reach = skipped.saturating_add(wanted);
        let mut rows: Vec<u32> = rows.iter().collect();
        if (1..rows.len()).contains(&reach) {
            rows.select_nth_unstable_by(reach - 1, by);
        }
        rows.truncate(reach);
        rows.sort_unstable_by(by);
        rows.drain(..skipped.min(rows.len()));
        Some(rows)
    }

    /// The same where many rows have the same value: value by value.
    fn by_value(
        &self,
        (column, descending): (usize, bool),
        rows: &RoaringBitmap,
        ties: &Order<'_>,
        (mut skipped, wanted): (usize, usize),
    ) -> Option<Vec<u32>> {
        let values = self.columns[column].values.values();
        let values = values.map(|id| &self.values[*id as usize].rows);
        let without = rows - self.all(column);
        // those without a value are the largest
        let sets: Vec<&RoaringBitmap> = match descending {
            true => std::iter::once(&without).chain(values.rev()).collect(),
            false => values.chain([&without]).collect(),
        };
        let mut page = Vec::new();
        for set in sets {
            let some = rows & set;
            let count = usize::try_from(some.len()).ok()?;
            if count <= skipped {
                skipped -= count;
                continue;
            }
            let part = (skipped, wanted - page.len());
            page.extend(self.ordered(&some, ties, part)?);
            skipped = 0;
            if page.len() >= wanted {
                break;
            }
        }
        Some(page)
    }

    /// As `query::order_keys` has the database order them.
    fn order(&self, query: &ListQuery) -> Option<Order<'_>> {
        let mut keys = Vec::with_capacity(query.sort.len() + 3);
        for sort in &query.sort {
            keys.push((self.sort_key(&sort.field)?, sort.descending));
        }
        let descending = query.sort.last().is_some_and(|sort| sort.descending);
        let created = self.view.def().column(CREATED);
        let created = created.and_then(|_| self.sort_key(CREATED));
        let ties = created.into_iter().chain([Key::Born, Key::Own]);
        keys.extend(ties.map(|key| (key, descending)));
        let ranked = match query.sort.as_slice() {
            [] => self.orders.created,
            [one] => self.order_column(self.column_of(&one.field)?),
            _ => None,
        };
        Some(Order {
            keys,
            ranked: ranked.map(|column| (column, descending)),
        })
    }

    fn order_column(&self, name: &str) -> Option<usize> {
        let mut columns = self.orders.columns.iter();
        columns.position(|column| column.name == name)
    }

    fn sort_key(&self, field: &str) -> Option<Key<'_>> {
        let orders = &self.orders;
        if let Some(column) = self.order_column(self.column_of(field)?) {
            return match &orders.columns[column].cells {
                Cells::Ints(of) => Some(Key::Ints(of)),
                Cells::Texts(of) => orders.is_bytewise.then_some(Key::Texts(of)),
            };
        }
        let value = self
            .column(field, Kind::Text)
            .filter(|_| orders.is_bytewise);
        value.map(Key::Value)
    }

    fn compare(&self, key: Key<'_>, a: usize, b: usize) -> Ordering {
        match key {
            Key::Ints(of) => compare(of[a], of[b]),
            Key::Texts(of) => compare(of[a].as_deref(), of[b].as_deref()),
            Key::Value(column) => compare(self.value_in(a, column), self.value_in(b, column)),
            Key::Born => self.orders.born[a].cmp(&self.orders.born[b]),
            Key::Own => self.keys[a].cmp(&self.keys[b]),
        }
    }

    /// What stands in a row's column of one value.
    fn value_in(&self, row: usize, column: usize) -> Option<&str> {
        let mut held = self.held[row].iter().map(|id| &self.values[*id as usize]);
        let found = held.find(|value| value.column == column)?;
        Some(&found.text)
    }
}
