//! What a text needs before it is scanned, and what that adds to its last value.
use std::borrow::Cow;

/// A last line without an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unended {
    /// Where the text ended.
    at: usize,
    is_blank: bool,
}

/// The text with an end of its last line, which the scanner panics without.
pub(super) fn ended(text: &str) -> (Cow<'_, str>, Option<Unended>) {
    let last = text.rsplit(['\n', '\r']).next().unwrap_or_default();
    if last.is_empty() {
        return (Cow::Borrowed(text), None);
    }
    let unended = Unended {
        at: text.len(),
        is_blank: last.bytes().all(|byte| byte == b' '),
    };
    (Cow::Owned(format!("{text}\n")), Some(unended))
}

impl Unended {
    /// The value of a block that ends at `end`, without the end of line it got only here. Blanks
    /// within the indentation are no line of the block.
    pub(super) fn without_end(self, value: &str, end: u64) -> &str {
        let reaches_end = usize::try_from(end).is_ok_and(|end| end > self.at);
        let Some(rest) = value.strip_suffix('\n').filter(|_| reaches_end) else {
            return value;
        };
        let last = rest.rsplit('\n').next().unwrap_or_default();
        let is_blank = !last.is_empty() && last.bytes().all(|byte| byte == b' ');
        match self.is_blank && !is_blank {
            true => value,
            false => rest,
        }
    }
}
