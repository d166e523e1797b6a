//! What people upload as a plugin: a wagon alone, a zip of one wagon with YAML files beside it, or
//! a caravan (a tar of several wagons with a YAML file each). A wagon is a zip or tar.gz of wheels
//! with a `package.json`. Nothing is taken over before the whole archive was read within limits.
use std::{collections::BTreeMap, fs::File, io::Read};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::super::ids;
use crate::{
    error::{Error, ErrorCode},
    files::{
        self,
        archive::{ArchiveError, Format, Limits, Member, walk},
        blobs::{BlobStore, Staged},
    },
};

/// Largest text that is read into memory.
const TEXT_BYTES_MAX: u64 = 16 << 20;
const WAGON: &str = ".wgn";
const ONE_WAGON: &str = "Archive must include one wgn file";
const NO_WAGON: &str = "input can be only a wagon or a zip file.";

/// What a wagon says about itself, as `wagon` writes it into `package.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    pub(super) package_name: String,
    pub(super) package_version: String,
    pub(super) archive_name: String,
    pub(super) package_source: Option<String>,
    pub(super) supported_platform: Option<String>,
    #[serde(default)]
    pub(super) build_server_os_properties: BuildHost,
    #[serde(default)]
    pub(super) wheels: Vec<String>,
    #[serde(default)]
    pub(super) excluded_wheels: Value,
    pub(super) supported_python_versions: Option<Vec<String>>,
}

/// Where a wagon was built.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct BuildHost {
    pub(super) distribution: Option<String>,
    pub(super) distribution_version: Option<String>,
    pub(super) distribution_release: Option<String>,
}

/// One plugin of an upload: its files are in the spool.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) metadata: Metadata,
    pub(super) wagon: Staged,
    /// Everything that came beside the wagon, by name.
    pub(super) files: BTreeMap<String, Staged>,
}

/// All of an upload.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) packages: Vec<Package>,
    /// Whether they came as several, even if it is one.
    pub(super) is_caravan: bool,
}

impl From<Package> for Unpacked {
    fn from(package: Package) -> Self {
        Self {
            packages: vec![package],
            is_caravan: false,
        }
    }
}

/// Refuses an upload.
pub(super) fn invalid(why: impl ToString) -> Error {
    Error::refused(ErrorCode::InvalidPlugin, why.to_string())
}

/// An archive that cannot be read is the uploader's matter, everything else is ours.
fn explain(error: files::Error) -> Error {
    match error {
        files::Error::Archive(ArchiveError::UnknownFormat) => invalid(NO_WAGON),
        files::Error::Archive(_) | files::Error::TooLarge { .. } => invalid(error),
        other => Error::internal(other),
    }
}

/// What a first look into an archive finds.
#[derive(Debug, Default)]
struct Look {
    /// `<root>/package.json`
    metadata: Option<Vec<u8>>,
    /// `<root>/METADATA`, with the root
    caravan: Option<(String, Vec<u8>)>,
    /// Names at the top that end like wagons.
    wagons: Vec<String>,
}

fn look(archive: &mut File) -> Result<(Format, Look), Error> {
    let mut look = Look::default();
    let mut on_file = |member: &Member, content: &mut dyn Read| {
        match member.path.segments().collect::<Vec<_>>().as_slice() {
            [name] if name.ends_with(WAGON) => look.wagons.push((*name).to_owned()),
            [_, "package.json"] => look.metadata = Some(text(content)?),
            [root, "METADATA"] => look.caravan = Some(((*root).to_owned(), text(content)?)),
            _ => {}
        }
        Ok(())
    };
    let summary = walk(archive, &Limits::default(), &mut on_file).map_err(explain)?;
    Ok((summary.format, look))
}

