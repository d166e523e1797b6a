//! `X-Min-Position`: a client that has written through one manager reads its own writes through any
//! other.
use std::time::Duration;

use super::Head;
use crate::{
    context::Context,
    error::{Error, ErrorCode},
    rest::query::shown,
};

/// How long a position is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until this process knows everything up to the position the client asks for, people and
/// files included.
///
/// # Errors
/// 400 for what is no position; 503 when it is not reached in time.
pub(super) async fn reach(ctx: &Context, head: &Head) -> Result<(), Error> {
    let Some(header) = head.headers.get("x-min-position") else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(header.as_bytes());
    let position: i64 = text.parse().map_err(|_| {
        Error::bad_parameters(format!(
            "X-Min-Position: `{}` is no position of the log",
            shown(&text)
        ))
    })?;
    let waited = tokio::time::timeout(PATIENCE, ctx.reach(position)).await;
    waited.map_err(|_| {
        Error::refused(
            ErrorCode::PositionNotReached,
            format!(
                "Position {position} is not reached: this manager knows the log up to {}",
                ctx.directory.position()
            ),
        )
    })
}
