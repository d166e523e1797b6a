//! Reading the telemetry lane: filtered, sorted pages of execution logs and events with an exact
//! total.
//!
//! References tell which segments may matter and how much they hold, so the usual questions (newest
//! first, of an execution, of a deployment) unpack only the segments the page needs; only filters
//! on single records unpack them all.
use chrono::{DateTime, Utc};
use stratalog_projections::{Connection, Reader};
use stratalog_schema::events::TelemetryRecord;

use super::segment;
use crate::error::Error;

/// Segments fetched at a time.
const FETCH: usize = 16;

const CANDIDATES: &str = "\
SELECT s.first_position, s.n, s.t_min, s.t_max, s.reported_min, s.reported_max, \
  r.events, r.logs \
FROM (SELECT first_position, sum(events) AS events, sum(logs) AS logs FROM es.segment_ref \
  WHERE (tenant = $1 OR visibility = 'global') \
    AND ($2::text[] IS NULL OR execution_id = ANY($2)) \
    AND ($3::text[] IS NULL OR execution_group_id = ANY($3)) \
    AND ($4::text[] IS NULL OR deployment_id = ANY($4)) \
    AND ($5::text[] IS NULL OR blueprint_id = ANY($5)) \
    AND first_position <= $6 \
  GROUP BY first_position) r \
JOIN es.segment s ON s.first_position = r.first_position";

const BODIES: &str = "\
SELECT first_position, body FROM es.segment WHERE first_position = ANY($1)";

/// A record with its position.
pub type Found = (i64, TelemetryRecord);

/// What a page is sorted by.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// When it was stored.
    Timestamp,
    /// When it was reported.
    ReportedTimestamp,
    /// Its position.
    Position,
    /// A text field.
    Text(fn(&TelemetryRecord) -> &str),
}

/// A condition on single records.
pub type Test = Box<dyn Fn(&TelemetryRecord) -> bool + Send + Sync>;

/// A question to the telemetry lane.
#[derive(Default)]
pub struct Question {
    /// Tenant of the caller; global records of others are seen, too.
    pub tenant: String,
    /// Whether events are wanted.
    pub events: bool,
    /// Whether logs are wanted.
    pub logs: bool,
    /// Of these executions.
    pub executions: Option<Vec<String>>,
    /// Of these execution groups.
    pub groups: Option<Vec<String>>,
    /// Of these deployments.
    pub deployments: Option<Vec<String>>,
    /// Of these blueprints.
    pub blueprints: Option<Vec<String>>,
    /// Further conditions.
    pub tests: Vec<Test>,
    /// Requested order with direction (true: descending).
    pub sort: Vec<(Key, bool)>,
    /// Records skipped.
    pub offset: usize,
    /// Records at most.
    pub size: usize,
    /// Nothing after this position.
    pub upto: i64,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("tenant", &self.tenant)
            .field("executions", &self.executions)
            .field("deployments", &self.deployments)
            .field("sort", &self.sort)
            .finish_non_exhaustive()
    }
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<Found>,
    /// How many match in all.
    pub total: usize,
}

/// A segment that may hold something.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    first_position: i64,
    n: i64,
    times: [DateTime<Utc>; 4],
    events: i64,
    logs: i64,
}

impl Question {
    /// Whether counts of references count records.
    fn counts_suffice(&self) -> bool {
        self.tests.is_empty()
    }

