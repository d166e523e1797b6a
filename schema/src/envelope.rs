//! What surrounds an event in the log: who did it, for whom, why; and how a stored row becomes one
//! again.
use chrono::{DateTime, Utc};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use uuid::Uuid;

use crate::{
    Error, Event, StreamId,
    events::{Envelope, Payload},
    upcast::upcast,
};

/// Field number of `Envelope.payload`.
const PAYLOAD_FIELD: u32 = 15;

/// Identity of an event: minted by its producer, unique in the log.
pub type EventId = Uuid;

/// Who caused an event, and on whose behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Tenant of the request; empty where none applies.
    pub tenant: String,
    /// User name, or `system`.
    pub actor: String,
    /// Identity of the request or message that asked for it.
    pub request_id: String,
    /// Execution on whose behalf it was done; empty where none applies.
    pub execution_id: String,
    /// Event that led to it.
    pub causation_id: Option<Uuid>,
    /// Shared by all that follows from one request.
    pub correlation_id: Option<Uuid>,
    /// How the actor authenticated: `http_basic`, `token`, `execution_token`, `system`.
    pub auth_method: String,
}

impl Meta {
    /// For what the manager does on its own.
    pub fn system() -> Self {
        Self {
            actor: "system".to_owned(),
            auth_method: "system".to_owned(),
            ..Self::default()
        }
    }
}

/// One event as the log holds it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Place in the one order of all events, from 1, without gaps.
    pub position: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Place in the stream, from 1, without gaps.
    pub version: i64,
    /// When its batch was committed; never decreasing along positions.
    pub recorded_at: DateTime<Utc>,
    /// Its identity.
    pub event_id: EventId,
    /// Who and why.
    pub meta: Meta,
    /// What happened.
    pub event: Event,
}

/// Encodes an event for storage; gives its type number too.
pub fn encode(meta: &Meta, event: Event) -> (i16, Vec<u8>) {
    let payload = Payload { event: Some(event) }.encode_to_vec();
    let head = Envelope {
        tenant: meta.tenant.clone(),
        actor: meta.actor.clone(),
        request_id: meta.request_id.clone(),
        execution_id: meta.execution_id.clone(),
        causation_id: meta.causation_id.map(id_bytes).unwrap_or_default(),
        correlation_id: meta.correlation_id.map(id_bytes).unwrap_or_default(),
        auth_method: meta.auth_method.clone(),
        payload: None,
    };
    let mut data = Vec::with_capacity(head.encoded_len() + payload.len() + 8);
    head.encode(&mut data).expect("a Vec grows");
    encode_key(PAYLOAD_FIELD, WireType::LengthDelimited, &mut data);
    encode_varint(payload.len() as u64, &mut data);
    data.extend_from_slice(&payload);
    (type_no(&payload), data)
}

/// A message of one set oneof field starts with that field's key.
fn type_no(payload: &[u8]) -> i16 {
    let key = prost::encoding::decode_varint(&mut &*payload).unwrap_or(0);
    i16::try_from(key >> 3).unwrap_or(0)
}

/// Decodes a stored row's bytes; old versions come out as current ones.
///
/// # Errors
/// `Decode` for foreign bytes, `UnknownType` for events of a newer version.
pub fn decode(position: i64, type_no: i16, data: &[u8]) -> Result<(Meta, Event), Error> {
    let envelope = Envelope::decode(data).map_err(|source| Error::Decode { position, source })?;
    let event = envelope
        .payload
        .and_then(|payload| payload.event)
        .ok_or(Error::UnknownType { position, type_no })?;
    let meta = Meta {
        tenant: envelope.tenant,
        actor: envelope.actor,
        request_id: envelope.request_id,
        execution_id: envelope.execution_id,
        causation_id: Uuid::from_slice(&envelope.causation_id).ok(),
        correlation_id: Uuid::from_slice(&envelope.correlation_id).ok(),
        auth_method: envelope.auth_method,
    };
    Ok((meta, upcast(event)))
}

fn id_bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}
