//! Reading the telemetry lane: filtered, sorted pages of execution logs and events with an exact
//! total.
//!
//! References tell which segments may matter and how much they hold, so the usual questions (newest
//! first, of an execution, of a deployment) unpack only the segments the page needs; only filters
//! on single records unpack them all.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use stratalog_projections::{Connection, Reader};
use stratalog_schema::events::TelemetryRecord;
use tokio_postgres::types::ToSql;

use self::walk::{Bound, Candidate, Walk};
use super::segment;
use crate::error::Error;

mod walk;

/// Segments unpacked at a time.
const FETCH: usize = 16;
/// Records kept beyond those needed before the rest is dropped.
const KEPT_MIN: usize = 4_096;

/// References that may matter: what a question says of executions and their like, up to a position.
const REFERENCES: &str = "\
(tenant = $1 OR visibility = 'global') \
  AND ($2::text[] IS NULL OR execution_id = ANY($2)) \
  AND ($3::text[] IS NULL OR execution_group_id = ANY($3)) \
  AND ($4::text[] IS NULL OR deployment_id = ANY($4)) \
  AND ($5::text[] IS NULL OR blueprint_id = ANY($5)) \
  AND first_position <= $6";

/// Where the segment ends that the position is in, if it is in one.
const LAST: &str = "\
SELECT first_position + n - 1 FROM es.segment WHERE first_position <= $6 \
ORDER BY first_position DESC LIMIT 1";

/// Those of some deployments among what references tell.
const AMONG: &str = "deployment_id = ANY($7)";

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
    /// What is not shown, by deployment: [`Question::hide`].
    pub hidden: HashMap<String, Vec<Question>>,
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

impl Question {
    /// Whether counts of references count records; of those that are not shown, too.
    fn counts_suffice(&self) -> bool {
        self.tests.is_empty()
    }

    /// What these questions, each about one deployment of its tenant, would be answered with is not
    /// shown. Those that have nothing to do with this question are left out.
    ///
    /// # Errors
    /// Database errors.
    pub async fn hide<C: Connection>(
        &mut self,
        view: &Reader<C>,
        hidden: Vec<(String, Question)>,
    ) -> Result<(), Error> {
        if hidden.is_empty() {
            return Ok(());
        }
        let mut deployments: Vec<&str> = hidden.iter().map(|(id, _)| id.as_str()).collect();
        deployments.sort_unstable();
        deployments.dedup();
        let sql = format!(
            "SELECT DISTINCT deployment_id FROM es.segment_ref WHERE {REFERENCES} AND {AMONG}"
        );
        let mut params = self.params().to_vec();
        params.push(&deployments);
        let mut meant: HashMap<String, Vec<Question>> = HashMap::new();
        for row in view.fetch(&sql, &params).await? {
            meant.insert(row.try_get(0)?, Vec::new());
        }
        for (deployment, question) in hidden {
            if let Some(questions) = meant.get_mut(&deployment) {
                questions.push(question);
            }
        }
        self.hidden = meant;
        Ok(())
    }

    fn hides(&self, position: i64, record: &TelemetryRecord) -> bool {
        let hidden = self.hidden.get(&record.deployment_id);
        let hides = |question: &Question| {
            record.tenant == question.tenant && question.admits(position, record)
        };
        hidden.is_some_and(|questions| questions.iter().any(hides))
    }

    fn admits(&self, position: i64, record: &TelemetryRecord) -> bool {
        self.is_about(position, record) && !self.hides(position, record)
    }

