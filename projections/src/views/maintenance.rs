//! Whether the manager is in maintenance: one row, once there was any.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "maintenance",
    version: 1,
    columns: &[],
    fields: &[
        Field::doc("status", Kind::Text),
        Field::doc("activated_at", Kind::Text),
        Field::doc("activation_requested_at", Kind::Text),
        Field::doc("remaining_executions", Kind::Json),
        Field::doc("requested_by", Kind::Text),
    ],
};

/// Key of the only row.
pub const KEY: &str = "maintenance";

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is none.
    #[default]
    Deactivated,
    /// It begins when nothing runs any more.
    Activating,
    /// It has begun.
    Activated,
}

/// The maintenance of the manager. Times are empty texts where there are none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Maintenance {
    /// How far it is.
    pub status: Status,
    /// When it began.
    pub activated_at: String,
    /// When it was asked for.
    pub activation_requested_at: String,
    /// Who asked for it.
    pub requested_by: String,
}

impl Resource for Maintenance {
    const VIEW: View = View::Maintenance;

    fn key(&self) -> String {
        KEY.to_owned()
    }

    fn columns(&self) -> Vec<Col> {
        Vec::new()
    }
}

fn concerns(event: &Event) -> bool {
    matches!(
        event,
        Event::MaintenanceRequested(_)
            | Event::MaintenanceActivated(_)
            | Event::MaintenanceDeactivated(_)
    )
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if concerns(event) {
        needs.key(View::Maintenance, KEY);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    if !concerns(event) {
        return Ok(());
    }
    let before: Maintenance = rows.get(KEY)?.unwrap_or_default();
    rows.put(&match event {
        Event::MaintenanceRequested(e) => Maintenance {
            status: Status::Activating,
            activated_at: String::new(),
            activation_requested_at: wire(e.at_ms),
            requested_by: e.requested_by.clone(),
        },
        Event::MaintenanceActivated(e) => Maintenance {
            status: Status::Activated,
            activated_at: wire(e.at_ms),
            ..before
        },
        _ => Maintenance::default(),
    })
}
