//! Cursors: a page that begins behind the last row of the one before, at the same price wherever in
//! the list it is.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use stratalog_projections::{ListQuery, Place, Sort, View};

use super::Query;
use crate::error::Error;

const PARAMETER: &str = "_cursor";

/// What a token says. Clients pass it on as it is.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    /// The list.
    of: String,
    /// Its order.
    by: Vec<String>,
    /// The place.
    at: Vec<Option<String>>,
}

fn order(sort: &[Sort]) -> Vec<String> {
    let name = |sort: &Sort| match sort.descending {
        true => format!("-{}", sort.field),
        false => sort.field.clone(),
    };
    sort.iter().map(name).collect()
}

pub(super) fn refused() -> Error {
    Error::bad_parameters(format!(
        "{PARAMETER} is not one that this list gave in this order"
    ))
}

/// Whether cursors are asked for.
pub(super) fn is_asked(query: &Query) -> bool {
    query.get(PARAMETER).is_some()
}

/// Cursors are not for lists that are no pages of rows.
pub(super) fn unavailable() -> Error {
    Error::bad_parameters(format!("{PARAMETER} is not available for this list"))
}

/// Refuses a query that asks for cursors.
///
/// # Errors
/// 400.
pub(super) fn refuse(query: &Query) -> Result<(), Error> {
    match is_asked(query) {
        true => Err(unavailable()),
        false => Ok(()),
    }
}

/// The place that the cursor of a query names; an empty cursor is for the first page.
///
/// # Errors
/// As [`values`].
pub(super) fn place(query: &Query, view: View, sort: &[Sort]) -> Result<Option<Place>, Error> {
    let found = values(query, view.name(), &order(sort))?;
    Ok(found.map(Place))
}

/// The values that the cursor of a query names a place by, in a list and an order that are called
/// so.
///
/// # Errors
/// 400 for a cursor of another list or order, and for one beside `_offset` or
/// `_get_all_results`.
pub(super) fn values(
    query: &Query,
    of: &str,
    by: &[String],
) -> Result<Option<Vec<Option<String>>>, Error> {
    let Some(text) = query.get(PARAMETER) else {
        return Ok(None);
    };
    if query.number("_offset")?.unwrap_or(0) > 0 || query.flag("_get_all_results")? {
        return Err(Error::bad_parameters(format!(
            "{PARAMETER} goes neither with _offset nor with _get_all_results"
        )));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| refused())?;
    if token.of != of || token.by != by {
        return Err(refused());
    }
    Ok(Some(token.at))
}

/// The cursor behind a place.
///
/// # Errors
/// `Internal`.
pub(super) fn token(query: &ListQuery, place: Place) -> Result<String, Error> {
    let of = query.view.name().to_owned();
    token_of(of, order(&query.sort), place.0)
}

/// The cursor of a list and an order that are called so, behind what values say.
///
/// # Errors
/// `Internal`.
pub(super) fn token_of(
    of: String,
    by: Vec<String>,
    at: Vec<Option<String>>,
) -> Result<String, Error> {
    let token = Token { of, by, at };
    let text = serde_json::to_vec(&token).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}
