//! Where a blueprint's imports come from: its archive, other blueprints, uploaded plugins, the
//! resource directory, the network.
use std::{
    collections::HashMap,
    path::{Component, Path},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use stratalog_schema::events::File;
use tokio::runtime::Handle;

use super::process::{Text, digest_of};
use crate::{
    commands::{plugins::Library, plugins_updates::Choice},
    context::Context,
    dsl::{
        ImportRequest, ResolveError, Resolver,
        imports::{Content, Fetched, ImportKind, find_plugin},
        types::BuiltIn,
    },
    files::{
        Digest,
        blobs::{BlobStore, Staged},
        manifest::Current,
        path::ResourcePath,
    },
};

/// Largest file that is imported.
const IMPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Locations begin with the id of another blueprint, where they are not in the archive itself.
const OTHER: &str = "blueprint:";

/// The files of one unpacked archive, and everything its imports may name beside them.
pub(super) struct ArchiveFiles {
    files: HashMap<String, Digest>,
    blobs: BlobStore,
    resources: Arc<Current>,
    library: Library,
    tenant: String,
    runtime: Handle,
    client: Option<reqwest::Client>,
    /// Which versions of plugins are meant, whatever imports say.
    choice: Option<Choice>,
}

impl std::fmt::Debug for ArchiveFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveFiles")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl ArchiveFiles {
    pub(super) fn new(
        ctx: &Context,
        library: Library,
        tenant: &str,
        files: &[(String, File)],
    ) -> Self {
        let digests = files
            .iter()
            .filter_map(|(path, file)| Some((path.clone(), digest_of(file)?)));
        Self {
            files: digests.collect(),
            blobs: ctx.blobs.clone(),
            resources: ctx.files.load(),
            library,
            tenant: tenant.to_owned(),
            runtime: Handle::current(),
            client: client().ok(),
            choice: None,
        }
    }

    /// The same, with chosen versions of plugins.
    pub(super) fn choosing(self, choice: Choice) -> Self {
        Self {
            choice: Some(choice),
            ..self
        }
    }

    /// The text of a file of the archive. Blocks.
    pub(super) fn text(&self, path: &str) -> Option<Text> {
        let path = normal(Path::new(path))?;
        self.read(self.files.get(&path)?)
    }

    fn read(&self, digest: &Digest) -> Option<Text> {
        let bytes = self.runtime.block_on(self.blobs.bytes(digest)).ok()?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        Some(String::from_utf8_lossy(bytes).into())
    }

    /// A file of the resource directory.
    fn resource(&self, path: &str) -> Option<Digest> {
        let path = ResourcePath::parse(path).ok()?;
        Some(self.resources.manifest.get(&path)?.digest)
    }

    /// Next to the importing file, then from the root of its blueprint.
    fn local(&self, importer: Option<&str>, path: &str) -> Option<Fetched> {
        let (owner, importer) = split(importer.unwrap_or_default());
        let folder = Path::new(importer).parent().unwrap_or(Path::new(""));
        let candidates = [folder.join(path), Path::new(path).to_path_buf()];
        candidates.iter().find_map(|candidate| {
            let path = normal(candidate)?;
            let digest = match owner {
                None => *self.files.get(&path)?,
                Some(id) => self.resource(&self.path_in(id, &path))?,
            };
            let name: Arc<str> = match owner {
                None => path.as_str().into(),
                Some(id) => format!("{OTHER}{id}/{path}").into(),
            };
            Some(text(name.clone(), self.read(&digest)?, Some(name)))
        })
    }

    fn path_in(&self, blueprint: &str, path: &str) -> String {
        format!("{}/{path}", super::tree(&self.tenant, blueprint))
    }

    fn blueprint(&self, id: &str) -> Option<Fetched> {
        let directory = ResourcePath::parse(&super::tree(&self.tenant, id)).ok()?;
        let main = ["blueprint.yaml", "blueprint.yml"]
            .into_iter()
            .find(|name| self.resource(&format!("{directory}/{name}")).is_some());
        let main = match main {
            Some(name) => name.to_owned(),
            // the only file of that kind at the top
            None => self
                .resources
                .manifest
                .below(&directory)
                .filter_map(|(path, _)| path.below(&directory))
                .find(|name| !name.contains('/') && name.ends_with(".yaml"))?
                .to_owned(),
        };
        let digest = self.resource(&self.path_in(id, &main))?;
        let name: Arc<str> = format!("{OTHER}{id}/{main}").into();
        Some(text(name.clone(), self.read(&digest)?, Some(name)))
    }

    fn plugin(
        &self,
        name: &str,
        query: Option<&str>,
        version: &str,
    ) -> Result<Fetched, ResolveError> {
        let plugins = self.runtime.block_on(self.library.plugins(name));
        let plugins = plugins.map_err(|error| ResolveError::NotFound(error.to_string()))?;
        let there = plugins.iter().map(|plugin| plugin.version.as_str());
        let chosen = self.choice.as_ref();
        match chosen.and_then(|choice| choice.version(name, there)) {
            None => find_plugin(&plugins, name, query, version),
            Some(chosen) => {
                let mut plugins = plugins;
                plugins.retain(|plugin| plugin.version == chosen);
                find_plugin(&plugins, name, None, version)
            }
        }
    }

    fn url(&self, url: &str) -> Result<Fetched, ResolveError> {
        let client = self.client.as_ref().ok_or_else(|| {
            ResolveError::NotFound("this manager cannot fetch imports from the network".to_owned())
        })?;
        let bytes = self
            .runtime
            .block_on(fetch_text(client, url))
            .map_err(|error| ResolveError::NotFound(format!("{url}: {error}")))?;
        Ok(text(url.into(), bytes.into(), Some(url.into())))
    }
}

