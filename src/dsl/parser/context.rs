//! What every part of the parser works on: the merged document, as plain values beside the located
//! tree.

use std::cell::RefCell;
use std::sync::LazyLock;

use crate::dsl::value::{Map, Value};

use super::Version;
use crate::dsl::ParseOptions;
use crate::dsl::diagnostics::{Diagnostic, DslError, Exception, Path};
use crate::dsl::functions;
use crate::dsl::imports::{Document, Resolver};

#[derive(Debug)]
pub(super) struct Context<'a> {
    pub document: &'a Document,
    pub resolver: &'a dyn Resolver,
    pub options: &'a ParseOptions,
    sections: Map,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// What is wrong, but only matters when nothing else is.
    late: Vec<Diagnostic>,
}

static EMPTY: LazyLock<Map> = LazyLock::new(Map::new);

impl<'a> Context<'a> {
    pub(super) fn new(
        document: &'a Document,
        resolver: &'a dyn Resolver,
        options: &'a ParseOptions,
        late: Vec<Diagnostic>,
    ) -> Self {
        let sections = match document.root.to_value() {
            Value::Object(sections) => sections,
            _ => Map::new(),
        };
        Self {
            document,
            resolver,
            options,
            sections,
            diagnostics: RefCell::default(),
            late,
        }
    }

    pub(super) fn version(&self) -> Version {
        self.document.version
    }

    /// Whether a feature of a version may be used.
    pub(super) fn supports(&self, version: Version) -> bool {
        !self.options.validate_version || self.version() >= version
    }

    /// A section as written; nothing when it is absent.
    pub(super) fn value(&self, section: &str) -> Option<&Value> {
        self.sections.get(section).filter(|value| !value.is_null())
    }

    /// A section that is a map; empty when it is absent.
    pub(super) fn section(&self, name: &str) -> &Map {
        map(self.sections.get(name))
    }

    /// A diagnostic at a place of the document.
    pub(super) fn logic(&self, err_code: i32, message: String, path: Path) -> Diagnostic {
        self.diagnostic(Exception::Logic, err_code, message, path)
    }

    pub(super) fn diagnostic(
        &self,
        exception: Exception,
        err_code: impl Into<Option<i32>>,
        message: String,
        path: Path,
    ) -> Diagnostic {
        let location = self.document.root.locate(&path).location();
        Diagnostic::new(exception, err_code, message)
            .at(location)
            .path(path)
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// The value, or the error reported and nothing.
    pub(super) fn take<T>(&self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.report(diagnostic)).ok()
    }

    /// Ends a stage: everything found wrong in it is one error.
    pub(super) fn settle(&self) -> Result<(), DslError> {
        let mut diagnostics = self.diagnostics.take();
        if !diagnostics.is_empty() {
            diagnostics.extend(self.late.iter().cloned());
        }
        DslError::from_all(diagnostics).map_or(Ok(()), Err)
    }

    /// When nothing else is wrong, unknown keys and features that the version does not have are the
    /// error: all of them, as soon as one is at a place that matters now.
    pub(super) fn settle_late(&self, matters: impl Fn(&Path) -> bool) -> Result<(), DslError> {
        let (first, rest): (Vec<_>, Vec<_>) = self
            .late
            .iter()
            .cloned()
            .partition(|diagnostic| matters(&diagnostic.path));
        if first.is_empty() {
            return Ok(());
        }
        DslError::from_all(first.into_iter().chain(rest).collect()).map_or(Ok(()), Err)
    }
}

/// A value as a map; empty when it is none.
pub(super) fn map(value: Option<&Value>) -> &Map {
    value.and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// The string under a key.
pub(super) fn text<'v>(fields: &'v Map, key: &str) -> Option<&'v str> {
    fields.get(key).and_then(Value::as_str)
}

/// The value under a key, null when it is absent.
pub(super) fn or_null(fields: &Map, key: &str) -> Value {
    fields.get(key).cloned().unwrap_or(Value::Null)
}

/// Whether a value is a function call: every key a known name but perhaps `type`, one key or two.
pub(crate) fn is_function(value: &Value) -> bool {
    let Some(items) = value.as_object() else {
        return false;
    };
    let names = items.keys().filter(|key| &***key != "type");
    let known = names.clone().filter(|key| functions::is_name(key)).count();
    (1..=2).contains(&items.len()) && known > 0 && known == names.count()
}
