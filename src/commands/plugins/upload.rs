//! Taking plugins in: archives become rows and files in one append.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope as Rows, View as ViewName,
    views::plugins::{Plugin, directory},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{File, FilesStored, PluginUploaded, Scope},
};
use uuid::Uuid;

use super::{
    archive::{Metadata, Package, Unpacked, invalid, unpack},
    stream,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, ids, labels, visibility},
    context::Context,
    dsl::{Limits, yaml},
    error::{Error, ErrorCode},
    files::blobs::Staged,
    store::{Decision, View},
};

/// Permission bits of stored files.
const MODE: u32 = 0o644;
/// Of several YAML files, one named so says most about the plugin.
const MAIN_YAML: &str = "plugin.";

/// What is asked for.
#[derive(Debug, Default)]
pub struct UploadPlugin {
    /// Its id; a new one when absent.
    pub id: Option<String>,
    /// What people call it; the package's name when absent.
    pub title: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Older form of `visibility`.
    pub private_resource: Option<bool>,
    /// Another moment of upload; milliseconds since the epoch.
    pub uploaded_at_ms: Option<i64>,
    /// Another creator.
    pub created_by: Option<String>,
    /// Where the archive is.
    pub url: Option<String>,
    /// The archive.
    pub archive: Option<Staged>,
}

/// What an upload became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// A plugin of this id.
    One(String),
    /// Those plugins of a caravan that were not there yet.
    Many(Vec<String>),
}

/// A plugin whose contents are in the blob store, not yet in the log.
struct New {
    event: PluginUploaded,
    files: FilesStored,
}

/// Takes in an archive.
///
/// # Errors
/// 400 for what is no plugin, 403; 409 when all of it is there already.
pub async fn upload(
    ctx: &Context,
    caller: &Caller,
    mut asked: UploadPlugin,
) -> Result<Uploaded, Error> {
    caller.require(Permission::PluginUpload)?;
    caller.tenant()?;
    if let Some(id) = &asked.id {
        ids::check_any_start("id", id)?;
    }
    if asked.uploaded_at_ms.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if asked.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let chosen = asked.visibility.as_deref();
    let visibility = visibility::of_new(caller, chosen, asked.private_resource)?;
    let archive = fetched(ctx, &mut asked).await?;
    let blobs = ctx.blobs.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(archive, &blobs));
    let Unpacked {
        packages,
        is_caravan,
    } = unpacked.await.map_err(Error::internal)??;
    let mut new = Vec::with_capacity(packages.len());
    for package in packages {
        let id = asked.id.clone().filter(|_| !is_caravan);
        let id = id.unwrap_or_else(|| Uuid::now_v7().to_string());
        new.push(prepare(ctx, caller, &asked, (id, &visibility), package).await?);
    }
    let mut ids = record(ctx, caller, &new).await?;
    Ok(match (ids.pop(), is_caravan) {
        (Some(id), false) => Uploaded::One(id),
        (last, _) => {
            ids.extend(last);
            Uploaded::Many(ids)
        }
    })
}

async fn fetched(ctx: &Context, asked: &mut UploadPlugin) -> Result<Staged, Error> {
    let url = asked.url.as_deref().filter(|url| !url.is_empty());
    match (asked.archive.take(), url) {
        (Some(archive), None) => Ok(archive),
        (Some(_), Some(_)) => Err(Error::bad_parameters(
            "Can't pass both a plugin archive and its URL",
        )),
        (None, None) => Err(Error::bad_parameters("Missing plugin archive")),
        (None, Some(url)) => blueprints::download(ctx, url)
            .await
            .map_err(|error| Error::bad_parameters(format!("Cannot fetch plugin: {error}"))),
    }
}

