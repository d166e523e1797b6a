//! List queries: conditions as values, compiled to SQL here and nowhere else. Nothing a client says
//! becomes SQL text.
use crate::{
    Error,
    place::{self, Place},
    tables::LIVE,
    view::{FOREVER, Kind, View},
};

mod condition;

use condition::{condition, expression, text_of};

const CREATED: &str = "created_at";
/// Columns of a row as it is read.
const COLUMNS: &str =
    "v.key, v.born, v.tenant, v.visibility, v.created_by, v.doc, v.hidden, v.valid_from";
/// Rows skipped with their documents; beyond these it is cheaper to find the page first.
const SKIPPED_WHOLE_MAX: i64 = 100;

/// Which rows the caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything (the manager itself; views that belong to no tenant).
    Everything,
    /// Rows of these tenants, and global rows of any; private rows only of `user`, unless in
    /// `administered`.
    Tenants {
        /// Tenants the caller may look into.
        tenants: Vec<String>,
        /// The caller.
        user: String,
        /// Those of the tenants whose private rows the caller may see.
        administered: Vec<String>,
    },
}

/// One condition on rows; all of them must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The field is one of these texts; an empty list means it is null.
    AnyOf(String, Vec<String>),
    /// The field is none of these texts (and not null).
    NotAnyOf(String, Vec<String>),
    /// The field contains this text, whatever the case.
    Search(String, String),
    /// One of several conditions.
    Or(Vec<Condition>),
    /// The field starts with one of these texts.
    StartsWith(String, Vec<String>),
    /// The field ends with one of these texts.
    EndsWith(String, Vec<String>),
    /// The field contains one of these texts.
    Contains(String, Vec<String>),
    /// The field contains none of these texts.
    NotContains(String, Vec<String>),
    /// The field is neither null nor empty.
    NotEmpty(String),
    /// A column of several texts has one of these.
    Has(String, Vec<String>),
    /// A column of several texts has none of these.
    HasNone(String, Vec<String>),
    /// A column of several texts has an element that starts so and is none of these.
    HasOther(String, String, Vec<String>),
    /// The key of the row is one of these.
    Keys(Vec<String>),
    /// The key of the row is none of these.
    NotKeys(Vec<String>),
    /// A number field lies below this.
    Below(String, i64),
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Field or column.
    pub field: String,
    /// Largest first.
    pub descending: bool,
}

/// A page of a view.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// The view.
    pub view: View,
    /// What the caller may see.
    pub scope: Scope,
    /// What is asked for.
    pub conditions: Vec<Condition>,
    /// Requested order; creation order follows.
    pub sort: Vec<Sort>,
    /// Only rows behind this place; they count in totals, though.
    pub after: Option<Place>,
    /// Rows skipped.
    pub offset: i64,
    /// Rows at most; all of them when absent.
    pub size: Option<i64>,
}

