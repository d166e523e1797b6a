//! Tenants with their members. How a tenant looks on the wire depends on who asks; the REST layer
//! composes it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "tenants",
    version: 2,
    columns: &[],
    fields: &[
        Field::doc("name", Kind::Text),
        Field::doc("groups", Kind::Json),
        Field::doc("users", Kind::Json),
        Field::doc("user_roles", Kind::Json),
        Field::doc("rabbitmq_username", Kind::Text),
        Field::doc("rabbitmq_password", Kind::Json),
        Field::doc("rabbitmq_vhost", Kind::Text),
    ],
};

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// User of its virtual host.
    pub rabbitmq_username: String,
    /// Its virtual host.
    pub rabbitmq_vhost: String,
    /// Members with their roles.
    pub users: BTreeMap<String, String>,
    /// Groups of users that are members, with their roles.
    pub groups: BTreeMap<String, String>,
    /// What is never served as it is.
    #[serde(skip)]
    pub secret: Secret,
}

/// What of a tenant is never served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Secret {
    /// Sealed password of the broker user.
    pub rabbitmq_password_sealed: Vec<u8>,
}

impl Resource for Tenant {
    const VIEW: View = View::Tenants;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn columns(&self) -> Vec<Col> {
        Vec::new()
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.secret).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.secret = serde_json::from_str(hidden)?;
        Ok(())
    }
}

fn name(event: &Event) -> Option<&str> {
    match event {
        Event::TenantCreated(e) => Some(&e.name),
        Event::TenantDeleted(e) => Some(&e.name),
        Event::TenantUserAdded(e) => Some(&e.tenant),
        Event::TenantUserUpdated(e) => Some(&e.tenant),
        Event::TenantUserRemoved(e) => Some(&e.tenant),
        Event::TenantBrokerPasswordSet(e) => Some(&e.name),
        Event::TenantGroupAdded(e) => Some(&e.tenant),
        Event::TenantGroupUpdated(e) => Some(&e.tenant),
        Event::TenantGroupRemoved(e) => Some(&e.tenant),
        _ => None,
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some(name) = name(event) {
        needs.key(View::Tenants, name);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Some(name) = name(event) else {
        return Ok(());
    };
    if let Event::TenantCreated(e) = event {
        return rows.put(&Tenant {
            name: e.name.clone(),
            rabbitmq_username: e.rabbitmq_username.clone(),
            rabbitmq_vhost: e.rabbitmq_vhost.clone(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            secret: Secret {
                rabbitmq_password_sealed: e.rabbitmq_password_sealed.clone(),
            },
        });
    }
    if let Event::TenantDeleted(_) = event {
        rows.remove(View::Tenants, name);
        return Ok(());
    }
    let mut tenant: Tenant = rows.expect(name)?;
    match event {
        Event::TenantUserAdded(e) => {
            tenant.users.insert(e.username.clone(), e.role.clone());
        }
        Event::TenantUserUpdated(e) => {
            tenant.users.insert(e.username.clone(), e.role.clone());
        }
        Event::TenantBrokerPasswordSet(e) => {
            let sealed = &e.rabbitmq_password_sealed;
            tenant.secret.rabbitmq_password_sealed.clone_from(sealed);
        }
        Event::TenantUserRemoved(e) => {
            tenant.users.remove(&e.username);
        }
        Event::TenantGroupAdded(e) => {
            tenant.groups.insert(e.group.clone(), e.role.clone());
        }
        Event::TenantGroupUpdated(e) => {
            tenant.groups.insert(e.group.clone(), e.role.clone());
        }
        Event::TenantGroupRemoved(e) => {
            tenant.groups.remove(&e.group);
        }
        _ => {}
    }
    rows.put(&tenant)
}
