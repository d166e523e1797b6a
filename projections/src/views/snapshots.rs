//! Snapshots and where in the log they were taken.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use super::{scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "snapshots",
    version: 2,
    columns: &[Column::plain("created_at", Kind::Int)],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::doc("id", Kind::Text),
            Field::doc("status", Kind::Text),
            Field::doc("error", Kind::Text),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A snapshot.
    pub struct Snapshot {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// `creating`, `created`, `failed` or `uploaded`.
        pub status: String,
        /// Why it failed.
        pub error: Option<String>,
        /// What is not served.
        #[serde(skip)]
        pub taken: Taken,
    }
}

/// Where a snapshot was taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Taken {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// The execution that makes it.
    pub execution_id: Option<String>,
    /// Log position it was taken at.
    pub position: Option<i64>,
    /// Digest of the resource directory at that position, lowercase hex.
    pub manifest_digest: Option<String>,
    /// Size of the archive.
    pub size_bytes: Option<i64>,
    /// Digest of the archive, lowercase hex.
    pub archive_digest: Option<String>,
}

impl Resource for Snapshot {
    const VIEW: View = View::Snapshots;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::Int(Some(self.taken.created_at_ms))]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.taken).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.taken = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let (tenant, id) = match event {
        Event::SnapshotCreated(e) => (scope(e.scope.as_ref()).tenant, &e.id),
        Event::SnapshotStatusChanged(e) => (e.tenant.clone(), &e.id),
        Event::SnapshotDeleted(e) => (e.tenant.clone(), &e.id),
        _ => return,
    };
    needs.key(View::Snapshots, scoped(&tenant, id));
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::SnapshotCreated(e) => {
            let scope = scope(e.scope.as_ref());
            let mut snapshot = Snapshot {
                created_at: wire(e.created_at_ms),
                id: e.id.clone(),
                status: e.status.clone(),
                error: Some(String::new()),
                taken: Taken {
                    created_at_ms: e.created_at_ms,
                    execution_id: e.execution_id.clone(),
                    size_bytes: e.size_bytes,
                    archive_digest: e.archive_digest.as_ref().map(hex::encode),
                    ..Taken::default()
                },
                visibility: String::new(),
                tenant_name: scope.tenant,
                created_by: scope.created_by,
                resource_availability: String::new(),
                private_resource: false,
            };
            snapshot.set_visibility(&scope.visibility);
            rows.put(&snapshot)
        }
        Event::SnapshotStatusChanged(e) => {
            let mut snapshot: Snapshot = rows.expect(&scoped(&e.tenant, &e.id))?;
            snapshot.status.clone_from(&e.status);
            snapshot.error = Some(e.error.clone().unwrap_or_default());
            if e.position.is_some() {
                snapshot.taken.position = e.position;
                snapshot.taken.manifest_digest = e.manifest_digest.as_ref().map(hex::encode);
            }
            if let Some(digest) = &e.archive_digest {
                snapshot.taken.archive_digest = Some(hex::encode(digest));
                snapshot.taken.size_bytes = e.size_bytes;
            }
            rows.put(&snapshot)
        }
        Event::SnapshotDeleted(e) => {
            rows.remove(View::Snapshots, &scoped(&e.tenant, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}
