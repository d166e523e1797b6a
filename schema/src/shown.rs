//! How single fields of events are shown as JSON: bytes as hexadecimal text, secrets not at all.
use std::fmt::Write as _;

use serde::Serializer;

/// Bytes that may be absent.
pub(crate) trait Shown {
    /// The bytes, if there are any.
    fn bytes(&self) -> Option<&[u8]>;
}

impl Shown for Vec<u8> {
    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl Shown for Option<Vec<u8>> {
    fn bytes(&self) -> Option<&[u8]> {
        self.as_deref()
    }
}

pub(crate) fn hex<T: Shown, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
    match value.bytes() {
        None => out.serialize_none(),
        Some(bytes) => {
            let mut text = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
            }
            out.serialize_str(&text)
        }
    }
}

pub(crate) fn masked<T, S: Serializer>(_secret: &T, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str("********")
}
