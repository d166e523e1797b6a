//! JSON bodies: capped, typed, and refused in the words clients know.
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt, pin_mut};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::error::{Error, ErrorCode};

#[cfg(test)]
mod tests;

/// The body of `PATCH …/set-visibility`.
#[derive(Debug, Deserialize)]
pub(super) struct SetVisibility {
    /// `tenant` or `global`.
    pub(super) visibility: String,
}

/// What a worker reports of what it makes: the body of `PATCH` of snapshots and the like.
#[derive(Debug, Deserialize)]
pub(super) struct SetStatus {
    /// Where it stands.
    pub(super) status: String,
    /// Why it failed.
    pub(super) error: Option<String>,
}

/// Reads a body up to a size.
pub(super) async fn collect<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    bytes_max: usize,
) -> Result<Bytes, Error> {
    pin_mut!(stream);
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(broken)?;
        if body.len() + chunk.remaining() > bytes_max {
            return Err(too_large(bytes_max as u64));
        }
        body.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Ok(body.freeze())
}

pub(super) fn broken(error: warp::Error) -> Error {
    Error::bad_parameters(format!("The request body cannot be read: {error}"))
}

pub(super) fn too_large(bytes_max: u64) -> Error {
    Error::refused(
        ErrorCode::PayloadTooLarge,
        format!("The request body is larger than {bytes_max} bytes"),
    )
}

/// Checks that a body claims to be JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Error> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if given.is_some_and(|given| given.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::UnsupportedContentType,
        "Content type must be application/json",
    ))
}

/// Whether the texts of a body may hold NULs. Documents keep them; keys and columns cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nul {
    Refused,
    Kept,
}

/// Nesting that the parser allows.
const DEPTH_MAX: usize = 128;

/// Refuses what would be taken in unseen within raw values, and could not be read back: nesting
/// without end, halves of surrogate pairs, and NULs.
fn check_texts(bytes: &[u8], nul: Nul) -> Result<(), Error> {
    let opened = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    let has_escapes = bytes.windows(2).any(|pair| pair == br"\u");
    if opened.count() < DEPTH_MAX && !has_escapes {
        return Ok(());
    }
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return Err(no_json(&error)),
    };
    if nul == Nul::Refused && has_nul(&value) {
        return Err(Error::bad_parameters(
            "The request body holds a NUL character",
        ));
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn no_json(error: &serde_json::Error) -> Error {
    Error::bad_parameters(format!("The request body is no JSON: {error}"))
}

/// A typed body.
///
/// # Errors
/// 400 in the words clients know: a missing key, a value of the wrong type.
pub fn parse<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Error> {
    parse_with(bytes, Nul::Refused)
}

pub(super) fn parse_with<B: DeserializeOwned>(bytes: &[u8], nul: Nul) -> Result<B, Error> {
    check_texts(bytes, nul)?;
    match serde_json::from_slice(bytes) {
        Ok(body) => Ok(body),
        Err(error) => Err(refusal::<B>(bytes, &error)),
    }
}

/// Reads it once more, slower, to say what is wrong with it.
fn refusal<B: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Error {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => value,
        Ok(other) => {
            return Error::bad_parameters(format!(
                "The request body is expected to be of type dict but is of type {}",
                type_name(&other)
            ));
        }
        Err(error) => return no_json(&error),
    };
    let Err(at) = serde_path_to_error::deserialize::<_, B>(&value) else {
        return Error::bad_parameters(format!("The request body cannot be used: {error}"));
    };
    let path = at.path().to_string();
    let message = at.inner().to_string();
    if let Some(name) = between(&message, "missing field `", '`') {
        return Error::bad_parameters(format!("Missing {name} in json request body"));
    }
    let expected = message.split(", expected ").nth(1).and_then(expected_type);
    match (expected, value.pointer(&pointer(&path))) {
        (Some(expected), Some(found)) => Error::bad_parameters(format!(
            "{path} parameter is expected to be of type {expected} but is of type {}",
            type_name(found)
        )),
        _ => Error::bad_parameters(format!("{path}: {message}")),
    }
}

fn between<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    text.split(before).nth(1)?.split(end).next()
}

/// `a.b[0]` as a JSON pointer.
fn pointer(path: &str) -> String {
    let dotted = path.replace('[', ".").replace(']', "");
    dotted
        .split('.')
        .map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// Clients know the names Python gives to types.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn expected_type(words: &str) -> Option<&'static str> {
    let words = words.trim_start_matches("a ").trim_start_matches("an ");
    match words.split([' ', '`']).next()? {
        "string" | "borrowed" => Some("str"),
        "boolean" => Some("bool"),
        "map" | "struct" => Some("dict"),
        "sequence" => Some("list"),
        "f32" | "f64" | "float" => Some("float"),
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "integer" => {
            Some("int")
        }
        _ => None,
    }
}

/// For `#[serde(default, deserialize_with = "body::flag")]`: true and false, or the words for them;
/// null is false.
///
/// # Errors
/// Any other value.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(optional_flag(deserializer)?.unwrap_or(false))
}

/// As [`flag`], and tells null apart.
///
/// # Errors
/// Any other value.
pub fn optional_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Text(String),
    }
    let refuse = || serde::de::Error::custom("expected true or false");
    match Option::<Flag>::deserialize(deserializer).map_err(|_: D::Error| refuse())? {
        None => Ok(None),
        Some(Flag::Bool(flag)) => Ok(Some(flag)),
        Some(Flag::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(Flag::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(Flag::Text(_)) => Err(refuse()),
    }
}
