//! `/audit/stream`: everything that was done, and whatever is done from now on.
use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, header::CONTENT_TYPE};
use stratalog_projections::At;
use warp::{Filter as _, Reply as _, reply::Response};

use super::{FETCH, item, moment};
use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    files::serve::Shareable,
    log::audit::{self, Filter, Question},
    rest::{Request, Route, extract, reply},
};

/// `GET /audit/stream`: one record after the other, each followed by an empty line, without end.
pub(super) fn route(ctx: &Arc<Context>) -> Route {
    warp::path!("stream")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| respond(&req?))
        .map(reply::any)
        .boxed()
}

fn respond(req: &Request) -> Result<Response, Error> {
    req.caller.require(Permission::AuditLogView)?;
    let text = |name: &str| req.query().get(name).map(str::to_owned);
    let filter = Filter {
        actor: text("creator_name"),
        execution: text("execution_id"),
        since: moment("since", req.query().get("since"))?,
        ..Filter::default()
    };
    let question = Question::new(filter, false, FETCH);
    let records = records(req.ctx.clone(), question);
    let mut response = warp::reply::stream(Shareable::new(records.boxed())).into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Ends when the log cannot be read any more; clients come again.
fn records(ctx: Arc<Context>, question: Question) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((ctx, question), async |(ctx, mut question)| {
        match next(&ctx, &mut question).await {
            Ok(records) => Some((Ok(records), (ctx, question))),
            Err(error) => {
                tracing::warn!(%error, "a stream of the audit log ends");
                None
            }
        }
    })
}

/// The next records there are; waits for them.
async fn next(ctx: &Context, question: &mut Question) -> Result<Bytes, Error> {
    loop {
        let view = ctx.store.read(At::Now).await?;
        let page = audit::page(view.client(), question).await?;
        drop(view.finish().await?);
        question.beyond = Some(page.next.unwrap_or(page.head));
        if !page.entries.is_empty() {
            let records = page
                .entries
                .iter()
                .map(|entry| format!("{}\n\n", item(entry)));
            return Ok(records.collect::<String>().into());
        }
        if page.next.is_none() {
            ctx.store.subscribe(page.head).next().await?;
        }
    }
}
