//! Users: logins, creation, passwords, roles, deletion.
use std::sync::Arc;

use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{tenants::Tenant, users::User},
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{
        TenantUserRemoved, TokenUsed, UserActivityChanged, UserCreated, UserDeleted,
        UserGettingStartedChanged, UserLoggedIn, UserLoginFailed, UserPasswordChanged,
        UserRoleChanged, UserUnlocked,
    },
};

use super::{ids, ldap, user_groups};
use crate::{
    auth::{ADMIN, Caller, Note, Role, password},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    log::{Append, NewEvent},
    store::{Decision, View},
};

/// Views whose rows keep their creator from being deleted.
const OWNED: [(ViewName, &str); 9] = [
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

/// The stream of a user.
pub(super) fn stream(username: &str) -> StreamId {
    StreamId::global(Category::User, &username.to_lowercase())
}

/// Writes down what an authentication leaves behind. The request goes on when it cannot be written.
pub async fn note(ctx: &Context, note: Note) {
    let at_ms = clock::now_ms();
    let (stream, event): (_, Event) = match &note {
        Note::LoggedIn(username) => (
            stream(username),
            Event::UserLoggedIn(UserLoggedIn {
                username: username.clone(),
                at_ms,
            }),
        ),
        Note::Failed(username) => (
            stream(username),
            Event::UserLoginFailed(UserLoginFailed {
                username: username.clone(),
                at_ms,
            }),
        ),
        Note::TokenUsed(id) => (
            StreamId::global(Category::Token, id),
            Event::TokenUsed(TokenUsed {
                id: id.clone(),
                at_ms,
            }),
        ),
    };
    let append = Append {
        meta: Meta::system(),
        events: vec![NewEvent::new(stream, event)],
        ..Append::default()
    };
    // not what the request is about: none of its terms apply
    if let Err(error) = ctx.store.log().append(append).await {
        tracing::warn!(%error, ?note, "a login could not be noted");
    }
}

/// The role of that name, which must be one that users have as such.
///
/// # Errors
/// 400.
pub fn system_role(name: &str) -> Result<Role, Error> {
    match Role::by_name(name) {
        Some(role) if role.is_system() => Ok(role),
        Some(_) => Err(Error::bad_parameters(format!(
            "Role `{name}` is a tenant_role and cannot be assigned as a system_role. \
             Valid system_role roles are: [sys_admin, default]"
        ))),
        None => Err(Error::bad_parameters(format!(
            "Invalid role: `{name}`. Valid system_role roles are: [sys_admin, default]"
        ))),
    }
}

/// A user to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Name.
    pub username: String,
    /// Password, or what is kept of one.
    pub password: Password,
    /// System role.
    pub role: Role,
    /// Creation, if not now.
    pub created_at_ms: Option<i64>,
    /// First and latest login, of a user that is restored.
    pub logins_ms: Vec<i64>,
}

/// A password as given.
#[derive(Debug, Clone)]
pub enum Password {
    /// In clear.
    Clear(String),
    /// argon2 PHC string.
    Hashed(String),
}

impl Password {
    async fn hash(self) -> Result<String, Error> {
        match self {
            Self::Clear(password) => {
                password::check(&password)?;
                password::hash(password).await
            }
            Self::Hashed(hash) if hash.starts_with("$argon2") => Ok(hash),
            Self::Hashed(_) => Err(Error::bad_parameters(
                "The `password` argument is no argon2 hash",
            )),
        }
    }
}

