//! The writer: drains what has gathered, checks each request alone, and commits the good ones as
//! one batch.
use std::{collections::HashSet, sync::Arc, time::Duration};

use stratalog_projections::{
    View, fold,
    rows::{Needs, Rows},
};
use stratalog_schema::{Recorded, envelope, events::TelemetryRecord};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Latest,
    append::{Append, Appended, Batch, Expected, Observer, Request},
    chain,
    flush::{Flusher, Waiting},
    latest,
    prepared::{Commit, Prepared},
    segment,
    session::{Session, Versions},
};
use crate::{clock, db::Database, error::Error};

/// Requests committed together at most.
const BATCH_REQUESTS: usize = 1_024;
/// Events committed together at most (a single larger request still goes alone).
const BATCH_EVENTS: usize = 4_000;
/// Attempts to learn whether a batch landed whose commit went unanswered.
const RESOLVE_ATTEMPTS: u32 = 60;
/// Wait between attempts to reach the database.
const RECONNECT: Duration = Duration::from_millis(500);

/// The process's one writer.
pub(super) struct Writer {
    database: Database,
    inbox: mpsc::Receiver<Request>,
    flusher: Flusher,
    observers: Vec<Arc<dyn Observer>>,
    session: Option<Session>,
    latest: Latest,
    writer: Uuid,
    /// Last position observers were told of.
    published: i64,
}

/// A request that made it into the batch being built.
struct Admitted {
    request: Request,
    appended: Appended,
}

/// The batch being built.
#[derive(Default)]
struct Building {
    admitted: Vec<Admitted>,
    events: Vec<Prepared>,
    telemetry: Vec<TelemetryRecord>,
    telemetry_of: Vec<usize>,
    commands: Vec<(Uuid, i64, i32)>,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        (inbox, flusher): (mpsc::Receiver<Request>, Flusher),
        observers: Vec<Arc<dyn Observer>>,
        latest: Latest,
    ) -> Self {
        Self {
            database,
            inbox,
            flusher,
            observers,
            session: None,
            latest,
            writer: Uuid::now_v7(),
            published: 0,
        }
    }

    /// Runs until all handles are gone, or the process stops and the queue is empty.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut gathered = Vec::new();
        loop {
            let received = tokio::select! {
                biased;
                received = self.inbox.recv_many(&mut gathered, BATCH_REQUESTS) => received,
                () = stop.cancelled() => 0,
            };
            if received == 0 {
                return;
            }
            while !gathered.is_empty() {
                let batch = take_batch(&mut gathered);
                self.commit(batch).await;
            }
        }
    }

    /// Commits a batch; requests that cannot be committed are answered with the reason.
    async fn commit(&mut self, mut requests: Vec<Request>) {
        let mut attempts = 0;
        while !requests.is_empty() {
            match self.attempt(requests).await {
                Ok(()) => return,
                Err((error, rest)) => {
                    let head_moved = matches!(&error, Error::Conflict { .. });
                    if !head_moved {
                        attempts += 1;
                        self.session = None;
                    }
                    if matches!(&error, Error::Internal(_)) && rest.len() > 1 {
                        // one of them contradicts the views: find out which
                        for request in rest {
                            Box::pin(self.commit(vec![request])).await;
                        }
                        return;
                    }
                    if attempts > 20 || matches!(&error, Error::Internal(_)) {
                        refuse(rest, &error);
                        return;
                    }
                    if !head_moved {
                        tracing::warn!(%error, "the log is unavailable, trying again");
                        tokio::time::sleep(RECONNECT).await;
                    }
                    requests = rest;
                }
            }
        }
    }

    /// One attempt. On failure nothing was appended and all requests come back.
    async fn attempt(&mut self, requests: Vec<Request>) -> Result<(), (Error, Vec<Request>)> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match Session::open(&self.database, self.writer, &self.latest).await {
                Ok(session) => session,
                Err(error) => return Err((error, requests)),
            },
        };
        let session = self.session.insert(session);
        if session.head() < self.published {
            tracing::warn!(
                head = session.head(),
                "the database came back without the last batches"
            );
            self.published = session.head();
            for observer in &self.observers {
                observer.went_back(session.head());
            }
        }
        let building = match admit(session, requests).await {
            Ok(building) => building,
            Err(failed) => return Err(failed),
        };
        if building.admitted.is_empty() {
            // what was refused may rest on what another process has appended: only a commit would
            // have noticed, and the same refusal would come for ever
            if session.catch_up().await.is_err() || session.unlock().await.is_err() {
                // the lock goes with its connection
                self.session = None;
            }
            return Ok(());
        }
        let (written, commit) = match fold_batch(session, &building).await {
            Ok(folded) => folded,
            Err(error) => return Err((error, requests_of(building))),
        };
        let changes = latest::of_interest(&commit.changes);
        if let Err(error) = session
            .commit(commit, &building.events, &building.commands)
            .await
        {
            let error = session.after_failure(error).await;
            if !self.landed_after_all().await {
                return Err((error, requests_of(building)));
            }
        } else {
            session.remember(&building.events, &building.telemetry);
            self.latest.note(changes, &building.events);
        }
        self.publish(written, building).await;
        Ok(())
    }

    /// Whether the batch whose commit went unanswered is in the log. Leaves no session when that
    /// cannot be told.
    async fn landed_after_all(&mut self) -> bool {
        let Some((first_position, chain)) = self.session.as_ref().and_then(Session::in_doubt)
        else {
            return false;
        };
        self.session = None;
        for _ in 0..RESOLVE_ATTEMPTS {
            if let Ok(session) = Session::open(&self.database, self.writer, &self.latest).await
                && let Ok(landed) = session.landed(first_position, &chain).await
            {
                self.session = Some(session);
                return landed;
            }
            tokio::time::sleep(RECONNECT).await;
        }
        false
    }

    /// Tells observers, then waits for the disk on the other connection; answers follow.
    async fn publish(&mut self, written: Written, building: Building) {
        self.published = written.batch.last_position;
        for observer in &self.observers {
            observer.committed(&written.batch);
        }
        let replies = building
            .admitted
            .into_iter()
            .map(|admitted| (admitted.request.reply, admitted.appended))
            .collect();
        self.flusher
            .flush(Waiting {
                chain: written.chain,
                batch: written.batch,
                epoch: self.latest.generation(),
                replies,
            })
            .await;
    }
}

