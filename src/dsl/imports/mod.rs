//! Imports: fetching every file a blueprint asks for, and making one document of them.
mod directory;
mod merge;
mod namespace;
mod pep440;
mod plugin_properties;
mod resolver;
mod rules;
mod statement;
#[cfg(test)]
mod tests;
mod uploaded;
mod walk;

pub use directory::{Directory, Remote, UploadedBlueprint};
pub(crate) use pep440::Version;
pub use resolver::{
    Catalogue, Content, Fetched, ImportKind, ImportRequest, ResolveError, Resolver, Source,
};
pub use rules::UrlRules;
pub use uploaded::UploadedPlugin;
pub(crate) use uploaded::{choose_file, find as find_plugin};
pub(crate) use walk::{Document, read};
