//! Imports: fetching every file a blueprint asks for, and making one document of them.
mod directory;
mod merge;
mod namespace;
mod plugin_properties;
mod resolver;
mod statement;
mod walk;

pub use directory::Directory;
pub use resolver::{
    Catalogue, Content, Fetched, ImportKind, ImportRequest, ResolveError, Resolver, Source,
};
pub(crate) use walk::{Document, read};
