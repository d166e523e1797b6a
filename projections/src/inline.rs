//! Views inside the append transaction: fetch the rows a batch needs, write the versions it made.
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use futures::future::try_join_all;
use tokio_postgres::{Client, GenericClient, Row as SqlRow, Statement, types::ToSql};

use crate::{
    Error,
    rows::{Change, Needs, Row, Rows},
    tables::LIVE,
    view::{Col, FOREVER, Kind, Owner, View},
};

/// Prepared statements of one view.
#[derive(Debug)]
struct Statements {
    by_key: Statement,
    by_link: HashMap<&'static str, Statement>,
    close: Statement,
    insert: Statement,
}

/// Reads and writes view rows over one connection.
#[derive(Debug)]
pub struct Applier {
    statements: HashMap<View, Statements>,
}

fn selected(view: View) -> String {
    let typed: String = view
        .def()
        .columns
        .iter()
        .map(|column| format!(", \"{}\"", column.name))
        .collect();
    format!("key, born, tenant, visibility, created_by, doc, hidden{typed}")
}

fn insert_sql(schema: &str, view: View) -> String {
    let def = view.def();
    let mut names =
        "key, valid_from, valid_to, born, tenant, visibility, created_by, doc, hidden".to_owned();
    let mut params =
        "$1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], \
         $7::text[], $8::text[], $9::text[]"
            .to_owned();
    let mut picked = "u.c1, u.c2, u.c3, u.c4, u.c5, u.c6, u.c7, u.c8, u.c9".to_owned();
    let mut aliases = "c1, c2, c3, c4, c5, c6, c7, c8, c9".to_owned();
    for (i, column) in def.columns.iter().enumerate() {
        let n = i + 10;
        names += &format!(", \"{}\"", column.name);
        aliases += &format!(", c{n}");
        let (array, pick) = match column.kind {
            Kind::Text | Kind::Json => ("text[]", format!("u.c{n}")),
            Kind::Int => ("bigint[]", format!("u.c{n}")),
            Kind::Bool => ("boolean[]", format!("u.c{n}")),
            // unnest would flatten an array of arrays
            Kind::Texts => ("text[]", format!("string_to_array(u.c{n}, E'\\x1f')")),
        };
        params += &format!(", ${n}::{array}");
        picked += &format!(", {pick}");
    }
    format!(
        "INSERT INTO {schema}.{name} ({names}) SELECT {picked} FROM unnest({params}) AS u({aliases})",
        name = def.name
    )
}

impl Applier {
    /// Prepares the statements of all live views on this connection.
    ///
    /// # Errors
    /// Database errors, for example when a view's table is missing.
    pub async fn prepare(client: &Client) -> Result<Self, Error> {
        Self::prepare_in(client, LIVE).await
    }

    /// As [`Applier::prepare`], for the views in a schema.
    pub(crate) async fn prepare_in(client: &Client, schema: &str) -> Result<Self, Error> {
        let mut statements = HashMap::new();
        for view in View::ALL {
            let (name, columns) = (view.name(), selected(view));
            let by_key = client
                .prepare(&format!(
                    "SELECT {columns} FROM {schema}.{name} \
                     WHERE valid_to = {FOREVER} AND key = ANY($1::text[])"
                ))
                .await?;
            let mut by_link = HashMap::new();
            for column in view.def().columns.iter().filter(|column| column.linked) {
                let sql = format!(
                    "SELECT {columns} FROM {schema}.{name} \
                     WHERE valid_to = {FOREVER} AND \"{}\" = ANY($1::text[])",
                    column.name
                );
                by_link.insert(column.name, client.prepare(&sql).await?);
            }
            let close = client
                .prepare(&format!(
                    "UPDATE {schema}.{name} v SET valid_to = c.at \
                     FROM unnest($1::text[], $2::bigint[]) AS c(key, at) \
                     WHERE v.key = c.key AND v.valid_to = {FOREVER}"
                ))
                .await?;
            let insert = client.prepare(&insert_sql(schema, view)).await?;
            statements.insert(
                view,
                Statements {
                    by_key,
                    by_link,
                    close,
                    insert,
                },
            );
        }
        Ok(Self { statements })
    }

