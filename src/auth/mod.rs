//! Who asks, and what they may do: users, roles, tokens and tenants in memory, credentials,
//! permissions.
//!
//! **Invariant:** nothing here appends to the log. What a login has to leave behind is handed to
//! the caller as a [`Note`], and commands write it down.
mod authenticate;
mod caller;
mod credentials;
pub mod directory;
pub mod password;
pub mod permission;
mod role;
pub mod token;

pub(crate) use authenticate::wrong_credentials;
pub use authenticate::{Authenticator, Carried, Identity, Login, Note};
pub use caller::{Caller, ExecutionRef, Method};
pub use directory::Directory;
pub use permission::Permission;
pub use role::{Role, RoleSet};

/// The user that a fresh manager has; allowed everything, whatever the permission table says.
pub const ADMIN: &str = "admin";
/// The tenant that a fresh manager has.
pub const DEFAULT_TENANT: &str = "default_tenant";
