//! Who may have a body looked at: what a route asks of its callers before it reads any of it.
use percent_encoding::percent_decode_str;

use super::Head;
use crate::{
    auth::{Caller, Permission},
    error::Error,
};

/// What a route with a JSON body asks of its callers. Commands check again, with what the body
/// says.
#[derive(Debug, Clone, Copy)]
pub enum Gate {
    /// A permission in the tenant asked for.
    Holder(Permission),
    /// The same, or to be an execution of that tenant.
    OrExecution(Permission),
    /// A permission in the tenant asked for or, with `_all_tenants`, in any.
    List(Permission),
    /// A permission in any tenant; the body names which one is meant.
    Somewhere(Permission),
    /// A permission, unless the path ends with the caller's own name.
    Oneself(Permission),
}

impl From<Permission> for Gate {
    fn from(permission: Permission) -> Self {
        Self::Holder(permission)
    }
}

impl Gate {
    /// Lets a caller pass.
    ///
    /// # Errors
    /// 403; 400 for `_all_tenants` that is neither true nor false.
    pub(super) fn admit(self, caller: &Caller, head: &Head) -> Result<(), Error> {
        match self {
            Self::Holder(permission) => caller.require(permission),
            Self::OrExecution(permission) => caller.require_or_execution(permission),
            Self::List(permission) => {
                let all_tenants = head.query.flag("_all_tenants")?;
                caller.scope(all_tenants, permission).map(drop)
            }
            Self::Somewhere(permission) => caller.require_somewhere(permission),
            Self::Oneself(permission) => {
                let name = head.path.rsplit('/').next().unwrap_or_default();
                let name = percent_decode_str(name).decode_utf8_lossy();
                match name.eq_ignore_ascii_case(&caller.username) {
                    true => Ok(()),
                    false => caller.require(permission),
                }
            }
        }
    }
}
