//! Reading views, now or as of a position, always from one consistent moment.
use tokio_postgres::{Client, Row as SqlRow, Statement, types::ToSql};

use crate::{
    Error,
    place::{self, Place},
    query::{self, ListQuery, Param, Scope, Sql},
    tables::LIVE,
    view::{Resource, View, restore},
    views::scoped,
};

/// The moment a reader looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest committed state.
    Now,
    /// The state after this position, whatever came later.
    Position(i64),
}

/// One row as read.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// Position of its creation: a stable number for the resource.
    pub born: i64,
    /// Position of the event that made it what it is.
    pub since: i64,
    /// Tenant, visibility, creator.
    pub owner: crate::Owner,
    /// The wire document.
    pub doc: String,
    /// What is stored beside it.
    pub hidden: Option<String>,
}

impl Row {
    /// The typed resource.
    ///
    /// # Errors
    /// `Document` when it has another shape.
    pub fn resource<T: Resource>(&self) -> Result<T, Error> {
        restore(&self.key, &self.doc, self.hidden.as_deref())
    }
}

/// A page of rows.
#[derive(Debug)]
pub struct Listed {
    /// The rows of the page.
    pub rows: Vec<Row>,
    /// How many rows match in all.
    pub total: i64,
}

/// Anything that holds a connection.
pub trait Connection: Send + Sync {
    /// The connection.
    fn client(&self) -> &Client;

    /// A prepared statement; the same one again where the connection keeps them.
    fn statement(
        &self,
        sql: &str,
    ) -> impl Future<Output = Result<Statement, tokio_postgres::Error>> + Send {
        self.client().prepare(sql)
    }
}

const HEAD: &str =
    "SELECT first_position + n - 1 FROM es.spine ORDER BY first_position DESC LIMIT 1";

impl Connection for Client {
    fn client(&self) -> &Client {
        self
    }
}

/// Reads views over one connection within one read-only transaction; `finish` ends it.
///
/// Dropping a reader without `finish` leaves the transaction open: the pool's recycling ends it.
#[derive(Debug)]
pub struct Reader<C: Connection> {
    client: C,
    at: Option<i64>,
    head: i64,
}

/// The log's head, outside any transaction.
///
/// # Errors
/// Database errors.
pub async fn head<C: Connection>(connection: &C) -> Result<i64, Error> {
    let (_, head) = futures::try_join!(connection.client().batch_execute("ROLLBACK"), async {
        let statement = connection.statement(HEAD).await?;
        connection.client().query_opt(&statement, &[]).await
    })?;
    Ok(head.map_or(Ok(0), |row| row.try_get(0))?)
}

impl<C: Connection> Reader<C> {
    /// Starts reading at a moment.
    ///
    /// # Errors
    /// Database errors.
    pub async fn begin(client: C, at: At) -> Result<Self, Error> {
        let connection = client.client();
        // sent in this order and answered in one round trip
        let (_, head) = futures::try_join!(
            connection.batch_execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            async {
                connection
                    .query_opt(&client.statement(HEAD).await?, &[])
                    .await
            }
        )?;
        let head: i64 = head.map_or(Ok(0), |row| row.try_get(0))?;
        let at = match at {
            At::Now => None,
            At::Position(position) if position >= head => None,
            At::Position(position) => Some(position),
        };
        Ok(Self { client, at, head })
    }

    /// The position this reader's answers are true at.
    pub fn position(&self) -> i64 {
        self.at.unwrap_or(self.head)
    }

    /// The log's head as this reader sees it.
    pub fn head(&self) -> i64 {
        self.head
    }

    /// The connection, for reads of the log within the same transaction.
    pub fn client(&self) -> &Client {
        self.client.client()
    }

    /// Ends the transaction and gives the connection back.
    ///
    /// # Errors
    /// Database errors.
    pub async fn finish(self) -> Result<C, Error> {
        self.client().batch_execute("COMMIT").await?;
        Ok(self.client)
    }

    async fn query(&self, sql: &Sql) -> Result<Vec<SqlRow>, Error> {
        let params: Vec<&(dyn ToSql + Sync)> = sql.params.iter().map(Param::sql).collect();
        self.fetch(&sql.text, &params).await
    }

