//! Old events become current ones here, on reading: stored bytes are never rewritten.
//!
//! When an event's meaning changes, it gets a new message and a new field number; the old one moves
//! to `retired.proto` and stays there for ever, its stored bytes go to
//! `tests/data/events/retired.jsonl`, and an arm here turns it into the one that came after it.
//! Arms lead from version to version, so an event takes as many steps as it is versions old.
use crate::{
    Event,
    events::{TokenUsed, TokenUsedInSeconds},
};

/// The current form of an event; events of the current version pass through.
pub fn upcast(event: Event) -> Event {
    let mut event = event;
    loop {
        event = match step(event) {
            Step::Older(next) => next,
            Step::Current(event) => return event,
        };
    }
}

enum Step {
    Older(Event),
    Current(Event),
}

fn step(event: Event) -> Step {
    match event {
        Event::TokenUsedInSeconds(old) => Step::Older(Event::TokenUsed(token_used(old))),
        event => Step::Current(event),
    }
}

fn token_used(old: TokenUsedInSeconds) -> TokenUsed {
    TokenUsed {
        id: old.id,
        at_ms: old.at_s.saturating_mul(1_000),
    }
}
