//! Reading the telemetry lane: filtered, sorted pages of execution logs and events with an exact
//! total.
//!
//! References tell which segments may matter and how much they hold, so the usual questions (newest
//! first, of an execution, of a deployment) unpack only the segments the page needs; only filters
//! on single records unpack them all.
use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use memchr::memmem::Finder;
use regex::bytes::Regex;
use stratalog_projections::{Connection, Reader};
use stratalog_schema::events::TelemetryRecord;
use tokio_postgres::types::ToSql;

use self::{
    entry::Entry,
    place::compare,
    walk::{Bound, Candidate, Walk},
};
use super::segment;
use crate::error::Error;

mod counts;
mod entry;
mod place;
mod unpacked;
mod walk;

/// Segments unpacked at a time.
const FETCH: usize = 16;
/// Records kept beyond those needed before the rest is dropped.
const KEPT_MIN: usize = 4_096;

/// Of how many records in a segment one at least is wanted, where the segment stays in memory with
/// those that are.
const SPARSE: usize = 4;

/// Names looked for in encoded records; of more, records are decoded.
const NAMED_MAX: usize = 4;

/// References that may matter: what a question says of executions and their like, up to a position.
const REFERENCES: &str = "\
(tenant = $1 OR visibility = 'global') \
  AND ($2::text[] IS NULL OR execution_id = ANY($2)) \
  AND ($3::text[] IS NULL OR execution_group_id = ANY($3)) \
  AND ($4::text[] IS NULL OR deployment_id = ANY($4)) \
  AND ($5::text[] IS NULL OR blueprint_id = ANY($5)) \
  AND first_position <= $6";

/// Those of some deployments among what references tell.
const AMONG: &str = "deployment_id = ANY($7)";

/// What is known of a segment without its records.
const SEGMENT: &str = "\
s.first_position, s.t_min, s.t_max, s.reported_min, s.reported_max, \
s.tableoid AS of_table, octet_length(s.body) AS packed_bytes";

pub use counts::Counts;
pub use unpacked::Unpacked;

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
    /// What is in the encoded form of every record that can pass the tests: others are not decoded.
    pub marks: Vec<Regex>,
    /// What references count up to a position where that is known already.
    pub known: Option<Counts>,
    /// Segments in memory, if some are kept.
    pub unpacked: Option<Unpacked>,
    /// What is not shown, by deployment: [`Question::hide`].
    pub hidden: HashMap<String, Vec<Question>>,
    /// Requested order with direction (true: descending).
    pub sort: Vec<(Key, bool)>,
    /// Only records behind this place ([`Question::begin_behind`]); others count in totals, though.
    pub behind: Option<Vec<String>>,
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
    /// What references count, if that was looked at.
    pub counts: Option<Counts>,
}

