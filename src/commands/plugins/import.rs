//! Uploaded plugins as blueprints import and deployments need them.
use std::sync::Arc;

use stratalog_projections::{
    At, Condition, ListQuery, View as ViewName,
    views::{files::File, plugins::Plugin},
};

use crate::{
    auth::{Caller, Permission},
    commands::json::object,
    context::Context,
    dsl::imports::{Catalogue, UploadedPlugin},
    error::Error,
    files::{Digest, blobs::BlobStore},
    store::{Store, View},
};

/// What it takes to look plugins up while a blueprint is parsed.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    store: Store,
    blobs: BlobStore,
    caller: Caller,
}

impl Library {
    /// What the caller sees of it.
    pub(crate) fn new(ctx: &Context, caller: Caller) -> Self {
        Self {
            store: ctx.store.clone(),
            blobs: ctx.blobs.clone(),
            caller,
        }
    }

    /// The plugins of a package, with the texts of their YAML files.
    ///
    /// # Errors
    /// 403; database errors, files that cannot be read.
    pub(crate) async fn plugins(&self, package_name: &str) -> Result<Vec<UploadedPlugin>, Error> {
        let view = self.store.read(At::Now).await?;
        let mut plugins = Vec::new();
        for plugin in of_package(&view, &self.caller, package_name).await? {
            let mut files = Vec::with_capacity(plugin.yaml_files_paths.len());
            for path in &plugin.yaml_files_paths {
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                files.push((name, self.text(&view, path).await?));
            }
            plugins.push(UploadedPlugin {
                // the import that a plugin offers says so where there is none
                distribution: Some(plugin.distribution.unwrap_or_else(|| "None".to_owned())),
                catalogue: Catalogue {
                    labels: object(plugin.labels.as_ref())?.into(),
                    blueprint_labels: object(plugin.blueprint_labels.as_ref())?.into(),
                    resource_tags: object(plugin.resource_tags.as_ref())?.into(),
                },
                name: plugin.package_name,
                version: plugin.package_version,
                files,
            });
        }
        drop(view.finish().await?);
        Ok(plugins)
    }

    async fn text(&self, view: &View, path: &str) -> Result<Arc<str>, Error> {
        let file: Option<File> = view.get(path).await?;
        let file = file.ok_or_else(|| Error::not_found("File", path))?;
        let digest: Digest = file.digest.parse().map_err(Error::internal)?;
        let bytes = self.blobs.bytes(&digest).await.map_err(Error::internal)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        Ok(String::from_utf8_lossy(bytes).into())
    }
}

/// The plugins of a package that the caller sees.
async fn of_package(
    view: &View,
    caller: &Caller,
    package_name: &str,
) -> Result<Vec<Plugin>, Error> {
    let scope = caller.scope(false, Permission::PluginList)?;
    let query = ListQuery::all(ViewName::Plugins, scope).with(Condition::AnyOf(
        "package_name".to_owned(),
        vec![package_name.to_owned()],
    ));
    Ok(view.select_as(&query).await?)
}

/// Whether a package is there in a version, or in any.
///
/// # Errors
/// 403; database errors.
pub(crate) async fn is_uploaded(
    view: &View,
    caller: &Caller,
    (package_name, version): (&str, Option<&str>),
) -> Result<bool, Error> {
    let plugins = of_package(view, caller, package_name).await?;
    Ok(plugins
        .iter()
        .any(|plugin| version.is_none_or(|version| plugin.package_version == version)))
}
