//! Tenants and their members; each tenant has a virtual host and a user on RabbitMQ.
use std::sync::Arc;

use rand::rng;
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{tenants::Tenant, users::User},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{
        TenantBrokerPasswordSet, TenantCreated, TenantDeleted, TenantUserAdded, TenantUserRemoved,
        TenantUserUpdated,
    },
};

use super::ids;
use crate::{
    auth::{Caller, DEFAULT_TENANT, Role},
    broker::admin,
    context::Context,
    error::{Error, ErrorCode},
    log::NewEvent,
    seal::Sealer,
    store::{Decision, View},
};

/// Names that are paths of the API.
const RESERVED: [&str; 2] = ["users", "user-groups"];
/// Views whose rows keep a tenant alive, by what their resources are called.
const RESOURCES: [(ViewName, &str); 9] = [
    (ViewName::Blueprints, "blueprints"),
    (ViewName::Deployments, "deployments"),
    (ViewName::Executions, "executions"),
    (ViewName::Snapshots, "snapshots"),
    (ViewName::Sites, "sites"),
    (ViewName::Secrets, "secrets"),
    (ViewName::SecretsProviders, "secrets providers"),
    (ViewName::Plugins, "plugins"),
    (ViewName::LogBundles, "log bundles"),
];

pub(super) fn stream(name: &str) -> StreamId {
    StreamId::global(Category::Tenant, name)
}

fn purpose(tenant: &str) -> String {
    format!("broker password of tenant {tenant}")
}

/// The event that makes a tenant.
pub(super) fn created(sealer: &Sealer, name: &str, broker_password: &str) -> TenantCreated {
    TenantCreated {
        name: name.to_owned(),
        rabbitmq_username: admin::tenant_user(name),
        rabbitmq_vhost: admin::tenant_vhost(name),
        rabbitmq_password_sealed: sealer.seal(&purpose(name), broker_password),
    }
}

/// Password of a tenant's user on RabbitMQ.
///
/// # Errors
/// `Internal` when it was sealed with another key.
pub fn broker_password(ctx: &Context, tenant: &Tenant) -> Result<String, Error> {
    let sealed = &tenant.secret.rabbitmq_password_sealed;
    ctx.sealer
        .open(&purpose(&tenant.name), sealed)
        .map_err(Error::internal)
}

/// A new broker password for a tenant whose password was sealed with another manager's key.
pub(super) fn broker_password_again(ctx: &Context, tenant: &Tenant) -> Option<NewEvent> {
    broker_password(ctx, tenant).err()?;
    let password = admin::generate_password(&mut rng());
    let event = TenantBrokerPasswordSet {
        name: tenant.name.clone(),
        rabbitmq_password_sealed: ctx.sealer.seal(&purpose(&tenant.name), &password),
    };
    let set = Event::TenantBrokerPasswordSet(event);
    Some(NewEvent::new(stream(&tenant.name), set))
}

