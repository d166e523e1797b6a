//! The writer's connection with all it knows about the log's head. A session is dropped on any
//! doubt.
use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use stratalog_projections::inline::Applier;
use stratalog_schema::{StreamId, events::TelemetryRecord};
use tokio_postgres::{Client, error::SqlState, types::ToSql};
use uuid::Uuid;

use super::{
    LOG_LOCK, Latest,
    append::{Append, Appended},
    chain::{GENESIS, Hash},
    columns::{Columns, Commands, NewStreams},
    heads::{Head, Heads},
    prepared::{Commit, Prepared},
    read,
    segment::{self, Reference, Segment},
    statements::{HEAD, Statements, TAIL_SEGMENTS},
    window::Window,
};
use crate::{clock, db::Database, error::Error};

/// Positions whose telemetry ids a new session remembers.
const REMEMBERED_POSITIONS: i64 = 400_000;

/// Positions a partition check looks ahead.
const PARTITION_AHEAD: i64 = 1_000_000;

/// The writer's connection.
pub(super) struct Session {
    client: Client,
    applier: Applier,
    statements: Statements,
    heads: Heads,
    window: Window,
    head: i64,
    chain: Hash,
    recorded_at: DateTime<Utc>,
    partitions_upto: i64,
    writer: Uuid,
    latest: Latest,
    in_doubt: Option<(i64, Hash)>,
    holds_lock: bool,
}

/// Stream versions as they stand while a batch is being built.
pub(super) struct Versions<'a> {
    heads: &'a Heads,
    moved: HashMap<StreamId, i64>,
}

impl Versions<'_> {
    pub(super) fn current(&self, stream: &StreamId) -> i64 {
        self.moved
            .get(stream)
            .copied()
            .unwrap_or_else(|| self.heads.get(stream).version)
    }

    /// Number of the stream and the version its next event gets.
    pub(super) fn next(&mut self, stream: &StreamId) -> (i64, i64) {
        let version = self.current(stream) + 1;
        self.moved.insert(stream.clone(), version);
        (self.heads.get(stream).stream_no, version)
    }
}

impl Session {
    /// Connects and learns the log's head.
    pub(super) async fn open(
        database: &Database,
        writer: Uuid,
        latest: &Latest,
    ) -> Result<Self, Error> {
        let client = database.dedicated().await?;
        client
            .batch_execute("SET synchronous_commit = off; SET statement_timeout = '60s'")
            .await?;
        let statements = Statements::prepare(&client).await?;
        let applier = Applier::prepare(&client).await?;
        let mut session = Self {
            client,
            applier,
            statements,
            heads: Heads::default(),
            window: Window::default(),
            head: 0,
            chain: GENESIS,
            recorded_at: DateTime::UNIX_EPOCH,
            partitions_upto: 0,
            writer,
            latest: latest.clone(),
            in_doubt: None,
            holds_lock: false,
        };
        session.reload().await?;
        Ok(session)
    }

    /// Learns the log's head anew and forgets what followed from the old one.
    async fn reload(&mut self) -> Result<(), Error> {
        self.latest.forget();
        let seen_upto = self.head;
        let row = self.client.query_opt(HEAD, &[]).await?;
        if let Some(row) = row {
            self.head = row.try_get(0)?;
            let chain: Vec<u8> = row.try_get(1)?;
            self.chain = chain.try_into().unwrap_or(GENESIS);
            self.recorded_at = row.try_get(2)?;
        }
        self.heads.reload(&self.client).await?;
        let from = seen_upto.max(self.head - REMEMBERED_POSITIONS);
        let tail = self.client.query(TAIL_SEGMENTS, &[&from]).await?;
        for row in tail {
            for record in segment::decode(row.try_get(0)?)? {
                if let Ok(id) = Uuid::from_slice(&record.event_id) {
                    self.window.insert(id);
                }
            }
        }
        Ok(())
    }

