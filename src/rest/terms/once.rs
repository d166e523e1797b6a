//! `Idempotency-Key`: a request that is sent again with the same key has its effect once and gets
//! its answer again (as the IETF's draft "The Idempotency-Key HTTP Header Field" has it).
use std::{pin::pin, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use warp::reply::Response;

use super::IDEMPOTENCY_KEY;
use crate::{
    context::Context,
    error::{Error, ErrorCode},
    rest::{Request, reply},
    store::{Begun, Reply, Terms},
};

/// Longest key.
const KEY_MAX: usize = 255;
/// Bodies up to this size are compared; of larger ones, files all, only the size is.
const SMALL_BYTES: u64 = 1024 * 1024;
/// How often a request that is being carried out says so.
const RENEW: Duration = Duration::from_secs(10);
/// What answers are sealed for: some hold a token.
const PURPOSE: &str = "reply";
/// Header of an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";

/// Identity of the request, if it has a key: keys are of a user in a tenant.
///
/// # Errors
/// 400 for what is no key.
pub(super) fn asked(request: &Request) -> Result<Option<Uuid>, Error> {
    let Some(value) = request.head.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Error::bad_parameters(format!(
            "Idempotency-Key: 1 to {KEY_MAX} visible ASCII characters are expected"
        )));
    }
    let caller = &request.caller;
    let name = format!("{PURPOSE} {:?} {:?} {key}", caller.username, caller.tenant);
    Ok(Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())))
}

/// Whether a body is compared: it is small, and the same when it is sent again (the parts of a form
/// are delimited in another way each time).
pub(super) fn is_small(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_form = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("multipart/"));
    let length = text(CONTENT_LENGTH).map(|length| length.parse().unwrap_or(u64::MAX));
    // neither a length nor chunks: there is no body
    let is_chunked = headers.contains_key(http::header::TRANSFER_ENCODING);
    !is_form && length.map_or(!is_chunked, |length| length <= SMALL_BYTES)
}

/// What the request asks for, in short.
pub(super) fn digest(request: &Request, query: &str, body: Option<&[u8]>) -> Vec<u8> {
    let head = &request.head;
    let mut digest = Sha256::new();
    for part in [head.method.as_str(), &head.path, query] {
        digest.update(part);
        digest.update([0]);
    }
    if let Some(body) = body {
        digest.update(body);
    }
    digest.finalize().to_vec()
}

/// The answer, if there is one already.
///
/// # Errors
/// 409 while the request is being carried out; 422 when the key belongs to another request.
pub(super) async fn begin(
    ctx: &Context,
    id: Uuid,
    asked: &[u8],
) -> Result<Option<Response>, Error> {
    match ctx.store.replies().begin(id, asked).await? {
        Begun::Now => Ok(None),
        Begun::Answered(kept) => replayed(ctx, &kept).map(Some),
        Begun::Differs => Err(Error::refused(
            ErrorCode::IdempotencyKeyReused,
            "Another request was sent with this Idempotency-Key",
        )),
        Begun::Running => {
            let mut response = reply::error(&Error::refused(
                ErrorCode::IdempotencyKeyInUse,
                "The request with this Idempotency-Key is still being carried out",
            ));
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(Some(response))
        }
    }
}

fn replayed(ctx: &Context, kept: &Reply) -> Result<Response, Error> {
    let body = ctx.sealer.open(PURPOSE, &kept.body);
    let mut response = Response::new(body.map_err(Error::internal)?.into());
    let status = u16::try_from(kept.status).map_err(Error::internal)?;
    *response.status_mut() = StatusCode::from_u16(status).map_err(Error::internal)?;
    let named: Vec<(String, String)> =
        serde_json::from_str(&kept.headers).map_err(Error::internal)?;
    let headers = response.headers_mut();
    for (name, value) in &named {
        let name = HeaderName::try_from(name).map_err(Error::internal)?;
        headers.insert(name, value.try_into().map_err(Error::internal)?);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Carries out, and says so from time to time.
pub(super) async fn alive<T>(ctx: &Context, id: Uuid, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Ok(done) = tokio::time::timeout(RENEW, work.as_mut()).await {
            return done;
        }
        if let Err(error) = ctx.store.replies().renew(id).await {
            tracing::warn!(%error, "a request with a key cannot say that it goes on");
        }
    }
}

/// Keeps the answer of a request that went well or changed something; any other may be tried anew.
///
/// # Errors
/// `Internal` for a body that breaks off.
pub(super) async fn finish(
    ctx: &Context,
    (id, terms): (Uuid, &Terms),
    response: Response,
) -> Result<Response, Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(Error::internal)?.to_bytes();
    let replies = ctx.store.replies();
    let is_kept = parts.status.is_success() || terms.has_appended();
    let kept = match std::str::from_utf8(&body).ok().filter(|_| is_kept) {
        Some(text) => {
            let headers = parts.headers.iter().filter_map(|(name, value)| {
                let value = value.to_str().ok()?;
                Some((name.as_str(), value))
            });
            let headers: Vec<(&str, &str)> = headers.collect();
            let reply = Reply {
                status: parts.status.as_u16().into(),
                headers: serde_json::to_string(&headers).map_err(Error::internal)?,
                body: ctx.sealer.seal(PURPOSE, text),
            };
            replies.finish(id, &reply).await
        }
        None => replies.forget(id).await,
    };
    if let Err(error) = kept {
        // sent again, the request is told that its answer is lost
        tracing::warn!(%error, "the answer to a request with a key cannot be kept");
    }
    Ok(Response::from_parts(parts, body.into()))
}
