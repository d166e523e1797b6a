//! Groups of deployments. Which deployments are in them stands in a view of its own: readers append
//! it to the document.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{DeploymentGroupChanged, DeploymentGroupCreated},
    time::wire,
};

use super::{Json, Label, blueprints::set, json, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "deployment_groups",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("default_blueprint_id", Kind::Text),
        Column::plain("labels", Kind::Texts),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::doc("description", Kind::Text),
            Field::doc("default_inputs", Kind::Json),
            Field::doc("creation_counter", Kind::Int),
            Field::col("default_blueprint_id", Kind::Text, "default_blueprint_id"),
            Field::doc("labels", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
            Field::doc("deployment_ids", Kind::Json),
        ]
    },
};

owned_doc! {
    /// A group of deployments.
    pub struct DeploymentGroup {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// What it is for.
        pub description: Option<String>,
        /// Inputs of deployments that are created in it.
        pub default_inputs: Option<Json>,
        /// How many were created in it.
        pub creation_counter: i64,
        /// Blueprint of deployments that are created in it.
        pub default_blueprint_id: Option<String>,
        /// Labels that its deployments have, too.
        pub labels: Vec<Label>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a group is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl DeploymentGroup {
    /// The group an event creates.
    ///
    /// # Errors
    /// `EventDocument` for inputs that are no JSON.
    pub fn created(e: &DeploymentGroupCreated) -> Result<Self, Error> {
        let scope = scope(e.scope.as_ref());
        let mut group = Self {
            created_at: wire(e.created_at_ms),
            id: e.id.clone(),
            description: e.description.clone(),
            default_inputs: json(&e.default_inputs_json)?,
            creation_counter: e.creation_counter,
            default_blueprint_id: e.default_blueprint_id.clone(),
            labels: Label::all(&e.labels),
            own: Own {
                created_at_ms: e.created_at_ms,
            },
            visibility: String::new(),
            tenant_name: scope.tenant,
            created_by: scope.created_by,
            resource_availability: String::new(),
            private_resource: false,
        };
        group.set_visibility(&scope.visibility);
        Ok(group)
    }

    /// The group after a change.
    ///
    /// # Errors
    /// `EventDocument` for inputs that are no JSON.
    pub fn change(&mut self, e: &DeploymentGroupChanged) -> Result<(), Error> {
        set(&mut self.description, &e.description);
        set(&mut self.default_blueprint_id, &e.default_blueprint_id);
        if let Some(inputs) = &e.default_inputs_json {
            self.default_inputs = json(inputs)?;
        }
        if let Some(labels) = &e.labels {
            self.labels = Label::all(&labels.labels);
        }
        self.creation_counter = e.creation_counter.unwrap_or(self.creation_counter);
        if let Some(visibility) = &e.visibility {
            self.set_visibility(visibility);
        }
        Ok(())
    }
}

impl Resource for DeploymentGroup {
    const VIEW: View = View::DeploymentGroups;

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
            Col::from(&self.default_blueprint_id),
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
    let key = match event {
        Event::DeploymentGroupCreated(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.id),
        Event::DeploymentGroupChanged(e) => scoped(&e.tenant, &e.id),
        Event::DeploymentGroupDeleted(e) => scoped(&e.tenant, &e.id),
        _ => return,
    };
    needs.key(View::DeploymentGroups, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::DeploymentGroupCreated(e) => rows.put(&DeploymentGroup::created(e)?),
        Event::DeploymentGroupChanged(e) => {
            let mut group: DeploymentGroup = rows.expect(&scoped(&e.tenant, &e.id))?;
            group.change(e)?;
            rows.put(&group)
        }
        Event::DeploymentGroupDeleted(e) => {
            rows.remove(View::DeploymentGroups, &scoped(&e.tenant, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}
