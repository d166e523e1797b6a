//! Where the permissions of roles differ from those the manager came with.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "permissions",
    version: 1,
    columns: &[],
    fields: &[
        Field::doc("role", Kind::Text),
        Field::doc("permission", Kind::Text),
        Field::doc("is_held", Kind::Bool),
    ],
};

/// A role was given a permission, or lost it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PermissionChange {
    /// The role.
    pub role: String,
    /// The permission.
    pub permission: String,
    /// Whether the role holds it.
    pub is_held: bool,
}

impl Resource for PermissionChange {
    const VIEW: View = View::Permissions;

    fn key(&self) -> String {
        key(&self.role, &self.permission)
    }

    fn columns(&self) -> Vec<Col> {
        Vec::new()
    }
}

/// Key of a role's permission.
pub fn key(role: &str, permission: &str) -> String {
    format!("{role}/{permission}")
}

fn change(event: &Event) -> Option<PermissionChange> {
    let (role, permission, is_held) = match event {
        Event::PermissionGranted(e) => (&e.role, &e.permission, true),
        Event::PermissionRevoked(e) => (&e.role, &e.permission, false),
        _ => return None,
    };
    Some(PermissionChange {
        role: role.clone(),
        permission: permission.clone(),
        is_held,
    })
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some(change) = change(event) {
        needs.key(View::Permissions, change.key());
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match change(event) {
        Some(change) => rows.put(&change),
        None => Ok(()),
    }
}
