//! Users and tenants as clients see them: what they are members of is joined on reading.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    ListQuery, Scope, View as ViewName,
    views::{tenants::Tenant, users::User},
};

use crate::{auth::Directory, clock, error::Error, store::View};

/// What documents of users are made with: who is a member of what, at the moment looked at.
#[derive(Debug)]
pub(crate) struct Memberships {
    by_user: BTreeMap<String, BTreeMap<String, String>>,
}

impl Memberships {
    /// Reads them.
    pub(crate) async fn read(view: &View) -> Result<Self, Error> {
        let mut by_user: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let all = ListQuery::all(ViewName::Tenants, Scope::Everything);
        for tenant in view.select_as::<Tenant>(&all).await? {
            for (user, role) in tenant.users {
                let tenants = by_user.entry(user).or_default();
                tenants.insert(tenant.name.clone(), role);
            }
        }
        Ok(Self { by_user })
    }

    /// A user, with lists in place of counts where `get_data` says so.
    pub(crate) fn user(&self, directory: &Directory, user: &User, shown: Shown) -> Value {
        let none = BTreeMap::new();
        let direct = self.by_user.get(&user.username).unwrap_or(&none);
        let (groups, tenants, tenant_roles) = match shown.get_data {
            false => (json!(0), json!(direct.len()), Value::Null),
            true => (
                json!([]),
                members(direct),
                json!({"direct": direct, "groups": {}}),
            ),
        };
        let is_locked = directory.load().is_locked(user, clock::now_ms());
        let mut document = json!({
            "username": user.username,
            "role": user.role,
            "active": user.active,
            "created_at": user.created_at,
            "first_login_at": user.first_login_at,
            "last_login_at": user.last_login_at,
            "is_locked": is_locked,
            "show_getting_started": user.show_getting_started,
            "group_system_roles": {},
            "groups": groups,
            "tenants": tenants,
            "tenant_roles": tenant_roles,
        });
        if shown.hash {
            document["password_hash"] = json!(user.secret.password_hash);
        }
        document
    }
}

/// How much of a user is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// Lists in place of counts.
    pub(crate) get_data: bool,
    /// What is kept of the password.
    pub(crate) hash: bool,
}

/// Name to direct role and all roles.
fn members(roles: &BTreeMap<String, String>) -> Value {
    let member = |(name, role): (&String, &String)| {
        (name.clone(), json!({"tenant-role": role, "roles": [role]}))
    };
    Value::Object(roles.iter().map(member).collect::<Map<_, _>>())
}

/// A tenant; the account on the broker only for those who may know it.
pub(crate) fn tenant(tenant: &Tenant, get_data: bool, broker_password: Option<&str>) -> Value {
    let (groups, users, user_roles) = match get_data {
        false => (json!(0), json!(tenant.users.len()), Value::Null),
        true => (
            json!({}),
            members(&tenant.users),
            json!({"direct": tenant.users, "groups": {}}),
        ),
    };
    let known = broker_password.is_some();
    json!({
        "name": tenant.name,
        "groups": groups,
        "users": users,
        "user_roles": user_roles,
        "rabbitmq_username": known.then_some(&tenant.rabbitmq_username),
        "rabbitmq_password": broker_password,
        "rabbitmq_vhost": known.then_some(&tenant.rabbitmq_vhost),
    })
}
