//! In which order segments are read, and when enough of them are.
use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use stratalog_projections::{Connection, Reader};

use super::{FETCH, Key, Question, entry::Entry};
use crate::error::Error;

/// Segments asked for at first when they come in order; each further page is twice as large.
const PAGE_FIRST: usize = 64;

/// A segment that may hold something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) first_position: i64,
    pub(super) times: [DateTime<Utc>; 4],
    /// The table it is in: that of another log is another one.
    pub(super) of_table: u32,
    pub(super) packed_bytes: i32,
    pub(super) events: i64,
    pub(super) logs: i64,
}

/// How the first sort key bounds what later segments can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Index of the time of a segment that bounds it.
    edge: usize,
    is_reported: bool,
    is_descending: bool,
}

impl Bound {
    pub(super) fn of(&(key, is_descending): &(Key, bool)) -> Option<Self> {
        let is_reported = match key {
            Key::Timestamp => false,
            Key::ReportedTimestamp => true,
            Key::Position | Key::Text(_) => return None,
        };
        Some(Self {
            edge: usize::from(is_descending) + 2 * usize::from(is_reported),
            is_reported,
            is_descending,
        })
    }

    pub(super) fn sql(self) -> &'static str {
        match self.edge {
            0 => "s.t_min, s.first_position",
            1 => "s.t_max DESC, s.first_position DESC",
            2 => "s.reported_min, s.first_position",
            _ => "s.reported_max DESC, s.first_position DESC",
        }
    }

    /// Whether a segment that is not read yet, nor any after it, holds what belongs among the
    /// records kept, which are as many as needed.
    pub(super) fn is_complete(
        self,
        kept: &[Entry],
        needed: usize,
        next: Option<&Candidate>,
    ) -> bool {
        let Some(worst) = needed.checked_sub(1).and_then(|at| kept.get(at)) else {
            return needed == 0;
        };
        let Some(next) = next else {
            return true;
        };
        let worst_us = match self.is_reported {
            true => worst.head.reported_timestamp_us,
            false => worst.head.timestamp_us,
        };
        let next_us = next.times[self.edge].timestamp_micros();
        match self.is_descending {
            true => next_us < worst_us,
            false => next_us > worst_us,
        }
    }

    /// How far the records of segments reach, with one more of them.
    pub(super) fn reach(
        self,
        candidate: &Candidate,
        others: Option<DateTime<Utc>>,
    ) -> DateTime<Utc> {
        // the time at the other end of the segment
        let own = candidate.times[self.edge ^ 1];
        match (others, self.is_descending) {
            (None, _) => own,
            (Some(others), true) => others.min(own),
            (Some(others), false) => others.max(own),
        }
    }

    /// Whether all of a segment comes before a time, in microseconds.
    pub(super) fn is_before(self, candidate: &Candidate, at_us: i64) -> bool {
        let far_us = candidate.times[self.edge ^ 1].timestamp_micros();
        match self.is_descending {
            true => far_us > at_us,
            false => far_us < at_us,
        }
    }

    /// Whether all of a segment comes after what reaches so far.
    pub(super) fn is_beyond(self, candidate: &Candidate, reach: DateTime<Utc>) -> bool {
        let near = candidate.times[self.edge];
        match self.is_descending {
            true => near < reach,
            false => near > reach,
        }
    }
}

/// Candidates in the order of what they can hold, asked for in growing pages.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) bound: Bound,
    ahead: VecDeque<Candidate>,
    offset: usize,
    size: usize,
    is_last: bool,
}

impl Walk {
    pub(super) fn new(bound: Bound) -> Self {
        Self {
            bound,
            ahead: VecDeque::new(),
            offset: 0,
            size: PAGE_FIRST,
            is_last: false,
        }
    }

    /// The candidate so many places ahead.
    pub(super) async fn ahead<C: Connection>(
        &mut self,
        place: usize,
        question: &Question,
        view: &Reader<C>,
    ) -> Result<Option<Candidate>, Error> {
        while self.ahead.len() <= place && !self.is_last {
            let page = Some((self.bound, self.offset, self.size));
            let page = question.candidates(view, page).await?;
            self.is_last = page.len() < self.size;
            self.offset += page.len();
            self.size *= 2;
            let wanted = page.into_iter().filter(|next| question.holds(next) > 0);
            self.ahead.extend(wanted);
        }
        Ok(self.ahead.get(place).copied())
    }

    pub(super) async fn peek<C: Connection>(
        &mut self,
        question: &Question,
        view: &Reader<C>,
    ) -> Result<Option<&Candidate>, Error> {
        self.ahead(0, question, view).await?;
        Ok(self.ahead.front())
    }

    pub(super) fn drop_first(&mut self, count: usize) {
        self.ahead.drain(..count.min(self.ahead.len()));
    }

    /// As many candidates, of those asked for already, as hold what is missing; one at least.
    pub(super) fn take(&mut self, question: &Question, missing: usize) -> Vec<Candidate> {
        let mut taken: Vec<Candidate> = Vec::new();
        let mut held = 0;
        while taken.len() < FETCH && (taken.is_empty() || held < missing) {
            let Some(next) = self.ahead.pop_front() else {
                break;
            };
            held += question.holds(&next);
            taken.push(next);
        }
        taken
    }
}
