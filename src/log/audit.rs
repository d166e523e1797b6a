//! Who did what: events by actor, tenant, execution, stream, type, time and position, a page at a
//! time in either direction.
use chrono::{DateTime, Utc};
use stratalog_projections::rebuild;
use stratalog_schema::{Category, StreamId, envelope, events::TYPES};
use tokio_postgres::{GenericClient, Row, types::ToSql};

use crate::error::Error;

mod entry;
mod question;

pub use entry::Entry;
pub use question::{Filter, Question};

/// Events read from the database at a time.
const FETCH_EVENTS: i64 = 1_000;
/// Events looked at for one page; a page may end without being full.
const SEARCHED_MAX: usize = 50_000;

/// Numbers of retired event types begin here: they are shown as what they became.
const RETIRED: i16 = 900;

macro_rules! events {
    ($beyond:literal, $direction:literal) => {
        concat!(
            "SELECT l.position, s.category, s.key, l.stream_no, l.version, l.recorded_at, \
             l.event_id, l.type_no, l.data \
             FROM es.log l JOIN es.stream s ON s.stream_no = l.stream_no \
             WHERE l.position ",
            $beyond,
            " $1 AND l.position BETWEEN $2 AND $3 \
             AND ($4::smallint IS NULL OR s.category = $4) \
             AND ($5::text IS NULL OR s.key = $5) \
             AND ($6::smallint[] IS NULL OR l.type_no = ANY($6)) \
             ORDER BY l.position ",
            $direction,
            " LIMIT $7"
        )
    };
}

const OLDEST_FIRST: &str = events!(">", "ASC");
const NEWEST_FIRST: &str = events!("<", "DESC");

const SINCE: &str = "\
SELECT first_position FROM es.spine WHERE recorded_at >= $1 \
ORDER BY recorded_at, first_position LIMIT 1";

const UNTIL: &str = "\
SELECT first_position + n - 1 FROM es.spine WHERE recorded_at <= $1 \
ORDER BY recorded_at DESC, first_position DESC LIMIT 1";

/// A page of the audit log.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was found, in the order asked for.
    pub entries: Vec<Entry>,
    /// Where the next page goes on; `None`: there is nothing more.
    pub next: Option<i64>,
    /// The log's head.
    pub head: i64,
}

/// The events that a question asks for, at most a page of them.
///
/// # Errors
/// 400 for a type that does not exist; database errors; events of a newer version.
pub async fn page(client: &impl GenericClient, question: &Question) -> Result<Page, Error> {
    let filter = &question.filter;
    let head = rebuild::head(client).await?;
    let (from, upto) = bounds(client, filter, head).await?;
    let category = filter.category.map(Category::number);
    let types = filter.event_type.as_deref().map(type_numbers).transpose()?;
    let (sql, start) = match question.newest_first {
        true => (NEWEST_FIRST, upto.saturating_add(1)),
        false => (OLDEST_FIRST, from.saturating_sub(1)),
    };
    let mut beyond = question.beyond.unwrap_or(start);
    let mut entries = Vec::new();
    let mut searched = 0;
    loop {
        let params: [&(dyn ToSql + Sync); 7] = [
            &beyond,
            &from,
            &upto,
            &category,
            &filter.stream,
            &types,
            &FETCH_EVENTS,
        ];
        let rows = client.query(sql, &params).await?;
        searched += rows.len();
        for row in &rows {
            let entry = recorded(row)?;
            beyond = entry.position;
            if filter.wants(&entry) {
                entries.push(entry);
            }
            if entries.len() == question.size {
                break;
            }
        }
        let is_last = i64::try_from(rows.len()) != Ok(FETCH_EVENTS);
        let is_full = entries.len() >= question.size;
        if is_full || is_last || searched >= SEARCHED_MAX {
            let next = (is_full || !is_last).then_some(beyond);
            return Ok(Page {
                entries,
                next,
                head,
            });
        }
    }
}

/// The positions that the filter allows.
async fn bounds(
    client: &impl GenericClient,
    filter: &Filter,
    head: i64,
) -> Result<(i64, i64), Error> {
    let mut from = filter.from.unwrap_or(1);
    let mut upto = filter.upto.unwrap_or(head).min(head);
    if let Some(since) = filter.since {
        from = from.max(found(client, SINCE, since).await?.unwrap_or(i64::MAX));
    }
    if let Some(until) = filter.until {
        upto = upto.min(found(client, UNTIL, until).await?.unwrap_or(0));
    }
    Ok((from, upto))
}

async fn found(
    client: &impl GenericClient,
    sql: &str,
    at: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    let row = client.query_opt(sql, &[&at]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Numbers under which events of a type may be stored.
fn type_numbers(name: &str) -> Result<Vec<i16>, Error> {
    let known = TYPES.iter().find(|(known, _)| *known == name);
    let Some((_, number)) = known else {
        return Err(Error::bad_parameters(format!(
            "There is no event type `{name}`"
        )));
    };
    let retired = TYPES.iter().map(|(_, number)| *number);
    let mut numbers: Vec<i16> = retired.filter(|number| *number >= RETIRED).collect();
    numbers.push(*number);
    Ok(numbers)
}

fn recorded(row: &Row) -> Result<Entry, Error> {
    let position: i64 = row.try_get(0)?;
    let category = Category::from_number(row.try_get(1)?).map_err(Error::internal)?;
    let (meta, event) =
        envelope::decode(position, row.try_get(7)?, row.try_get(8)?).map_err(Error::internal)?;
    let recorded = stratalog_schema::Recorded {
        position,
        stream: StreamId {
            category,
            key: row.try_get(2)?,
        },
        version: row.try_get(4)?,
        recorded_at: row.try_get(5)?,
        event_id: row.try_get(6)?,
        meta,
        event,
    };
    Entry::of(row.try_get(3)?, recorded)
}
