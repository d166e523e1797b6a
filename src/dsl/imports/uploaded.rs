//! Uploaded plugins, and which of them, with which of its files, a `plugin:` import means.

use std::sync::Arc;

use super::pep440::{self, Version};
use super::resolver::{Catalogue, Content, Fetched, ResolveError};

/// A plugin the manager has.
#[derive(Debug, Clone)]
pub struct UploadedPlugin {
    pub name: String,
    pub version: String,
    pub distribution: Option<String>,
    /// Its YAML files: name and text.
    pub files: Vec<(String, Arc<str>)>,
    pub catalogue: Catalogue,
}

/// The file of the newest plugin that an import fits. `version` is the main file's, as file names
/// carry it: `1_4`.
pub(crate) fn find(
    plugins: &[UploadedPlugin],
    name: &str,
    query: Option<&str>,
    version: &str,
) -> Result<Fetched, ResolveError> {
    let wanted = Query::parse(query)?;
    let mut newest: Option<(Option<Version>, &UploadedPlugin)> = None;
    for plugin in plugins.iter().filter(|plugin| plugin.name == name) {
        if !wanted.admits(plugin)? {
            continue;
        }
        let found = Version::parse(&plugin.version);
        if newest.as_ref().is_none_or(|(best, _)| found > *best) {
            newest = Some((found, plugin));
        }
    }
    let Some((_, plugin)) = newest else {
        let known: Vec<_> = plugins
            .iter()
            .filter(|plugin| plugin.name == name)
            .map(|plugin| plugin.version.as_str())
            .collect();
        let reason = match known.as_slice() {
            [] => format!("no plugin '{name}' is uploaded"),
            _ => format!(
                "of the plugin '{name}' only {} is uploaded",
                known.join(", ")
            ),
        };
        return Err(ResolveError::NotFound(reason));
    };
    let Some((file, text)) = choose_file(&plugin.files, version) else {
        return Err(ResolveError::NotFound(format!(
            "the plugin '{name}' has no YAML file"
        )));
    };
    let location: Arc<str> = format!("plugin:{name}/{}/{file}", plugin.version).into();
    Ok(Fetched {
        name: Arc::clone(&location),
        content: Content::Text(Arc::clone(text)),
        location: None,
        catalogue: Some(plugin.catalogue.clone()),
    })
}

/// The only file; else the one for the version; else the first that is for no version in
/// particular.
pub(crate) fn choose_file<'f, T>(
    files: &'f [(String, T)],
    version: &str,
) -> Option<&'f (String, T)> {
    if let [only] = files {
        return Some(only);
    }
    let of_version = format!("{version}.yaml");
    let is_versioned = |name: &str| {
        let stem = name.trim_end_matches(".yaml");
        let mut parts = stem.rsplit('_');
        let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
        is_number(parts.next()) && is_number(parts.next())
    };
    files
        .iter()
        .find(|(name, _)| name.contains(&of_version))
        .or_else(|| files.iter().find(|(name, _)| !is_versioned(name)))
        .or_else(|| files.first())
}

/// What follows the question mark.
#[derive(Debug, Default)]
struct Query<'q> {
    version: Option<&'q str>,
    distribution: Option<&'q str>,
}

impl<'q> Query<'q> {
    fn parse(query: Option<&'q str>) -> Result<Self, ResolveError> {
        let mut parsed = Self::default();
        for part in query.into_iter().flat_map(|query| query.split('&')) {
            match part.split_once('=') {
                Some(("version", version)) => parsed.version = Some(version.trim()),
                Some(("distribution", distribution)) => {
                    parsed.distribution = Some(distribution.trim());
                }
                _ => {
                    let reason = format!(
                        "'{part}' is no condition on plugins; version and distribution are"
                    );
                    return Err(ResolveError::Invalid(reason));
                }
            }
        }
        Ok(parsed)
    }

    fn admits(&self, plugin: &UploadedPlugin) -> Result<bool, ResolveError> {
        if self.distribution.is_some() && self.distribution != plugin.distribution.as_deref() {
            return Ok(false);
        }
        let Some(specifiers) = self.version else {
            return Ok(true);
        };
        pep440::fits(&plugin.version, specifiers).map_err(ResolveError::Invalid)
    }
}