fn requests_of(building: Building) -> Vec<Request> {
    building.admitted.into_iter().map(|a| a.request).collect()
}

fn refuse(requests: Vec<Request>, error: &Error) {
    for request in requests {
        let answer = match error {
            Error::Internal(reason) => Error::internal(anyhow::anyhow!("{reason:#}")),
            other => Error::Unavailable(other.to_string()),
        };
        // a caller that went away needs no answer
        request.reply.send(Err(answer)).ok();
    }
}

fn size(append: &Append) -> usize {
    append.events.len() + append.telemetry.len()
}

fn take_batch(gathered: &mut Vec<Request>) -> Vec<Request> {
    let mut events = 0;
    let n = gathered
        .iter()
        .take_while(|request| {
            let first = events == 0;
            events += size(&request.append);
            first || events <= BATCH_EVENTS
        })
        .count();
    gathered.drain(..n.max(1)).collect()
}

/// Checks each request against stream heads, commands seen and telemetry seen; gives the good ones
/// positions.
async fn admit(
    session: &mut Session,
    requests: Vec<Request>,
) -> Result<Building, (Error, Vec<Request>)> {
    if let Err(error) = session.learn(requests.iter().map(|r| &r.append)).await {
        return Err((error, requests));
    }
    let repeated = match session
        .commands_seen(requests.iter().map(|r| &r.append))
        .await
    {
        Ok(repeated) => repeated,
        Err(error) => return Err((error, requests)),
    };
    let mut building = Building::default();
    let mut versions = session.versions();
    let mut in_batch: HashSet<Uuid> = HashSet::new();
    let mut commands_in_batch: HashSet<Uuid> = HashSet::new();
    // model events come first within a batch, so telemetry positions are known once all are
    // admitted
    for request in requests {
        if let Some(earlier) = request.append.command_id.and_then(|id| repeated.get(&id)) {
            request.reply.send(Ok(earlier.clone())).ok();
            continue;
        }
        if let Some(conflict) = conflict(&versions, session.latest(), &request.append) {
            request.reply.send(Err(conflict)).ok();
            continue;
        }
        if let Some(id) = request.append.command_id
            && !commands_in_batch.insert(id)
        {
            let message = "the same command is being carried out".to_owned();
            request.reply.send(Err(Error::Unavailable(message))).ok();
            continue;
        }
        let at = building.admitted.len();
        for record in &request.append.telemetry {
            let id = Uuid::from_slice(&record.event_id).unwrap_or_default();
            if !id.is_nil() && (session.seen(&id) || !in_batch.insert(id)) {
                continue;
            }
            building.telemetry.push(record.clone());
            building.telemetry_of.push(at);
        }
        place_events(session.head(), &mut versions, &mut building, request);
    }
    place_telemetry(session.head(), &mut building);
    answer_empty(&mut building);
    Ok(building)
}

