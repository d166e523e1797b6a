//! The REST API on warp.
//!
//! One file per resource in `resources/`; each exposes `routes(&Arc<Context>) -> Route` and stands
//! in the list of `resources::groups`. Rules of the house:
//!
//! * a rejection means "not my route" and nothing else: path, then method, then the rest as a
//!   `Result` inside `.then`;
//! * `read`, `write`, `write_optional` and `upload` (in `extract`) authenticate before a body is
//!   read, and give the handler a [`Request`] or the reason to refuse; those that take JSON ask for
//!   the route's permission, too, before they read it;
//! * a handler checks its permission, unless its route has, calls a command, and answers with an
//!   [`Answer`]; `reply::{ok, created, no_content}` turn the result into a response;
//! * reads go through [`Request::view`], which looks at the moment the client asked for (`_as_of`,
//!   `X-As-Of`).
//!
//! A resource looks like this:
//!
//! ```
//! use std::sync::Arc;
//! use serde::Deserialize;
//! use stratalog::{auth::Permission, context::Context, error::Error};
//! use stratalog::rest::{Answer, Request, Route, Segment, extract, list, one_of, reply};
//! use stratalog_projections::View;
//! use warp::Filter;
//!
//! const BLUEPRINT: (View, &str) = (View::Blueprints, "Blueprint");
//!
//! /// `/blueprints`
//! pub fn routes(ctx: &Arc<Context>) -> Route {
//!     warp::path("blueprints")
//!         .and(one_of(vec![all(ctx), get(ctx), set_visibility(ctx)]))
//!         .boxed()
//! }
//!
//! /// `GET /blueprints`
//! fn all(ctx: &Arc<Context>) -> Route {
//!     warp::path::end()
//!         .and(warp::get())
//!         .and(extract::read(ctx))
//!         .then(async |req: Result<Request, Error>| {
//!             list::answer(&req?, View::Blueprints, Permission::BlueprintList).await
//!         })
//!         .map(reply::ok)
//!         .boxed()
//! }
//!
//! /// `GET /blueprints/{id}`
//! fn get(ctx: &Arc<Context>) -> Route {
//!     warp::path!(Segment)
//!         .and(warp::get())
//!         .and(extract::read(ctx))
//!         .then(async |Segment(id), req: Result<Request, Error>| {
//!             let req = req?;
//!             req.caller.require(Permission::BlueprintGet)?;
//!             let view = req.view().await?;
//!             let row = req.caller.get(&view, BLUEPRINT, &id).await?;
//!             req.document(&view, View::Blueprints, &row.doc)
//!         })
//!         .map(reply::ok)
//!         .boxed()
//! }
//!
//! #[derive(Debug, Deserialize)]
//! struct SetVisibility {
//!     visibility: String,
//! }
//!
//! /// `PATCH /blueprints/{id}/set-visibility`
//! fn set_visibility(ctx: &Arc<Context>) -> Route {
//!     warp::path!(Segment / "set-visibility")
//!         .and(warp::patch())
//!         .and(extract::write(ctx, Permission::ResourceSetVisibility))
//!         .then(async |Segment(id), req: Result<Request<SetVisibility>, Error>| {
//!             let req = req?;
//!             // let done = commands::blueprints::set_visibility(&req.ctx, &req.caller, …).await?;
//!             req.answer(&serde_json::json!({ "id": id, "visibility": req.body.visibility }))
//!         })
//!         .map(reply::ok)
//!         .boxed()
//! }
//! ```
mod answer;
pub mod body;
mod counted;
mod cursor;
pub mod extract;
mod fileserver;
mod include;
pub mod list;
mod marks;
mod openapi;
mod query;
mod remembered;
pub mod reply;
mod resources;
mod route;
mod segment;
mod terms;
mod uploads;
mod version;
mod wire;

pub use answer::Answer;
pub use extract::{BodyStream, Request};
pub use include::Include;
pub use query::Query;
pub use route::{Route, api, one_of};
pub use segment::Segment;
pub use version::Version;
