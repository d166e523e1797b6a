//! How many records match, by what references count: no segment is unpacked for it.
use stratalog_projections::{Connection, Reader};

use super::{FETCH, Question, REFERENCES, entry::Entry};
use crate::error::Error;

/// Where the segment ends that the position is in, if it is in one.
const LAST: &str = "\
SELECT first_position + n - 1 FROM es.segment WHERE first_position <= $6 \
ORDER BY first_position DESC LIMIT 1";

/// What references count for a question, whatever kinds it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: i64,
    /// Logs.
    pub logs: i64,
    /// All segments up to this position are counted, and none lies across it.
    pub upto: i64,
}

impl Question {
    /// Whether counts of references count records; of those that are not shown, too.
    fn counts_suffice(&self) -> bool {
        self.tests.is_empty()
    }

    /// What its counts by references depend on.
    pub fn counted_by(&self) -> String {
        let Self {
            tenant,
            executions,
            groups,
            deployments,
            blueprints,
            ..
        } = self;
        format!("{tenant:?} {executions:?} {groups:?} {deployments:?} {blueprints:?}")
    }

    /// How many records match by what references count, if that is all that is asked.
    pub(super) async fn counted<C: Connection>(
        &self,
        view: &Reader<C>,
    ) -> Result<Option<(usize, Counts)>, Error> {
        if !self.counts_suffice() {
            return Ok(None);
        }
        let known = self.known.filter(|known| known.upto <= self.upto);
        if let Some(known) = known.filter(|known| known.upto == self.upto) {
            return self.matching(view, known).await;
        }
        let after = known.map_or(0, |known| known.upto);
        let sql = format!(
            "SELECT coalesce(sum(events), 0)::bigint, coalesce(sum(logs), 0)::bigint, ({LAST}) \
             FROM es.segment_ref WHERE {REFERENCES} AND first_position > $7"
        );
        let mut params = self.params().to_vec();
        params.push(&after);
        let rows = view.fetch(&sql, &params).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (events, logs): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let last: Option<i64> = row.try_get(2)?;
        // a segment that is cut by the moment asked for is counted record by record
        if last.is_some_and(|last| last > self.upto) {
            return Ok(None);
        }
        let counts = Counts {
            events: events + known.map_or(0, |known| known.events),
            logs: logs + known.map_or(0, |known| known.logs),
            upto: self.upto,
        };
        self.matching(view, counts).await
    }

    /// How many of those counted are asked for and shown.
    async fn matching<C: Connection>(
        &self,
        view: &Reader<C>,
        counts: Counts,
    ) -> Result<Option<(usize, Counts)>, Error> {
        let total = i64::from(self.events) * counts.events + i64::from(self.logs) * counts.logs;
        let Ok(total) = usize::try_from(total) else {
            return Ok(None);
        };
        let hidden = self.count_hidden(view).await?;
        Ok(Some((total.saturating_sub(hidden), counts)))
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
            let is_hidden = |entry: &mut Entry| Ok(self.hides(entry)? && self.is_about(entry)?);
            count += self.entries((view, few), &[], is_hidden).await?.len();
        }
        Ok(count)
    }
}