fn text(content: &mut dyn Read) -> files::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(files::Error::TooLarge {
            limit_bytes: TEXT_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// Takes an upload apart. Blocks.
///
/// # Errors
/// 400 `invalid_plugin_error` for what is no plugin.
pub(super) fn unpack(upload: Staged, blobs: &BlobStore) -> Result<Unpacked, Error> {
    let mut archive = upload.open().map_err(Error::internal)?;
    let (format, look) = look(&mut archive)?;
    if let (Some((root, index)), true) = (&look.caravan, format != Format::Zip) {
        return Ok(Unpacked {
            packages: caravan(&mut archive, blobs, (root, index))?,
            is_caravan: true,
        });
    }
    if let Some(metadata) = look.metadata.filter(|_| look.wagons.is_empty()) {
        let metadata = checked(json(&metadata, "package.json")?)?;
        let files = BTreeMap::new();
        let wagon = upload;
        return Ok(Package {
            metadata,
            wagon,
            files,
        }
        .into());
    }
    match (format, look.wagons.as_slice()) {
        (Format::Zip, [_]) => {}
        (Format::Zip, _) => return Err(invalid(ONE_WAGON)),
        _ => return Err(invalid(NO_WAGON)),
    }
    let mut files = stage(&mut archive, blobs, |_| true)?;
    let name = look.wagons.into_iter().next().unwrap_or_default();
    let wagon = files.remove(&name).ok_or_else(|| invalid(ONE_WAGON))?;
    package(wagon, files).map(Unpacked::from)
}

/// Spools the files whose paths are wanted.
fn stage(
    archive: &mut File,
    blobs: &BlobStore,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Staged>, Error> {
    let mut staged = BTreeMap::new();
    let mut on_file = |member: &Member, content: &mut dyn Read| {
        let path = member.path.as_str();
        if is_wanted(path) {
            let blob = blobs.stage_reader(content, member.size_bytes)?;
            staged.insert(path.to_owned(), blob);
        }
        Ok(())
    };
    walk(archive, &Limits::default(), &mut on_file).map_err(explain)?;
    Ok(staged)
}

fn caravan(
    archive: &mut File,
    blobs: &BlobStore,
    (root, index): (&str, &[u8]),
) -> Result<Vec<Package>, Error> {
    let members: BTreeMap<String, String> = json(index, "METADATA")?;
    if members.is_empty() {
        return Err(invalid("The caravan holds no plugins"));
    }
    let path = |name: &str| format!("{root}/{name}");
    let wanted: Vec<String> = members
        .iter()
        .flat_map(|(wagon, yaml)| [path(wagon), path(yaml)])
        .collect();
    let mut staged = stage(archive, blobs, |path| wanted.iter().any(|w| w == path))?;
    let mut take = |name: &str| {
        let found = staged.remove(&path(name));
        found.ok_or_else(|| invalid(format!("The caravan lacks {name}")))
    };
    let mut packages = Vec::with_capacity(members.len());
    for (wagon, yaml) in &members {
        let wagon = take(wagon)?;
        let name = yaml.rsplit('/').next().unwrap_or(yaml);
        let files = BTreeMap::from([(name.to_owned(), take(yaml)?)]);
        packages.push(package(wagon, files)?);
    }
    Ok(packages)
}

fn package(wagon: Staged, files: BTreeMap<String, Staged>) -> Result<Package, Error> {
    let mut archive = wagon.open().map_err(Error::internal)?;
    let (_, look) = look(&mut archive)?;
    let metadata = look
        .metadata
        .ok_or_else(|| invalid("The wagon has no package.json"))?;
    let metadata = checked(json(&metadata, "package.json")?)?;
    if files.contains_key(&metadata.archive_name) {
        let name = &metadata.archive_name;
        return Err(invalid(format!("There is another file named {name}")));
    }
    Ok(Package {
        metadata,
        wagon,
        files,
    })
}

fn json<T: DeserializeOwned>(text: &[u8], name: &str) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| invalid(format!("{name}: {error}")))
}

/// Names become names of files and directories, here and on workers.
fn checked(metadata: Metadata) -> Result<Metadata, Error> {
    for (what, name) in [
        ("package_name", &metadata.package_name),
        ("archive_name", &metadata.archive_name),
    ] {
        ids::check_any_start(what, name).map_err(invalid)?;
        if name.starts_with('.') {
            return Err(invalid(format!("The `{what}` begins with a dot")));
        }
    }
    // `1.0+local` is a version, too
    ids::check_any_start(
        "package_version",
        &metadata.package_version.replace('+', "-"),
    )
    .map_err(invalid)?;
    Ok(metadata)
}
