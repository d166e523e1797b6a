//! `manifest.json`: the resource directory as a sorted object.
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest_text;
use crate::files::Digest;
use crate::files::manifest::{Entry, Manifest};
use crate::files::path::ResourcePath;

/// One file in JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(with = "digest_text")]
    sha256: Digest,
    size_bytes: u64,
    mode: u32,
    mtime_us: i64,
}

/// The manifest in its only spelling.
pub(super) fn encode(manifest: &Manifest) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Files(manifest))
}

/// Refuses paths that are not canonical, not ascending, or twice there.
pub(super) fn decode(json: &[u8]) -> serde_json::Result<Manifest> {
    serde_json::from_slice::<Decoded>(json).map(|decoded| decoded.0)
}

struct Files<'a>(&'a Manifest);

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.len()))?;
        for (path, entry) in self.0.iter() {
            let Entry {
                digest,
                size_bytes,
                mode,
                mtime_us,
            } = *entry;
            map.serialize_entry(
                path.as_str(),
                &File {
                    sha256: digest,
                    size_bytes,
                    mode,
                    mtime_us,
                },
            )?;
        }
        map.end()
    }
}

struct Decoded(Manifest);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(FilesVisitor).map(Decoded)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Manifest;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of paths and files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Manifest, A::Error> {
        let mut files: Vec<(ResourcePath, Entry)> = Vec::new();
        while let Some((path, file)) = map.next_entry::<String, File>()? {
            let path = ResourcePath::parse(&path).map_err(A::Error::custom)?;
            if files.last().is_some_and(|(last, _)| *last >= path) {
                return Err(A::Error::custom(format!(
                    "{path:?} is twice there or out of order"
                )));
            }
            let File {
                sha256,
                size_bytes,
                mode,
                mtime_us,
            } = file;
            files.push((
                path,
                Entry {
                    digest: sha256,
                    size_bytes,
                    mode,
                    mtime_us,
                },
            ));
        }
        Ok(files.into_iter().collect())
    }
}
