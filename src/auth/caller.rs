//! Who asks: the user behind a request or an execution, in a tenant, with the roles that count
//! there.
use std::sync::Arc;

use stratalog_projections::{Connection, Owner, Reader, Scope, StoredRow, View};
use stratalog_schema::Meta;
use uuid::Uuid;

use super::{ADMIN, Permission, Role, RoleSet, permission::Table};
use crate::error::{Error, ErrorCode};

/// How a caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// User name and password.
    Basic,
    /// An access token.
    Token,
    /// The token of a running execution.
    Execution,
    /// The manager itself.
    System,
}

impl Method {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "http_basic",
            Self::Token => "token",
            Self::Execution => "execution_token",
            Self::System => "system",
        }
    }
}

/// The execution on whose behalf somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionRef {
    /// Its id.
    pub id: String,
    /// Its tenant.
    pub tenant: String,
}

/// Tenants with the roles the user has in each, system roles included.
pub(super) type Memberships = Vec<(String, RoleSet)>;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// User name as given at creation.
    pub username: String,
    /// The tenant asked for, if any; it exists.
    pub tenant: Option<String>,
    /// System roles, and those in the tenant.
    pub roles: RoleSet,
    /// System roles alone.
    pub system_roles: RoleSet,
    /// How they proved it.
    pub method: Method,
    /// The execution behind it, if any.
    pub execution: Option<ExecutionRef>,
    /// Identity of the request, kept with every event it causes.
    pub request_id: Uuid,
    pub(super) memberships: Arc<Memberships>,
    pub(super) permissions: Arc<Table>,
}

impl Caller {
    /// The manager itself, in a tenant (empty: in none).
    pub fn system(tenant: &str) -> Self {
        let admin = RoleSet::one(Role::SysAdmin);
        Self {
            username: ADMIN.to_owned(),
            tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
            roles: admin,
            system_roles: admin,
            method: Method::System,
            execution: None,
            request_id: Uuid::now_v7(),
            memberships: Arc::default(),
            permissions: Arc::default(),
        }
    }

    /// The same caller, whose doing is somebody's.
    #[must_use]
    pub fn on_behalf_of(mut self, username: &str) -> Self {
        username.clone_into(&mut self.username);
        self
    }

    /// The same caller on behalf of an execution.
    #[must_use]
    pub fn for_execution(mut self, id: &str, tenant: &str) -> Self {
        self.execution = Some(ExecutionRef {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
        });
        self
    }

    /// Differs between callers who may see different things.
    pub fn fingerprint(&self) -> String {
        let Self {
            username,
            tenant,
            roles,
            system_roles,
            method,
            memberships,
            permissions,
            ..
        } = self;
        let is_system = *method == Method::System;
        let table = permissions.fingerprint();
        format!("{username:?}{tenant:?}{roles:?}{system_roles:?}{is_system}{memberships:?}{table}")
    }

    /// Whether the permission table does not apply: the first user, and the manager itself.
    pub fn is_unbounded(&self) -> bool {
        self.method == Method::System || self.username == ADMIN
    }

    /// Whether a permission is held in the tenant asked for.
    pub fn may(&self, permission: Permission) -> bool {
        self.is_unbounded() || self.roles.meets(self.permissions.roles(permission))
    }