    /// Learns anew what other processes may have changed, if they have appended anything.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        if read::head(&self.client).await? != self.head {
            self.reload().await?;
        }
        Ok(())
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn applier(&self) -> &Applier {
        &self.applier
    }

    pub(super) fn latest(&self) -> &Latest {
        &self.latest
    }

    pub(super) fn head(&self) -> i64 {
        self.head
    }

    pub(super) fn chain(&self) -> &Hash {
        &self.chain
    }

    pub(super) fn seen(&self, id: &Uuid) -> bool {
        self.window.contains(id)
    }

    pub(super) fn versions(&self) -> Versions<'_> {
        Versions {
            heads: &self.heads,
            moved: HashMap::new(),
        }
    }

    /// Time of the next batch: the clock, but never before the last batch; whole microseconds, as
    /// stored.
    pub(super) fn recorded_at(&self) -> DateTime<Utc> {
        let now = clock::now();
        let now = now
            .duration_trunc(TimeDelta::microseconds(1))
            .unwrap_or(now);
        now.max(self.recorded_at)
    }

    pub(super) async fn learn(
        &mut self,
        appends: impl Iterator<Item = &Append>,
    ) -> Result<(), Error> {
        let streams: Vec<&StreamId> = appends
            .flat_map(|append| {
                let appended = append.events.iter().map(|event| &event.stream);
                appended.chain(append.expected.iter().map(|(stream, _)| stream))
            })
            .collect();
        let ask = (&self.client, &self.statements.look_up_streams);
        self.heads.learn(ask, streams.into_iter()).await
    }

    /// Answers given earlier to commands among these.
    pub(super) async fn commands_seen(
        &self,
        appends: impl Iterator<Item = &Append>,
    ) -> Result<HashMap<Uuid, Appended>, Error> {
        let ids: Vec<Uuid> = appends.filter_map(|append| append.command_id).collect();
        let mut seen = HashMap::new();
        if ids.is_empty() {
            return Ok(seen);
        }
        for row in self
            .client
            .query(&self.statements.find_commands, &[&ids])
            .await?
        {
            let first_position: i64 = row.try_get(1)?;
            let n: i32 = row.try_get(2)?;
            let appended = Appended {
                first_position,
                last_position: first_position + i64::from(n) - 1,
                repeated: true,
            };
            seen.insert(row.try_get(0)?, appended);
        }
        Ok(seen)
    }

    /// Commits a batch in one round trip. After an error the session must go through
    /// [`Session::after_failure`].
    pub(super) async fn commit(
        &mut self,
        commit: Commit,
        events: &[Prepared],
        commands: &[(Uuid, i64, i32)],
    ) -> Result<(), Error> {
        let upto = commit.first_position + i64::from(commit.n) + PARTITION_AHEAD;
        if upto > self.partitions_upto {
            self.client
                .execute("SELECT es.ensure_partitions($1)", &[&upto])
                .await?;
            self.partitions_upto = upto;
        }
        self.in_doubt = Some((commit.first_position, commit.chain));
        let columns = Columns::of(events);
        let streams = NewStreams::of(&self.heads, events);
        let commands = Commands::of(commands);
        let client = &self.client;
        let lock = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOG_LOCK}); \
             SELECT es.assert_head({}, '\\x{}')",
            commit.first_position - 1,
            hex::encode(self.chain)
        );
        let root = commit.root.as_slice();
        let chain = commit.chain.as_slice();
        let spine: [&(dyn ToSql + Sync); 6] = [
            &commit.first_position,
            &commit.n,
            &commit.recorded_at,
            &self.writer,
            &root,
            &chain,
        ];
        // polled in this order, so sent in this order; an error of any makes COMMIT a rollback
        let begin = async { client.batch_execute(&lock).await.map_err(Error::from) };
        let spine = async {
            client.execute(&self.statements.spine, &spine).await?;
            Ok::<_, Error>(())
        };
        let streams = self.insert_streams(&streams);
        let events = self.insert_events(&columns, commit.recorded_at);
        let segment = self.insert_segment(commit.segment.as_ref());
        let commands = self.insert_commands(&commands, commit.recorded_at);
        let views = async {
            self.applier
                .write(client, commit.changes)
                .await
                .map_err(Error::from)
        };
        let end = async { client.batch_execute("COMMIT").await.map_err(Error::from) };
        let outcome = futures::join!(begin, spine, streams, events, segment, commands, views, end);
        outcome.0?;
        outcome.1?;
        outcome.2?;
        outcome.3?;
        outcome.4?;
        outcome.5?;
        outcome.6?;
        outcome.7?;
        self.in_doubt = None;
        self.unlock().await?;
        self.head = commit.first_position + i64::from(commit.n) - 1;
        self.chain = commit.chain;
        self.recorded_at = commit.recorded_at;
        Ok(())
    }

    async fn insert_streams(&self, streams: &NewStreams) -> Result<(), Error> {
        if !streams.numbers.is_empty() {
            let params: [&(dyn ToSql + Sync); 3] =
                [&streams.numbers, &streams.categories, &streams.keys];
            self.client
                .execute(&self.statements.stream, &params)
                .await?;
        }
        Ok(())
    }

    async fn insert_events(
        &self,
        columns: &Columns<'_>,
        recorded_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        if !columns.positions.is_empty() {
            let params: [&(dyn ToSql + Sync); 7] = [
                &columns.positions,
                &columns.stream_nos,
                &columns.versions,
                &columns.event_ids,
                &columns.type_nos,
                &columns.data,
                &recorded_at,
            ];
            self.client.execute(&self.statements.log, &params).await?;
        }
        Ok(())
    }

    async fn insert_segment(&self, segment: Option<&Segment>) -> Result<(), Error> {
        let Some(segment) = segment else {
            return Ok(());
        };
        let params: [&(dyn ToSql + Sync); 7] = [
            &segment.first_position,
            &segment.n,
            &segment.t_min,
            &segment.t_max,
            &segment.reported_min,
            &segment.reported_max,
            &segment.body,
        ];
        let inserted = self.client.execute(&self.statements.segment, &params);
        let ids: Vec<&(String, String)> = segment.refs.keys().collect();
        let refs: Vec<&Reference> = segment.refs.values().collect();
        let executions: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        let groups: Vec<&str> = ids.iter().map(|id| id.1.as_str()).collect();
        let tenants: Vec<&str> = refs.iter().map(|r| r.tenant.as_str()).collect();
        let visibilities: Vec<&str> = refs.iter().map(|r| r.visibility.as_str()).collect();
        let deployments: Vec<&str> = refs.iter().map(|r| r.deployment_id.as_str()).collect();
        let blueprints: Vec<&str> = refs.iter().map(|r| r.blueprint_id.as_str()).collect();
        let events: Vec<i32> = refs.iter().map(|r| r.events).collect();
        let logs: Vec<i32> = refs.iter().map(|r| r.logs).collect();
        let params: [&(dyn ToSql + Sync); 9] = [
            &segment.first_position,
            &executions,
            &tenants,
            &visibilities,
            &deployments,
            &blueprints,
            &groups,
            &events,
            &logs,
        ];
        let referred = self.client.execute(&self.statements.reference, &params);
        futures::try_join!(inserted, referred)?;
        Ok(())
    }

    async fn insert_commands(
        &self,
        commands: &Commands,
        recorded_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        if !commands.ids.is_empty() {
            let params: [&(dyn ToSql + Sync); 4] = [
                &commands.ids,
                &commands.positions,
                &commands.ns,
                &recorded_at,
            ];
            self.client
                .execute(&self.statements.command, &params)
                .await?;
        }
        Ok(())
    }

    /// Notes what a commit changed, for the next one.
    pub(super) fn remember(&mut self, events: &[Prepared], telemetry: &[TelemetryRecord]) {
        for prepared in events {
            let head = Head {
                stream_no: prepared.stream_no,
                version: prepared.recorded.version,
                exists: true,
            };
            self.heads.set(&prepared.recorded.stream, head);
        }
        for record in telemetry {
            if let Ok(id) = Uuid::from_slice(&record.event_id) {
                self.window.insert(id);
            }
        }
    }

    /// The batch whose outcome is unknown, if any.
    pub(super) fn in_doubt(&self) -> Option<(i64, Hash)> {
        self.in_doubt
    }

    /// Whether a batch is in the log.
    pub(super) async fn landed(&self, first_position: i64, chain: &Hash) -> Result<bool, Error> {
        let found = self
            .client
            .query_opt(
                "SELECT 1 FROM es.spine WHERE first_position = $1 AND chain = $2",
                &[&first_position, &chain.as_slice()],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Cleans up after a failed commit. When another process moved the head, the new one is learned
    /// and the error becomes a `Conflict` on the log itself.
    pub(super) async fn after_failure(&mut self, error: Error) -> Error {
        if let Err(failed) = self.client.batch_execute("ROLLBACK").await {
            return if failed.is_closed() {
                failed.into()
            } else {
                error
            };
        }
        self.in_doubt = None;
        if !head_moved(&error) {
            return error;
        }
        let believed = self.head;
        match self.lock_and_reload().await {
            Ok(()) => Error::Conflict {
                stream: "log".to_owned(),
                expected: believed,
                actual: self.head,
            },
            Err(error) => error,
        }
    }
}

impl Session {
    /// Takes the log's lock beyond the next transaction, so that the head learned now is still true
    /// then.
    async fn lock_and_reload(&mut self) -> Result<(), Error> {
        if !self.holds_lock {
            self.client
                .execute("SELECT pg_advisory_lock($1)", &[&LOG_LOCK])
                .await?;
            self.holds_lock = true;
        }
        self.reload().await
    }

    /// Gives the lock back after a commit that needed it.
    pub(super) async fn unlock(&mut self) -> Result<(), Error> {
        if self.holds_lock {
            self.holds_lock = false;
            self.client
                .execute("SELECT pg_advisory_unlock($1)", &[&LOG_LOCK])
                .await?;
        }
        Ok(())
    }
}

/// Whether the database refused because the log's head is another one.
fn head_moved(error: &Error) -> bool {
    let Error::Internal(reason) = error else {
        return false;
    };
    let code = reason
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code);
    matches!(
        code,
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::UNIQUE_VIOLATION)
    )
}