    fn of(&self, view: View) -> &Statements {
        self.statements
            .get(&view)
            .expect("prepare covers View::ALL")
    }

    /// Fetches what is needed into the working set; keys without a row are noted as absent.
    ///
    /// # Errors
    /// Database errors.
    pub async fn load(&self, client: &Client, needs: Needs, rows: &mut Rows) -> Result<(), Error> {
        let mut links: BTreeMap<(View, &'static str), Vec<String>> = BTreeMap::new();
        for (view, column, value) in needs.links {
            links.entry((view, column)).or_default().push(value);
        }
        let by_link = try_join_all(links.into_iter().map(async |((view, column), values)| {
            let statement = self
                .of(view)
                .by_link
                .get(column)
                .expect("needs name linked columns only");
            let found = client.query(statement, &[&values]).await?;
            Ok::<_, Error>((view, found))
        }));
        let by_key = try_join_all(needs.keys.into_iter().map(async |(view, keys)| {
            let keys: Vec<String> = keys.into_iter().collect();
            let found = client.query(&self.of(view).by_key, &[&keys]).await?;
            Ok::<_, Error>((view, keys, found))
        }));
        let (by_link, by_key) = futures::try_join!(by_link, by_key)?;
        for (view, found) in by_link {
            for row in found {
                let (key, row) = read(view, &row)?;
                rows.preload(view, key, Some(row));
            }
        }
        for (view, keys, found) in by_key {
            for row in found {
                let (key, row) = read(view, &row)?;
                rows.preload(view, key, Some(row));
            }
            for key in keys {
                rows.preload(view, key, None);
            }
        }
        Ok(())
    }

    /// Writes a batch's changes: closes the versions that ended, inserts those that began.
    ///
    /// # Errors
    /// Database errors.
    pub async fn write(&self, client: &Client, changes: Vec<Change>) -> Result<(), Error> {
        let batches = Batch::of(changes);
        try_join_all(batches.iter().map(async |(view, batch)| {
            let statements = self.of(*view);
            // both are sent at once; the server runs them in this order
            let ends: [&(dyn ToSql + Sync); 2] = [&batch.closed_keys, &batch.closed_at];
            let closed = client.execute(&statements.close, &ends);
            let inserted = async {
                if batch.keys.is_empty() {
                    return Ok(0);
                }
                client.execute(&statements.insert, &batch.params()).await
            };
            futures::try_join!(closed, inserted)
        }))
        .await?;
        Ok(())
    }
}

/// Reads one selected row.
pub(crate) fn read(view: View, row: &SqlRow) -> Result<(String, Row), Error> {
    let mut columns = Vec::with_capacity(view.def().columns.len());
    for (i, column) in view.def().columns.iter().enumerate() {
        let n = i + 7;
        columns.push(match column.kind {
            Kind::Text | Kind::Json => Col::Text(row.try_get(n)?),
            Kind::Int => Col::Int(row.try_get(n)?),
            Kind::Bool => Col::Bool(row.try_get(n)?),
            Kind::Texts => Col::Texts(
                row.try_get::<_, Option<Vec<String>>>(n)?
                    .unwrap_or_default(),
            ),
        });
    }
    let owner = Owner {
        tenant: row.try_get(2)?,
        visibility: row.try_get(3)?,
        created_by: row.try_get(4)?,
    };
    let read = Row {
        born: row.try_get(1)?,
        owner,
        doc: row.try_get(5)?,
        hidden: row.try_get(6)?,
        columns,
    };
    Ok((row.try_get(0)?, read))
}

/// Column arrays of one view's part of a batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    closed_keys: Vec<String>,
    closed_at: Vec<i64>,
    pub(crate) keys: Vec<String>,
    from: Vec<i64>,
    to: Vec<i64>,
    born: Vec<i64>,
    tenant: Vec<Option<String>>,
    visibility: Vec<Option<String>>,
    created_by: Vec<Option<String>>,
    doc: Vec<String>,
    hidden: Vec<Option<String>>,
    columns: Vec<Array>,
}

