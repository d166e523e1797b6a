//! Plugins: upload, changes, where they are installed, deletion. The wagon and its YAML files lie
//! in the resource directory under `plugins/<id>`.
mod archive;
mod change;
mod delete;
mod import;
mod install;
mod upload;

use stratalog_projections::{
    View,
    views::plugins::{Plugin, directory},
};
use stratalog_schema::{Category, StreamId};

pub use change::{PatchPlugin, patch, set_visibility};
pub use delete::delete;
pub(crate) use import::{Library, is_uploaded};
pub use install::{Install, Report, install, report};
pub use upload::{UploadPlugin, Uploaded, upload};

use crate::{dsl::imports::choose_file, error::Error, files::path::ResourcePath};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::Plugins, "Plugin");

/// All plugins of one package tell their story in one stream, so that of two uploads of the same
/// wagon at the same time the second one finds the first.
fn stream(tenant: &str, package_name: &str) -> StreamId {
    StreamId::scoped(Category::Plugin, tenant, package_name)
}

/// The YAML file of a plugin that is for a version of the language (`cloudify_dsl_1_4`), as a path
/// of the resource directory.
pub fn yaml_for(plugin: &Plugin, dsl_version: &str) -> Option<String> {
    let version = dsl_version.strip_prefix("cloudify_dsl_");
    let named: Vec<(String, &String)> = plugin
        .yaml_files_paths
        .iter()
        .map(|path| (path.rsplit('/').next().unwrap_or(path).to_owned(), path))
        .collect();
    // no file is for a version that nobody has
    choose_file(&named, version.unwrap_or("none")).map(|(_, path)| (*path).clone())
}

/// Where the files of a plugin lie.
///
/// # Errors
/// `Internal` for an id that names no directory.
pub fn tree(id: &str) -> Result<ResourcePath, Error> {
    ResourcePath::parse(&directory(id)).map_err(Error::internal)
}
