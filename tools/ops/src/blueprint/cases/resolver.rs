//! Imports of a case: as its import map lists them, else files of its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::dsl::imports::{Catalogue, Content};
use stratalog::dsl::{Fetched, ImportRequest, Map, ResolveError, Resolver, Value};

/// Imports as a case lists them, and files of its folder.
#[derive(Debug)]
pub(super) struct CaseResolver<'a> {
    pub folder: &'a Path,
    pub base: PathBuf,
    pub imports: &'a Map,
}

impl CaseResolver<'_> {
    fn listed(&self, spec: &str, entry: &Value) -> Result<Fetched, ResolveError> {
        let file = entry
            .get("file")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = match file.strip_prefix("@shared/") {
            Some(shared) => self.folder.join("../../shared").join(shared),
            None => self.folder.join(file),
        };
        let mut fetched = read(&path)?;
        let is_located = entry
            .get("location")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        if spec.starts_with("blueprint:") && !is_located {
            fetched.location = None;
        }
        let object = |value: Option<&Value>| {
            value
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        fetched.catalogue = entry.get("plugin").map(|plugin| Catalogue {
            labels: object(plugin.get("labels")),
            blueprint_labels: object(plugin.get("blueprint_labels")),
            resource_tags: object(plugin.get("resource_tags")),
        });
        Ok(fetched)
    }
}

fn read(path: &Path) -> Result<Fetched, ResolveError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ResolveError::NotFound(format!("{}: {error}", path.display())))?;
    let name: Arc<str> = path
        .components()
        .collect::<PathBuf>()
        .to_string_lossy()
        .into();
    Ok(Fetched {
        name: Arc::clone(&name),
        content: Content::Text(text.into()),
        location: Some(name),
        catalogue: None,
    })
}

impl Resolver for CaseResolver<'_> {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        if let Some(entry) = self.imports.get(request.spec) {
            return self.listed(request.spec, entry);
        }
        let spec = request.spec;
        let beside = request
            .importer
            .and_then(|importer| Path::new(importer).parent())
            .map(|folder| folder.join(spec));
        let versioned = spec
            .rsplit_once('.')
            .map(|(stem, extension)| format!("{stem}_{}.{extension}", request.version));
        let under_base = versioned.iter().map(String::as_str).chain([spec]);
        let candidates = beside
            .into_iter()
            .chain(under_base.map(|name| self.base.join(name)));
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .map_or_else(
                || Err(ResolveError::NotFound("no such file".to_owned())),
                |path| read(&path),
            )
    }

    fn has_file(&self, location: Option<&str>, path: &str) -> bool {
        let folder = location.and_then(|location| Path::new(location).parent());
        folder.is_some_and(|folder| folder.join(path).is_file())
    }
}
