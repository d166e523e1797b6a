//! Where a page of records ended, so that the next one begins behind it, whatever is told
//! meanwhile.
use std::cmp::Ordering;

use super::{
    Found, Key, Question,
    entry::Entry,
    walk::{Bound, Candidate},
};

/// What a record is ordered by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Int(i64),
    Text(&'a str),
}

impl Key {
    fn value<'a>(&self, entry: &'a Entry) -> Value<'a> {
        match self {
            Self::Timestamp => Value::Int(entry.head.timestamp_us),
            Self::ReportedTimestamp => Value::Int(entry.head.reported_timestamp_us),
            Self::Position => Value::Int(entry.position),
            Self::Text(field) => Value::Text(entry.whole.as_deref().map_or("", *field)),
        }
    }

    fn text(&self, (position, record): &Found) -> String {
        match self {
            Self::Timestamp => record.timestamp_us.to_string(),
            Self::ReportedTimestamp => record.reported_timestamp_us.to_string(),
            Self::Position => position.to_string(),
            Self::Text(field) => field(record).to_owned(),
        }
    }

    /// The same of a text that [`Question::place`] gave.
    fn parse<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        match self {
            Self::Text(_) => Some(Value::Text(text)),
            _ => text.parse().ok().map(Value::Int),
        }
    }
}

fn directed(ordering: Ordering, descending: bool) -> Ordering {
    match descending {
        true => ordering.reverse(),
        false => ordering,
    }
}

pub(super) fn compare(a: &Entry, b: &Entry, order: &[(Key, bool)]) -> Ordering {
    let by = order
        .iter()
        .map(|(key, descending)| directed(key.value(a).cmp(&key.value(b)), *descending));
    by.fold(Ordering::Equal, Ordering::then)
}

impl Question {
    /// What a record is ordered by: the place behind it.
    pub fn place(&self, found: &Found) -> Vec<Option<String>> {
        let order = self.order();
        order.iter().map(|(key, _)| Some(key.text(found))).collect()
    }

    /// Lets the page begin behind a place. False when it is none in this order.
    pub fn begin_behind(&mut self, place: Vec<Option<String>>) -> bool {
        let order = self.order();
        let place: Vec<String> = place.into_iter().flatten().collect();
        let is_place = place.len() == order.len()
            && order
                .iter()
                .zip(&place)
                .all(|((key, _), text)| key.parse(text).is_some());
        self.behind = Some(place).filter(|_| is_place);
        is_place
    }

    /// Whether a record comes behind the place where the page begins.
    pub(super) fn is_behind(&self, entry: &Entry, order: &[(Key, bool)]) -> bool {
        let Some(place) = &self.behind else {
            return true;
        };
        let by = order.iter().zip(place).map(|((key, descending), text)| {
            let ordering = Some(key.value(entry)).cmp(&key.parse(text));
            directed(ordering, *descending)
        });
        by.fold(Ordering::Equal, Ordering::then).is_gt()
    }

    /// Whether all of a segment comes before the place where the page begins.
    pub(super) fn is_passed(&self, bound: Bound, candidate: &Candidate) -> bool {
        let first = self.behind.as_ref().and_then(|place| place.first());
        let at_us = first.and_then(|text| text.parse().ok());
        at_us.is_some_and(|at_us| bound.is_before(candidate, at_us))
    }
}