impl Question {
    /// Whether few of the segments may matter.
    fn is_narrow(&self) -> bool {
        let lists = [
            &self.executions,
            &self.groups,
            &self.deployments,
            &self.blueprints,
        ];
        lists.into_iter().any(Option::is_some)
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

    fn hides(&self, entry: &mut Entry) -> Result<bool, Error> {
        let Ok(deployment) = std::str::from_utf8(&entry.head.deployment_id) else {
            return Ok(false);
        };
        let Some(hidden) = self.hidden.get(deployment) else {
            return Ok(false);
        };
        for question in hidden {
            if entry.head.tenant == question.tenant && question.admits(entry)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn admits(&self, entry: &mut Entry) -> Result<bool, Error> {
        Ok(self.is_about(entry)? && !self.hides(entry)?)
    }

    fn is_about(&self, entry: &mut Entry) -> Result<bool, Error> {
        let Entry { position, head, .. } = &*entry;
        let kind = if head.is_log { self.logs } else { self.events };
        let among = |wanted: &Option<Vec<String>>, value: &Bytes| {
            let is_one = |wanted: &Vec<String>| wanted.iter().any(|one| value == one);
            wanted.as_ref().is_none_or(is_one)
        };
        let is_about = kind
            && *position <= self.upto
            && (head.tenant == self.tenant || head.visibility == "global")
            && among(&self.executions, &head.execution_id)
            && among(&self.groups, &head.execution_group_id)
            && among(&self.deployments, &head.deployment_id)
            && among(&self.blueprints, &head.blueprint_id);
        if !is_about || self.tests.is_empty() {
            return Ok(is_about);
        }
        let record = entry.decoded()?;
        Ok(self.tests.iter().all(|test| test(record)))
    }

    /// Whether records are ordered by more than their heads.
    fn is_by_text(&self) -> bool {
        self.sort.iter().any(|(key, _)| matches!(key, Key::Text(_)))
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

    /// Segments that may hold something: all of them, or a page of them in an order.
    async fn candidates<C: Connection>(
        &self,
        view: &Reader<C>,
        page: Option<(Bound, usize, usize)>,
    ) -> Result<Vec<Candidate>, Error> {
        let order = page.map_or_else(String::new, |(bound, ..)| {
            format!("ORDER BY {}", bound.sql())
        });
        let limits = page.map_or_else(String::new, |(_, offset, size)| {
            format!("OFFSET {offset} LIMIT {size}")
        });
        let sql = match self.is_narrow() || page.is_none() {
            true => format!(
                "SELECT {SEGMENT}, r.events, r.logs \
                 FROM (SELECT first_position, sum(events) AS events, sum(logs) AS logs \
                   FROM es.segment_ref WHERE {REFERENCES} GROUP BY first_position) r \
                 JOIN es.segment s ON s.first_position = r.first_position {order} {limits}"
            ),
            // nearly every segment may matter: a page of them is looked up, not all
            false => format!(
                "SELECT s.*, r.events, r.logs \
                 FROM (SELECT {SEGMENT} FROM es.segment s WHERE first_position <= $6 {order} \
                   {limits}) s \
                 CROSS JOIN LATERAL (SELECT coalesce(sum(events), 0)::bigint AS events, \
                   coalesce(sum(logs), 0)::bigint AS logs FROM es.segment_ref r \
                   WHERE r.first_position = s.first_position AND {REFERENCES}) r {order}"
            ),
        };
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
                of_table: row.try_get(5)?,
                packed_bytes: row.try_get(6)?,
                events: row.try_get(7)?,
                logs: row.try_get(8)?,
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
            && let Some((total, counts)) = self.counted(view).await?
        {
            let (records, skipped) = self.in_time(view, bound, &order).await?;
            return Ok(Page {
                counts: Some(counts),
                ..self.page(records, self.offset - skipped, total)?
            });
        }
        let (records, total) = self.among_all(view, &order).await?;
        self.page(records, self.offset, total)
    }

    fn page(&self, records: Vec<Entry>, offset: usize, total: usize) -> Result<Page, Error> {
        let records = records.into_iter().skip(offset).take(self.size);
        Ok(Page {
            records: records.map(Entry::into_found).collect::<Result<_, _>>()?,
            total,
            counts: None,
        })
    }

    /// The first records by time: segments come in the order of what they can hold, until no later
    /// one can hold anything that belongs before the last record needed. With them, how many
    /// records before them were passed over unread.
    async fn in_time<C: Connection>(
        &self,
        view: &Reader<C>,
        bound: Bound,
        order: &[(Key, bool)],
    ) -> Result<(Vec<Entry>, usize), Error> {
        let mut walk = Walk::new(bound);
        let skipped = self.pass_over(&mut walk, view).await?;
        let needed = (self.offset - skipped).saturating_add(self.size);
        let mut kept: Vec<Entry> = Vec::new();
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
            let mut few = walk.take(self, missing);
            few.retain(|candidate| !self.is_passed(bound, candidate));
            let mut found = self.unpack(view, &few).await?;
            found.retain(|found| self.is_behind(found, order));
            kept.extend(found);
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
    ) -> Result<(Vec<Entry>, usize), Error> {
        let needed = self.offset.saturating_add(self.size);
        let mut kept: Vec<Entry> = Vec::new();
        let mut seen = 0;
        let mut candidates = self.candidates(view, None).await?;
        candidates.retain(|candidate| self.holds(candidate) > 0);
        for few in candidates.chunks(FETCH) {
            let mut found = self.unpack(view, few).await?;
            seen += found.len();
            found.retain(|found| self.is_behind(found, order));
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
    ) -> Result<Vec<Entry>, Error> {
        let is_by_text = self.is_by_text();
        let admits = |entry: &mut Entry| {
            let admits = self.admits(entry)?;
            if admits && is_by_text {
                entry.decoded()?;
            }
            Ok(admits)
        };
        self.entries((view, of), &self.marks, admits).await
    }

    /// The records of some segments that are admitted, but for those without one of the marks, or
    /// of others than the question is about.
    async fn entries<C: Connection>(
        &self,
        (view, of): (&Reader<C>, &[Candidate]),
        marks: &[Regex],
        admits: impl Fn(&mut Entry) -> Result<bool, Error>,
    ) -> Result<Vec<Entry>, Error> {
        let named = self.named();
        let names_one =
            |data: &[u8]| named.is_empty() || named.iter().any(|name| name.find(data).is_some());
        let mut found = Vec::new();
        for (first, plain) in self.plain(view, of).await? {
            let (before, mut held) = (found.len(), 0);
            for (position, data) in (first..).zip(segment::records(&plain)) {
                let data = data?;
                held += 1;
                if names_one(data) && marks.iter().all(|mark| mark.is_match(data)) {
                    let mut entry = Entry::new(position, plain.slice_ref(data))?;
                    if admits(&mut entry)? {
                        found.push(entry);
                    }
                }
            }
            // a few records are not to keep all of the segment in memory
            if (found.len() - before) * SPARSE < held {
                for entry in &mut found[before..] {
                    entry.detach()?;
                }
            }
        }
        Ok(found)
    }

    /// What stands in every record that the question is about, in one of a few ways: finding it in
    /// the encoded form is faster than decoding whose record it is.
    fn named(&self) -> Vec<Finder<'_>> {
        let lists = [
            &self.executions,
            &self.deployments,
            &self.groups,
            &self.blueprints,
        ];
        let few = lists
            .into_iter()
            .flatten()
            .find(|ids| ids.len() <= NAMED_MAX);
        let ids = few.map_or(&[][..], Vec::as_slice);
        ids.iter().map(|id| Finder::new(id.as_str())).collect()
    }
}

fn cut(kept: &mut Vec<Entry>, order: &[(Key, bool)], needed: usize) {
    kept.sort_by(|a, b| compare(a, b, order));
    kept.truncate(needed);
}
