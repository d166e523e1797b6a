//! Access tokens of users.
use std::sync::Arc;

use stratalog_projections::{Condition, ListQuery, Scope, View as ViewName, views::tokens::Token};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{TokenCreated, TokenDeleted},
};

use crate::{
    auth::{Caller, Permission, token},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

mod expiry;

fn stream(id: &str) -> StreamId {
    StreamId::global(Category::Token, id)
}

fn missing(id: &str) -> Error {
    Error::refused(ErrorCode::NotFound, format!("Could not find token {id}"))
}

/// Creates a token for the caller and gives its id and value; the value is told only here. Tokens
/// of the caller that have expired are deleted.
///
/// # Errors
/// 400 for an expiration that is none or past.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    description: Option<String>,
    expiration: Option<&str>,
) -> Result<(String, String), Error> {
    let now = clock::now();
    let expires_at_ms = expiration
        .map(|text| expiry::parse(text, now))
        .transpose()?
        .map(|at| at.timestamp_millis());
    let (minted, now_ms) = (token::mint(), now.timestamp_millis());
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let theirs = ListQuery::all(ViewName::Tokens, Scope::Everything).with(Condition::AnyOf(
            "username".to_owned(),
            vec![caller.username.clone()],
        ));
        let mut decision = Decision::nothing();
        for old in view.select_as::<Token>(&theirs).await? {
            if old.secret.expires_at_ms.is_some_and(|end| end <= now_ms) {
                decision.rests_on(view, stream(&old.id)).await?;
                let stream = stream(&old.id);
                decision.event(stream, Event::TokenDeleted(TokenDeleted { id: old.id }));
            }
        }
        decision.event(
            stream(&minted.id),
            Event::TokenCreated(TokenCreated {
                id: minted.id.clone(),
                username: caller.username.clone(),
                secret_hash: minted.secret_sha256.clone(),
                expires_at_ms,
                description: description.clone(),
                created_at_ms: now_ms,
            }),
        );
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok((minted.id, minted.value))
}

/// A token the caller may see: their own, or any with the permission for it.
///
/// # Errors
/// 404.
pub async fn get(view: &View, caller: &Caller, id: &str) -> Result<Token, Error> {
    let found = view.get::<Token>(id).await?;
    let sees_all = caller.may(Permission::ManageOthersTokens);
    found
        .filter(|token| sees_all || token.username == caller.username)
        .ok_or_else(|| missing(id))
}

/// Deletes a token; it is void from the next request on.
///
/// # Errors
/// 404.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let token = get(view, caller, id).await?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(id)).await?;
        decision.event(
            stream(id),
            Event::TokenDeleted(TokenDeleted { id: token.id }),
        );
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
