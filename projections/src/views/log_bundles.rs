//! Bundles for support.
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
    name: "log_bundles",
    version: 1,
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
    /// A bundle for support.
    pub struct LogBundle {
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
        pub own: Own,
    }
}

/// What of a bundle is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// The execution that makes it.
    pub execution_id: Option<String>,
    /// Size of the archive.
    pub size_bytes: Option<i64>,
    /// Digest of the archive, lowercase hex.
    pub archive_digest: Option<String>,
}

impl Resource for LogBundle {
    const VIEW: View = View::LogBundles;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::Int(Some(self.own.created_at_ms))]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let (tenant, id) = match event {
        Event::LogBundleCreated(e) => (scope(e.scope.as_ref()).tenant, &e.id),
        Event::LogBundleStatusChanged(e) => (e.tenant.clone(), &e.id),
        Event::LogBundleDeleted(e) => (e.tenant.clone(), &e.id),
        _ => return,
    };
    needs.key(View::LogBundles, scoped(&tenant, id));
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::LogBundleCreated(e) => {
            let scope = scope(e.scope.as_ref());
            let mut bundle = LogBundle {
                created_at: wire(e.created_at_ms),
                id: e.id.clone(),
                status: e.status.clone(),
                error: Some(String::new()),
                own: Own {
                    created_at_ms: e.created_at_ms,
                    execution_id: e.execution_id.clone(),
                    ..Own::default()
                },
                visibility: String::new(),
                tenant_name: scope.tenant,
                created_by: scope.created_by,
                resource_availability: String::new(),
                private_resource: false,
            };
            bundle.set_visibility(&scope.visibility);
            rows.put(&bundle)
        }
        Event::LogBundleStatusChanged(e) => {
            let mut bundle: LogBundle = rows.expect(&scoped(&e.tenant, &e.id))?;
            bundle.status.clone_from(&e.status);
            bundle.error = Some(e.error.clone().unwrap_or_default());
            if let Some(digest) = &e.archive_digest {
                bundle.own.archive_digest = Some(hex::encode(digest));
                bundle.own.size_bytes = e.size_bytes;
            }
            rows.put(&bundle)
        }
        Event::LogBundleDeleted(e) => {
            rows.remove(View::LogBundles, &scoped(&e.tenant, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}
