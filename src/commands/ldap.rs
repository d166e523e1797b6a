//! The directory service (LDAP) that users come from: how it is set up, and what it means for users
//! and groups here. `admin` stays the manager's own, whatever becomes of the service.
use std::sync::Arc;

use serde_json::{Map, Value};
use stratalog_projections::{
    ListQuery, Scope, View as ViewName,
    views::{config::Setting, user_groups::UserGroup, users::User},
};
use stratalog_schema::{
    Event, Meta,
    events::{ConfigSet, UserCreated, UserGroupUserAdded, UserGroupUserRemoved},
};
use uuid::Uuid;

use super::{ids, settings, user_groups, users};
use crate::{
    auth::{ADMIN, Caller, Carried, Identity, Login, Note, Role, wrong_credentials},
    clock,
    config::Hidden,
    context::Context,
    error::{Error, ErrorCode},
    ldap::{LdapError, Person, Service, Values, check, is_same},
    store::{Decision, View},
};

/// What names of its settings begin with, all in the scope `rest`.
const PREFIX: &str = "ldap_";
const PASSWORD: &str = "password";
/// What the password of the account is sealed for.
const PURPOSE: &str = "password of the LDAP account";

/// The setting that holds the password of the account.
pub fn is_password(setting: &Setting) -> bool {
    setting.scope == "rest" && setting.name.strip_prefix(PREFIX) == Some(PASSWORD)
}

/// The value that is kept of a password: sealed, as its log is read by others.
pub(super) fn sealed(ctx: &Context, password: &str) -> Value {
    match password {
        "" => Value::Null,
        password => hex::encode(ctx.sealer.seal(PURPOSE, password)).into(),
    }
}

fn opened(ctx: &Context, values: &Values) -> Result<Option<Hidden>, LdapError> {
    let Some(sealed) = values.get(PASSWORD).and_then(Value::as_str) else {
        return Ok(None);
    };
    let bytes = hex::decode(sealed).unwrap_or_default();
    let opened = ctx.sealer.open(PURPOSE, &bytes).map_err(|_| {
        let text = "the account's password was sealed by another manager: set it anew";
        LdapError::Settings(text.to_owned())
    });
    opened.map(|password| Some(Hidden(password)))
}

