//! The moment a client wants to look at: `_as_of` or `X-As-Of`, a position or a time.
use chrono::{DateTime, Utc};
use stratalog_projections::At;

use super::Head;
use crate::{
    error::Error,
    log,
    rest::query::shown,
    store::{Store, View},
};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Position(i64),
    Time(DateTime<Utc>),
}

/// The moment asked for; the query goes before the header.
pub(super) fn asked(head: &Head) -> Result<Option<Moment>, Error> {
    let from_query = head.query.get("_as_of");
    let header = head.headers.get("x-as-of");
    let text = match (from_query, header) {
        (Some(text), _) => text,
        (None, Some(header)) => header
            .to_str()
            .map_err(|_| Error::bad_parameters("X-As-Of is no text"))?,
        (None, None) => return Ok(None),
    };
    parse(text).map(Some)
}

fn parse(text: &str) -> Result<Moment, Error> {
    let bad = || {
        Error::bad_parameters(format!(
            "`{}` is no moment: a position of the log or an RFC 3339 time is expected",
            shown(text)
        ))
    };
    if let Ok(position) = text.parse::<i64>() {
        return (position >= 0)
            .then_some(Moment::Position(position))
            .ok_or_else(bad);
    }
    // an unescaped plus sign of a time zone arrives as a space
    let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).map_err(|_| bad())?;
    Ok(Moment::Time(time.with_timezone(&Utc)))
}

impl Moment {
    pub(super) async fn read(self, store: &Store) -> Result<View, Error> {
        let position = match self {
            Self::Position(position) => position,
            Self::Time(time) => {
                let connection = store.database().idle().await?;
                log::read::position_at(&connection, time).await?
            }
        };
        let view = store.read(At::Position(position)).await?;
        if position > view.head() {
            let head = view.head();
            return Err(Error::bad_parameters(format!(
                "Position {position} is not written yet: the log ends at {head}"
            )));
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    //! What counts as a moment.
    use super::*;

    #[test]
    fn positions_and_times_are_moments() {
        assert_eq!(parse("0").unwrap(), Moment::Position(0));
        assert_eq!(parse("12").unwrap(), Moment::Position(12));
        let time = Moment::Time("2026-01-02T03:04:05.006Z".parse().unwrap());
        for text in [
            "2026-01-02T03:04:05.006Z",
            "2026-01-02T04:04:05.006+01:00",
            "2026-01-02T04:04:05.006 01:00",
        ] {
            assert_eq!(parse(text).unwrap(), time, "{text}");
        }
        for text in ["", "-1", "1.5", "now", "2026-01-02", "99999999999999999999"] {
            assert_eq!(parse(text).unwrap_err().status(), 400, "{text}");
        }
    }
}
