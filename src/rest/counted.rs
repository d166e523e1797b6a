//! Exact totals: from sets of rows in memory where a view has them, counted once otherwise. A total
//! holds as long as no row of its view has changed, however the pages of the list are asked for.
use stratalog_projections::{Condition, ListQuery, Listed, StoredRow};

use super::{Request, marks};
use crate::{
    context::{Chosen, Keys},
    error::Error,
    store::View,
};

/// A page with the exact total.
///
/// # Errors
/// Database errors.
pub(super) async fn list<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Listed, Error> {
    if is_present(view)
        && let (changes, selections) = (&req.ctx.changes, &req.ctx.selections)
        && let Some(Chosen { total, keys }) = selections.chosen(changes, view, query).await?
    {
        let rows = match keys {
            Keys::Page(keys) => of_keys(view, keys, whole(query)).await?,
            Keys::All(keys) => of_keys(view, keys, query.clone()).await?,
            Keys::Untold => page(req, view, query).await?,
        };
        return Ok(Listed { rows, total });
    }
    if let Some(total) = remembered(req, view, query) {
        let rows = page(req, view, query).await?;
        return Ok(Listed { rows, total });
    }
    if query.after.is_some() {
        let rows = async { page(req, view, query).await };
        let (rows, total) = futures::try_join!(rows, counted(req, view, query))?;
        return Ok(Listed { rows, total });
    }
    // one row more: where there is none, this is the last page, and nothing needs to be counted
    let size = query.size.and_then(|size| usize::try_from(size).ok());
    let mut wanted = query.clone();
    wanted.size = query.size.map(|size| size.saturating_add(1));
    let mut rows = page(req, view, &wanted).await?;
    let is_last = size.is_none_or(|size| rows.len() <= size);
    let total = match i64::try_from(rows.len()) {
        Ok(found) if is_last && (found > 0 || query.offset == 0) => {
            let total = query.offset.saturating_add(found);
            remember(req, view, query, total);
            total
        }
        _ => counted(req, view, query).await?,
    };
    rows.truncate(size.unwrap_or(usize::MAX));
    Ok(Listed { rows, total })
}

/// Rows by their keys, in the order of the list.
async fn of_keys(
    view: &View,
    keys: Vec<String>,
    mut query: ListQuery,
) -> Result<Vec<StoredRow>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    query.conditions = vec![Condition::Keys(keys)];
    Ok(Box::pin(view.select(&query)).await?)
}

/// The same query, pages aside.
fn whole(query: &ListQuery) -> ListQuery {
    ListQuery {
        offset: 0,
        size: None,
        ..query.clone()
    }
}

async fn page<B>(
    req: &Request<B>,
    view: &View,
    query: &ListQuery,
) -> Result<Vec<StoredRow>, Error> {
    let query = marks::shortened(req, view, query).await?;
    Ok(Box::pin(view.select(&query)).await?)
}

/// Whether somebody looks at the newest state; nothing is kept of others.
fn is_present(view: &View) -> bool {
    view.position() >= view.head()
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
    let (changes, selections) = (&req.ctx.changes, &req.ctx.selections);
    if is_present(view)
        && let Some(total) = selections.count(changes, view, query).await?
    {
        return Ok(total);
    }
    if let Some(total) = remembered(req, view, query) {
        return Ok(total);
    }
    counted(req, view, query).await
}

/// The database's count; of many that ask for the same, one counts.
async fn counted<B>(req: &Request<B>, view: &View, query: &ListQuery) -> Result<i64, Error> {
    let _one = match is_present(view) {
        true => Some(req.ctx.remembered.counting(&key(req, query)).await),
        false => None,
    };
    if let Some(total) = remembered(req, view, query) {
        return Ok(total);
    }
    let total = view.count(query).await?;
    remember(req, view, query, total);
    Ok(total)
}

fn key<B>(req: &Request<B>, query: &ListQuery) -> String {
    let ListQuery {
        view,
        scope,
        conditions,
        ..
    } = query;
    let epoch = req.ctx.changes.epoch();
    format!("{epoch} {view:?} {scope:?} {conditions:?}")
}

/// A total that still holds.
fn remembered<B>(req: &Request<B>, view: &View, query: &ListQuery) -> Option<i64> {
    let (ctx, head) = (&req.ctx, view.head());
    let (total, position) = ctx.remembered.total(&key(req, query))?;
    // what others know already is not yet what this reader sees
    let holds = is_present(view)
        && position <= head
        && ctx.changes.none_since(position, &[query.view], head);
    holds.then_some(total)
}

fn remember<B>(req: &Request<B>, view: &View, query: &ListQuery, total: i64) {
    if is_present(view) {
        let key = key(req, query);
        req.ctx.remembered.keep_total(key, total, view.head());
    }
}