/// Sets the service up, once it has let its account in.
///
/// # Errors
/// 400 for values that cannot be used, and when the server is not there or refuses the account.
pub async fn set(
    ctx: &Context,
    caller: &Caller,
    mut values: Values,
    password: Option<Hidden>,
) -> Result<(), Error> {
    let bad = |error: LdapError| {
        Error::bad_parameters(format!("Failed setting LDAP authenticator: {error}"))
    };
    check(&values).map_err(bad)?;
    let has_name = values.get("username").is_some_and(|name| !name.is_null());
    if has_name != password.is_some() {
        return Err(Error::bad_parameters(
            "Both ldap_username and ldap_password are needed, or neither of them",
        ));
    }
    let service = Service::of(&values, password.clone()).map_err(bad)?;
    if has_name {
        service.try_out().await.map_err(bad)?;
    }
    let password = password.map_or(Value::Null, |password| sealed(ctx, &password.0));
    values.insert(PASSWORD.to_owned(), password);
    let now_ms = clock::now_ms();
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        for (name, value) in &values {
            let name = format!("{PREFIX}{name}");
            let known: Option<Setting> = view.get(&format!("rest.{name}")).await?;
            let stream = settings::stream("rest", &name);
            decision.rests_on(view, stream.clone()).await?;
            let schema = known.as_ref().and_then(|known| known.schema.as_ref());
            let event = ConfigSet {
                value_json: value.to_string(),
                schema_json: schema.map_or_else(String::new, |schema| schema.get().to_owned()),
                is_editable: true,
                admin_only: known.is_some_and(|known| known.admin_only),
                updater: Some(caller.username.clone()),
                updated_at_ms: Some(now_ms),
                scope: "rest".to_owned(),
                name,
            };
            decision.event(stream, Event::ConfigSet(event));
        }
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Who sent something; whoever the manager does not know itself is asked for at the service.
pub async fn identify(ctx: &Context, carried: Carried<'_>, request_id: Uuid) -> Identity {
    let mut identity = ctx.authenticator.identify(carried, request_id).await;
    let Some(login) = identity.elsewhere.take() else {
        return identity;
    };
    match found(ctx, &login).await {
        Ok(username) => ctx.authenticator.let_in(&login, &username, request_id),
        Err(error) => {
            let is_wrong = error.status() == http::StatusCode::UNAUTHORIZED;
            let user = ctx.directory.load().user(&login.name).cloned();
            let user = user.filter(|_| is_wrong);
            Identity {
                note: user.map(|user| Note::Failed(user.username.clone())),
                ..Err(error).into()
            }
        }
    }
}

/// Name of the user behind a login, who is here and in the right groups then.
async fn found(ctx: &Context, login: &Login) -> Result<String, Error> {
    let values = ctx.directory.load().ldap.clone();
    let asked = async {
        let service = Service::of(&values, opened(ctx, &values)?)?;
        let _place = ctx.authenticator.place_outside().await;
        service.login(&login.name, &login.password.0).await
    };
    match asked.await {
        // the first user is never somebody else's
        Ok(person) if person.name.eq_ignore_ascii_case(ADMIN) => Err(wrong_credentials(ADMIN)),
        Ok(person) => arrive(ctx, &person).await,
        Err(error) => Err(refusal(&login.name, &error)),
    }
}

/// What somebody is told whom nobody knows yet: no more than they need.
fn refusal(name: &str, error: &LdapError) -> Error {
    let text = match error {
        LdapError::WrongCredentials => return wrong_credentials(name),
        LdapError::Away { .. } => "The LDAP server cannot be reached",
        LdapError::Refused { .. } | LdapError::Settings(_) => {
            "The LDAP server cannot be asked: see the manager's log"
        }
    };
    tracing::error!(user = name, %error, "nobody can log in with LDAP");
    Error::refused(ErrorCode::NotRunningLdapServer, text)
}

/// Makes somebody a user, and a member of the groups whose names in the service they are in, and of
/// no others that have such a name.
async fn arrive(ctx: &Context, person: &Person) -> Result<String, Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        let user: Option<User> = view.get(&person.name.to_lowercase()).await?;
        let is_new = user.is_none();
        let username = user.map_or_else(|| person.name.clone(), |user| user.username);
        let stream = users::stream(&username);
        if is_new {
            ids::check("username", &username)?;
            decision.rests_on(view, stream.clone()).await?;
            let event = UserCreated {
                username: username.clone(),
                role: Role::Default.wire().to_owned(),
                // no password has this hash
                password_hash: String::new(),
                created_at_ms: clock::now_ms(),
            };
            decision.event(stream, Event::UserCreated(event));
        }
        join(view, &mut decision, (&username, person)).await?;
        Ok((decision, username))
    };
    let (appended, username) = ctx.store.command(&Meta::system(), None, decide).await?;
    ctx.reach(appended.last_position).await;
    Ok(username)
}

async fn join(
    view: &View,
    decision: &mut Decision,
    (username, person): (&str, &Person),
) -> Result<(), Error> {
    let all = ListQuery::all(ViewName::UserGroups, Scope::Everything);
    for group in view.select_as::<UserGroup>(&all).await? {
        let Some(dn) = &group.ldap_dn else { continue };
        let belongs = person.groups.iter().any(|name| is_same(name, dn));
        if belongs == group.users.contains(username) {
            continue;
        }
        let stream = user_groups::stream(&group.name);
        decision.rests_on(view, stream.clone()).await?;
        let (group, username) = (group.name, username.to_owned());
        let event = match belongs {
            true => Event::UserGroupUserAdded(UserGroupUserAdded { group, username }),
            false => Event::UserGroupUserRemoved(UserGroupUserRemoved { group, username }),
        };
        decision.event(stream, event);
    }
    Ok(())
}

/// Refuses to do to a user what the service does.
pub(super) fn require_own_users(ctx: &Context, username: &str) -> Result<(), Error> {
    if username.eq_ignore_ascii_case(ADMIN) || !ctx.directory.load().has_ldap() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        "Users come from LDAP, with their passwords: they are made and changed there",
    ))
}

/// Refuses to put users into groups, or to take them out, where the service says who is in them.
pub(super) fn require_own_groups(ctx: &Context) -> Result<(), Error> {
    if !ctx.directory.load().has_ldap() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::MethodNotAllowed,
        "Who is in a group is said by LDAP, and taken over when a user logs in",
    ))
}

/// The settings as they are shown: everything but the password.
pub fn shown(ctx: &Context) -> Map<String, Value> {
    let snapshot = ctx.directory.load();
    let values = snapshot.ldap.iter();
    let values = values.filter(|(name, _)| *name != PASSWORD);
    values
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
        .collect()
}