/// Puts the contents of a package into the blob store.
async fn prepare(
    ctx: &Context,
    caller: &Caller,
    asked: &UploadPlugin,
    (id, visibility): (String, &str),
    package: Package,
) -> Result<New, Error> {
    let now_ms = clock::now_ms();
    let directory = directory(&id);
    let Package {
        metadata,
        wagon,
        files,
    } = package;
    let (sections, files) = tokio::task::spawn_blocking(move || (sections(&files), files))
        .await
        .map_err(Error::internal)?;
    let is_yaml = |name: &&String| is_yaml(name);
    let yaml_files = files.keys().filter(is_yaml).cloned().collect();
    let mut staged = Vec::with_capacity(files.len() + 1);
    let mut stored = Vec::with_capacity(files.len() + 1);
    for (name, blob) in files
        .into_iter()
        .chain([(metadata.archive_name.clone(), wagon)])
    {
        let content = blob.stored();
        stored.push(File {
            path: format!("{directory}/{name}"),
            digest: content.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(content.size_bytes).map_err(Error::internal)?,
            mode: MODE,
            modified_at_ms: now_ms,
        });
        staged.push(blob);
    }
    let event = PluginUploaded {
        id,
        scope: Some(Scope {
            tenant: caller.tenant()?.to_owned(),
            visibility: visibility.to_owned(),
            created_by: asked
                .created_by
                .as_ref()
                .unwrap_or(&caller.username)
                .clone(),
        }),
        uploaded_at_ms: asked.uploaded_at_ms.unwrap_or(now_ms),
        title: asked
            .title
            .as_ref()
            .unwrap_or(&metadata.package_name)
            .clone(),
        yaml_files,
        ..described(metadata, &sections?)
    };
    ctx.blobs.commit(staged).await.map_err(Error::internal)?;
    Ok(New {
        event,
        files: FilesStored { files: stored },
    })
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

fn described(metadata: Metadata, sections: &Sections) -> PluginUploaded {
    let host = metadata.build_server_os_properties;
    PluginUploaded {
        archive_name: metadata.archive_name,
        package_name: metadata.package_name,
        package_version: metadata.package_version,
        package_source: metadata.package_source,
        supported_platform: metadata.supported_platform,
        distribution: host.distribution,
        distribution_version: host.distribution_version,
        distribution_release: host.distribution_release,
        wheels: metadata.wheels,
        excluded_wheels_json: metadata.excluded_wheels.to_string(),
        supported_py_versions: metadata.supported_python_versions.unwrap_or_default(),
        labels_json: sections.labels.to_string(),
        blueprint_labels_json: sections.blueprint_labels.to_string(),
        resource_tags_json: sections.resource_tags.to_string(),
        ..PluginUploaded::default()
    }
}

/// What of a plugin's YAML stands with the plugin; null where there is nothing.
#[derive(Debug, Default)]
struct Sections {
    labels: Value,
    blueprint_labels: Value,
    resource_tags: Value,
}

/// Reads all YAML files, so that none is stored that cannot be imported. Blocks.
fn sections(files: &BTreeMap<String, Staged>) -> Result<Sections, Error> {
    let mut main: Option<(bool, Sections)> = None;
    for (name, blob) in files.iter().filter(|(name, _)| is_yaml(name)) {
        let file = blob.open().map_err(Error::internal)?;
        let text =
            std::io::read_to_string(file).map_err(|error| invalid(format!("{name}: {error}")))?;
        let read = sections_of(name, &text)?;
        let is_main = name.contains(MAIN_YAML);
        if main
            .as_ref()
            .is_none_or(|(was_main, _)| is_main && !was_main)
        {
            main = Some((is_main, read));
        }
    }
    Ok(main.map(|(_, sections)| sections).unwrap_or_default())
}

fn sections_of(name: &str, text: &str) -> Result<Sections, Error> {
    let file: Arc<str> = name.into();
    let root = yaml::load(text, &file, &Limits::default()).map_err(invalid)?;
    let section = |key: &str| match root.get(key).map(|node| node.to_value().into()) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(section)) => Ok(section),
        Some(_) => Err(invalid(format!("{name}: `{key}` is no dictionary"))),
    };
    if root.as_map().is_none() {
        return Err(invalid(format!("{name} is no dictionary")));
    }
    let tags = section("resource_tags")?;
    Ok(Sections {
        labels: values_of("labels", section("labels")?)?,
        blueprint_labels: values_of("blueprint_labels", section("blueprint_labels")?)?,
        resource_tags: if tags.is_empty() {
            Value::Null
        } else {
            tags.into()
        },
    })
}

/// `{key: {values: [..]}}` as it is kept: `{key: [..]}`.
fn values_of(section: &str, labels: Map<String, Value>) -> Result<Value, Error> {
    if labels.is_empty() {
        return Ok(Value::Null);
    }
    let mut kept = Map::new();
    for (key, spec) in labels {
        let values = spec.get("values").and_then(Value::as_array).cloned();
        let values = values.ok_or_else(|| {
            invalid(format!(
                "`{section}` must give a list of `values` for `{key}`"
            ))
        })?;
        for value in values.iter().filter_map(Value::as_str) {
            labels::label(&key, value).map_err(invalid)?;
        }
        kept.insert(key, values.into());
    }
    Ok(kept.into())
}

async fn record(ctx: &Context, caller: &Caller, new: &[New]) -> Result<Vec<String>, Error> {
    let tenant = caller.tenant()?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        let mut ids = Vec::with_capacity(new.len());
        let mut known = None;
        for New { event, files } in new {
            let stream = stream(tenant, &event.package_name);
            if !decision.expected.iter().any(|(of, _)| *of == stream) {
                decision.rests_on(view, stream.clone()).await?;
            }
            if let Err(taken) = refuse_taken(view, tenant, event).await {
                known = Some(taken);
                continue;
            }
            ids.push(event.id.clone());
            decision.event(stream, Event::PluginUploaded(event.clone()));
            decision.event(
                StreamId::global(Category::Files, &directory(&event.id)),
                Event::FilesStored(files.clone()),
            );
        }
        match known {
            Some(known) if ids.is_empty() => Err(known),
            _ => Ok((decision, ids)),
        }
    };
    let (_, ids) = ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(ids)
}

/// Neither the id nor the wagon may be there already, in the tenant or as a global one.
async fn refuse_taken(view: &View, tenant: &str, event: &PluginUploaded) -> Result<(), Error> {
    let visibility = event.scope.as_ref().map_or("", |scope| &scope.visibility);
    let (of, id) = (super::MODEL.0, event.id.as_str());
    if !blueprints::namesakes(view, of, (tenant, id), visibility)
        .await?
        .is_empty()
    {
        return Err(Error::exists(
            &format!("Plugin id=`{id}`"),
            (tenant, tenant),
        ));
    }
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let query = ListQuery::all(ViewName::Plugins, Rows::Everything)
        .with(is("package_name", &event.package_name))
        .with(is("archive_name", &event.archive_name));
    let others: Vec<Plugin> = view.select_as(&query).await?;
    let is_seen = |other: &Plugin| other.tenant_name == tenant || other.visibility == "global";
    if !others
        .iter()
        .any(|other| is_seen(other) || visibility == "global")
    {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Conflict,
        format!(
            "a plugin archive by the name of {} already exists for package with name {} and \
             version {}",
            event.archive_name, event.package_name, event.package_version
        ),
    ))
}
