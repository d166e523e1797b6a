//! What clients ask about the edition: `/idp`, `/ldap`; and `/plugins` until there are any.
use std::sync::Arc;

use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

const PLUGIN: [&str; 26] = [
    "id",
    "archive_name",
    "distribution",
    "distribution_release",
    "distribution_version",
    "excluded_wheels",
    "package_name",
    "package_source",
    "package_version",
    "supported_platform",
    "supported_py_versions",
    "uploaded_at",
    "wheels",
    "title",
    "blueprint_labels",
    "labels",
    "resource_tags",
    "file_server_path",
    "yaml_url_path",
    "installation_state",
    "yaml_files_paths",
    "visibility",
    "tenant_name",
    "created_by",
    "resource_availability",
    "private_resource",
];

/// All of them.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        told(ctx, "idp", Permission::IdentityProviderGet, "local"),
        told(ctx, "ldap", Permission::LdapStatusGet, "disabled"),
        plugins(ctx),
        plugin(ctx),
    ])
}

/// `GET /idp`, `GET /ldap`: users are our own.
fn told(
    ctx: &Arc<Context>,
    path: &'static str,
    permission: Permission,
    answer: &'static str,
) -> Route {
    warp::path(path)
        .and(warp::path::end())
        .and(warp::get())
        .and(extract::read(ctx))
        .then(move |req: Result<Request, Error>| async move {
            req?.caller.require(permission)?;
            Answer::json(answer)
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /plugins`
fn plugins(ctx: &Arc<Context>) -> Route {
    warp::path!("plugins")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller
                .scope(req.all_tenants()?, Permission::PluginList)?;
            list::of_values(&req, &[], &PLUGIN).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /plugins/{id}`
fn plugin(ctx: &Arc<Context>) -> Route {
    warp::path!("plugins" / Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::PluginGet)?;
            req.caller.tenant()?;
            Err::<Answer, _>(Error::not_found("Plugin", &id))
        })
        .map(reply::ok)
        .boxed()
}
