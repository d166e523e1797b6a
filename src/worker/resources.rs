//! Files that belong to an operation: of its deployment, of its blueprint, or of the resource
//! directory itself.
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::Rng;
use serde_json::Value;

use super::rest::{RestError, Session};
use crate::broker::wire::OperationContext;

/// Separates a namespace from the path of a file of an imported blueprint.
const NAMESPACE_DELIMITER: &str = "--";

#[derive(Debug, thiserror::Error)]
pub(super) enum ResourceError {
    #[error("Resource not found: {0}")]
    NotFound(String),
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("cannot write {path}: {source}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Finds files for one operation.
#[derive(Clone, Debug)]
pub(super) struct Resources {
    session: Session,
    deployment_id: Option<String>,
    blueprint_id: Option<String>,
}

impl Resources {
    pub(super) fn new(session: Session, context: &OperationContext) -> Self {
        Self {
            session,
            deployment_id: context.deployment_id.clone(),
            blueprint_id: context.blueprint_id.clone(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Bytes, ResourceError> {
        let tenant = self.session.tenant();
        let below = |area: &str, id: &String| format!("{area}/{tenant}/{id}/{path}");
        let own = self.deployment_id.as_ref();
        let own = own.map(|deployment| below("deployments", deployment));
        let shared = self.blueprint_id.as_ref();
        let shared = shared.map(|blueprint| below("blueprints", blueprint));
        if let Some(found) = self.either(path, (own, shared)).await? {
            return Ok(found);
        }
        if let Some(blueprint) = &self.blueprint_id
            && let Some(found) = self.elsewhere(blueprint, path).await?
        {
            return Ok(found);
        }
        let found = self.session.resource((path, None)).await?;
        found.ok_or_else(|| ResourceError::NotFound(path.to_owned()))
    }

    /// Downloads to `target`, or to a new temporary directory that outlives the operation, because
    /// what the script started may go on using it.
    pub(super) async fn download(
        &self,
        path: &str,
        target: Option<&Path>,
    ) -> Result<PathBuf, ResourceError> {
        let content = self.get(path).await?;
        save(path, &content, target).await
    }

    /// A file of the deployment or else of its blueprint: one question, where the path means the
    /// same in both.
    async fn either(
        &self,
        path: &str,
        places: (Option<String>, Option<String>),
    ) -> Result<Option<Bytes>, RestError> {
        let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if let ((Some(own), Some(shared)), true) = (&places, is_plain) {
            return self.session.resource((own, Some(shared))).await;
        }
        for place in [places.0, places.1].into_iter().flatten() {
            if let Some(found) = self.session.resource((&place, None)).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn file(&self, segments: &[&str]) -> Result<Option<Bytes>, RestError> {
        self.session.resource((&segments.join("/"), None)).await
    }

    /// A global blueprint's files stay with the tenant that owns it; a file of an imported
    /// blueprint stays there.
    async fn elsewhere(
        &self,
        blueprint_id: &str,
        path: &str,
    ) -> Result<Option<Bytes>, ResourceError> {
        let own = self.session.tenant();
        let listed = self
            .session
            .get(&["blueprints"], &[("id", blueprint_id)])
            .await?;
        let Some(blueprint) = listed.pointer("/items/0") else {
            return Ok(None);
        };
        let text = |name: &str| blueprint.get(name).and_then(Value::as_str);
        let global = text("visibility") == Some("global");
        let tenant = text("tenant_name").filter(|_| global).unwrap_or(own);
        if tenant != own
            && let Some(found) = self
                .file(&["blueprints", tenant, blueprint_id, path])
                .await?
        {
            return Ok(Some(found));
        }
        let Some((namespace, rest)) = path.rsplit_once(NAMESPACE_DELIMITER) else {
            return Ok(None);
        };
        let full = self.session.get(&["blueprints", blueprint_id], &[]).await?;
        let mapped = full
            .pointer("/plan/namespaces_mapping")
            .and_then(|map| map.get(namespace));
        let Some(imported) = mapped.and_then(Value::as_str) else {
            return Ok(None);
        };
        Ok(self.file(&["blueprints", tenant, imported, rest]).await?)
    }
}

async fn save(path: &str, content: &[u8], target: Option<&Path>) -> Result<PathBuf, ResourceError> {
    let target = match target {
        Some(target) => target.to_owned(),
        None => temporary_directory().await?.join(base_name(path)),
    };
    tokio::fs::write(&target, content)
        .await
        .map_err(|source| ResourceError::Write {
            path: target.clone(),
            source,
        })?;
    Ok(target)
}

/// The last part of a path or address.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A new directory with a short random name, as the scripts' messages show it.
pub(super) async fn temporary_directory() -> Result<PathBuf, ResourceError> {
    let root = std::env::var_os("CFY_EXEC_TEMP")
        .map(PathBuf::from)
        .filter(|path| path.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    loop {
        let path = root.join(random_name(5));
        match tokio::fs::DirBuilder::new().mode(0o700).create(&path).await {
            Ok(()) => return Ok(path),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(ResourceError::Write { path, source }),
        }
    }
}

fn random_name(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let letter = rand::distr::slice::Choose::new(LETTERS).expect("the list is not empty");
    rand::rng()
        .sample_iter(letter)
        .take(length)
        .map(|byte| char::from(*byte))
        .collect()
}
