//! Checking the shape of a document: which keys a map may have, what kind each value is, since
//! which version.

use crate::dsl::diagnostics::{Diagnostic, Exception, Path};
use crate::dsl::parser::Version;
use crate::dsl::yaml::{Key, Kind, Mapping, Node};

/// A kind of plain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Boolean,
    Integer,
    /// Integer or float.
    Number,
    List,
    Map,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }

    /// A boolean passes for a number, as it does in the reference.
    fn admits(self, kind: &Kind) -> bool {
        matches!(
            (self, kind),
            (Self::String, Kind::Str(_))
                | (Self::Boolean, Kind::Bool(_))
                | (Self::Integer, Kind::Int(_) | Kind::Bool(_))
                | (Self::Number, Kind::Int(_) | Kind::Float(_) | Kind::Bool(_))
                | (Self::List, Kind::List(_))
                | (Self::Map, Kind::Map(_))
        )
    }
}

/// The shape of a value.
#[derive(Debug)]
pub(super) enum Schema {
    /// A free value of one of these kinds.
    Leaf(&'static [Type]),
    /// A map from names to values of one shape.
    Map(&'static Schema),
    List(&'static Schema),
    /// A map of known keys.
    Fields(&'static [Field]),
    /// A string, or the other shape.
    StringOr(&'static Schema),
    /// The other shape, or nothing, even where that shape requires something.
    OrNothing(&'static Schema),
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub schema: &'static Schema,
    pub required: bool,
    pub since: Version,
}

impl Field {
    pub(super) const fn new(name: &'static str, schema: &'static Schema) -> Self {
        Self {
            name,
            schema,
            required: false,
            since: Version::V1_0,
        }
    }

    pub(super) const fn required(name: &'static str, schema: &'static Schema) -> Self {
        Self {
            name,
            schema,
            required: true,
            since: Version::V1_0,
        }
    }

    pub(super) const fn since(
        version: Version,
        name: &'static str,
        schema: &'static Schema,
    ) -> Self {
        Self {
            name,
            schema,
            required: false,
            since: version,
        }
    }
}

/// Checks one document; everything that does not fit is collected.
#[derive(Debug)]
pub(super) struct Checker {
    pub version: Version,
    pub check_versions: bool,
    pub diagnostics: Vec<Diagnostic>,
    /// Unknown keys, and features newer than the version: the reference looks at what stands beside
    /// and inside them first.
    pub late: Vec<Diagnostic>,
}

impl Checker {
    pub(super) fn check(&mut self, node: &Node, schema: &Schema, path: &Path) {
        match (schema, &node.kind) {
            (Schema::StringOr(_), Kind::Str(_)) | (Schema::OrNothing(_), Kind::Null) => {}
            (Schema::OrNothing(schema), _) => self.check(node, schema, path),
            (Schema::StringOr(schema), _) => self.string_or(node, schema, path),
            (Schema::Fields(fields), Kind::Null) => self.missing(node, fields, path, |_| false),
            (_, Kind::Null) => {}
            (Schema::Leaf(types), kind) => {
                if !types.iter().any(|admitted| admitted.admits(kind)) {
                    self.mismatch(node, path, &names(types));
                }
            }
            (Schema::Map(schema), Kind::Map(items)) => {
                for (key, entry) in items.iter() {
                    if self.string_key(key, node, path) {
                        let below = path.then(key.text().as_ref());
                        self.check(&entry.value, schema, &below);
                    }
                }
            }
            (Schema::List(schema), Kind::List(items)) => {
                for (position, item) in items.iter().enumerate() {
                    self.item(item, schema, &path.then(position));
                }
            }
            (Schema::Fields(fields), Kind::Map(items)) => self.fields(node, items, fields, path),
            (Schema::Map(_) | Schema::Fields(_), _) => self.mismatch(node, path, "a map"),
            (Schema::List(_), _) => self.mismatch(node, path, "a list"),
        }
    }

    fn string_or(&mut self, node: &Node, schema: &Schema, path: &Path) {
        if node.is_null() || node.as_map().is_some() {
            self.check(node, schema, path);
        } else {
            self.mismatch(node, path, "a string or a map");
        }
    }

    fn item(&mut self, item: &Node, schema: &Schema, path: &Path) {
        if item.is_null() && matches!(schema, Schema::Leaf(_)) {
            self.mismatch(item, path, "a value");
        } else {
            self.check(item, schema, path);
        }
    }

    fn fields(&mut self, node: &Node, items: &Mapping, fields: &[Field], path: &Path) {
        for (key, entry) in items {
            if !self.string_key(key, node, path) {
                continue;
            }
            let below = path.then(key.text().as_ref());
            let Some(field) = fields.iter().find(|field| key.as_str() == Some(field.name)) else {
                let known = fields.iter().map(|field| field.name);
                let message = format!("'{}' is not known here", key.text());
                let diagnostic = Diagnostic::new(Exception::Format, 1, message)
                    .at(entry.key_mark.location())
                    .path(below)
                    .expected(one_of(known.clone()))
                    .did_you_mean(key.text(), known);
                self.late.push(diagnostic);
                continue;
            };
            if !entry.value.is_null() && self.check_versions && self.version < field.since {
                let message = format!("'{}' needs {}", field.name, field.since.name());
                let diagnostic = Diagnostic::new(Exception::Logic, 102, message)
                    .at(entry.key_mark.location())
                    .path(below.clone())
                    .expected(format!("a key that {} has", self.version.name()));
                self.late.push(diagnostic);
            }
            if !entry.value.is_null() {
                self.check(&entry.value, field.schema, &below);
            }
        }
        let given = |name: &str| items.get(name).is_some_and(|entry| !entry.value.is_null());
        self.missing(node, fields, path, given);
    }

    fn missing(
        &mut self,
        node: &Node,
        fields: &[Field],
        path: &Path,
        given: impl Fn(&str) -> bool,
    ) {
        for field in fields
            .iter()
            .filter(|field| field.required && !given(field.name))
        {
            let message = format!("'{}' is missing", field.name);
            let diagnostic = Diagnostic::new(Exception::Format, 1, message)
                .at(node.mark.location())
                .path(path.clone())
                .expected(format!("a value for '{}'", field.name));
            self.diagnostics.push(diagnostic);
        }
    }

    fn string_key(&mut self, key: &Key, node: &Node, path: &Path) -> bool {
        if key.as_str().is_some() {
            return true;
        }
        let message = format!("the key '{}' is not a string", key.text());
        let diagnostic = Diagnostic::new(Exception::Format, 1, message)
            .at(node.mark.location())
            .path(path.clone())
            .expected("strings as keys; quote it");
        self.diagnostics.push(diagnostic);
        false
    }

    fn mismatch(&mut self, node: &Node, path: &Path, expected: &str) {
        let diagnostic =
            Diagnostic::new(Exception::Format, 1, format!("here is {}", node.describe()))
                .at(node.mark.location())
                .path(path.clone())
                .expected(expected);
        self.diagnostics.push(diagnostic);
    }
}

fn names(types: &[Type]) -> String {
    types
        .iter()
        .map(|admitted| admitted.name())
        .collect::<Vec<_>>()
        .join(" or ")
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", names.collect::<Vec<_>>().join(", "))
}