    /// Checks a permission in the tenant asked for.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, permission: Permission) -> Result<(), Error> {
        if self.may(permission) {
            return Ok(());
        }
        Err(self.not_permitted(permission))
    }

    /// Checks a permission that an execution of the tenant holds anyway.
    ///
    /// # Errors
    /// 403.
    pub fn require_or_execution(&self, permission: Permission) -> Result<(), Error> {
        match (&self.execution, &self.tenant) {
            (Some(_), None) => Ok(()),
            (Some(execution), Some(tenant)) if execution.tenant == *tenant => Ok(()),
            _ => self.require(permission),
        }
    }

    /// Checks that a permission is held in the tenant asked for or any other.
    ///
    /// # Errors
    /// 403.
    pub fn require_somewhere(&self, permission: Permission) -> Result<(), Error> {
        let holders = self.permissions.roles(permission);
        if self
            .memberships
            .iter()
            .any(|(_, roles)| roles.meets(holders))
        {
            return Ok(());
        }
        self.require(permission)
    }

    /// Whether what concerns the whole manager is open to the caller: a role in one tenant is not
    /// enough.
    pub fn administers_everything(&self) -> bool {
        let administrators = self.permissions.roles(Permission::Administrators);
        self.is_unbounded() || self.system_roles.meets(administrators)
    }

    fn not_permitted(&self, permission: Permission) -> Error {
        let place = match &self.tenant {
            Some(tenant) => format!(" in the tenant `{tenant}`"),
            None => String::new(),
        };
        Error::refused(
            ErrorCode::Forbidden,
            format!(
                "User `{}` is not permitted to perform the action {}{place}",
                self.username,
                permission.wire()
            ),
        )
    }

    /// The tenant asked for.
    ///
    /// # Errors
    /// 403 when none was.
    pub fn tenant(&self) -> Result<&str, Error> {
        self.tenant.as_deref().ok_or_else(|| {
            Error::refused(
                ErrorCode::Forbidden,
                "Authorization failed: tenant not provided",
            )
        })
    }

    /// The same caller in another tenant, with the roles that count there.
    #[must_use]
    pub fn in_tenant(&self, tenant: &str) -> Self {
        let mut caller = self.clone();
        caller.enter(tenant);
        caller
    }

    /// Goes to another tenant.
    pub(crate) fn enter(&mut self, tenant: &str) {
        self.tenant = Some(tenant.to_owned());
        self.roles = self.roles_in(tenant);
    }

    fn roles_in(&self, tenant: &str) -> RoleSet {
        let found = self.memberships.iter().find(|(name, _)| name == tenant);
        found.map_or(self.system_roles, |(_, roles)| roles.and(self.system_roles))
    }

    /// Tenants the user is a member of.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.memberships.iter().map(|(name, _)| name.as_str())
    }

    /// Whether private resources and hidden values of a tenant are open to the caller.
    pub fn administers(&self, tenant: &str) -> bool {
        self.is_unbounded()
            || self
                .roles_in(tenant)
                .meets(self.permissions.roles(Permission::Administrators))
    }

    /// Checks the permission to read, and gives what may be read: the tenant asked for, or all
    /// tenants of the caller.
    ///
    /// # Errors
    /// 403.
    pub fn scope(&self, all_tenants: bool, permission: Permission) -> Result<Scope, Error> {
        if !all_tenants {
            self.require(permission)?;
            let tenant = self.tenant()?;
            return Ok(self.scope_of(vec![tenant.to_owned()]));
        }
        let everywhere = self.permissions.roles(Permission::AllTenants);
        if self.is_unbounded() || self.system_roles.meets(everywhere) {
            return Ok(Scope::Everything);
        }
        let holders = self.permissions.roles(permission);
        let holds = |roles: RoleSet| roles.and(self.system_roles).meets(holders);
        let tenants: Vec<String> = self
            .memberships
            .iter()
            .filter(|(_, roles)| holds(*roles))
            .map(|(name, _)| name.clone())
            .collect();
        if tenants.is_empty() {
            return Err(self.not_permitted(permission));
        }
        Ok(self.scope_of(tenants))
    }

    fn scope_of(&self, tenants: Vec<String>) -> Scope {
        Scope::Tenants {
            administered: tenants
                .iter()
                .filter(|tenant| self.administers(tenant))
                .cloned()
                .collect(),
            tenants,
            user: self.username.clone(),
        }
    }

    /// Whether a row may be seen from the tenant asked for.
    pub fn may_see(&self, owner: &Owner) -> bool {
        let Some(tenant) = &owner.tenant else {
            return true;
        };
        if owner.visibility.as_deref() == Some("global") {
            return true;
        }
        if self.tenant.as_ref() != Some(tenant) {
            return false;
        }
        owner.visibility.as_deref() != Some("private")
            || owner.created_by.as_ref() == Some(&self.username)
            || self.administers(tenant)
    }

    /// The row of that id as the caller sees it: of the tenant asked for, or global of any.
    ///
    /// # Errors
    /// 403 without a tenant; database errors.
    pub async fn find<C: Connection>(
        &self,
        reader: &Reader<C>,
        view: View,
        id: &str,
    ) -> Result<Option<StoredRow>, Error> {
        let tenant = self.tenant()?;
        let found = reader.in_tenant(view, tenant, id).await?;
        Ok(found.filter(|row| self.may_see(&row.owner)))
    }

    /// As [`Caller::find`], and must be there. `model` names the resource in the message:
    /// `Blueprint`.
    ///
    /// # Errors
    /// 404; 403 without a tenant; database errors.
    pub async fn get<C: Connection>(
        &self,
        reader: &Reader<C>,
        (view, model): (View, &str),
        id: &str,
    ) -> Result<StoredRow, Error> {
        let found = self.find(reader, view, id).await?;
        found.ok_or_else(|| Error::not_found(model, id))
    }

    /// What the log keeps of the caller.
    pub fn meta(&self) -> Meta {
        Meta {
            tenant: self.tenant.clone().unwrap_or_default(),
            actor: match self.method {
                Method::System => "system".to_owned(),
                _ => self.username.clone(),
            },
            request_id: self.request_id.to_string(),
            execution_id: self
                .execution
                .as_ref()
                .map(|execution| execution.id.clone())
                .unwrap_or_default(),
            causation_id: None,
            correlation_id: Some(self.request_id),
            auth_method: self.method.name().to_owned(),
        }
    }
}