/// Creates a user.
///
/// # Errors
/// 400 for a name or password that is none, 409 when the user exists.
pub async fn create(ctx: &Context, caller: &Caller, user: NewUser) -> Result<(), Error> {
    ldap::require_own_users(ctx, &user.username)?;
    ids::check("username", &user.username)?;
    let password_hash = user.password.hash().await?;
    let (username, stream) = (&user.username, stream(&user.username));
    let created_at_ms = user.created_at_ms.unwrap_or_else(clock::now_ms);
    let decide = async |view: Arc<View>| {
        let view = &*view;
        if view.get::<User>(&username.to_lowercase()).await?.is_some() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("<User username=`{username}`> already exists"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        decision.event(
            stream.clone(),
            Event::UserCreated(UserCreated {
                username: username.clone(),
                role: user.role.wire().to_owned(),
                password_hash: password_hash.clone(),
                created_at_ms,
            }),
        );
        for at_ms in &user.logins_ms {
            decision.event(
                stream.clone(),
                Event::UserLoggedIn(UserLoggedIn {
                    username: username.clone(),
                    at_ms: *at_ms,
                }),
            );
        }
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// A change of a user.
#[derive(Debug, Clone)]
pub enum Change {
    /// Another password.
    Password(String),
    /// Another system role.
    Role(Role),
    /// Whether the console shows its introduction.
    ShowGettingStarted(bool),
    /// Whether the user may log in.
    Active(bool),
    /// Failed logins are forgotten.
    Unlock,
}

/// Changes a user.
///
/// # Errors
/// 404; 400 for a password that is none, and for what would lock the first user out.
pub async fn change(
    ctx: &Context,
    caller: &Caller,
    username: &str,
    change: Change,
) -> Result<(), Error> {
    let is_first = username.eq_ignore_ascii_case(ADMIN);
    if is_first && matches!(change, Change::Role(_) | Change::Active(false)) {
        return Err(Error::bad_parameters(format!(
            "The user `{ADMIN}` cannot be deactivated or get another role"
        )));
    }
    if matches!(change, Change::Password(_)) {
        ldap::require_own_users(ctx, username)?;
    }
    let password_hash = match &change {
        Change::Password(clear) => Password::Clear(clear.clone()).hash().await?,
        _ => String::new(),
    };
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let user = existing(view, username).await?;
        let stream = stream(username);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        decision.event(stream, event(user.username, &change, password_hash.clone()));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn event(username: String, change: &Change, password_hash: String) -> Event {
    match change {
        Change::Password(_) => Event::UserPasswordChanged(UserPasswordChanged {
            username,
            password_hash,
        }),
        Change::Role(role) => Event::UserRoleChanged(UserRoleChanged {
            username,
            role: role.wire().to_owned(),
        }),
        Change::ShowGettingStarted(shown) => {
            Event::UserGettingStartedChanged(UserGettingStartedChanged {
                username,
                show_getting_started: *shown,
            })
        }
        Change::Active(active) => Event::UserActivityChanged(UserActivityChanged {
            username,
            active: *active,
        }),
        Change::Unlock => Event::UserUnlocked(UserUnlocked { username }),
    }
}

pub(super) async fn existing(view: &View, username: &str) -> Result<User, Error> {
    let found = view.get::<User>(&username.to_lowercase()).await?;
    found.ok_or_else(|| Error::not_found("User", username))
}

fn refuse_deletion(username: &str, reason: &str) -> Error {
    Error::bad_parameters(format!("Cannot delete user `{username}`: {reason}"))
}

/// Deletes a user that owns nothing, with tokens and memberships.
///
/// # Errors
/// 404; 400 for the first user, the caller, and who owns something.
pub async fn delete(ctx: &Context, caller: &Caller, username: &str) -> Result<(), Error> {
    if username.eq_ignore_ascii_case(ADMIN) {
        return Err(refuse_deletion(username, "it is the first user"));
    }
    if username.eq_ignore_ascii_case(&caller.username) {
        return Err(refuse_deletion(username, "it is the current user"));
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let user = existing(view, username).await?;
        for (owned, plural) in OWNED {
            let theirs = ListQuery::all(owned, Scope::Everything).with(Condition::AnyOf(
                "created_by".to_owned(),
                vec![user.username.clone()],
            ));
            if view.count(&theirs).await? > 0 {
                return Err(refuse_deletion(username, &format!("it owns {plural}")));
            }
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(username)).await?;
        leave_tenants(view, &user.username, &mut decision).await?;
        user_groups::leave_all(view, &user.username, &mut decision).await?;
        let gone = UserDeleted {
            username: user.username,
        };
        decision.event(stream(username), Event::UserDeleted(gone));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

async fn leave_tenants(view: &View, username: &str, decision: &mut Decision) -> Result<(), Error> {
    let all = ListQuery::all(ViewName::Tenants, Scope::Everything);
    for tenant in view.select_as::<Tenant>(&all).await? {
        if !tenant.users.contains_key(username) {
            continue;
        }
        let stream = StreamId::global(Category::Tenant, &tenant.name);
        decision.rests_on(view, stream.clone()).await?;
        decision.event(
            stream,
            Event::TenantUserRemoved(TenantUserRemoved {
                tenant: tenant.name,
                username: username.to_owned(),
            }),
        );
    }
    Ok(())
}