    fn is_about(&self, position: i64, record: &TelemetryRecord) -> bool {
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

    fn params(&self) -> [&(dyn ToSql + Sync); 6] {
        [
            &self.tenant,
            &self.executions,
            &self.groups,
            &self.deployments,
            &self.blueprints,
            &self.upto,
        ]
    }

    /// How many records match by what references count, if that is all that is asked.
    async fn counted<C: Connection>(&self, view: &Reader<C>) -> Result<Option<usize>, Error> {
        if !self.counts_suffice() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT coalesce(sum(events), 0)::bigint, coalesce(sum(logs), 0)::bigint, ({LAST}) \
             FROM es.segment_ref WHERE {REFERENCES}"
        );
        let rows = view.fetch(&sql, &self.params()).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (events, logs): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let last: Option<i64> = row.try_get(2)?;
        // a segment that is cut by the moment asked for is counted record by record
        if last.is_some_and(|last| last > self.upto) {
            return Ok(None);
        }
        let total = i64::from(self.events) * events + i64::from(self.logs) * logs;
        let Ok(total) = usize::try_from(total) else {
            return Ok(None);
        };
        Ok(Some(total.saturating_sub(self.count_hidden(view).await?)))
    }

    /// How many records the question is about are not shown; only segments of deployments that have
    /// some are unpacked.
    async fn count_hidden<C: Connection>(&self, view: &Reader<C>) -> Result<usize, Error> {
        if self.hidden.is_empty() {
            return Ok(0);
        }
        let of_hidden = Self {
            tenant: self.tenant.clone(),
            executions: self.executions.clone(),
            groups: self.groups.clone(),
            deployments: Some(self.hidden.keys().cloned().collect()),
            blueprints: self.blueprints.clone(),
            upto: self.upto,
            ..Self::default()
        };
        let candidates = of_hidden.candidates(view, None).await?;
        let mut count = 0;
        for few in candidates.chunks(FETCH) {
            for (position, record) in bodies(view, few).await? {
                let is_hidden = self.hides(position, &record) && self.is_about(position, &record);
                count += usize::from(is_hidden);
            }
        }
        Ok(count)
    }

    /// Segments that may hold something: all of them, or a page of them in an order.
    async fn candidates<C: Connection>(
        &self,
        view: &Reader<C>,
        page: Option<(Bound, usize, usize)>,
    ) -> Result<Vec<Candidate>, Error> {
        let order = page.map_or_else(String::new, |(bound, offset, size)| {
            format!("ORDER BY {} OFFSET {offset} LIMIT {size}", bound.sql())
        });
        let sql = format!(
            "SELECT s.first_position, s.t_min, s.t_max, s.reported_min, s.reported_max, r.events, \
             r.logs \
             FROM (SELECT first_position, sum(events) AS events, sum(logs) AS logs \
               FROM es.segment_ref WHERE {REFERENCES} GROUP BY first_position) r \
             JOIN es.segment s ON s.first_position = r.first_position {order}"
        );
        let rows = view.fetch(&sql, &self.params()).await?;
        let mut candidates = Vec::with_capacity(rows.len());
        for row in rows {
            candidates.push(Candidate {
                first_position: row.try_get(0)?,
                times: [
                    row.try_get(1)?,
                    row.try_get(2)?,
                    row.try_get(3)?,
                    row.try_get(4)?,
                ],
                events: row.try_get(5)?,
                logs: row.try_get(6)?,
            });
        }
        Ok(candidates)
    }

    /// Answers it.
    ///
    /// # Errors
    /// Database errors, or damaged segments.
    pub async fn ask<C: Connection>(&self, view: &Reader<C>) -> Result<Page, Error> {
        let order = self.order();
        let bound = order.first().and_then(Bound::of);
        if let Some(bound) = bound
            && let Some(total) = self.counted(view).await?
        {
            let (records, skipped) = self.in_time(view, bound, &order).await?;
            return Ok(self.page(records, self.offset - skipped, total));
        }
        let (records, total) = self.among_all(view, &order).await?;
        Ok(self.page(records, self.offset, total))
    }

    fn page(&self, records: Vec<Found>, offset: usize, total: usize) -> Page {
        let records = records.into_iter().skip(offset).take(self.size);
        Page {
            records: records.collect(),
            total,
        }
    }

