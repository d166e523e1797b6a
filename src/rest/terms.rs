//! Requests with terms: to be carried out once (`Idempotency-Key`), or only on a resource that has
//! not changed (`If-Match`). All others pass by and cost a look at two headers.
use std::{io, sync::Arc};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use http::{Method, header::IF_MATCH};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, service::Service as _};
use hyper_util::service::TowerToHyperService;
use tokio::sync::oneshot;
use warp::{Filter, Rejection, path::FullPath, reject, reply::Response};

use super::{
    Request, Route,
    extract::{self, Head, Known},
    reply,
};
use crate::{context::Context, error::Error, store::Terms, tasks};

mod condition;
mod once;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

type Body = BoxBody<Bytes, io::Error>;

/// A request as it goes on.
type Forwarded = http::Request<Body>;

/// Whether what a path below the version names is answered with a tag.
pub(super) fn is_tagged(path: &str) -> bool {
    condition::named(&format!("/api/v3.1{path}")).is_some()
}

/// Takes requests with terms and hands them on to `all` routes.
pub(super) fn routes(ctx: &Arc<Context>, all: Route) -> Route {
    let ctx = ctx.clone();
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    has_terms()
        .and(extract::head())
        .and(raw_query)
        .and(warp::body::stream())
        .then(move |head, query: String, stream| {
            let (ctx, all) = (ctx.clone(), all.clone());
            async move { reply::any(answer((ctx, all), (head, &query), stream).await) }
        })
        .boxed()
}

/// Whether a request is one that changes something, and comes with terms.
fn has_terms() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    let has = |name| {
        let found = warp::header::value(name).map(|_| true);
        found.or(warp::any().map(|| false)).unify()
    };
    warp::method()
        .and(warp::path::full())
        .and(has(IDEMPOTENCY_KEY))
        .and(has(IF_MATCH.as_str()))
        .and_then(
            async |method: Method, path: FullPath, is_keyed, is_conditional| {
                let is_change = method != Method::GET && path.as_str().starts_with("/api/");
                match is_change && (is_keyed || is_conditional) {
                    true => Ok(()),
                    false => Err(reject::not_found()),
                }
            },
        )
        .untuple_one()
}

async fn answer<B: Buf>(
    (ctx, all): (Arc<Context>, Route),
    (head, query): (Arc<Head>, &str),
    stream: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
) -> Result<Response, Error> {
    let request = extract::authenticate(ctx, head).await?;
    let condition = condition::asked(&request)?;
    let Some(id) = once::asked(&request)? else {
        let forwarded = forwarded(&request, query, streamed(stream))?;
        let terms = Terms::new(None, condition);
        return apart(async move { Ok(send(all, &terms, forwarded).await) }).await;
    };
    let (body, asked) = match once::is_small(&request.head.headers) {
        true => {
            let body = extract::collect(&request, stream).await?;
            let asked = once::digest(&request, query, Some(&body));
            (
                Full::new(body).map_err(|never| match never {}).boxed(),
                asked,
            )
        }
        false => (streamed(stream), once::digest(&request, query, None)),
    };
    let forwarded = forwarded(&request, query, body)?;
    let ctx = request.ctx;
    if let Some(answered) = once::begin(&ctx, id, &asked).await? {
        return Ok(answered);
    }
    let terms = Terms::new(Some(id), condition);
    apart(async move {
        let work = send(all, &terms, forwarded);
        let response = once::alive(&ctx, id, work).await;
        once::finish(&ctx, (id, &terms), response).await
    })
    .await
}

/// What is begun is finished, whether the client still waits for it or not.
async fn apart(
    work: impl Future<Output = Result<Response, Error>> + Send + 'static,
) -> Result<Response, Error> {
    let (sender, receiver) = oneshot::channel();
    tasks::detached("request with terms", async move {
        // nobody listens once the client is gone
        drop(sender.send(work.await));
    });
    let lost = |_| {
        Error::internal(anyhow::anyhow!(
            "a request with terms ended without an answer"
        ))
    };
    receiver.await.map_err(lost)?
}

async fn send(all: Route, terms: &Arc<Terms>, forwarded: Forwarded) -> Response {
    let service = TowerToHyperService::new(warp::service(all));
    match terms.apply(service.call(forwarded)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn streamed<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
) -> Body {
    let frames = stream.map(|chunk| {
        let mut chunk = chunk.map_err(io::Error::other)?;
        Ok(Frame::data(chunk.copy_to_bytes(chunk.remaining())))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

/// The request without its terms, from a sender who is known by now.
fn forwarded(request: &Request, query: &str, body: Body) -> Result<Forwarded, Error> {
    let head = &request.head;
    let uri = match query {
        "" => head.path.clone(),
        query => format!("{}?{query}", head.path),
    };
    let built = http::Request::builder()
        .method(head.method.clone())
        .uri(uri)
        .body(body);
    let mut forwarded = built.map_err(Error::internal)?;
    let headers = forwarded.headers_mut();
    headers.clone_from(&head.headers);
    headers.remove(IDEMPOTENCY_KEY);
    headers.remove(IF_MATCH);
    let extensions = forwarded.extensions_mut();
    if let Some(peer) = head.peer {
        extensions.insert(peer);
    }
    extensions.insert(Known(request.caller.clone()));
    Ok(forwarded)
}
