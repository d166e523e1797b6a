//! What a value holds, found out once and kept with it.

use std::num::NonZeroU64;

use super::call;
use crate::dsl::value::Value;

/// What is known of a value without walking through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Whether a call stands anywhere in it.
    pub(crate) has_calls: bool,
    /// Lists and maps within each other; none for a scalar.
    pub(crate) depth: usize,
    /// Values in it, itself counted.
    pub(crate) size: usize,
}

/// The largest size that is told from larger ones.
const SIZE_MAX: u64 = (1 << 56) - 1;

const SCALAR: Survey = Survey {
    has_calls: false,
    depth: 0,
    size: 1,
};

/// Walks only through what was changed since the last survey.
pub(crate) fn survey(value: &Value) -> Survey {
    let memo = match value {
        Value::Array(items) => items.memo(),
        Value::Object(map) => map.memo(),
        _ => return SCALAR,
    };
    if let Some(known) = memo.get() {
        return Survey::unpack(known);
    }
    let found = match value {
        Value::Array(items) => Survey::around(items.iter(), false),
        Value::Object(map) => Survey::around(map.values(), call::recognise(map).is_some()),
        _ => return SCALAR,
    };
    memo.set(found.pack());
    found
}

impl Survey {
    fn around<'v>(inner: impl Iterator<Item = &'v Value>, is_call: bool) -> Self {
        let outer = Self {
            has_calls: is_call,
            ..SCALAR
        };
        let mut found = inner.map(survey).fold(outer, |all, one| Self {
            has_calls: all.has_calls || one.has_calls,
            depth: all.depth.max(one.depth),
            size: all.size.saturating_add(one.size),
        });
        found.depth += 1;
        found
    }

    /// One bit for calls, seven for the depth, the others for the size; what is too large for its
    /// place stays as large as fits.
    fn pack(self) -> NonZeroU64 {
        let size = u64::try_from(self.size).unwrap_or(u64::MAX).min(SIZE_MAX);
        let depth = self.depth.min(0x7f) as u64;
        let packed = size << 8 | depth << 1 | u64::from(self.has_calls);
        NonZeroU64::new(packed).unwrap_or(NonZeroU64::MIN)
    }

    fn unpack(packed: NonZeroU64) -> Self {
        let packed = packed.get();
        Self {
            has_calls: packed & 1 == 1,
            depth: usize::try_from(packed >> 1 & 0x7f).unwrap_or(usize::MAX),
            size: usize::try_from(packed >> 8).unwrap_or(usize::MAX),
        }
    }
}
