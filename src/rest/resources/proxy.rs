//! What a proxy in front of the manager asks before it lets a request through itself:
//! `/file-server-auth`, `/monitoring-auth`.
use std::sync::Arc;

use http::header::COOKIE;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde_json::json;
use uuid::Uuid;
use warp::Filter;

use crate::{
    auth::{Carried, Permission},
    commands,
    context::Context,
    error::{Error, ErrorCode},
    files::path::SEGMENT_ESCAPES,
    rest::{Answer, Request, Route, extract, fileserver, one_of, reply},
};

/// The cookie in which the console keeps its token.
const TOKEN_COOKIE: &str = "XSRF-TOKEN";

/// Both.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![file_server(ctx), monitoring(ctx)])
}

/// `GET /file-server-auth`: whether the caller may have what the proxy was asked for.
fn file_server(ctx: &Arc<Context>) -> Route {
    warp::path!("file-server-auth")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let header = |name: &str| {
                let value = req.head.headers.get(name);
                value
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
            };
            let (uri, method) = (header("x-original-uri"), header("x-original-method"));
            let path = matched(uri.split(['?', '#']).next().unwrap_or_default())?;
            if path.starts_with("/resources/") {
                fileserver::allow(&req, &path).await?;
            } else if is_audit(&path) {
                req.caller.require(match method {
                    "DELETE" => Permission::AuditLogTruncate,
                    "POST" => Permission::AuditLogInject,
                    _ => Permission::AuditLogView,
                })?;
            }
            Answer::json(&json!({"resource_id": null}))
        })
        .map(reply::ok)
        .boxed()
}

/// The path as proxies match it, whatever was sent: decoded, without empty segments; escaped again.
///
/// # Errors
/// 400 for a way up.
fn matched(path: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let segments = decoded
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."));
    let mut matched = String::with_capacity(path.len());
    for segment in segments {
        if segment == ".." {
            return Err(Error::bad_parameters("The path goes up"));
        }
        matched.push('/');
        matched.extend(utf8_percent_encode(segment, SEGMENT_ESCAPES));
    }
    if decoded.ends_with('/') {
        matched.push('/');
    }
    Ok(matched)
}

fn is_audit(path: &str) -> bool {
    let rest = path
        .strip_prefix("/api/")
        .and_then(|rest| rest.split_once('/'));
    rest.is_some_and(|(_, rest)| rest == "audit" || rest.starts_with("audit/"))
}

/// `GET /monitoring-auth`: whether the token in the console's cookie may see the metrics.
fn monitoring(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("monitoring-auth")
        .and(warp::get())
        .and(extract::open())
        .then(move |head: Arc<extract::Head>| {
            let ctx = ctx.clone();
            async move {
                let cookies = head.headers.get_all(COOKIE).iter();
                let mut pairs = cookies
                    .filter_map(|value| value.to_str().ok())
                    .flat_map(|text| text.split(';'))
                    .filter_map(|pair| pair.trim().split_once('='));
                let token = pairs.find(|(name, _)| *name == TOKEN_COOKIE);
                let carried = Carried {
                    execution_token: None,
                    token: token.map(|(_, value)| value.trim_matches('"')),
                    authorization: None,
                };
                let identity = ctx.authenticator.identify(carried, Uuid::now_v7()).await;
                if let Some(note) = identity.note {
                    commands::users::note(&ctx, note).await;
                }
                let caller = identity.caller?;
                if caller.may(Permission::Monitoring) {
                    return Answer::json("");
                }
                Err(Error::refused(
                    ErrorCode::Unauthorized,
                    "User unauthorized: monitoring is for administrators",
                ))
            }
        })
        .map(reply::ok)
        .boxed()
}