/// Creates a tenant, with its virtual host and user on RabbitMQ.
///
/// # Errors
/// 400 for a name that is none, 409 when it exists.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    broker_password: Option<String>,
) -> Result<(), Error> {
    ids::check("tenant_name", name)?;
    if RESERVED.contains(&name) {
        return Err(Error::bad_parameters(format!(
            "{name:?} is not allowed as a tenant name"
        )));
    }
    let given = broker_password.filter(|password| !password.is_empty());
    let password = given.unwrap_or_else(|| admin::generate_password(&mut rng()));
    let decide = async |view: Arc<View>| {
        let view = &*view;
        if view.row(ViewName::Tenants, name).await?.is_some() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("<Tenant name=`{name}`> already exists"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(name)).await?;
        let event = created(&ctx.sealer, name, &password);
        decision.event(stream(name), Event::TenantCreated(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    prepare_broker(ctx, name, &password).await;
    Ok(())
}

/// Makes a tenant's virtual host and user on RabbitMQ; while that is down, the next start of the
/// manager does it.
async fn prepare_broker(ctx: &Context, tenant: &str, password: &str) -> bool {
    let Some(admin) = &ctx.broker_admin else {
        return true;
    };
    match admin.ensure_tenant(tenant, password).await {
        Ok(()) => true,
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                tenant,
                error = format!("{error:#}"),
                "no virtual host on RabbitMQ yet"
            );
            false
        }
    }
}

/// Makes what is missing of all tenants on RabbitMQ. False when something could not be made.
pub async fn prepare_brokers(ctx: &Context) -> bool {
    let snapshot = ctx.directory.load();
    let mut is_complete = true;
    for name in snapshot.tenant_names() {
        let Some(tenant) = snapshot.tenant(&name) else {
            continue;
        };
        is_complete &= match broker_password(ctx, tenant) {
            Ok(password) => prepare_broker(ctx, &name, &password).await,
            Err(error) => {
                tracing::error!(tenant = name, %error, "its broker password cannot be opened");
                true
            }
        };
    }
    is_complete
}

fn refuse_deletion(name: &str, reason: &str) -> Error {
    Error::bad_parameters(format!("Cannot delete tenant `{name}`: {reason}"))
}

/// Deletes a tenant that nobody and nothing belongs to.
///
/// # Errors
/// 404; 400 while it is in use.
pub async fn delete(ctx: &Context, caller: &Caller, name: &str) -> Result<(), Error> {
    if name == DEFAULT_TENANT {
        return Err(refuse_deletion(name, "it is the default tenant"));
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let tenant = existing(view, name).await?;
        if !tenant.users.is_empty() {
            return Err(refuse_deletion(name, "it has users"));
        }
        if !tenant.groups.is_empty() {
            return Err(refuse_deletion(name, "it has groups of users"));
        }
        for (resource, plural) in RESOURCES {
            let of_tenant = ListQuery::all(resource, Scope::Everything).with(Condition::AnyOf(
                "tenant_name".to_owned(),
                vec![name.to_owned()],
            ));
            if view.count(&of_tenant).await? > 0 {
                return Err(refuse_deletion(name, &format!("it has {plural}")));
            }
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(name)).await?;
        let event = TenantDeleted {
            name: name.to_owned(),
        };
        decision.event(stream(name), Event::TenantDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    if let Some(admin) = &ctx.broker_admin
        && let Err(error) = admin.delete_tenant(name).await
    {
        let error = anyhow::Error::from(error);
        tracing::warn!(
            tenant = name,
            error = format!("{error:#}"),
            "its virtual host stays"
        );
    }
    Ok(())
}

pub(super) async fn existing(view: &View, name: &str) -> Result<Tenant, Error> {
    let found = view.get::<Tenant>(name).await?;
    found.ok_or_else(|| Error::not_found("Tenant", name))
}

/// What becomes of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The user joins with a role.
    Add(Role),
    /// The member gets another role.
    Update(Role),
    /// The member leaves.
    Remove,
}

/// The role of that name, which must be one that is given within tenants.
///
/// # Errors
/// 400.
pub fn tenant_role(name: &str) -> Result<Role, Error> {
    let valid = || {
        let names: Vec<&str> = Role::ALL
            .into_iter()
            .filter(|role| !role.is_system())
            .map(Role::wire)
            .collect();
        names.join(", ")
    };
    match Role::by_name(name) {
        Some(role) if !role.is_system() => Ok(role),
        Some(_) => Err(Error::bad_parameters(format!(
            "Role `{name}` is a system_role and cannot be assigned as a tenant_role. \
             Valid tenant_role roles are: [{}]",
            valid()
        ))),
        None => Err(Error::bad_parameters(format!(
            "Invalid role: `{name}`. Valid tenant_role roles are: [{}]",
            valid()
        ))),
    }
}

/// Changes who is a member of a tenant.
///
/// # Errors
/// 404 when tenant, user or membership do not exist, 409 when the user is a member already.
pub async fn change_member(
    ctx: &Context,
    caller: &Caller,
    (tenant, username): (&str, &str),
    change: Membership,
) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let found = existing(view, tenant).await?;
        let user = view.get::<User>(&username.to_lowercase()).await?;
        let user = user.ok_or_else(|| Error::not_found("User", username))?;
        let is_member = found.users.contains_key(&user.username);
        let event = decide_member(&found.name, &user.username, is_member, change)?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant)).await?;
        decision.event(stream(tenant), event);
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn decide_member(
    tenant: &str,
    username: &str,
    is_member: bool,
    change: Membership,
) -> Result<Event, Error> {
    let (tenant, username) = (tenant.to_owned(), username.to_owned());
    match (change, is_member) {
        (Membership::Add(role), false) => Ok(Event::TenantUserAdded(TenantUserAdded {
            tenant,
            username,
            role: role.wire().to_owned(),
        })),
        (Membership::Update(role), true) => Ok(Event::TenantUserUpdated(TenantUserUpdated {
            tenant,
            username,
            role: role.wire().to_owned(),
        })),
        (Membership::Remove, true) => Ok(Event::TenantUserRemoved(TenantUserRemoved {
            tenant,
            username,
        })),
        (Membership::Add(_), true) => Err(Error::refused(
            ErrorCode::Conflict,
            format!("User `{username}` is already associated with tenant `{tenant}`"),
        )),
        (_, false) => Err(Error::refused(
            ErrorCode::NotFound,
            format!("User `{username}` is not associated with tenant `{tenant}`"),
        )),
    }
}
