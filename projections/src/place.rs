//! Where a page of a list ended, so that the next one begins behind it: whatever is created or
//! deleted meanwhile, no row comes twice, and none that stays is left out.
use crate::{
    Error, ListQuery,
    query::{OrderKey, Param, Sql, conditions, moment, order, order_keys},
    tables::LIVE,
    view::Kind,
};

/// What the last row of a page was ordered by: the values as texts, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub Vec<Option<String>>);

/// A parameter of the order key's type.
fn bound(sql: &mut Sql, key: &OrderKey, value: &str) -> Result<String, Error> {
    Ok(match key.kind {
        Kind::Int => sql.bind(Param::Int(value.parse().map_err(|_| Error::Place)?)),
        Kind::Bool => {
            let value: bool = value.parse().map_err(|_| Error::Place)?;
            format!("{}::boolean", sql.bind(Param::Text(value.to_string())))
        }
        Kind::Text | Kind::Json | Kind::Texts => sql.bind(Param::Text(value.to_owned())),
    })
}

/// Behind a value, within rows that are equal before this key; PostgreSQL has nulls last where the
/// smallest come first, and first where the largest do.
fn behind_value(key: &OrderKey, bound: Option<&str>, with_nulls: bool) -> Option<String> {
    let OrderKey {
        sql, descending, ..
    } = key;
    match (bound, descending) {
        (Some(bound), true) => Some(format!("{sql} < {bound}")),
        (Some(bound), false) if key.is_nullable && with_nulls => {
            Some(format!("({sql} > {bound} OR {sql} IS NULL)"))
        }
        (Some(bound), false) => Some(format!("{sql} > {bound}")),
        (None, true) => Some(format!("{sql} IS NOT NULL")),
        (None, false) => None,
    }
}

/// What rows behind a place have in common.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Those with a value in what they are ordered by first, or all.
    pub(crate) valued: String,
    /// Those without one, where they come last.
    pub(crate) nulls: Option<String>,
}

/// The conditions that rows come behind a place.
///
/// # Errors
/// `Place` when it belongs to another order.
pub(crate) fn behind(sql: &mut Sql, keys: &[OrderKey], place: &Place) -> Result<Behind, Error> {
    if keys.len() != place.0.len() {
        return Err(Error::Place);
    }
    let (mut alternatives, mut equal) = (Vec::new(), Vec::<String>::new());
    // where an index in the order of the list is entered
    let (mut entry, mut nulls) = (String::new(), None);
    for (at, (key, value)) in keys.iter().zip(&place.0).enumerate() {
        let value = value.as_deref();
        let bound = value.map(|value| bound(sql, key, value)).transpose()?;
        let are_apart = at == 0 && key.is_nullable && !key.descending && bound.is_some();
        nulls = nulls.or_else(|| are_apart.then(|| format!("{} IS NULL", key.sql)));
        if let Some(behind) = behind_value(key, bound.as_deref(), !are_apart) {
            let parts: Vec<&str> = equal.iter().map(String::as_str).collect();
            alternatives.push([parts, vec![&behind]].concat().join(" AND "));
        }
        let OrderKey { sql: of, .. } = key;
        match &bound {
            Some(bound) if at == 0 && key.descending => entry = format!("{of} <= {bound} AND "),
            Some(bound) if at == 0 => entry = format!("{of} >= {bound} AND "),
            _ => {}
        }
        equal.push(match bound {
            Some(bound) => format!("{of} = {bound}"),
            None => format!("{of} IS NULL"),
        });
    }
    Ok(Behind {
        valued: format!("{entry}({})", alternatives.join(" OR ")),
        nulls,
    })
}

/// What a row is ordered by.
pub(crate) fn of_row(query: &ListQuery, key: &str, position: Option<i64>) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let values: Vec<String> = order_keys(query)?
        .iter()
        .map(|key| format!("({})::text", key.sql))
        .collect();
    let key = sql.bind(Param::Text(key.to_owned()));
    let moment = moment(&mut sql, position);
    sql.text = format!(
        "SELECT {} FROM {LIVE}.{} v WHERE v.key = {key} AND {moment}",
        values.join(", "),
        query.view.name()
    );
    Ok(sql)
}

/// What every so-manieth row of a list is ordered by.
pub(crate) fn of_every(query: &ListQuery, nth: i64, position: Option<i64>) -> Result<Sql, Error> {
    let mut sql = Sql::default();
    let keys = order_keys(query)?;
    let names: Vec<String> = (0..keys.len()).map(|at| format!("k{at}")).collect();
    let values: Vec<String> = keys
        .iter()
        .zip(&names)
        .map(|(key, name)| format!("({})::text AS {name}", key.sql))
        .collect();
    let conditions = conditions(&mut sql, query, position)?;
    let (order, nth) = (order(query)?, sql.bind(Param::Int(nth)));
    sql.text = format!(
        "SELECT {} FROM (SELECT {}, row_number() OVER (ORDER BY {order}) AS nth FROM {LIVE}.{} v \
         WHERE {conditions}) p WHERE nth % {nth} = 0 ORDER BY nth",
        names.join(", "),
        values.join(", "),
        query.view.name()
    );
    Ok(sql)
}
