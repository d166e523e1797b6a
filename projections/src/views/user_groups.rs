//! Groups of users. What a group is in a tenant is told by the tenant; how a group looks on the
//! wire is composed by the REST layer.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "user_groups",
    version: 1,
    columns: &[],
    fields: &[
        Field::doc("name", Kind::Text),
        Field::doc("ldap_dn", Kind::Text),
        Field::doc("role", Kind::Text),
        Field::doc("tenants", Kind::Json),
        Field::doc("users", Kind::Json),
    ],
};

/// A group of users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserGroup {
    /// Its name.
    pub name: String,
    /// Its name in a directory service.
    pub ldap_dn: Option<String>,
    /// System role of everybody in it.
    pub role: String,
    /// Names of those in it.
    pub users: BTreeSet<String>,
}

impl Resource for UserGroup {
    const VIEW: View = View::UserGroups;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn columns(&self) -> Vec<Col> {
        Vec::new()
    }
}

fn name(event: &Event) -> Option<&str> {
    match event {
        Event::UserGroupCreated(e) => Some(&e.name),
        Event::UserGroupRoleChanged(e) => Some(&e.name),
        Event::UserGroupDeleted(e) => Some(&e.name),
        Event::UserGroupUserAdded(e) => Some(&e.group),
        Event::UserGroupUserRemoved(e) => Some(&e.group),
        _ => None,
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some(name) = name(event) {
        needs.key(View::UserGroups, name);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Some(name) = name(event) else {
        return Ok(());
    };
    if let Event::UserGroupCreated(e) = event {
        return rows.put(&UserGroup {
            name: e.name.clone(),
            ldap_dn: e.ldap_dn.clone(),
            role: e.role.clone(),
            users: BTreeSet::new(),
        });
    }
    if let Event::UserGroupDeleted(_) = event {
        rows.remove(View::UserGroups, name);
        return Ok(());
    }
    let mut group: UserGroup = rows.expect(name)?;
    match event {
        Event::UserGroupRoleChanged(e) => group.role.clone_from(&e.role),
        Event::UserGroupUserAdded(e) => {
            group.users.insert(e.username.clone());
        }
        Event::UserGroupUserRemoved(e) => {
            group.users.remove(&e.username);
        }
        _ => {}
    }
    rows.put(&group)
}
