//! A resolver over the folder of an unpacked archive, with uploaded plugins and blueprints beside it.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::resolver::{Content, Fetched, ImportKind, ImportRequest, ResolveError, Resolver};
use crate::dsl::types::BuiltIn;

/// The files of one archive, and the built-in types.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file at a path inside the folder; nothing when it leads outside or there is none.
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let mut inside = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => inside.push(name),
                Component::CurDir => {}
                Component::ParentDir if inside.pop() => {}
                _ => return None,
            }
        }
        Some(self.root.join(inside)).filter(|path| path.is_file())
    }

    fn read(&self, path: &Path) -> Option<Result<Fetched, ResolveError>> {
        let full = self.file(path)?;
        let name: Arc<str> = path.to_string_lossy().into();
        Some(match std::fs::read_to_string(&full) {
            Ok(text) => Ok(Fetched {
                name: Arc::clone(&name),
                content: Content::Text(text.into()),
                location: Some(name),
                catalogue: None,
            }),
            Err(error) => Err(ResolveError::NotFound(format!("cannot read it: {error}"))),
        })
    }
}

impl Resolver for Directory {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        let missing = || Err(ResolveError::NotFound("there is no such file".to_owned()));
        let ImportKind::Resource(path) = request.kind() else {
            return missing();
        };
        if path == BuiltIn::PATH {
            return Ok(Fetched {
                name: BuiltIn::PATH.into(),
                content: Content::BuiltIn(BuiltIn::for_version(request.version)),
                location: None,
                catalogue: None,
            });
        }
        let folder = request
            .importer
            .and_then(|importer| Path::new(importer).parent());
        let beside = folder.map(|folder| folder.join(path));
        let candidates = beside.into_iter().chain([PathBuf::from(path)]);
        candidates
            .into_iter()
            .find_map(|path| self.read(&path))
            .unwrap_or_else(missing)
    }

    fn has_file(&self, location: Option<&str>, path: &str) -> bool {
        let folder = location.and_then(|location| Path::new(location).parent());
        folder.is_some_and(|folder| self.file(&folder.join(path)).is_some())
    }
}
