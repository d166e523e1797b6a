//! What roles may do: the permission table as data.
//!
//! Each permission names the roles that hold it. Permissions the server itself checks are variants
//! of [`Permission`]; those only the console asks about are texts in `console`.
use super::role::RoleSet;

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

/// All permissions with the roles that hold them, as `GET config` and `GET permissions` list them.
pub fn all() -> impl Iterator<Item = (&'static str, RoleSet)> {
    let server = Permission::ALL.iter().map(|p| (p.wire(), p.roles()));
    let console = console::TABLE
        .iter()
        .flat_map(|(roles, names)| names.iter().map(|name| (*name, *roles)));
    server.chain(console)
}
