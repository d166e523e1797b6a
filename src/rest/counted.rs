//! Exact totals: from sets of rows in memory where a view has them, counted once otherwise. A total
//! holds as long as no row of its view has changed, however the pages of the list are asked for.
use stratalog_projections::{Condition, ListQuery, Listed, StoredRow};

use super::{Request, marks};
use crate::{context::Chosen, error::Error, store::View};

/// A page with the exact total.
///
/// # Errors
/// Database errors.
pub(super) async fn list<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Listed, Error> {
    if let Some(Chosen { total, keys }) = chosen(req, view, query).await? {
        let rows = match keys {
            Some(keys) if keys.is_empty() => Vec::new(),
            Some(keys) => {
                let mut of_keys = query.clone();
                of_keys.conditions = vec![Condition::Keys(keys)];
                Box::pin(view.select(&of_keys)).await?
            }
            None => page(req, view, query).await?,
        };
        return Ok(Listed { rows, total });
    }
    let rows = async { page(req, view, query).await };
    let (rows, total) = futures::try_join!(rows, count(req, view, query))?;
    Ok(Listed { rows, total })
}

async fn page<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Vec<StoredRow>, Error> {
    let query = marks::shortened(req, view, query).await?;
    Ok(Box::pin(view.select(&query)).await?)
}

/// What the sets in memory say, of the present.
async fn chosen<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Option<Chosen>, Error> {
    if view.position() < view.head() {
        return Ok(None);
    }
    let changes = &req.ctx.changes;
    req.ctx.selections.chosen(changes, view, query).await
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
    if let Some(chosen) = chosen(req, view, query).await? {
        return Ok(chosen.total);
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