/// The blueprint a location is in (none: the one being parsed), and the path there.
fn split(location: &str) -> (Option<&str>, &str) {
    match location
        .strip_prefix(OTHER)
        .and_then(|rest| rest.split_once('/'))
    {
        Some((id, path)) => (Some(id), path),
        None => (None, location),
    }
}

fn text(name: Arc<str>, content: Text, location: Option<Arc<str>>) -> Fetched {
    Fetched {
        name,
        content: Content::Text(content),
        location,
        catalogue: None,
    }
}

/// The path without detours; nothing when it leaves the root.
fn normal(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Whether an address is one the reference maps to the built-in types.
fn is_built_in(url: &str) -> bool {
    url.contains("getcloudify.org/spec/cloudify/") && url.ends_with("/types.yaml")
}

impl Resolver for ArchiveFiles {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        let missing = |what: &str| ResolveError::NotFound(format!("there is no {what}"));
        let built_in = || Fetched {
            name: BuiltIn::PATH.into(),
            content: Content::BuiltIn(BuiltIn::for_version(request.version)),
            location: None,
            catalogue: None,
        };
        match request.kind() {
            ImportKind::Plugin { name, query } => self.plugin(name, query, request.version),
            ImportKind::Blueprint(id) => self
                .blueprint(id)
                .ok_or_else(|| missing(&format!("blueprint {id}"))),
            ImportKind::Url(url) if is_built_in(url) => Ok(built_in()),
            ImportKind::Url(url) => self.url(url),
            ImportKind::Resource(BuiltIn::PATH) => Ok(built_in()),
            ImportKind::Resource(path) => {
                if let Some(fetched) = self.local(request.importer, path) {
                    return Ok(fetched);
                }
                let digest = self.resource(path).ok_or_else(|| missing("such file"))?;
                let content = self.read(&digest).ok_or_else(|| missing("such file"))?;
                Ok(text(path.into(), content, Some(path.into())))
            }
        }
    }

    fn has_file(&self, location: Option<&str>, path: &str) -> bool {
        let (owner, location) = split(location.unwrap_or_default());
        let folder = Path::new(location).parent().unwrap_or(Path::new(""));
        let Some(path) = normal(&folder.join(path)) else {
            return false;
        };
        match owner {
            None => self.files.contains_key(&path),
            Some(id) => self.resource(&self.path_in(id, &path)).is_some(),
        }
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // whoever comes first sets the process's cryptography; all of them set the same
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(FETCH_TIMEOUT)
        .build()
}

/// Downloads an archive into the spool of the blob store.
pub(crate) async fn download(ctx: &Context, url: &str) -> anyhow::Result<Staged> {
    let response = client()?.get(url).send().await?.error_for_status()?;
    let stream = response.bytes_stream();
    let bytes_max = ctx.settings.upload_bytes_max;
    Ok(ctx.blobs.stage_stream(stream, bytes_max).await?)
}

async fn fetch_text(client: &reqwest::Client, url: &str) -> anyhow::Result<String> {
    let response = client.get(url).send().await?.error_for_status()?;
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        anyhow::ensure!(
            bytes.len() as u64 <= IMPORT_BYTES_MAX,
            "larger than {IMPORT_BYTES_MAX} bytes"
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
