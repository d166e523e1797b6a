//! Consumer of `cloudify-logs-events`: what older agents and plugins publish becomes telemetry.
//!
//! Messages gather into batches; a batch is acknowledged once it is durable. A message's event id
//! is derived from its content and its place among equal ones of a batch, so a delivery that comes
//! again changes nothing. What cannot be read is counted and dropped: it would never become
//! readable.
use std::{collections::HashMap, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use stratalog_projections::{
    At, Condition, ListQuery, Scope,
    views::{executions::Execution, scoped},
};
use stratalog_schema::{Meta, events::TelemetryRecord};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    broker::{
        Broker, ConsumerSpec, Delivery, topology,
        wire::{EventContext, Telemetry, parse_timestamp},
    },
    commands::logs::{Said, node_names, record},
    context::Context,
    error::Error,
    log::Append,
};

/// Deliveries in flight; also the most a batch holds.
const PREFETCH: u16 = 4_000;
/// Pause before a batch is tried again while the database is away.
const RETRY: Duration = Duration::from_secs(1);

/// What the consumer needs declared.
pub fn topology() -> topology::Topology {
    topology::Topology::default()
        .exchange(topology::EVENTS_EXCHANGE, topology::Kind::Topic)
        .exchange(topology::LOGS_EXCHANGE, topology::Kind::Fanout)
        .queue(
            topology::LOGS_EVENTS_QUEUE,
            topology::EVENTS_EXCHANGE,
            topology::EVENTS_PATTERN,
        )
        .queue(topology::LOGS_EVENTS_QUEUE, topology::LOGS_EXCHANGE, "")
}

/// Consumes until told to stop.
pub async fn run(ctx: Arc<Context>, broker: Broker, stop: CancellationToken) {
    let mut deliveries = broker.consume(ConsumerSpec {
        queue: topology::LOGS_EVENTS_QUEUE.to_owned(),
        prefetch: PREFETCH,
    });
    loop {
        let first = tokio::select! {
            first = deliveries.recv() => first,
            () = stop.cancelled() => None,
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < usize::from(PREFETCH)
            && let Some(next) = deliveries.try_recv()
        {
            batch.push(next);
        }
        while let Err(error) = take(&ctx, &batch).await {
            tracing::warn!(%error, messages = batch.len(), "logs and events wait for the database");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
        acknowledge(&batch).await;
    }
}

/// Deliveries of a connection that is gone come again, and are recognised.
async fn acknowledge(batch: &[Delivery]) {
    let mut last_of_channel = None;
    for delivery in batch {
        if delivery.ack.is_usable() {
            last_of_channel = Some(&delivery.ack);
        }
    }
    if let Some(ack) = last_of_channel
        && let Err(error) = ack.ack_up_to().await
    {
        tracing::debug!(%error, "acknowledging failed; the messages will come again");
    }
}

/// Records a batch; returns once it is durable.
async fn take(ctx: &Context, batch: &[Delivery]) -> Result<(), Error> {
    let mut parsed = Vec::with_capacity(batch.len());
    let mut equal: HashMap<[u8; 32], u32> = HashMap::new();
    for delivery in batch {
        let digest: [u8; 32] = Sha256::digest(&delivery.body).into();
        let nth = equal.entry(digest).or_default();
        let id = identity(&digest, *nth);
        *nth += 1;
        match Telemetry::parse(&delivery.body) {
            Ok(Telemetry::Hook) => {}
            Ok(told) => match said(told, id) {
                Some(told) => parsed.push(told),
                None => dropped("no execution is named"),
            },
            Err(error) => dropped(&error.to_string()),
        }
    }
    let telemetry = attribute(ctx, parsed).await?;
    ctx.store
        .append(Append {
            meta: Meta::system(),
            telemetry,
            ..Append::default()
        })
        .await?;
    Ok(())
}

fn dropped(reason: &str) {
    metrics::counter!("stratalog_logs_events_dropped_total").increment(1);
    tracing::warn!(reason, "a log or event message was dropped");
}

/// The same bytes sent twice on purpose differ by their place among equals.
fn identity(digest: &[u8; 32], nth: u32) -> Uuid {
    let mut name = digest.to_vec();
    name.extend_from_slice(&nth.to_be_bytes());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)
}

/// Execution, instance and what is said of them.
type Told = (String, Said);

fn said(told: Telemetry, id: Uuid) -> Option<Told> {
    let (context, mut said, timestamp) = match told {
        Telemetry::Event(event) => (
            event.context,
            Said {
                event_type: event.event_type.unwrap_or_default(),
                message: event.message.text.unwrap_or_default(),
                message_code: event.message_code,
                ..Said::default()
            },
            event.timestamp,
        ),
        Telemetry::Log(log) => (
            log.context,
            Said {
                is_log: true,
                logger: log.logger.unwrap_or_default(),
                level: log.level.unwrap_or_default(),
                message: log.message.text.unwrap_or_default(),
                message_code: log.message_code,
                ..Said::default()
            },
            log.timestamp,
        ),
        Telemetry::Hook => return None,
    };
    let EventContext {
        execution_id,
        operation,
        node_id,
        source_id,
        target_id,
        task_error_causes,
        ..
    } = context;
    said.id = Some(id);
    said.operation = operation;
    said.node_instance_id = node_id;
    said.source_id = source_id;
    said.target_id = target_id;
    said.error_causes = Some(task_error_causes);
    // on this path the sender's clock is what was reported
    said.reported_timestamp_us = timestamp
        .as_deref()
        .and_then(parse_timestamp)
        .map(|at| at.timestamp_micros());
    Some((execution_id?, said))
}

/// Looks executions and instances up; records of unknown executions are dropped.
async fn attribute(ctx: &Context, told: Vec<Told>) -> Result<Vec<TelemetryRecord>, Error> {
    let view = ctx.store.read(At::Now).await?;
    let ids = told.iter().map(|(id, _)| id.clone()).collect();
    let query = ListQuery::all(stratalog_projections::View::Executions, Scope::Everything)
        .with(Condition::AnyOf("id".to_owned(), unique(ids)));
    let executions: Vec<Execution> = if told.is_empty() {
        Vec::new()
    } else {
        view.select_as(&query).await?
    };
    let executions: HashMap<String, Execution> = executions
        .into_iter()
        .map(|execution| (execution.id.clone(), execution))
        .collect();
    let key_of = |(id, said): &Told| {
        let tenant = &executions.get(id)?.tenant_name;
        Some(scoped(tenant, said.node_instance_id.as_ref()?))
    };
    let names = node_names(&view, told.iter().filter_map(key_of).collect()).await?;
    drop(view.finish().await?);
    let mut records = Vec::with_capacity(told.len());
    for (id, said) in told {
        let Some(execution) = executions.get(&id) else {
            dropped("its execution is unknown");
            continue;
        };
        let instance = said.node_instance_id.as_ref();
        let name = instance.and_then(|i| names.get(&scoped(&execution.tenant_name, i)).cloned());
        records.push(record(execution, name, said));
    }
    Ok(records)
}

fn unique(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}
