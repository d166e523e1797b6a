//! Pages far inside a list that does not change: rows are not skipped one by one, but from the
//! nearest mark.
use std::{borrow::Cow, sync::Arc};

use stratalog_projections::{ListQuery, Place};

use super::Request;
use crate::{context::Marks, error::Error, store::View};

/// Rows between two marks, and the fewest that are worth it.
const EVERY: i64 = 200;

/// The same page, with fewer rows to skip. Marks are made when such a page is asked for again while
/// the list is as it was: on a list that always changes they would cost more than they save.
///
/// # Errors
/// Database errors.
pub(super) async fn shortened<'q, B>(
    req: &Request<B>,
    view: &View,
    query: &'q ListQuery,
) -> Result<Cow<'q, ListQuery>, Error> {
    let (ctx, head) = (&req.ctx, view.head());
    if query.offset < EVERY || query.after.is_some() || view.position() < head {
        return Ok(Cow::Borrowed(query));
    }
    let ListQuery {
        view: of,
        scope,
        conditions,
        sort,
        ..
    } = query;
    let epoch = ctx.changes.epoch();
    let key = format!("{epoch} {of:?} {scope:?} {conditions:?} {sort:?}");
    let holds = |since: i64| ctx.changes.none_since(since, &[*of], head);
    let known = |marks: Option<Marks>| match marks {
        Some(Marks::Known(since, places)) if holds(since) => Some(places),
        _ => None,
    };
    let found = ctx.remembered.marks(&key);
    if let Some(places) = known(found.clone()) {
        return Ok(Cow::Owned(from_mark(query, &places)));
    }
    if !matches!(found, Some(Marks::Asked(since)) if holds(since)) {
        ctx.remembered.keep_marks(key, Marks::Asked(head));
        return Ok(Cow::Borrowed(query));
    }
    let _one = ctx.remembered.marking().await;
    let places = match known(ctx.remembered.marks(&key)) {
        Some(places) => places,
        None => {
            let places: Arc<[Place]> = Box::pin(view.places(query, EVERY)).await?.into();
            let marks = Marks::Known(head, places.clone());
            ctx.remembered.keep_marks(key, marks);
            places
        }
    };
    Ok(Cow::Owned(from_mark(query, &places)))
}

/// The page as seen from the last mark before it.
fn from_mark(query: &ListQuery, places: &[Place]) -> ListQuery {
    let passed = usize::try_from(query.offset / EVERY).unwrap_or(usize::MAX);
    let passed = passed.min(places.len());
    let mut query = query.clone();
    if let Some(place) = passed.checked_sub(1).and_then(|at| places.get(at)) {
        query.after = Some(place.clone());
        query.offset -= EVERY * i64::try_from(passed).unwrap_or_default();
    }
    query
}