#[derive(Debug)]
enum Array {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
}

impl Batch {
    /// Groups changes by view and gives every version its end.
    pub(crate) fn of(changes: Vec<Change>) -> BTreeMap<View, Self> {
        let mut next: HashMap<(View, String), i64> = HashMap::new();
        let mut ended: Vec<(Change, i64)> = Vec::with_capacity(changes.len());
        for change in changes.into_iter().rev() {
            let id = (change.view, change.key.clone());
            let end = next.insert(id, change.position).unwrap_or(FOREVER);
            ended.push((change, end));
        }
        let mut batches: BTreeMap<View, Self> = BTreeMap::new();
        for (change, end) in ended.into_iter().rev() {
            let batch = batches.entry(change.view).or_default();
            let id = (change.view, change.key);
            if let Some(first) = next.remove(&id) {
                batch.closed_keys.push(id.1.clone());
                batch.closed_at.push(first);
            }
            if let Some(row) = change.row {
                batch.push(change.view, id.1, change.position..end, row);
            }
        }
        batches
    }

    /// Groups versions whose ends are known by view; nothing is closed.
    pub(crate) fn versions(versions: Vec<(Change, i64)>) -> BTreeMap<View, Self> {
        let mut batches: BTreeMap<View, Self> = BTreeMap::new();
        for (change, end) in versions {
            if let Some(row) = change.row {
                let batch = batches.entry(change.view).or_default();
                batch.push(change.view, change.key, change.position..end, row);
            }
        }
        batches
    }

    fn push(&mut self, view: View, key: String, held: Range<i64>, row: Row) {
        if self.columns.is_empty() {
            self.columns = view
                .def()
                .columns
                .iter()
                .map(|column| match column.kind {
                    Kind::Text | Kind::Json | Kind::Texts => Array::Text(Vec::new()),
                    Kind::Int => Array::Int(Vec::new()),
                    Kind::Bool => Array::Bool(Vec::new()),
                })
                .collect();
        }
        self.keys.push(key);
        self.from.push(held.start);
        self.to.push(held.end);
        self.born.push(row.born);
        self.tenant.push(row.owner.tenant);
        self.visibility.push(row.owner.visibility);
        self.created_by.push(row.owner.created_by);
        self.doc.push(row.doc);
        self.hidden.push(row.hidden);
        debug_assert_eq!(self.columns.len(), row.columns.len(), "{view:?}");
        for (array, value) in self.columns.iter_mut().zip(row.columns) {
            match (array, value) {
                (Array::Text(texts), Col::Text(text)) => texts.push(text.map(storable)),
                (Array::Text(texts), Col::Texts(parts)) => texts.push(Some(parts.join("\u{1f}"))),
                (Array::Int(numbers), Col::Int(number)) => numbers.push(number),
                (Array::Bool(flags), Col::Bool(flag)) => flags.push(flag),
                // a definition and its `columns()` disagree: keep the arrays aligned
                (Array::Text(texts), _) => texts.push(None),
                (Array::Int(numbers), _) => numbers.push(None),
                (Array::Bool(flags), _) => flags.push(None),
            }
        }
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![
            &self.keys,
            &self.from,
            &self.to,
            &self.born,
            &self.tenant,
            &self.visibility,
            &self.created_by,
            &self.doc,
            &self.hidden,
        ];
        for array in &self.columns {
            params.push(match array {
                Array::Text(texts) => texts,
                Array::Int(numbers) => numbers,
                Array::Bool(flags) => flags,
            });
        }
        params
    }

    /// Inserts the batch's versions into another schema (rebuild).
    ///
    /// # Errors
    /// Database errors.
    pub(crate) async fn insert_into(
        &self,
        client: &impl GenericClient,
        schema: &str,
        view: View,
    ) -> Result<(), Error> {
        if !self.keys.is_empty() {
            client
                .execute(&insert_sql(schema, view), &self.params())
                .await?;
        }
        Ok(())
    }
}

/// A column cannot hold the NUL that its document may.
fn storable(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}