impl ListQuery {
    /// All rows of a view that the scope admits.
    pub fn all(view: View, scope: Scope) -> Self {
        Self {
            view,
            scope,
            conditions: Vec::new(),
            sort: Vec::new(),
            after: None,
            offset: 0,
            size: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn with(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }
}

/// A bound parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// `text[]`.
    Texts(Vec<String>),
    /// `text`.
    Text(String),
    /// `bigint`.
    Int(i64),
}

/// SQL with its parameters.
#[derive(Debug, Default, Clone)]
pub struct Sql {
    /// The text so far.
    pub text: String,
    /// Values of `$1`, `$2`…
    pub params: Vec<Param>,
}

impl Sql {
    pub(crate) fn bind(&mut self, param: Param) -> String {
        let cast = match &param {
            Param::Texts(_) => "::text[]",
            Param::Text(_) => "::text",
            Param::Int(_) => "::bigint",
        };
        // equal parameters share a number: the text stays the same for page and count
        let at = self.params.iter().position(|p| *p == param);
        let at = at.unwrap_or_else(|| {
            self.params.push(param);
            self.params.len() - 1
        });
        format!("${}{cast}", at + 1)
    }
}

/// The version of a row that is true at the moment asked for.
pub(crate) fn moment(sql: &mut Sql, position: Option<i64>) -> String {
    match position {
        None => format!("v.valid_to = {FOREVER}"),
        Some(position) => {
            let at = sql.bind(Param::Int(position));
            format!("v.valid_from <= {at} AND v.valid_to > {at}")
        }
    }
}

pub(crate) fn visible(sql: &mut Sql, scope: &Scope) -> Option<String> {
    let Scope::Tenants {
        tenants,
        user,
        administered,
    } = scope
    else {
        return None;
    };
    let tenants = sql.bind(Param::Texts(tenants.clone()));
    let administered = sql.bind(Param::Texts(administered.clone()));
    let user = sql.bind(Param::Text(user.clone()));
    Some(format!(
        "(v.tenant = ANY({tenants}) OR v.visibility = 'global') AND (v.visibility <> 'private' \
         OR v.created_by = {user} OR v.tenant = ANY({administered}))"
    ))
}

/// The part after `FROM … WHERE`.
pub(crate) fn conditions(
    sql: &mut Sql,
    query: &ListQuery,
    position: Option<i64>,
) -> Result<String, Error> {
    let mut parts = vec![moment(sql, position)];
    parts.extend(visible(sql, &query.scope));
    for part in &query.conditions {
        parts.push(condition(sql, query.view, part)?);
    }
    Ok(parts.join(" AND "))
}

/// Something that rows are ordered by.
#[derive(Debug)]
pub(crate) struct OrderKey {
    pub(crate) sql: String,
    pub(crate) kind: Kind,
    pub(crate) descending: bool,
    pub(crate) is_nullable: bool,
}

/// What rows are ordered by: what was asked, then creation, then the key, so that pages never
/// overlap. What breaks ties goes in the direction of the last that was asked, as indexes do.
pub(crate) fn order_keys(query: &ListQuery) -> Result<Vec<OrderKey>, Error> {
    let mut keys = Vec::with_capacity(query.sort.len() + 3);
    for sort in &query.sort {
        let (sql, kind) = expression(query.view, &sort.field)?;
        keys.push(OrderKey {
            // every row that has the column has a value in it
            is_nullable: sort.field != CREATED,
            sql,
            kind,
            descending: sort.descending,
        });
    }
    let descending = query.sort.last().is_some_and(|sort| sort.descending);
    let always = |name: &str, kind: Kind| OrderKey {
        sql: format!("v.{name}"),
        kind,
        descending,
        is_nullable: false,
    };
    if query.view.def().column(CREATED).is_some() {
        keys.push(always(CREATED, Kind::Int));
    }
    keys.push(always("born", Kind::Int));
    keys.push(always("key", Kind::Text));
    Ok(keys)
}

/// The part after `ORDER BY`.
pub(crate) fn order(query: &ListQuery) -> Result<String, Error> {
    let keys = order_keys(query)?;
    let parts = keys.iter().map(|key| match key.descending {
        true => format!("{} DESC", key.sql),
        false => key.sql.clone(),
    });
    Ok(parts.collect::<Vec<_>>().join(", "))
}

/// Rows of a page with their documents.
pub(crate) fn page(query: &ListQuery, position: Option<i64>) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let mut conditions = conditions(&mut sql, query, position)?;
    let (order, view) = (order(query)?, query.view.name());
    let mut limits = String::new();
    let mut nulls = None;
    if let Some(place) = &query.after {
        let behind = place::behind(&mut sql, &order_keys(query)?, place)?;
        nulls = behind
            .nulls
            .map(|nulls| format!("{conditions} AND {nulls}"));
        conditions = format!("{conditions} AND {}", behind.valued);
    }
    if query.offset > 0 {
        limits += &format!(" OFFSET {}", sql.bind(Param::Int(query.offset)));
    }
    if let Some(size) = query.size {
        limits += &format!(" LIMIT {}", sql.bind(Param::Int(size)));
    }
    sql.text = if let Some(nulls) = nulls {
        // each part enters an index where it begins; both in one condition would not. What is
        // skipped may lie in either
        let moment = moment(&mut sql, position);
        let reach = query.size.map(|size| query.offset.saturating_add(size));
        let reach = reach.map(|rows| format!(" LIMIT {}", sql.bind(Param::Int(rows))));
        let reach = reach.unwrap_or_default();
        let part = |conditions: &str| {
            format!(
                "(SELECT v.key FROM {LIVE}.{view} v WHERE {conditions} ORDER BY {order}{reach})"
            )
        };
        format!(
            "SELECT {COLUMNS} FROM {LIVE}.{view} v JOIN ({} UNION ALL {}) page USING (key) \
             WHERE {moment} ORDER BY {order}{limits}",
            part(&conditions),
            part(&nulls)
        )
    } else if query.offset > SKIPPED_WHOLE_MAX {
        // what is skipped is looked up in indexes only
        let moment = moment(&mut sql, position);
        format!(
            "SELECT {COLUMNS} FROM {LIVE}.{view} v JOIN (SELECT v.key FROM {LIVE}.{view} v \
             WHERE {conditions} ORDER BY {order}{limits}) page USING (key) WHERE {moment} \
             ORDER BY {order}"
        )
    } else {
        format!("SELECT {COLUMNS} FROM {LIVE}.{view} v WHERE {conditions} ORDER BY {order}{limits}")
    };
    Ok(sql)
}

/// Keys and fields as texts.
pub(crate) fn pick(
    query: &ListQuery,
    fields: &[&str],
    position: Option<i64>,
) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let mut names = vec!["v.key".to_owned()];
    for field in fields {
        names.push(text_of(query.view, field)?);
    }
    let conditions = conditions(&mut sql, query, position)?;
    let order = order(query)?;
    sql.text = format!(
        "SELECT {} FROM {LIVE}.{} v WHERE {conditions} ORDER BY {order}",
        names.join(", "),
        query.view.name()
    );
    Ok(sql)
}

/// The key of the first row of each combination of some fields.
pub(crate) fn firsts(
    query: &ListQuery,
    fields: &[&str],
    position: Option<i64>,
) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let names = fields.iter().map(|field| text_of(query.view, field));
    let names = names.collect::<Result<Vec<_>, _>>()?.join(", ");
    let conditions = conditions(&mut sql, query, position)?;
    sql.text = format!(
        "SELECT DISTINCT ON ({names}) v.key FROM {LIVE}.{} v WHERE {conditions} \
         ORDER BY {names}, {}",
        query.view.name(),
        order(query)?
    );
    Ok(sql)
}

/// A grouped count.
pub(crate) fn group(
    query: &ListQuery,
    fields: &[&str],
    position: Option<i64>,
) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let mut names = Vec::with_capacity(fields.len());
    for field in fields {
        names.push(text_of(query.view, field)?);
    }
    let conditions = conditions(&mut sql, query, position)?;
    let names = names.join(", ");
    sql.text = format!(
        "SELECT {names}, count(*) FROM {LIVE}.{} v WHERE {conditions} GROUP BY {names} \
         ORDER BY {names}",
        query.view.name()
    );
    Ok(sql)
}
