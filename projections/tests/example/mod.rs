//! Examples of all events, made from their descriptions: every field is set, and the same names get
//! the same values everywhere, so that the events speak of the same things.
use std::{fs, path::PathBuf};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use stratalog_schema::{Event, events::Payload};

/// Numbers of retired events begin here.
const RETIRED: u32 = 900;

fn payload() -> MessageDescriptor {
    let protos = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema/proto");
    let mut files: Vec<PathBuf> = fs::read_dir(&protos)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let files = protox::compile(&files, [&protos]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name("stratalog.Payload").unwrap()
}

/// An example of every event, by the name of its type. Retired ones come out as what they became.
pub(crate) fn events() -> Vec<(String, Event)> {
    let payload = payload();
    let mut events = Vec::new();
    for field in payload.fields() {
        let mut message = DynamicMessage::new(payload.clone());
        message.set_field(&field, value(&field));
        let bytes = message.encode_to_vec();
        let event = Payload::decode(bytes.as_slice()).unwrap().event.unwrap();
        events.push((field.name().to_owned(), event));
    }
    events
}

/// Whether the event is only read.
pub(crate) fn is_retired(name: &str) -> bool {
    let field = payload().get_field_by_name(name).unwrap();
    field.number() >= RETIRED
}

/// Whether the event removes what others speak of.
pub(crate) fn takes_away(name: &str) -> bool {
    name.ends_with("_deleted") || name.ends_with("_removed")
}

fn message(of: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        message.set_field(&field, value(&field));
    }
    message
}

fn value(field: &FieldDescriptor) -> Value {
    let single = single(field);
    match field.is_list() {
        true => Value::List(vec![single]),
        false => single,
    }
}

fn single(field: &FieldDescriptor) -> Value {
    let name = field.name();
    match field.kind() {
        Kind::String => Value::String(text(name).to_owned()),
        Kind::Bool => Value::Bool(true),
        Kind::Int64 if name.ends_with("_ms") => Value::I64(1_700_000_000_000),
        Kind::Int64 if name.ends_with("_s") => Value::I64(1_700_000_000),
        Kind::Int64 => Value::I64(2),
        Kind::Int32 => Value::I32(2),
        Kind::Uint32 => Value::U32(0o644),
        Kind::Bytes => Value::Bytes(vec![0x11; 32].into()),
        Kind::Message(message_of) => Value::Message(message(&message_of)),
        other => panic!("no example of {other:?}"),
    }
}

fn text(name: &str) -> &str {
    match name {
        "username" | "created_by" | "updater" => "ann",
        "tenant" | "name" => "green",
        "visibility" => "tenant",
        "path" | "paths" => "blueprints/green/one/blueprint.yaml",
        "prefixes" => "blueprints/green/one/",
        "relationships_json"
        | "plugins_json"
        | "plugins_to_install_json"
        | "rules_json"
        | "scaling_groups_json" => "[]",
        "status" => "started",
        "location" => "1.5,2.5",
        "group" => "green",
        "id" | "deployment_ids" | "execution_ids" => "one",
        "dependencies" => "zero",
        _ if name.ends_with("_json") => "{}",
        _ if name.ends_with("_id") => "one",
        _ => name,
    }
}
