//! Updates of plugins: how the deployments of a blueprint came to other versions of its plugins.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::PluginsUpdateStarted, time::wire};

use super::{Json, json, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "plugins_updates",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("state", Kind::Text),
        Column::linked("blueprint_id"),
        Column::linked("execution_id"),
        Column::plain("forced", Kind::Bool),
        Column::plain("all_tenants", Kind::Bool),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("state", Kind::Text, "state"),
            Field::doc("deployments_to_update", Kind::Json),
            Field::doc("deployments_per_tenant", Kind::Json),
            Field::col("forced", Kind::Bool, "forced"),
            Field::col("all_tenants", Kind::Bool, "all_tenants"),
            Field::col("blueprint_id", Kind::Text, "blueprint_id"),
            Field::doc("temp_blueprint_id", Kind::Text),
            Field::col("execution_id", Kind::Text, "execution_id"),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// An update of plugins.
    pub struct PluginsUpdate {
        /// Its start.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// `updating`, `successful`, `failed` or `no_changes_required`.
        pub state: String,
        /// Deployments of its tenant that it updates.
        pub deployments_to_update: Option<Vec<String>>,
        /// Deployments that it updates, by tenant.
        pub deployments_per_tenant: Option<Json>,
        /// Whether other updates that went on were passed over.
        pub forced: bool,
        /// Whether deployments of all tenants are updated.
        pub all_tenants: bool,
        /// The blueprint.
        pub blueprint_id: String,
        /// The blueprint with the new plugins, while there is one.
        pub temp_blueprint_id: Option<String>,
        /// The execution behind it.
        pub execution_id: Option<String>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of an update is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Its start; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl Resource for PluginsUpdate {
    const VIEW: View = View::PluginsUpdates;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.state.as_str()),
            Col::from(self.blueprint_id.as_str()),
            Col::from(&self.execution_id),
            Col::Bool(Some(self.forced)),
            Col::Bool(Some(self.all_tenants)),
        ]
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
    let key = match event {
        Event::PluginsUpdateStarted(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.id),
        Event::PluginsUpdateEnded(e) => scoped(&e.tenant, &e.id),
        _ => return,
    };
    needs.key(View::PluginsUpdates, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::PluginsUpdateStarted(e) => rows.put(&started(e)?),
        Event::PluginsUpdateEnded(e) => {
            let mut update: PluginsUpdate = rows.expect(&scoped(&e.tenant, &e.id))?;
            update.state.clone_from(&e.state);
            if !e.keeps_temp_blueprint {
                update.temp_blueprint_id = None;
            }
            rows.put(&update)
        }
        _ => Ok(()),
    }
}

fn started(e: &PluginsUpdateStarted) -> Result<PluginsUpdate, Error> {
    let scope = scope(e.scope.as_ref());
    let mut update = PluginsUpdate {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        state: e.state.clone(),
        deployments_to_update: (!e.all_tenants).then(|| e.deployments_to_update.clone()),
        deployments_per_tenant: json(&e.deployments_per_tenant_json)?,
        forced: e.forced,
        all_tenants: e.all_tenants,
        blueprint_id: e.blueprint_id.clone(),
        temp_blueprint_id: e.temp_blueprint_id.clone(),
        execution_id: e.execution_id.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    update.set_visibility(&scope.visibility);
    Ok(update)
}
