//! What is refused while the manager is in maintenance, or about to be.
use http::Method;
use stratalog_projections::views::maintenance::Status;

use super::Head;
use crate::{
    auth::{Caller, Method as Proof, Permission},
    commands,
    context::Context,
    error::{Error, ErrorCode},
};

/// With this header, who may begin maintenance works through it.
const BYPASS: &str = "x-bypass-maintenance";
/// First segments of paths that are served always.
const ALWAYS: [&str; 14] = [
    "brokers",
    "managers",
    "db-nodes",
    "cluster",
    "config",
    "status",
    "version",
    "license",
    "maintenance",
    "cluster-status",
    "file-server-auth",
    "ok",
    "snapshots",
    "snapshot-status",
];

/// The segments behind the version of the API.
fn segments(path: &str) -> Vec<&str> {
    let Some(path) = path.strip_prefix("/api/") else {
        return Vec::new();
    };
    path.split('/')
        .filter(|part| !part.is_empty())
        .skip(1)
        .collect()
}

/// Whether the request would begin something that maintenance had to wait for.
fn begins(method: &Method, segments: &[&str]) -> bool {
    let is_write = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match segments {
        ["snapshots", _, "restore"] => true,
        ["snapshots", _] | ["deployments", _] => is_write,
        ["executions"] | ["deployment-modifications"] => is_write,
        _ => false,
    }
}

/// Lets a request through, or says why not. What runs already may go on: executions are asked for
/// nothing.
///
/// # Errors
/// 503.
pub(super) async fn admit(ctx: &Context, head: &Head, caller: &Caller) -> Result<(), Error> {
    if ctx.directory.load().maintenance.status == Status::Deactivated {
        return Ok(());
    }
    if ctx.directory.load().maintenance.status == Status::Activating {
        commands::maintenance::proceed(ctx).await?;
    }
    let status = ctx.directory.load().maintenance.status;
    let segments = segments(&head.path);
    let Some(first) = segments.first() else {
        return Ok(());
    };
    let wants = head
        .headers
        .get(BYPASS)
        .is_some_and(|value| !value.is_empty());
    let passes =
        caller.method == Proof::Execution || (wants && caller.may(Permission::MaintenanceModeSet));
    if passes {
        return Ok(());
    }
    match status {
        Status::Activated if !ALWAYS.contains(first) => Err(Error::refused(
            ErrorCode::MaintenanceModeActive,
            "Your request was rejected since Cloudify manager is currently in maintenance mode",
        )),
        Status::Activating if begins(&head.method, &segments) => Err(Error::refused(
            ErrorCode::EnteringMaintenanceMode,
            "Your request was rejected since Cloudify manager is currently entering maintenance \
             mode",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    //! Paths as requests have them.
    use super::*;

    #[test]
    fn only_what_begins_something_is_refused_beforehand() {
        for (method, path, expected) in [
            (Method::POST, "/api/v3.1/executions", true),
            (Method::POST, "/api/v3.1/executions/", true),
            (Method::GET, "/api/v3.1/executions", false),
            (Method::PATCH, "/api/v3.1/executions/e", false),
            (Method::PUT, "/api/v3/deployments/d", true),
            (Method::DELETE, "/api/v3.1/deployments/d", false),
            (Method::PUT, "/api/v3.1/snapshots/s", true),
            (Method::POST, "/api/v3.1/snapshots/s/restore", true),
            (Method::PUT, "/api/v3.1/blueprints/b", false),
            (Method::POST, "/resources/executions", false),
        ] {
            assert_eq!(
                begins(&method, &segments(path)),
                expected,
                "{method} {path}"
            );
        }
    }
}
