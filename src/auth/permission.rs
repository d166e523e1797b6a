//! What roles may do: the permission table as data, and what was changed of it.
//!
//! Each permission names the roles that hold it. Permissions the server itself checks are variants
//! of [`Permission`]; those only the console asks about are texts in `console`.
use std::collections::BTreeMap;

use stratalog_projections::views::permissions::PermissionChange;

use super::role::{Role, RoleSet};

mod console;
mod server;
#[cfg(test)]
mod tests;

pub use server::Permission;

/// Everyone who is logged in.
const EVERYBODY: RoleSet = RoleSet::of("AMUOVD");
/// Everyone but the operations role.
const ALL_BUT_OPERATIONS: RoleSet = RoleSet::of("AMUVD");
/// Every role within a tenant.
const MEMBERS: RoleSet = RoleSet::of("AMUOV");
/// Those who deploy and run.
const OPERATORS: RoleSet = RoleSet::of("AMUO");
/// Those who also keep blueprints, plugins and secrets.
const USERS: RoleSet = RoleSet::of("AMU");
/// Those who manage a tenant.
const MANAGERS: RoleSet = RoleSet::of("AM");
/// Those who manage the manager.
const ADMINS: RoleSet = RoleSet::of("A");

/// The table as it holds at a moment: what the manager came with, and what was changed since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Roles of the permissions that were changed; names of others may be among them.
    changed: BTreeMap<String, RoleSet>,
}

impl Table {
    /// The table with these changes.
    pub fn of(changes: &[PermissionChange]) -> Self {
        let mut table = Self::default();
        for change in changes {
            table.change(change);
        }
        table
    }

    /// Takes in a change.
    pub fn change(&mut self, change: &PermissionChange) {
        // roles that are none hold nothing
        let Some(role) = Role::by_name(&change.role) else {
            return;
        };
        let before = self.named(&change.permission);
        let one = RoleSet::one(role);
        let roles = match change.is_held {
            true => before.and(one),
            false => before.without(one),
        };
        self.changed.insert(change.permission.clone(), roles);
    }

    /// The roles that hold a permission.
    pub fn roles(&self, permission: Permission) -> RoleSet {
        // hardly any table was ever changed
        if self.changed.is_empty() {
            return permission.roles();
        }
        let changed = self.changed.get(permission.wire());
        changed.copied().unwrap_or_else(|| permission.roles())
    }

    /// The roles that hold the permission of that name.
    pub fn named(&self, name: &str) -> RoleSet {
        if let Some(roles) = self.changed.get(name) {
            return *roles;
        }
        let known = given().find(|(known, _)| *known == name);
        known.map_or_else(RoleSet::default, |(_, roles)| roles)
    }

    /// Differs between tables that differ.
    pub fn fingerprint(&self) -> String {
        match self.changed.is_empty() {
            true => String::new(),
            false => format!("{:?}", self.changed),
        }
    }

    /// All permissions with the roles that hold them, as `GET config` and `GET permissions` list
    /// them; those that somebody made up come last.
    pub fn all(&self) -> Vec<(&str, RoleSet)> {
        let mut all: Vec<(&str, RoleSet)> = given()
            .map(|(name, roles)| (name, self.changed.get(name).copied().unwrap_or(roles)))
            .collect();
        let made_up = self.changed.iter().filter(|(name, _)| {
            let name = name.as_str();
            !given().any(|(known, _)| known == name)
        });
        all.extend(made_up.map(|(name, roles)| (name.as_str(), *roles)));
        all
    }
}

/// The permissions that the manager comes with.
fn given() -> impl Iterator<Item = (&'static str, RoleSet)> {
    let server = Permission::ALL.iter().map(|p| (p.wire(), p.roles()));
    let console = console::TABLE
        .iter()
        .flat_map(|(roles, names)| names.iter().map(|name| (*name, *roles)));
    server.chain(console)
}
