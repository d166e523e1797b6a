//! Users: logins, creation, passwords, roles.
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{TokenUsed, UserLoggedIn, UserLoginFailed},
};

use crate::{
    auth::Note,
    clock,
    context::Context,
    log::{Append, NewEvent},
};

/// The stream of a user.
fn stream(username: &str) -> StreamId {
    StreamId::global(Category::User, &username.to_lowercase())
}

/// Writes down what an authentication leaves behind. The request goes on when it cannot be written.
pub async fn note(ctx: &Context, note: Note) {
    let at_ms = clock::now_ms();
    let (stream, event): (_, Event) = match &note {
        Note::LoggedIn(username) => (
            stream(username),
            Event::UserLoggedIn(UserLoggedIn {
                username: username.clone(),
                at_ms,
            }),
        ),
        Note::Failed(username) => (
            stream(username),
            Event::UserLoginFailed(UserLoginFailed {
                username: username.clone(),
                at_ms,
            }),
        ),
        Note::TokenUsed(id) => (
            StreamId::global(Category::Token, id),
            Event::TokenUsed(TokenUsed {
                id: id.clone(),
                at_ms,
            }),
        ),
    };
    let append = Append {
        meta: Meta::system(),
        events: vec![NewEvent::new(stream, event)],
        ..Append::default()
    };
    if let Err(error) = ctx.store.append(append).await {
        tracing::warn!(%error, ?note, "a login could not be noted");
    }
}
