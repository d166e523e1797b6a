//! Exact totals, counted once: a total holds as long as no row of its view has changed, however the
//! pages of the list are asked for.
use stratalog_projections::{ListQuery, Listed};

use super::Request;
use crate::{error::Error, store::View};

/// A page with the exact total.
///
/// # Errors
/// Database errors.
pub(super) async fn list<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Listed, Error> {
    let rows = async { Ok(view.select(query).await?) };
    let (rows, total) = futures::try_join!(rows, count(req, view, query))?;
    Ok(Listed { rows, total })
}

/// How many rows a query admits, pages aside.
///
/// # Errors
/// Database errors.
pub(super) async fn count<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<i64, Error> {
    let (ctx, head) = (&req.ctx, view.head());
    if view.position() < head {
        return Ok(view.count(query).await?);
    }
    let ListQuery {
        view: of,
        scope,
        conditions,
        ..
    } = query;
    let key = format!("{} {of:?} {scope:?} {conditions:?}", ctx.changes.epoch());
    if let Some((total, position)) = ctx.remembered.total(&key)
        && ctx.changes.none_since(position, &[*of], head)
    {
        return Ok(total);
    }
    let total = view.count(query).await?;
    ctx.remembered.keep_total(key, total, head);
    Ok(total)
}
