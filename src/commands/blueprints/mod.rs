//! Blueprints: upload, the work of the upload workflow, changes, deletion.
mod archive;
mod delete;
mod parse;
mod patch;
mod process;
mod resolver;
mod upload;
mod visibility;

use stratalog_projections::{
    Condition, Connection, ListQuery, Reader, Scope, View,
    views::{blueprints::Blueprint, scoped},
};
use stratalog_schema::{Category, Event, StreamId, events::FilesRemoved};

use crate::{error::Error, store::Decision};

pub use archive::put_archive;
pub use delete::delete;
pub(crate) use delete::deleted;
pub(crate) use parse::parsed_anew;
pub use patch::{PatchBlueprint, patch};
pub use process::process_upload;
pub(crate) use process::unpacked;
pub(crate) use resolver::download;
pub use upload::{UploadBlueprint, upload};
pub use visibility::set_visibility;

/// How the resource is called in messages.
pub(crate) const MODEL: (View, &str) = (View::Blueprints, "Blueprint");

/// The workflow that works an upload out.
pub const UPLOAD_WORKFLOW: &str = "upload_blueprint";

/// States a blueprint can be in.
pub(crate) const STATES: [&str; 12] = [
    "pending",
    "validating",
    "uploading",
    "extracting",
    "parsing",
    "uploaded",
    "failed_uploading",
    "failed_extracting",
    "failed_extracting_to_file_server",
    "failed_parsing",
    "invalid",
    "failed",
];

/// Whether nothing more will come of it.
pub fn is_failed(state: &str) -> bool {
    state.starts_with("failed") || state == "invalid"
}

/// Whether the upload is over, well or not.
pub fn is_end(state: &str) -> bool {
    state == "uploaded" || is_failed(state)
}

pub(crate) fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Blueprint, tenant, id)
}

/// Directory of the unpacked files.
pub(crate) fn tree(tenant: &str, id: &str) -> String {
    format!("blueprints/{tenant}/{id}")
}

/// Directory of the archive as uploaded.
pub(crate) fn uploaded_tree(tenant: &str, id: &str) -> String {
    format!("uploaded-blueprints/{tenant}/{id}")
}

/// Adds the removal of a tree of the resource directory.
pub(crate) fn remove_tree(decision: &mut Decision, tree: &str) {
    decision.event(
        StreamId::global(Category::Files, tree),
        Event::FilesRemoved(FilesRemoved {
            paths: Vec::new(),
            prefixes: vec![format!("{tree}/")],
        }),
    );
}

/// The blueprint of a tenant, whoever asks.
pub(crate) async fn load<C: Connection>(
    view: &Reader<C>,
    tenant: &str,
    id: &str,
) -> Result<Blueprint, Error> {
    let found: Option<Blueprint> = view.get(&scoped(tenant, id)).await?;
    found.ok_or_else(|| Error::not_found(MODEL.1, id))
}

/// Rows of that id that stand in the way of a new one: in the tenant, or global anywhere; all of
/// them when the new one is to be global.
pub(crate) async fn namesakes<C: Connection>(
    view: &Reader<C>,
    of: View,
    (tenant, id): (&str, &str),
    visibility: &str,
) -> Result<Vec<stratalog_projections::StoredRow>, Error> {
    let query = ListQuery::all(of, Scope::Everything)
        .with(Condition::AnyOf("id".to_owned(), vec![id.to_owned()]));
    let mut rows = view.select(&query).await?;
    if visibility != "global" {
        rows.retain(|row| {
            row.owner.tenant.as_deref() == Some(tenant)
                || row.owner.visibility.as_deref() == Some("global")
        });
    }
    Ok(rows)
}
