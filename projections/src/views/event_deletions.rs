//! Which execution logs and events of deployments are not shown any more. They stay in the log: as
//! of an earlier moment they are all there.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "event_deletions",
    version: 1,
    columns: &[Column::linked("deployment_id")],
    fields: &[
        Field::doc("id", Kind::Text),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::doc("terms", Kind::Json),
    ],
};

/// What one deletion took from view, of all that was there when its row was born.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventDeletion {
    /// Its id.
    pub id: String,
    /// Tenant of the deployment.
    pub tenant: String,
    /// Whose logs and events.
    pub deployment_id: String,
    /// Names and values of a list's query that shows what is meant.
    pub terms: Vec<(String, String)>,
}

impl Resource for EventDeletion {
    const VIEW: View = View::EventDeletions;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn owner(&self) -> Owner {
        Owner {
            tenant: Some(self.tenant.clone()),
            ..Owner::default()
        }
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::from(self.deployment_id.as_str())]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Event::EventsDeleted(e) = event {
        needs.key(View::EventDeletions, e.id.clone());
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Event::EventsDeleted(e) = event else {
        return Ok(());
    };
    let terms = e.terms.iter();
    let terms = terms.map(|term| (term.name.clone(), term.value.clone()));
    rows.put(&EventDeletion {
        id: e.id.clone(),
        tenant: e.tenant.clone(),
        deployment_id: e.deployment_id.clone(),
        terms: terms.collect(),
    })
}
