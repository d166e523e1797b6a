//! Old events become current ones here, on reading: stored bytes are never rewritten.
//!
//! When an event's meaning changes, it gets a new message and a new field number; the old one stays
//! in the `.proto` for ever, its stored bytes go to `tests/data/events/`, and a match arm here
//! turns it into the new one.
use crate::Event;

/// The current form of an event; events of the current version pass through.
pub fn upcast(event: Event) -> Event {
    event
}
