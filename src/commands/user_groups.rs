//! Groups of users: who is in them, and what they are in tenants.
use std::sync::Arc;

use stratalog_projections::{
    ListQuery, Scope, View as ViewName,
    views::{tenants::Tenant, user_groups::UserGroup},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{
        TenantGroupAdded, TenantGroupRemoved, TenantGroupUpdated, UserGroupCreated,
        UserGroupDeleted, UserGroupRoleChanged, UserGroupUserAdded, UserGroupUserRemoved,
    },
};

use super::{
    ids, ldap,
    tenants::{self, Membership},
    users,
};
use crate::{
    auth::{Caller, Role},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// The name that is a path of the API.
const RESERVED: &str = "users";

/// The stream of a group.
pub(super) fn stream(name: &str) -> StreamId {
    StreamId::global(Category::UserGroup, name)
}

async fn existing(view: &View, name: &str) -> Result<UserGroup, Error> {
    let found = view.get::<UserGroup>(name).await?;
    found.ok_or_else(|| Error::not_found("Group", name))
}

/// A group to be.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// Its name in a directory service.
    pub ldap_dn: Option<String>,
    /// System role of everybody in it.
    pub role: Role,
}

/// Creates a group.
///
/// # Errors
/// 400 for a name that is none, and without a name in the directory service where users come from
/// one; 409 when it exists.
pub async fn create(ctx: &Context, caller: &Caller, new: &NewGroup) -> Result<(), Error> {
    let name = new.name.as_str();
    ids::check("group_name", name)?;
    if name == RESERVED {
        return Err(Error::bad_parameters(format!(
            "{name:?} is not allowed as a group name"
        )));
    }
    if new.ldap_dn.is_none() && ctx.directory.load().has_ldap() {
        return Err(Error::bad_parameters(
            "ldap_group_dn is needed: users come from LDAP, and the groups they are in",
        ));
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        if view.get::<UserGroup>(name).await?.is_some() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("<Group name=`{name}`> already exists"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(name)).await?;
        let event = UserGroupCreated {
            name: name.to_owned(),
            ldap_dn: new.ldap_dn.clone(),
            role: new.role.wire().to_owned(),
        };
        decision.event(stream(name), Event::UserGroupCreated(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Gives everybody in a group another system role.
///
/// # Errors
/// 404.
pub async fn set_role(ctx: &Context, caller: &Caller, name: &str, role: Role) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        existing(view, name).await?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(name)).await?;
        let event = UserGroupRoleChanged {
            name: name.to_owned(),
            role: role.wire().to_owned(),
        };
        decision.event(stream(name), Event::UserGroupRoleChanged(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Deletes a group that nobody is in; it leaves the tenants it is a member of.
///
/// # Errors
/// 404; 400 while there are users in it.
pub async fn delete(ctx: &Context, caller: &Caller, name: &str) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let group = existing(view, name).await?;
        if !group.users.is_empty() {
            return Err(Error::bad_parameters(format!(
                "Cannot delete group `{name}`: it has users"
            )));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(name)).await?;
        let all = ListQuery::all(ViewName::Tenants, Scope::Everything);
        for tenant in view.select_as::<Tenant>(&all).await? {
            if !tenant.groups.contains_key(name) {
                continue;
            }
            let of = tenants::stream(&tenant.name);
            decision.rests_on(view, of.clone()).await?;
            let event = TenantGroupRemoved {
                tenant: tenant.name,
                group: name.to_owned(),
            };
            decision.event(of, Event::TenantGroupRemoved(event));
        }
        let event = UserGroupDeleted {
            name: name.to_owned(),
        };
        decision.event(stream(name), Event::UserGroupDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Puts a user into a group.
///
/// # Errors
/// 404 for user or group, 409 when the user is in it already; 405 where LDAP says who is.
pub async fn add_user(
    ctx: &Context,
    caller: &Caller,
    (group, username): (&str, &str),
) -> Result<(), Error> {
    ldap::require_own_groups(ctx)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let found = existing(view, group).await?;
        let user = users::existing(view, username).await?;
        if found.users.contains(&user.username) {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("User `{username}` is already in the group `{group}`"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(group)).await?;
        // a user that is being deleted must not stay in the group
        decision.rests_on(view, users::stream(username)).await?;
        let event = UserGroupUserAdded {
            group: group.to_owned(),
            username: user.username,
        };
        decision.event(stream(group), Event::UserGroupUserAdded(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Takes a user out of a group.
///
/// # Errors
/// 404 for user or group, or when the user is not in it; 405 where LDAP says who is.
pub async fn remove_user(
    ctx: &Context,
    caller: &Caller,
    (group, username): (&str, &str),
) -> Result<(), Error> {
    ldap::require_own_groups(ctx)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let found = existing(view, group).await?;
        let user = users::existing(view, username).await?;
        if !found.users.contains(&user.username) {
            return Err(Error::refused(
                ErrorCode::NotFound,
                format!("User `{username}` is not in the group `{group}`"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(group)).await?;
        let event = UserGroupUserRemoved {
            group: group.to_owned(),
            username: user.username,
        };
        decision.event(stream(group), Event::UserGroupUserRemoved(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Takes a user that is deleted out of all groups.
pub(super) async fn leave_all(
    view: &View,
    username: &str,
    decision: &mut Decision,
) -> Result<(), Error> {
    let all = ListQuery::all(ViewName::UserGroups, Scope::Everything);
    for group in view.select_as::<UserGroup>(&all).await? {
        if !group.users.contains(username) {
            continue;
        }
        decision.rests_on(view, stream(&group.name)).await?;
        let event = UserGroupUserRemoved {
            group: group.name.clone(),
            username: username.to_owned(),
        };
        decision.event(stream(&group.name), Event::UserGroupUserRemoved(event));
    }
    Ok(())
}

/// Changes what a group is in a tenant.
///
/// # Errors
/// 404 when tenant, group or membership do not exist, 409 when the group is a member already.
pub async fn change_member(
    ctx: &Context,
    caller: &Caller,
    (tenant, group): (&str, &str),
    change: Membership,
) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let found = tenants::existing(view, tenant).await?;
        existing(view, group).await?;
        let is_member = found.groups.contains_key(group);
        let event = decide_member((tenant, group), is_member, change)?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, tenants::stream(tenant)).await?;
        decision.rests_on(view, stream(group)).await?;
        decision.event(tenants::stream(tenant), event);
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn decide_member(
    (tenant, group): (&str, &str),
    is_member: bool,
    change: Membership,
) -> Result<Event, Error> {
    let (tenant, group) = (tenant.to_owned(), group.to_owned());
    match (change, is_member) {
        (Membership::Add(role), false) => Ok(Event::TenantGroupAdded(TenantGroupAdded {
            tenant,
            group,
            role: role.wire().to_owned(),
        })),
        (Membership::Update(role), true) => Ok(Event::TenantGroupUpdated(TenantGroupUpdated {
            tenant,
            group,
            role: role.wire().to_owned(),
        })),
        (Membership::Remove, true) => Ok(Event::TenantGroupRemoved(TenantGroupRemoved {
            tenant,
            group,
        })),
        (Membership::Add(_), true) => Err(Error::refused(
            ErrorCode::Conflict,
            format!("Group `{group}` is already associated with tenant `{tenant}`"),
        )),
        (_, false) => Err(Error::refused(
            ErrorCode::NotFound,
            format!("Group `{group}` is not associated with tenant `{tenant}`"),
        )),
    }
}
