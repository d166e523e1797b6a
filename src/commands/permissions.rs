//! What roles may do is changed: a permission is given to a role, or taken from it.
use std::sync::Arc;

use stratalog_projections::{
    ListQuery, Scope, View as ViewName, views::permissions::PermissionChange,
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{PermissionGranted, PermissionRevoked},
};

use crate::{
    auth::{Caller, Role, permission::Table},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// Longest name of a permission.
const NAME_CHARS_MAX: usize = 256;

/// What becomes of a permission of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The role holds it from now on.
    Grant,
    /// The role holds it no more.
    Revoke,
}

/// The table of permissions at the moment of a view.
///
/// # Errors
/// Database errors.
pub async fn table(view: &View) -> Result<Table, Error> {
    let all = ListQuery::all(ViewName::Permissions, Scope::Everything);
    let changes: Vec<PermissionChange> = view.select_as(&all).await?;
    Ok(Table::of(&changes))
}

/// Gives a permission to a role, or takes it away; whoever asks next is judged by it. Any name may
/// be given: clients have permissions of their own.
///
/// # Errors
/// 400 for a name that is none, 404 for an unknown role or a permission it does not hold, 409 for
/// one it holds.
pub async fn change(
    ctx: &Context,
    caller: &Caller,
    (role, permission): (&str, &str),
    change: Change,
) -> Result<(), Error> {
    let known = Role::by_name(role).ok_or_else(|| Error::not_found("Role", role))?;
    let length = permission.chars().count();
    if length == 0 || length > NAME_CHARS_MAX {
        return Err(Error::bad_parameters(
            "The name of a permission must have from 1 to 256 characters",
        ));
    }
    let stream = StreamId::global(Category::Settings, "permissions");
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let is_held = table(view).await?.named(permission).has(known);
        let names = (role.to_owned(), permission.to_owned());
        let event = match (change, is_held) {
            (Change::Grant, false) => Event::PermissionGranted(PermissionGranted {
                role: names.0,
                permission: names.1,
            }),
            (Change::Revoke, true) => Event::PermissionRevoked(PermissionRevoked {
                role: names.0,
                permission: names.1,
            }),
            (Change::Grant, true) => {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!("The role `{role}` holds the permission `{permission}` already"),
                ));
            }
            (Change::Revoke, false) => {
                return Err(Error::refused(
                    ErrorCode::NotFound,
                    format!("The role `{role}` does not hold the permission `{permission}`"),
                ));
            }
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        decision.event(stream.clone(), event);
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