    /// The first records by time: segments come in the order of what they can hold, until no later
    /// one can hold anything that belongs before the last record needed. With them, how many
    /// records before them were passed over unread.
    async fn in_time<C: Connection>(
        &self,
        view: &Reader<C>,
        bound: Bound,
        order: &[(Key, bool)],
    ) -> Result<(Vec<Found>, usize), Error> {
        let mut walk = Walk::new(bound);
        let skipped = self.pass_over(&mut walk, view).await?;
        let needed = (self.offset - skipped).saturating_add(self.size);
        let mut kept: Vec<Found> = Vec::new();
        loop {
            if kept.len() >= needed {
                cut(&mut kept, order, needed);
            }
            let next = walk.peek(self, view).await?;
            if kept.len() >= needed && bound.is_complete(&kept, needed, next) {
                return Ok((kept, skipped));
            }
            if next.is_none() {
                cut(&mut kept, order, needed);
                return Ok((kept, skipped));
            }
            let missing = needed.saturating_sub(kept.len());
            kept.extend(self.unpack(view, &walk.take(self, missing)).await?);
        }
    }

    /// Passes over the segments that hold nothing but records before the offset: what they hold is
    /// counted, and lies wholly before all that follows.
    async fn pass_over<C: Connection>(
        &self,
        walk: &mut Walk,
        view: &Reader<C>,
    ) -> Result<usize, Error> {
        // what is not shown is counted by references
        if !self.hidden.is_empty() {
            return Ok(0);
        }
        let (mut skipped, mut held, mut pending) = (0, 0, 0);
        let mut reach: Option<DateTime<Utc>> = None;
        while skipped + held <= self.offset {
            let Some(next) = walk.ahead(pending, self, view).await? else {
                return Ok(skipped);
            };
            if reach.is_some_and(|reach| walk.bound.is_beyond(&next, reach)) {
                walk.drop_first(pending);
                (skipped, held, pending, reach) = (skipped + held, 0, 0, None);
            }
            held += self.holds(&next);
            pending += 1;
            reach = Some(walk.bound.reach(&next, reach));
        }
        Ok(skipped)
    }

    /// How many records of a segment match by what references count.
    fn holds(&self, candidate: &Candidate) -> usize {
        let events = i64::from(self.events) * candidate.events;
        let logs = i64::from(self.logs) * candidate.logs;
        usize::try_from(events + logs).unwrap_or_default()
    }

    /// The first records in any order: all segments are unpacked.
    async fn among_all<C: Connection>(
        &self,
        view: &Reader<C>,
        order: &[(Key, bool)],
    ) -> Result<(Vec<Found>, usize), Error> {
        let needed = self.offset.saturating_add(self.size);
        let mut kept: Vec<Found> = Vec::new();
        let mut seen = 0;
        let mut candidates = self.candidates(view, None).await?;
        candidates.retain(|candidate| self.holds(candidate) > 0);
        for few in candidates.chunks(FETCH) {
            let found = self.unpack(view, few).await?;
            seen += found.len();
            kept.extend(found);
            if kept.len() > needed.saturating_mul(2).max(KEPT_MIN) {
                cut(&mut kept, order, needed);
            }
        }
        cut(&mut kept, order, needed);
        Ok((kept, seen))
    }

    async fn unpack<C: Connection>(
        &self,
        view: &Reader<C>,
        of: &[Candidate],
    ) -> Result<Vec<Found>, Error> {
        let mut found = bodies(view, of).await?;
        found.retain(|(position, record)| self.admits(*position, record));
        Ok(found)
    }
}

/// All records of some segments.
async fn bodies<C: Connection>(view: &Reader<C>, of: &[Candidate]) -> Result<Vec<Found>, Error> {
    let positions: Vec<i64> = of.iter().map(|c| c.first_position).collect();
    let rows = view.fetch(BODIES, &[&positions]).await?;
    let mut found = Vec::new();
    for row in rows {
        let first: i64 = row.try_get(0)?;
        found.extend((first..).zip(segment::decode(row.try_get(1)?)?));
    }
    Ok(found)
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
