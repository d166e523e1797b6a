//! Routes, and how they are put together: groups by first path segment, in a balanced tree.
use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, StatusCode};
use warp::{Filter, Rejection, filters::BoxedFilter, reject, reply::Response};

use super::{Version, reply, resources, terms};
use crate::{
    context::Context,
    error::{Error, ErrorCode},
};

/// One route, or several.
pub type Route = BoxedFilter<(Response,)>;

/// Header that says which position an answer is true at.
pub(super) const LOG_POSITION: &str = "x-log-position";

/// Tries routes in a balanced tree: a miss costs the depth, not the number.
pub fn one_of(mut routes: Vec<Route>) -> Route {
    match routes.len() {
        0 => warp::any()
            .and_then(|| async { Err::<Response, Rejection>(reject::not_found()) })
            .boxed(),
        1 => routes.remove(0),
        n => {
            let right = routes.split_off(n / 2);
            let (left, right) = (one_of(routes), one_of(right));
            left.or(right).unify().boxed()
        }
    }
}

/// Everything the server answers, errors included.
pub fn api(ctx: &Arc<Context>) -> Route {
    let versioned = warp::path::param::<Version>()
        .map(|_| ())
        .untuple_one()
        .and(one_of(resources::groups(ctx)));
    let api = warp::path("api")
        .and(one_of(vec![versioned.boxed(), resources::unversioned(ctx)]))
        .boxed();
    let durable = ctx.store.log().durable();
    let all = one_of(vec![api, one_of(resources::outside(ctx))])
        .recover(missed)
        .unify()
        .boxed();
    one_of(vec![terms::routes(ctx, all.clone()), all])
        .recover(missed)
        .unify()
        .map(move |mut response: Response| {
            let position = *durable.borrow();
            let headers = response.headers_mut();
            headers
                .entry(LOG_POSITION)
                .or_insert_with(|| HeaderValue::from(position));
            response
        })
        .boxed()
}

/// No route took it: unknown path, or known path and wrong method.
async fn missed(rejection: Rejection) -> Result<Response, Infallible> {
    let error = if rejection.find::<reject::MethodNotAllowed>().is_some() {
        Error::refused(
            ErrorCode::MethodNotAllowed,
            "The method is not allowed for the requested URL.",
        )
    } else if rejection.is_not_found() {
        Error::refused(
            ErrorCode::NotFound,
            "The requested URL was not found on the server.",
        )
    } else {
        Error::internal(anyhow::anyhow!("a filter rejected: {rejection:?}"))
    };
    debug_assert!(
        error.status() != StatusCode::INTERNAL_SERVER_ERROR,
        "{error}"
    );
    Ok(reply::error(&error))
}
