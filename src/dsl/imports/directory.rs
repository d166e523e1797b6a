//! A resolver over the folder of an unpacked archive, with uploaded plugins and blueprints beside
//! it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::resolver::{
    Content, Fetched, ImportKind, ImportRequest, ResolveError, Resolver, Source,
};
use super::rules::UrlRules;
use super::uploaded::{self, UploadedPlugin};
use crate::dsl::types::BuiltIn;

/// Fetches the text behind a URL. The language itself touches no network: whoever wants URLs lends
/// it this.
pub trait Remote: fmt::Debug + Send + Sync {
    fn get(&self, url: &str) -> Result<Arc<str>, ResolveError>;
}

/// Another blueprint of the manager, unpacked.
#[derive(Debug, Clone)]
pub struct UploadedBlueprint {
    pub folder: PathBuf,
    pub main_file: String,
}

/// The files of one archive, the built-in types, and what the manager has besides.
#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    pub plugins: Vec<UploadedPlugin>,
    /// By id.
    pub blueprints: HashMap<String, UploadedBlueprint>,
    pub rules: UrlRules,
    pub remote: Option<Arc<dyn Remote>>,
}

impl Directory {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            plugins: Vec::new(),
            blueprints: HashMap::new(),
            rules: UrlRules::default(),
            remote: None,
        }
    }

    /// The main file of the archive, to be parsed with this resolver.
    pub fn source(&self, main_file: &str) -> io::Result<Source> {
        let path = self.folder.join(main_file);
        let text = std::fs::read_to_string(&path)?;
        let location = path.to_string_lossy().into();
        Ok(Source {
            name: main_file.into(),
            text: text.into(),
            location: Some(location),
        })
    }

    /// The folders files may be read from.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        let others = self
            .blueprints
            .values()
            .map(|blueprint| blueprint.folder.as_path());
        std::iter::once(self.folder.as_path()).chain(others)
    }

    /// The path of a file inside one of the folders, without detours; nothing when it leads outside
    /// or there is none.
    fn file(&self, path: &Path) -> Option<(PathBuf, PathBuf)> {
        self.folders().find_map(|folder| {
            let mut inside = PathBuf::new();
            for component in path.strip_prefix(folder).ok()?.components() {
                match component {
                    Component::Normal(name) => inside.push(name),
                    Component::CurDir => {}
                    Component::ParentDir if inside.pop() => {}
                    _ => return None,
                }
            }
            let full = folder.join(&inside);
            full.is_file().then_some((full, inside))
        })
    }

    fn read(&self, path: &Path) -> Option<Result<Fetched, ResolveError>> {
        let (full, inside) = self.file(path)?;
        Some(match std::fs::read_to_string(&full) {
            Ok(text) => Ok(Fetched {
                name: inside.to_string_lossy().into(),
                content: Content::Text(text.into()),
                location: Some(full.to_string_lossy().into()),
                catalogue: None,
            }),
            Err(error) => Err(ResolveError::NotFound(format!("cannot read it: {error}"))),
        })
    }

    fn resource(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        if request.spec == BuiltIn::PATH {
            return Ok(built_in(request));
        }
        let path = Path::new(request.spec);
        let versioned = path.extension().and_then(|extension| {
            let stem = path.file_stem()?.to_string_lossy();
            let name = format!("{stem}_{}.{}", request.version, extension.to_string_lossy());
            Some(path.with_file_name(name))
        });
        let importer = request
            .importer
            .and_then(|importer| Path::new(importer).parent());
        let candidates = [
            importer.map(|folder| folder.join(path)),
            versioned.map(|versioned| self.folder.join(versioned)),
            Some(self.folder.join(path)),
        ];
        let found = candidates
            .into_iter()
            .flatten()
            .find_map(|path| self.read(&path));
        found.unwrap_or_else(|| {
            Err(ResolveError::NotFound(
                "the archive has no such file".to_owned(),
            ))
        })
    }

    fn blueprint(&self, id: &str) -> Result<Fetched, ResolveError> {
        let blueprint = self
            .blueprints
            .get(id)
            .ok_or_else(|| ResolveError::NotFound(format!("there is no blueprint '{id}'")))?;
        let found = self.read(&blueprint.folder.join(&blueprint.main_file));
        let missing = || {
            Err(ResolveError::NotFound(
                "its main file is missing".to_owned(),
            ))
        };
        found.unwrap_or_else(missing).map(|fetched| {
            let name = format!("blueprint:{id}/{}", fetched.name).into();
            Fetched { name, ..fetched }
        })
    }

    fn url(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        if is_published_types(request.spec) {
            return Ok(built_in(request));
        }
        let Some(remote) = &self.remote else {
            return Err(ResolveError::NotFound(
                "URLs cannot be fetched here".to_owned(),
            ));
        };
        let mut result = Err(ResolveError::NotFound("no URL to try".to_owned()));
        for url in self.rules.candidates(request.spec) {
            result = remote.get(&url).map(|text| Fetched {
                name: request.spec.into(),
                content: Content::Text(text),
                location: None,
                catalogue: None,
            });
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// Whether a URL is one the types used to be published at:
/// `…getcloudify.org/spec/cloudify/4.5/types.yaml`.
fn is_published_types(url: &str) -> bool {
    let path = url.split_once("://").and_then(|(_, rest)| {
        let (host, path) = rest.split_once('/')?;
        matches!(
            host,
            "www.getcloudify.org" | "getcloudify.org" | "cloudify.co"
        )
        .then_some(path)
    });
    path.is_some_and(|path| path.starts_with("spec/cloudify/") && path.ends_with("/types.yaml"))
}

fn built_in(request: &ImportRequest<'_>) -> Fetched {
    Fetched {
        name: BuiltIn::PATH.into(),
        content: Content::BuiltIn(BuiltIn::for_version(request.version)),
        location: None,
        catalogue: None,
    }
}

impl Resolver for Directory {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        match request.kind() {
            ImportKind::Resource(_) => self.resource(request),
            ImportKind::Plugin { name, query } => {
                uploaded::find(&self.plugins, name, query, request.version)
            }
            ImportKind::Blueprint(id) => self.blueprint(id),
            ImportKind::Url(_) => self.url(request),
        }
    }

    fn has_file(&self, location: Option<&str>, path: &str) -> bool {
        let folder = location.and_then(|location| Path::new(location).parent());
        folder.is_some_and(|folder| self.file(&folder.join(path)).is_some())
    }
}
