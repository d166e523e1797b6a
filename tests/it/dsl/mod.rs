//! The blueprint language from outside: against the reference's own parser, and against nonsense.

use std::{collections::HashMap, sync::Arc};

use stratalog::dsl::{
    Fetched, ImportRequest, ResolveError, Resolver, Source,
    imports::{Content, ImportKind},
    types::BuiltIn,
};

mod differential;
mod fuzz;
mod generator;

/// The built-in types for a version of the language: `1_4`.
fn types_of(version: &str) -> &'static str {
    BuiltIn::for_version(version).text()
}

/// Files in memory, and the built-in types.
#[derive(Debug, Default)]
struct Files(HashMap<String, Arc<str>>);

impl Files {
    fn source(&self, name: &str) -> Source {
        Source {
            name: name.into(),
            text: self.0[name].clone(),
            location: None,
        }
    }
}

impl Resolver for Files {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        let fetched = |content| Fetched {
            name: request.spec.into(),
            content,
            location: None,
            catalogue: None,
        };
        if request.spec == BuiltIn::PATH {
            let types = BuiltIn::for_version(request.version);
            return Ok(fetched(Content::BuiltIn(types)));
        }
        match (request.kind(), self.0.get(request.spec)) {
            (ImportKind::Resource(_), Some(text)) => Ok(fetched(Content::Text(text.clone()))),
            _ => Err(ResolveError::NotFound(request.spec.to_owned())),
        }
    }

    fn has_file(&self, _location: Option<&str>, path: &str) -> bool {
        self.0.contains_key(path)
    }
}
