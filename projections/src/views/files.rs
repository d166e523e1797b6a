//! The resource directory: one row per path, naming the content by its digest.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "files",
    version: 1,
    columns: &[Column::linked("tree")],
    fields: &[
        Field::doc("path", Kind::Text),
        Field::doc("digest", Kind::Text),
        Field::doc("size_bytes", Kind::Int),
        Field::doc("mode", Kind::Int),
        Field::doc("modified_at_ms", Kind::Int),
    ],
};

/// A file of the resource directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative to the resource root.
    pub path: String,
    /// sha256 of the content, lowercase hex.
    pub digest: String,
    /// Length of the content.
    pub size_bytes: i64,
    /// Permission bits.
    pub mode: u32,
    /// Modification time; milliseconds since the epoch.
    pub modified_at_ms: i64,
}

/// The part of a path that trees are removed by: `blueprints/<tenant>/<id>`, `plugins/<id>`.
///
/// A prefix to be removed must reach at least that deep.
pub fn tree(path: &str) -> &str {
    let depth = match path.split('/').next() {
        Some("blueprints" | "uploaded-blueprints" | "deployments") => 3,
        _ => 2,
    };
    path.match_indices('/')
        .nth(depth - 1)
        .map_or(path, |(at, _)| path.get(..at).unwrap_or(path))
}

impl Resource for File {
    const VIEW: View = View::Files;

    fn key(&self) -> String {
        self.path.clone()
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::from(tree(&self.path))]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::FilesStored(e) => {
            for file in &e.files {
                needs.key(View::Files, &file.path);
            }
        }
        Event::FilesRemoved(e) => {
            for path in &e.paths {
                needs.key(View::Files, path);
            }
            for prefix in &e.prefixes {
                needs.link(View::Files, "tree", tree(prefix));
            }
        }
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::FilesStored(e) => {
            for file in &e.files {
                rows.put(&File {
                    path: file.path.clone(),
                    digest: hex::encode(&file.digest),
                    size_bytes: file.size_bytes,
                    mode: file.mode,
                    modified_at_ms: file.modified_at_ms,
                })?;
            }
        }
        Event::FilesRemoved(e) => {
            for path in &e.paths {
                rows.remove(View::Files, path);
            }
            for prefix in &e.prefixes {
                for key in rows.find(View::Files, "tree", tree(prefix)) {
                    if key.starts_with(prefix.as_str()) {
                        rows.remove(View::Files, &key);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}