/// Gives a request's model events their positions and versions.
fn place_events(head: i64, versions: &mut Versions<'_>, building: &mut Building, request: Request) {
    let first = head + 1 + building.events.len() as i64;
    for new in &request.append.events {
        let (stream_no, version) = versions.next(&new.stream);
        let (type_no, data) = envelope::encode(&request.append.meta, new.event.clone());
        building.events.push(Prepared {
            stream_no,
            type_no,
            data,
            recorded: Recorded {
                position: head + 1 + building.events.len() as i64,
                stream: new.stream.clone(),
                version,
                recorded_at: clock::now(),
                event_id: new.id,
                meta: request.append.meta.clone(),
                event: new.event.clone(),
            },
        });
    }
    let last = first - 1 + request.append.events.len() as i64;
    if let Some(id) = request.append.command_id {
        let n = i32::try_from(request.append.events.len()).unwrap_or(i32::MAX);
        building.commands.push((id, first, n));
    }
    building.admitted.push(Admitted {
        request,
        appended: Appended {
            first_position: first,
            last_position: last,
            repeated: false,
        },
    });
}

/// Requests with telemetry end at their last record's position.
fn place_telemetry(head: i64, building: &mut Building) {
    let mut position = head + building.events.len() as i64;
    for &at in &building.telemetry_of {
        position += 1;
        if let Some(admitted) = building.admitted.get_mut(at) {
            let empty = admitted.request.append.events.is_empty();
            if empty && admitted.appended.last_position < admitted.appended.first_position {
                admitted.appended.first_position = position;
            }
            admitted.appended.last_position = position;
        }
    }
}

/// Nothing to append at all (all of it seen before): answered without a batch.
fn answer_empty(building: &mut Building) {
    if !building.events.is_empty() || !building.telemetry.is_empty() {
        return;
    }
    for admitted in building.admitted.drain(..) {
        admitted.request.reply.send(Ok(admitted.appended)).ok();
    }
}

fn conflict(versions: &Versions<'_>, latest: &Latest, append: &Append) -> Option<Error> {
    let generation = latest.generation();
    if append
        .rests_on
        .is_some_and(|rests_on| rests_on != generation)
    {
        return Some(Error::Conflict {
            stream: "log".to_owned(),
            expected: 0,
            actual: 0,
        });
    }
    append.expected.iter().find_map(|(stream, expected)| {
        let actual = versions.current(stream);
        match expected {
            Expected::Version(version) if *version != actual => Some(Error::Conflict {
                stream: stream.to_string(),
                expected: *version,
                actual,
            }),
            _ => None,
        }
    })
}

/// What was written.
struct Written {
    chain: chain::Hash,
    batch: Batch,
}

/// Folds and hashes: all that can be done before the database is asked.
async fn fold_batch(session: &Session, building: &Building) -> Result<(Written, Commit), Error> {
    let recorded_at = session.recorded_at();
    let mut needs = Needs::default();
    for prepared in &building.events {
        stratalog_projections::fold::needs(&prepared.recorded.event, &mut needs);
    }
    let mut rows = Rows::default();
    while !needs.is_empty() {
        session.latest().preload(&mut needs, &mut rows);
        session
            .applier()
            .load(session.client(), needs, &mut rows)
            .await?;
        needs = stratalog_projections::fold::more_needs(&rows);
    }
    let mut events = Vec::with_capacity(building.events.len());
    let mut leaves = Vec::with_capacity(building.events.len() + building.telemetry.len());
    for prepared in &building.events {
        let mut recorded = prepared.recorded.clone();
        recorded.recorded_at = recorded_at;
        fold(&recorded, &mut rows)?;
        leaves.push(prepared.leaf(recorded_at));
        events.push(recorded);
    }
    let first_position = session.head() + 1;
    let mut segment = segment::encode(first_position + events.len() as i64, &building.telemetry)?;
    if let Some(segment) = &mut segment {
        leaves.append(&mut segment.leaves);
    }
    let n = i32::try_from(leaves.len()).map_err(Error::internal)?;
    let root = chain::root(leaves);
    let chain = chain::link(session.chain(), first_position, n, recorded_at, &root);
    let changes = rows.take_changes();
    let mut views: Vec<View> = changes.iter().map(|change| change.view).collect();
    views.sort_unstable();
    views.dedup();
    let written = Written {
        chain,
        batch: Batch {
            first_position,
            last_position: first_position + i64::from(n) - 1,
            events: events.into(),
            views: views.into(),
        },
    };
    let commit = Commit {
        first_position,
        n,
        recorded_at,
        root,
        chain,
        changes,
        segment,
    };
    Ok((written, commit))
}