    /// Rows of a query that is asked often, within the same transaction.
    ///
    /// # Errors
    /// Database errors.
    pub async fn fetch(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SqlRow>, Error> {
        let statement = self.client.statement(sql).await?;
        Ok(self.client().query(&statement, params).await?)
    }

    /// One row by key.
    ///
    /// # Errors
    /// Database errors.
    pub async fn row(&self, view: View, key: &str) -> Result<Option<Row>, Error> {
        Ok(self.rows(view, &[key.to_owned()]).await?.pop())
    }

    /// Rows by key, in no order.
    ///
    /// # Errors
    /// Database errors.
    pub async fn rows(&self, view: View, keys: &[String]) -> Result<Vec<Row>, Error> {
        let query =
            ListQuery::all(view, Scope::Everything).with(query::Condition::Keys(keys.to_vec()));
        self.select(&query).await
    }

    /// The row of that id in a tenant or, without one, the global one of any tenant.
    ///
    /// # Errors
    /// Database errors.
    pub async fn in_tenant(
        &self,
        view: View,
        tenant: &str,
        id: &str,
    ) -> Result<Option<Row>, Error> {
        if let Some(row) = self.row(view, &scoped(tenant, id)).await? {
            return Ok(Some(row));
        }
        let any_of = |field: &str, value: &str| {
            query::Condition::AnyOf(field.to_owned(), vec![value.to_owned()])
        };
        let global = ListQuery::all(view, Scope::Everything)
            .with(any_of("id", id))
            .with(any_of("visibility", "global"));
        Ok(self.select(&global).await?.pop())
    }

    /// One resource by key.
    ///
    /// # Errors
    /// Database errors, or a document of another shape.
    pub async fn get<T: Resource>(&self, key: &str) -> Result<Option<T>, Error> {
        self.row(T::VIEW, key)
            .await?
            .map(|row| row.resource())
            .transpose()
    }

    /// All rows a query admits, without counting more.
    ///
    /// # Errors
    /// `UnknownField`, or database errors.
    pub async fn select(&self, query: &ListQuery) -> Result<Vec<Row>, Error> {
        let sql = query::page(query, self.at)?;
        self.query(&sql).await?.iter().map(to_row).collect()
    }

    /// Where in a list a row stands.
    ///
    /// # Errors
    /// `UnknownField`, database errors.
    pub async fn place(&self, query: &ListQuery, key: &str) -> Result<Option<Place>, Error> {
        let sql = place::of_row(query, key, self.at)?;
        let rows = self.query(&sql).await?;
        rows.first().map(to_place).transpose()
    }

    /// Where every `nth` row of a list stands, pages aside, in order.
    ///
    /// # Errors
    /// `UnknownField`, database errors.
    pub async fn places(&self, query: &ListQuery, nth: i64) -> Result<Vec<Place>, Error> {
        let sql = place::of_every(query, nth, self.at)?;
        self.query(&sql).await?.iter().map(to_place).collect()
    }

    /// All resources a query admits.
    ///
    /// # Errors
    /// `UnknownField`, database errors, or a document of another shape.
    pub async fn select_as<T: Resource>(&self, query: &ListQuery) -> Result<Vec<T>, Error> {
        debug_assert_eq!(query.view, T::VIEW);
        self.select(query)
            .await?
            .iter()
            .map(Row::resource)
            .collect()
    }

    /// Keys and some fields, as texts, of all rows a query admits: for joins that need no
    /// documents.
    ///
    /// # Errors
    /// `UnknownField`, or database errors.
    pub async fn pick(
        &self,
        query: &ListQuery,
        fields: &[&str],
    ) -> Result<Vec<(String, Vec<Option<String>>)>, Error> {
        let sql = query::pick(query, fields, self.at)?;
        let rows = self.query(&sql).await?;
        rows.iter()
            .map(|row| {
                let values = (1..=fields.len()).map(|i| row.try_get(i));
                Ok((row.try_get(0)?, values.collect::<Result<_, _>>()?))
            })
            .collect()
    }

    /// Of all rows a query admits, the key of the first of each combination of some fields.
    ///
    /// # Errors
    /// `UnknownField`, or database errors.
    pub async fn firsts(&self, query: &ListQuery, fields: &[&str]) -> Result<Vec<String>, Error> {
        let sql = query::firsts(query, fields, self.at)?;
        let rows = self.query(&sql).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// How many rows a query admits, pages aside.
    ///
    /// # Errors
    /// `UnknownField`, or database errors.
    pub async fn count(&self, query: &ListQuery) -> Result<i64, Error> {
        let mut sql = Sql::default();
        let conditions = query::conditions(&mut sql, query, self.at)?;
        sql.text = format!(
            "SELECT count(*) FROM {LIVE}.{} v WHERE {conditions}",
            query.view.name()
        );
        let rows = self.query(&sql).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }

    /// Counts by the values of some fields, ordered by them.
    ///
    /// # Errors
    /// `UnknownField`, or database errors.
    pub async fn group(
        &self,
        query: &ListQuery,
        fields: &[&str],
    ) -> Result<Vec<(Vec<Option<String>>, i64)>, Error> {
        let sql = query::group(query, fields, self.at)?;
        let rows = self.query(&sql).await?;
        let mut groups = Vec::with_capacity(rows.len());
        for row in rows {
            let mut values = Vec::with_capacity(fields.len());
            for i in 0..fields.len() {
                values.push(row.try_get(i)?);
            }
            groups.push((values, row.try_get(fields.len())?));
        }
        Ok(groups)
    }
}

fn to_place(row: &SqlRow) -> Result<Place, Error> {
    let values = (0..row.len()).map(|at| row.try_get(at));
    Ok(Place(values.collect::<Result<_, _>>()?))
}

fn to_row(row: &SqlRow) -> Result<Row, Error> {
    Ok(Row {
        key: row.try_get(0)?,
        born: row.try_get(1)?,
        since: row.try_get(7)?,
        owner: crate::Owner {
            tenant: row.try_get(2)?,
            visibility: row.try_get(3)?,
            created_by: row.try_get(4)?,
        },
        doc: row.try_get(5)?,
        hidden: row.try_get(6)?,
    })
}

impl Param {
    fn sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Texts(texts) => texts,
            Self::Text(text) => text,
            Self::Int(number) => number,
        }
    }
}
