//! One file per resource. What is not registered here is not served.
use std::sync::Arc;

use super::Route;
use crate::context::Context;

mod version;

/// Resources below `/api/v3.1` and its older siblings, one group per first path segment.
pub(super) fn groups(ctx: &Arc<Context>) -> Vec<Route> {
    vec![version::routes(ctx)]
}

/// What stands directly below `/api`.
pub(super) fn unversioned(ctx: &Arc<Context>) -> Route {
    version::routes(ctx)
}

/// What stands outside `/api`.
pub(super) fn outside(_ctx: &Arc<Context>) -> Vec<Route> {
    Vec::new()
}
