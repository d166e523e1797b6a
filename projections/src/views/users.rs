//! Users with their system role. Passwords are hashes and never leave the hidden part.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "users",
    version: 1,
    columns: &[Column::plain("created_at", Kind::Int)],
    fields: &[
        Field::doc("username", Kind::Text),
        Field::doc("role", Kind::Text),
        Field::doc("active", Kind::Bool),
        Field::col("created_at", Kind::Int, "created_at"),
        Field::doc("first_login_at", Kind::Text),
        Field::doc("last_login_at", Kind::Text),
        Field::doc("show_getting_started", Kind::Bool),
        Field::doc("is_locked", Kind::Json),
        Field::doc("group_system_roles", Kind::Json),
        Field::doc("groups", Kind::Json),
        Field::doc("tenants", Kind::Json),
        Field::doc("tenant_roles", Kind::Json),
        Field::doc("password_hash", Kind::Json),
    ],
};

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Name, as given; compared without regard to case.
    pub username: String,
    /// System role.
    pub role: String,
    /// Whether the user may log in.
    pub active: bool,
    /// Creation.
    pub created_at: String,
    /// First successful login.
    pub first_login_at: Option<String>,
    /// Latest successful login, exact to a minute.
    pub last_login_at: Option<String>,
    /// Whether the console shows its introduction.
    pub show_getting_started: bool,
    /// What is never served.
    #[serde(skip)]
    pub secret: Secret,
}

/// What of a user is never served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Secret {
    /// argon2 PHC string.
    pub password_hash: String,
    /// Failed logins since the last successful one.
    pub failed_logins: i64,
    /// When the latest of them was; milliseconds since the epoch.
    pub last_failed_at_ms: i64,
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl Resource for User {
    const VIEW: View = View::Users;

    fn key(&self) -> String {
        self.username.to_lowercase()
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::Int(Some(self.secret.created_at_ms))]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.secret).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.secret = serde_json::from_str(hidden)?;
        Ok(())
    }
}

fn username(event: &Event) -> Option<&str> {
    match event {
        Event::UserCreated(e) => Some(&e.username),
        Event::UserPasswordChanged(e) => Some(&e.username),
        Event::UserRoleChanged(e) => Some(&e.username),
        Event::UserActivityChanged(e) => Some(&e.username),
        Event::UserGettingStartedChanged(e) => Some(&e.username),
        Event::UserLoggedIn(e) => Some(&e.username),
        Event::UserLoginFailed(e) => Some(&e.username),
        Event::UserUnlocked(e) => Some(&e.username),
        Event::UserDeleted(e) => Some(&e.username),
        _ => None,
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some(name) = username(event) {
        needs.key(View::Users, name.to_lowercase());
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Some(name) = username(event) else {
        return Ok(());
    };
    let key = name.to_lowercase();
    let mut user: User = match event {
        Event::UserCreated(e) => {
            return rows.put(&User {
                username: e.username.clone(),
                role: e.role.clone(),
                active: true,
                created_at: wire(e.created_at_ms),
                first_login_at: None,
                last_login_at: None,
                show_getting_started: true,
                secret: Secret {
                    password_hash: e.password_hash.clone(),
                    created_at_ms: e.created_at_ms,
                    ..Secret::default()
                },
            });
        }
        Event::UserDeleted(_) => {
            rows.remove(View::Users, &key);
            return Ok(());
        }
        _ => rows.expect(&key)?,
    };
    match event {
        Event::UserPasswordChanged(e) => user.secret.password_hash.clone_from(&e.password_hash),
        Event::UserRoleChanged(e) => user.role.clone_from(&e.role),
        Event::UserActivityChanged(e) => user.active = e.active,
        Event::UserGettingStartedChanged(e) => user.show_getting_started = e.show_getting_started,
        Event::UserLoggedIn(e) => {
            let at = wire(e.at_ms);
            user.first_login_at.get_or_insert_with(|| at.clone());
            user.last_login_at = Some(at);
            user.secret.failed_logins = 0;
        }
        Event::UserLoginFailed(e) => {
            user.secret.failed_logins += 1;
            user.secret.last_failed_at_ms = e.at_ms;
        }
        Event::UserUnlocked(_) => user.secret.failed_logins = 0,
        _ => {}
    }
    rows.put(&user)
}
