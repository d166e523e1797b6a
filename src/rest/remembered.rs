//! Answers given again: as long as no view they rest on has changed, the same question of the same
//! caller needs no more than a look at the log's head.
use std::fmt;

use stratalog_projections::View;

use super::{Answer, Request, extract};
use crate::{context::Kept, error::Error};

/// The answer that `make` gives, or gave when none of the views it rests on has changed since.
///
/// # Errors
/// Those of `make`; database errors.
pub(super) async fn remembered<B: fmt::Debug>(
    req: &Request<B>,
    views: &[View],
    make: impl Future<Output = Result<Answer, Error>>,
) -> Result<Answer, Error> {
    let changes = req.ctx.changes.clone();
    let holds = move |since, head| changes.none_since(since, views, head);
    remembered_while(req, holds, make).await
}

/// As [`remembered`], for answers that rest on execution logs and events alone.
///
/// # Errors
/// Those of `make`; database errors.
pub(super) async fn remembered_telemetry<B: fmt::Debug>(
    req: &Request<B>,
    make: impl Future<Output = Result<Answer, Error>>,
) -> Result<Answer, Error> {
    let changes = req.ctx.changes.clone();
    let holds = move |since, head| {
        let deletions = [View::EventDeletions];
        changes.nothing_told_since(since, head) && changes.none_since(since, &deletions, head)
    };
    remembered_while(req, holds, make).await
}

async fn remembered_while<B: fmt::Debug>(
    req: &Request<B>,
    holds: impl Fn(i64, i64) -> bool,
    make: impl Future<Output = Result<Answer, Error>>,
) -> Result<Answer, Error> {
    if extract::asks_for_a_moment(&req.head) {
        return make.await;
    }
    let (key, ctx) = (key(req), &req.ctx);
    if let Some(kept) = ctx.remembered.get(&key) {
        let head = ctx.store.head().await?;
        if holds(kept.position, head) {
            let mut answer = Answer::text(kept.body).at(head);
            answer.since = kept.since;
            return Ok(answer);
        }
    }
    let answer = make.await?;
    if let Some(position) = answer.position {
        let (body, since) = (answer.body.clone(), answer.since);
        let kept = Kept {
            body,
            since,
            position,
        };
        ctx.remembered.keep(key, kept);
    }
    Ok(answer)
}

/// Everything of a request that its answer may depend on, what the caller may see included.
fn key<B: fmt::Debug>(req: &Request<B>) -> String {
    let mut key = req.ctx.changes.epoch().to_string();
    key.push_str(&req.caller.fingerprint());
    key.push('\n');
    key.push_str(&req.head.path);
    for (name, value) in req.query().iter() {
        // quoted, so that no value can pass for two
        key.push_str(&format!("\n{name:?}={value:?}"));
    }
    // what searches ask for
    key.push_str(&format!("\n{:?}", req.body));
    key
}