    fn admits(&self, position: i64, record: &TelemetryRecord) -> bool {
        let kind = if record.is_log {
            self.logs
        } else {
            self.events
        };
        let among = |wanted: &Option<Vec<String>>, value: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(value))
        };
        kind && position <= self.upto
            && (record.tenant == self.tenant || record.visibility == "global")
            && among(&self.executions, &record.execution_id)
            && among(&self.groups, &record.execution_group_id)
            && among(&self.deployments, &record.deployment_id)
            && among(&self.blueprints, &record.blueprint_id)
            && self.tests.iter().all(|test| test(record))
    }

    /// The requested order, then time and position in the same direction.
    fn order(&self) -> Vec<(Key, bool)> {
        let descending = self.sort.first().is_some_and(|(_, descending)| *descending);
        let mut order = self.sort.clone();
        order.push((Key::Timestamp, descending));
        order.push((Key::Position, descending));
        order
    }

    async fn candidates<C: Connection>(&self, view: &Reader<C>) -> Result<Vec<Candidate>, Error> {
        let rows = view
            .fetch(
                CANDIDATES,
                &[
                    &self.tenant,
                    &self.executions,
                    &self.groups,
                    &self.deployments,
                    &self.blueprints,
                    &self.upto,
                ],
            )
            .await?;
        let mut candidates = Vec::with_capacity(rows.len());
        for row in rows {
            candidates.push(Candidate {
                first_position: row.try_get(0)?,
                n: i64::from(row.try_get::<_, i32>(1)?),
                times: [
                    row.try_get(2)?,
                    row.try_get(3)?,
                    row.try_get(4)?,
                    row.try_get(5)?,
                ],
                events: row.try_get(6)?,
                logs: row.try_get(7)?,
            });
        }
        Ok(candidates)
    }

    /// Answers it.
    ///
    /// # Errors
    /// Database errors, or damaged segments.
    pub async fn ask<C: Connection>(&self, view: &Reader<C>) -> Result<Page, Error> {
        let mut candidates = self.candidates(view).await?;
        let wanted = |c: &Candidate| {
            (if self.events { c.events } else { 0 }) + (if self.logs { c.logs } else { 0 })
        };
        candidates.retain(|candidate| wanted(candidate) > 0);
        let order = self.order();
        let by_time = rank(&mut candidates, order.first());
        let whole = candidates
            .iter()
            .all(|c| c.first_position + c.n - 1 <= self.upto);
        let counted = self.counts_suffice() && whole;
        let total: i64 = candidates.iter().map(wanted).sum();
        let needed = self.offset.saturating_add(self.size);
        let mut kept: Vec<Found> = Vec::new();
        let mut seen = 0;
        let mut rest = candidates.as_slice();
        while !rest.is_empty() {
            let fetch = if by_time.is_some() && counted {
                2
            } else {
                FETCH
            };
            let (now, later) = rest.split_at(rest.len().min(fetch));
            for found in self.unpack(view, now).await? {
                seen += 1;
                kept.push(found);
            }
            rest = later;
            if kept.len() > needed.saturating_mul(2).max(4_096) || rest.is_empty() {
                cut(&mut kept, &order, needed);
            }
            if let (Some(bound), true) = (by_time, counted)
                && kept.len() >= needed
                && let Some(next) = rest.first()
            {
                cut(&mut kept, &order, needed);
                if complete(&kept, needed, bound, next) {
                    break;
                }
            }
        }
        cut(&mut kept, &order, needed);
        let total = if counted {
            usize::try_from(total).unwrap_or(0)
        } else {
            seen
        };
        let records = kept.into_iter().skip(self.offset).take(self.size).collect();
        Ok(Page { records, total })
    }

    async fn unpack<C: Connection>(
        &self,
        view: &Reader<C>,
        of: &[Candidate],
    ) -> Result<Vec<Found>, Error> {
        let positions: Vec<i64> = of.iter().map(|c| c.first_position).collect();
        let rows = view.fetch(BODIES, &[&positions]).await?;
        let mut found = Vec::new();
        for row in rows {
            let first: i64 = row.try_get(0)?;
            for (position, record) in (first..).zip(segment::decode(row.try_get(1)?)?) {
                if self.admits(position, &record) {
                    found.push((position, record));
                }
            }
        }
        Ok(found)
    }
}

/// How the first sort key bounds what later segments can hold: which time, and whether descending.
type Bound = (Key, bool);

/// Orders segments so that those that can come first come first; tells how to know that the rest
/// cannot.
fn rank(candidates: &mut [Candidate], first: Option<&(Key, bool)>) -> Option<Bound> {
    let &(key, descending) = first?;
    let at = edge(key, descending)?;
    candidates.sort_by_key(|candidate| (candidate.times[at], candidate.first_position));
    if descending {
        candidates.reverse();
    }
    Some((key, descending))
}

/// Index of the time that bounds a segment for a sort key.
fn edge(key: Key, descending: bool) -> Option<usize> {
    match (key, descending) {
        (Key::Timestamp, false) => Some(0),
        (Key::Timestamp, true) => Some(1),
        (Key::ReportedTimestamp, false) => Some(2),
        (Key::ReportedTimestamp, true) => Some(3),
        _ => None,
    }
}

fn complete(kept: &[Found], needed: usize, (key, descending): Bound, next: &Candidate) -> bool {
    let Some((_, worst)) = needed.checked_sub(1).and_then(|at| kept.get(at)) else {
        return needed == 0;
    };
    let Some(at) = edge(key, descending) else {
        return false;
    };
    let worst_us = match key {
        Key::ReportedTimestamp => worst.reported_timestamp_us,
        _ => worst.timestamp_us,
    };
    let next_us = next.times[at].timestamp_micros();
    if descending {
        next_us < worst_us
    } else {
        next_us > worst_us
    }
}

fn cut(kept: &mut Vec<Found>, order: &[(Key, bool)], needed: usize) {
    kept.sort_by(|a, b| compare(a, b, order));
    kept.truncate(needed);
}

fn compare(a: &Found, b: &Found, order: &[(Key, bool)]) -> std::cmp::Ordering {
    for (key, descending) in order {
        let ordering = match key {
            Key::Timestamp => a.1.timestamp_us.cmp(&b.1.timestamp_us),
            Key::ReportedTimestamp => a.1.reported_timestamp_us.cmp(&b.1.reported_timestamp_us),
            Key::Position => a.0.cmp(&b.0),
            Key::Text(field) => field(&a.1).cmp(field(&b.1)),
        };
        let ordering = if *descending {
            ordering.reverse()
        } else {
            ordering
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    std::cmp::Ordering::Equal
}
