//! Who did what: events by actor, tenant, execution, stream and time, newest first.
use chrono::{DateTime, Utc};
use stratalog_projections::rebuild;
use stratalog_schema::{Category, Recorded, StreamId, envelope};
use tokio_postgres::{GenericClient, types::ToSql};

use super::read;
use crate::error::Error;

/// Events read at a time.
const PAGE_EVENTS: i64 = 1_000;

const PAGE: &str = "\
SELECT l.position, s.category, s.key, l.version, l.recorded_at, l.event_id, l.type_no, l.data \
FROM es.log l JOIN es.stream s ON s.stream_no = l.stream_no \
WHERE l.position < $1 AND l.recorded_at >= $2 \
  AND ($3::smallint IS NULL OR s.category = $3) AND ($4::text IS NULL OR s.key = $4) \
ORDER BY l.position DESC LIMIT $5";

/// Which events are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Who did it.
    pub actor: Option<String>,
    /// Tenant of the request.
    pub tenant: Option<String>,
    /// Execution on whose behalf it was done.
    pub execution: Option<String>,
    /// Kind of thing it was done to.
    pub category: Option<Category>,
    /// Key of the stream: `tenant/id` for what belongs to a tenant.
    pub stream: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    fn wants(&self, event: &Recorded) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.actor, &event.meta.actor)
            && is(&self.tenant, &event.meta.tenant)
            && is(&self.execution, &event.meta.execution_id)
    }
}

/// The newest `limit` events that the filter wants, oldest of them first. `progress` hears the
/// position down to which the log was searched.
///
/// # Errors
/// Database errors, or events of a newer version.
pub async fn find(
    client: &tokio_postgres::Client,
    filter: &Filter,
    limit: usize,
    progress: &(dyn Fn(i64) + Sync),
) -> Result<Vec<Recorded>, Error> {
    let mut before = match filter.until {
        Some(until) => read::position_at(client, until).await?,
        None => rebuild::head(client).await?,
    } + 1;
    let mut found = Vec::new();
    while found.len() < limit {
        let page = page(client, filter, before).await?;
        let Some(last) = page.last() else { break };
        before = last.position;
        let wanted = page.into_iter().filter(|event| filter.wants(event));
        found.extend(wanted.take(limit - found.len()));
        progress(before);
    }
    found.reverse();
    Ok(found)
}

async fn page(
    client: &impl GenericClient,
    filter: &Filter,
    before: i64,
) -> Result<Vec<Recorded>, Error> {
    let since = filter.since.unwrap_or(DateTime::UNIX_EPOCH);
    let category = filter.category.map(Category::number);
    let params: [&(dyn ToSql + Sync); 5] =
        [&before, &since, &category, &filter.stream, &PAGE_EVENTS];
    let rows = client.query(PAGE, &params).await?;
    rows.iter().map(recorded).collect()
}

fn recorded(row: &tokio_postgres::Row) -> Result<Recorded, Error> {
    let position: i64 = row.try_get(0)?;
    let category = Category::from_number(row.try_get(1)?).map_err(Error::internal)?;
    let (meta, event) =
        envelope::decode(position, row.try_get(6)?, row.try_get(7)?).map_err(Error::internal)?;
    Ok(Recorded {
        position,
        stream: StreamId {
            category,
            key: row.try_get(2)?,
        },
        version: row.try_get(3)?,
        recorded_at: row.try_get(4)?,
        event_id: row.try_get(5)?,
        meta,
        event,
    })
}
