//! What the parser asks of the world outside: the text of an import, and whether a script exists.

use std::fmt;
use std::sync::Arc;

use crate::dsl::value::Map;

use crate::dsl::types::BuiltIn;

/// A blueprint's main file.
#[derive(Debug, Clone)]
pub struct Source {
    /// How diagnostics name the file.
    pub name: Arc<str>,
    pub text: Arc<str>,
    /// Where the file is, in the resolver's terms. Without it no script is found next to the file,
    /// and imports are not looked for there.
    pub location: Option<Arc<str>>,
}

/// One import a file asks for.
#[derive(Debug, Clone, Copy)]
pub struct ImportRequest<'a> {
    /// What the file says, without the namespace.
    pub spec: &'a str,
    /// The location of the importing file.
    pub importer: Option<&'a str>,
    /// The language version of the main file as file names carry it: `1_4`.
    pub version: &'a str,
}

/// What kind of thing an import asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportKind<'a> {
    Plugin {
        name: &'a str,
        query: Option<&'a str>,
    },
    Blueprint(&'a str),
    Url(&'a str),
    /// A path: next to the importing file, or among the manager's resources.
    Resource(&'a str),
}

impl<'a> ImportRequest<'a> {
    pub fn kind(&self) -> ImportKind<'a> {
        match self.spec.split_once(':') {
            Some(("plugin", rest)) => match rest.split_once('?') {
                Some((name, query)) => ImportKind::Plugin {
                    name,
                    query: Some(query),
                },
                None => ImportKind::Plugin {
                    name: rest,
                    query: None,
                },
            },
            Some(("blueprint", id)) => ImportKind::Blueprint(id),
            Some(("http" | "https" | "file" | "ftp", _)) => ImportKind::Url(self.spec),
            _ => ImportKind::Resource(self.spec),
        }
    }
}

/// The text of an import.
#[derive(Debug, Clone)]
pub enum Content {
    Text(Arc<str>),
    BuiltIn(BuiltIn),
}

/// What an import turned out to be.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// How diagnostics name the file. The same file imported twice has the same name.
    pub name: Arc<str>,
    pub content: Content,
    /// Where it is, for its own imports and, for a blueprint, its scripts.
    pub location: Option<Arc<str>>,
    /// What the plugin catalogue knows about the plugin this file belongs to.
    pub catalogue: Option<Catalogue>,
}

/// Sections that an uploaded plugin has in place of those in its file.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub labels: Map,
    pub blueprint_labels: Map,
    pub resource_tags: Map,
}

/// Why an import could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveError {
    /// Nothing there.
    NotFound(String),
    /// The request itself makes no sense: a plugin query with unknown parameters.
    Invalid(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(reason) | Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ResolveError {}

/// The world outside: files of an archive, uploaded plugins and blueprints, URLs, built-in types.
pub trait Resolver: fmt::Debug {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError>;

    /// Whether a file exists in the folder of the blueprint at `location`, or among resources that
    /// serve every blueprint.
    fn has_file(&self, location: Option<&str>, path: &str) -> bool;
}
