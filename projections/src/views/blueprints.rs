//! Blueprints. The execution that uploaded one is named here and joined on reading.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::BlueprintChanged, time::wire};

use super::{Json, Label, json, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "blueprints",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::sorted("updated_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("state", Kind::Text),
        Column::plain("is_hidden", Kind::Bool),
        Column::plain("labels", Kind::Texts),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::doc("main_file_name", Kind::Text),
            Field::doc("plan_p", Kind::Json),
            Field::doc("plan", Kind::Json),
            Field::doc("requirements", Kind::Json),
            Field::col("updated_at", Kind::Int, "updated_at"),
            Field::doc("description", Kind::Text),
            Field::col("is_hidden", Kind::Bool, "is_hidden"),
            Field::col("state", Kind::Text, "state"),
            Field::doc("error", Kind::Text),
            Field::doc("error_traceback", Kind::Text),
            Field::doc("labels", Kind::Json),
            Field::doc("upload_execution", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A blueprint.
    pub struct Blueprint {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// Path of the main file within the archive.
        pub main_file_name: Option<String>,
        /// Always null.
        pub plan_p: Null,
        /// The plan, once parsed.
        pub plan: Option<Json>,
        /// What deployments of it need.
        pub requirements: Option<Json>,
        /// Latest change.
        pub updated_at: Option<String>,
        /// Its description.
        pub description: Option<String>,
        /// Whether lists leave it out.
        pub is_hidden: bool,
        /// Where its upload stands.
        pub state: String,
        /// Why the upload failed.
        pub error: Option<String>,
        /// Details of the failure.
        pub error_traceback: Option<String>,
        /// Its labels.
        pub labels: Vec<Label>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a blueprint is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Latest change; milliseconds since the epoch.
    pub updated_at_ms: Option<i64>,
    /// The execution that uploads it.
    pub upload_execution: Option<String>,
}

impl Resource for Blueprint {
    const VIEW: View = View::Blueprints;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(self.own.updated_at_ms),
            Col::from(self.id.as_str()),
            Col::from(self.state.as_str()),
            Col::Bool(Some(self.is_hidden)),
            Col::Texts(Label::column(&self.labels)),
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
    let (tenant, id) = match event {
        Event::BlueprintCreated(e) => (scope(e.scope.as_ref()).tenant, &e.id),
        Event::BlueprintChanged(e) => (e.tenant.clone(), &e.id),
        Event::BlueprintDeleted(e) => (e.tenant.clone(), &e.id),
        _ => return,
    };
    needs.key(View::Blueprints, scoped(&tenant, id));
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::BlueprintCreated(e) => {
            let scope = scope(e.scope.as_ref());
            let mut blueprint = Blueprint {
                created_at: wire(e.created_at_ms),
                id: e.id.clone(),
                main_file_name: e.main_file_name.clone(),
                plan_p: (),
                plan: None,
                requirements: None,
                updated_at: Some(wire(e.created_at_ms)),
                description: None,
                is_hidden: e.is_hidden,
                state: e.state.clone(),
                error: None,
                error_traceback: None,
                labels: Label::all(&e.labels),
                own: Own {
                    created_at_ms: e.created_at_ms,
                    updated_at_ms: Some(e.created_at_ms),
                    upload_execution: e.upload_execution.clone(),
                },
                visibility: String::new(),
                tenant_name: scope.tenant,
                created_by: scope.created_by,
                resource_availability: String::new(),
                private_resource: false,
            };
            blueprint.set_visibility(&scope.visibility);
            rows.put(&blueprint)
        }
        Event::BlueprintChanged(e) => {
            let mut blueprint: Blueprint = rows.expect(&scoped(&e.tenant, &e.id))?;
            change(&mut blueprint, e)?;
            rows.put(&blueprint)
        }
        Event::BlueprintDeleted(e) => {
            rows.remove(View::Blueprints, &scoped(&e.tenant, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn change(blueprint: &mut Blueprint, e: &BlueprintChanged) -> Result<(), Error> {
    if let Some(state) = &e.state {
        blueprint.state.clone_from(state);
        blueprint.error.clone_from(&e.error);
        blueprint.error_traceback.clone_from(&e.error_traceback);
    }
    if let Some(plan) = &e.plan_json {
        blueprint.plan = json(plan)?;
    }
    if let Some(requirements) = &e.requirements_json {
        blueprint.requirements = json(requirements)?;
    }
    set(&mut blueprint.main_file_name, &e.main_file_name);
    set(&mut blueprint.description, &e.description);
    set(&mut blueprint.own.upload_execution, &e.upload_execution);
    if let Some(visibility) = &e.visibility {
        blueprint.set_visibility(visibility);
    }
    if let Some(created_by) = &e.created_by {
        blueprint.created_by.clone_from(created_by);
    }
    if let Some(labels) = &e.labels {
        blueprint.labels = Label::all(&labels.labels);
    }
    if let Some(is_hidden) = e.is_hidden {
        blueprint.is_hidden = is_hidden;
    }
    if let Some(created_at_ms) = e.created_at_ms {
        blueprint.created_at = wire(created_at_ms);
        blueprint.own.created_at_ms = created_at_ms;
    }
    blueprint.updated_at = Some(wire(e.updated_at_ms));
    blueprint.own.updated_at_ms = Some(e.updated_at_ms);
    Ok(())
}

/// Absent means unchanged.
pub(crate) fn set<T: Clone>(field: &mut Option<T>, change: &Option<T>) {
    if change.is_some() {
        field.clone_from(change);
    }
}
