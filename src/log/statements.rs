//! SQL of the append, prepared once a session.
use tokio_postgres::{Client, Statement};

use crate::error::Error;

pub(super) const HEAD: &str = "\
SELECT first_position + n - 1, chain, recorded_at FROM es.spine \
ORDER BY first_position DESC LIMIT 1";

const INSERT_SPINE: &str = "\
INSERT INTO es.spine (first_position, n, recorded_at, writer, root, chain) \
VALUES ($1, $2, $3, $4, $5, $6)";

const INSERT_LOG: &str = "\
INSERT INTO es.log (position, stream_no, version, recorded_at, event_id, type_no, data) \
SELECT u.p, u.s, u.v, $7, u.e, u.t, u.d \
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::smallint[], $6::bytea[]) \
  AS u(p, s, v, e, t, d)";

const INSERT_STREAM: &str = "\
INSERT INTO es.stream (stream_no, category, key) \
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[])";

const INSERT_SEGMENT: &str = "\
INSERT INTO es.segment (first_position, n, t_min, t_max, reported_min, reported_max, body) \
VALUES ($1, $2, $3, $4, $5, $6, $7)";

const INSERT_REF: &str = "\
INSERT INTO es.segment_ref (execution_id, first_position, tenant, visibility, deployment_id, \
  blueprint_id, execution_group_id, events, logs) \
SELECT u.e, $1, u.t, u.v, u.d, u.b, u.g, u.ne, u.nl \
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
  $8::integer[], $9::integer[]) AS u(e, t, v, d, b, g, ne, nl)";

const INSERT_COMMAND: &str = "\
INSERT INTO es.command (command_id, first_position, n, recorded_at) \
SELECT u.i, u.p, u.n, $4 FROM unnest($1::uuid[], $2::bigint[], $3::integer[]) AS u(i, p, n)";

const FIND_COMMANDS: &str = "\
SELECT command_id, first_position, n FROM es.command WHERE command_id = ANY($1)";

/// Numbers and latest versions of streams.
const LOOK_UP_STREAMS: &str = "\
SELECT q.category, q.key, s.stream_no, \
  (SELECT l.version FROM es.log l WHERE l.stream_no = s.stream_no \
   ORDER BY l.version DESC LIMIT 1) \
FROM unnest($1::smallint[], $2::text[]) AS q(category, key) \
JOIN es.stream s ON s.category = q.category AND s.key = q.key";

pub(super) const TAIL_SEGMENTS: &str = "\
SELECT body FROM es.segment WHERE first_position > $1 ORDER BY first_position";

/// Statements of the append.
pub(super) struct Statements {
    pub(super) spine: Statement,
    pub(super) log: Statement,
    pub(super) stream: Statement,
    pub(super) segment: Statement,
    pub(super) reference: Statement,
    pub(super) command: Statement,
    pub(super) find_commands: Statement,
    pub(super) look_up_streams: Statement,
}

impl Statements {
    /// Prepares them all on a connection.
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            spine: client.prepare(INSERT_SPINE).await?,
            log: client.prepare(INSERT_LOG).await?,
            stream: client.prepare(INSERT_STREAM).await?,
            segment: client.prepare(INSERT_SEGMENT).await?,
            reference: client.prepare(INSERT_REF).await?,
            command: client.prepare(INSERT_COMMAND).await?,
            find_commands: client.prepare(FIND_COMMANDS).await?,
            look_up_streams: client.prepare(LOOK_UP_STREAMS).await?,
        })
    }
}
