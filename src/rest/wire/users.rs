//! Users, their groups, and tenants as clients see them: what they are members of is joined on
//! reading.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use stratalog_projections::{
    ListQuery, Scope, View as ViewName,
    views::{tenants::Tenant, user_groups::UserGroup, users::User},
};

use crate::{auth::Directory, clock, error::Error, store::View};

/// What documents are made with: who is a member of what, at the moment looked at.
#[derive(Debug)]
pub(crate) struct Memberships {
    tenants: Vec<Tenant>,
    groups: Vec<UserGroup>,
}

/// What somebody is in a tenant, or what a tenant has of somebody: the role of their own, and all
/// roles.
#[derive(Debug, Default)]
struct Member {
    direct: Option<String>,
    roles: BTreeSet<String>,
}

impl Member {
    fn shown(&self) -> Value {
        json!({"tenant-role": self.direct, "roles": self.roles})
    }
}

type Members = BTreeMap<String, Member>;

fn shown(members: &Members) -> Value {
    let shown = members
        .iter()
        .map(|(name, member)| (name.clone(), member.shown()));
    Value::Object(shown.collect::<Map<_, _>>())
}

fn enter(members: &mut Members, name: &str, role: &str, is_direct: bool) {
    let member = members.entry(name.to_owned()).or_default();
    member.roles.insert(role.to_owned());
    if is_direct {
        member.direct = Some(role.to_owned());
    }
}

impl Memberships {
    /// Reads them.
    pub(crate) async fn read(view: &View) -> Result<Self, Error> {
        let tenants = ListQuery::all(ViewName::Tenants, Scope::Everything);
        let groups = ListQuery::all(ViewName::UserGroups, Scope::Everything);
        Ok(Self {
            tenants: view.select_as(&tenants).await?,
            groups: view.select_as(&groups).await?,
        })
    }

    fn groups_of<'m>(&'m self, username: &'m str) -> impl Iterator<Item = &'m UserGroup> {
        self.groups
            .iter()
            .filter(|group| group.users.contains(username))
    }

    /// The tenants of a user.
    fn tenants_of(&self, username: &str) -> Members {
        let mut members = Members::new();
        for tenant in &self.tenants {
            if let Some(role) = tenant.users.get(username) {
                enter(&mut members, &tenant.name, role, true);
            }
            for group in self.groups_of(username) {
                if let Some(role) = tenant.groups.get(&group.name) {
                    enter(&mut members, &tenant.name, role, false);
                }
            }
        }
        members
    }

    /// Which of the user's roles in tenants come from whom.
    fn tenant_roles(&self, username: &str) -> Value {
        let mut direct = BTreeMap::new();
        let mut through: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        for tenant in &self.tenants {
            if let Some(role) = tenant.users.get(username) {
                direct.insert(&tenant.name, role);
            }
            for group in self.groups_of(username) {
                if let Some(role) = tenant.groups.get(&group.name) {
                    let roles = through.entry(&tenant.name).or_default();
                    roles.entry(role).or_default().push(&group.name);
                }
            }
        }
        json!({"direct": direct, "groups": through})
    }

    /// A user, with lists in place of counts where `get_data` says so.
    pub(crate) fn user(&self, directory: &Directory, user: &User, shown_as: Shown) -> Value {
        let name = user.username.as_str();
        let all = self.tenants_of(name);
        let names: Vec<&str> = self
            .groups_of(name)
            .map(|group| group.name.as_str())
            .collect();
        let mut system_roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for group in self.groups_of(name) {
            system_roles
                .entry(&group.role)
                .or_default()
                .push(&group.name);
        }
        let (groups, tenants, tenant_roles) = match shown_as.get_data {
            false => (json!(names.len()), json!(all.len()), Value::Null),
            true => (json!(names), shown(&all), self.tenant_roles(name)),
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
            "group_system_roles": system_roles,
            "groups": groups,
            "tenants": tenants,
            "tenant_roles": tenant_roles,
        });
        if shown_as.hash {
            document["password_hash"] = json!(user.secret.password_hash);
        }
        document
    }

    /// A group of users.
    pub(crate) fn group(&self, group: &UserGroup, get_data: bool) -> Value {
        let member = |tenant: &Tenant| {
            let role = tenant.groups.get(&group.name)?;
            Some((tenant.name.clone(), role.clone()))
        };
        let tenants: BTreeMap<String, String> = self.tenants.iter().filter_map(member).collect();
        let (tenants, users) = match get_data {
            false => (json!(tenants.len()), json!(group.users.len())),
            true => (json!(tenants), json!(group.users)),
        };
        json!({
            "name": group.name,
            "ldap_dn": group.ldap_dn,
            "role": group.role,
            "tenants": tenants,
            "users": users,
        })
    }

    /// A tenant; the account on the broker only for those who may know it.
    pub(crate) fn tenant(
        &self,
        tenant: &Tenant,
        get_data: bool,
        broker_password: Option<&str>,
    ) -> Value {
        let mut members = Members::new();
        for (user, role) in &tenant.users {
            enter(&mut members, user, role, true);
        }
        let mut groups = Map::new();
        for group in &self.groups {
            let Some(role) = tenant.groups.get(&group.name) else {
                continue;
            };
            for user in &group.users {
                enter(&mut members, user, role, false);
            }
            groups.insert(
                group.name.clone(),
                json!({"role": role, "users": group.users}),
            );
        }
        let (groups, users, user_roles) = match get_data {
            false => (
                json!(tenant.groups.len()),
                json!(members.len()),
                Value::Null,
            ),
            true => (
                json!(tenant.groups),
                shown(&members),
                json!({"direct": tenant.users, "groups": groups}),
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
}

/// How much of a user is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// Lists in place of counts.
    pub(crate) get_data: bool,
    /// What is kept of the password.
    pub(crate) hash: bool,
}
