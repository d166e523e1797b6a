//! From what a request carries to who asks: execution tokens, Basic, access tokens, in this order.
use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use stratalog_projections::{
    Condition, ListQuery, Reader, Scope, View,
    views::{
        executions::{Execution, is_active},
        operations::{Operation, is_terminal},
        users::User,
    },
};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::{
    ADMIN, Caller, Directory, Method, caller::ExecutionRef, credentials::Credentials,
    directory::Snapshot, token,
};
use crate::{
    clock,
    config::Hidden,
    db::{Database, Pooled},
    error::{Error, ErrorCode},
    ldap,
};

/// Logins and uses of tokens are written down at most this often.
const NOTED_EVERY: Duration = Duration::from_secs(60);
const NOTED_MAX: u64 = 100_000;
/// How long somebody is let in whom the directory service has let in, without asking it again.
const VISIT: Duration = Duration::from_secs(60);
const VISITORS_MAX: u64 = 10_000;
/// Questions to the directory service at a time.
const OUTSIDE_MAX: usize = 16;
/// How early the token of a scheduled execution is good.
const SCHEDULED_EARLY_MS: i64 = 60_000;

/// What a request carries to prove who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// `Execution-Token`.
    pub execution_token: Option<&'a str>,
    /// `Authentication-Token`.
    pub token: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
}

impl<'a> Carried<'a> {
    /// Takes it from the headers.
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            execution_token: text("execution-token"),
            token: text("authentication-token"),
            authorization: text(AUTHORIZATION.as_str()),
        }
    }
}

/// What authentication leaves behind; commands write it to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A user logged in with a password.
    LoggedIn(String),
    /// Somebody failed to.
    Failed(String),
    /// The access token of that id was used.
    TokenUsed(String),
}

/// The outcome: a caller or a refusal, and what is to be noted either way.
#[derive(Debug)]
pub struct Identity {
    /// Who asks; not yet in a tenant.
    pub caller: Result<Caller, Error>,
    /// What is to be noted.
    pub note: Option<Note>,
    /// Who is to be asked for at the directory service: until then it is a refusal.
    pub elsewhere: Option<Login>,
}

impl From<Result<Caller, Error>> for Identity {
    fn from(caller: Result<Caller, Error>) -> Self {
        Self {
            caller,
            note: None,
            elsewhere: None,
        }
    }
}

/// A name and a password that the manager knows nothing of.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Hidden,
    /// How the service was set up then.
    settings: Arc<ldap::Values>,
}

/// Somebody whom the directory service let in.
#[derive(Debug, Clone)]
struct Visitor {
    username: String,
    settings: Arc<ldap::Values>,
}

/// Proves who asks.
#[derive(Debug)]
pub struct Authenticator {
    directory: Directory,
    database: Database,
    credentials: Credentials,
    noted: moka::sync::Cache<String, ()>,
    visitors: moka::sync::Cache<[u8; 32], Visitor>,
    places_outside: Semaphore,
}

/// A 401; every one of them begins with the same words.
pub(crate) fn unauthorized(message: impl std::fmt::Display) -> Error {
    Error::refused(
        ErrorCode::Unauthorized,
        format!("User unauthorized: {message}"),
    )
}

pub(crate) fn wrong_credentials(user: &str) -> Error {
    unauthorized(format!(
        "Authentication failed for <User username=`{user}`>. Wrong credentials or locked account"
    ))
}

impl Authenticator {
    /// Looks people up in `directory`; executions that have ended, in the database.
    pub fn new(directory: Directory, database: Database) -> Self {
        let noted = moka::sync::Cache::builder()
            .max_capacity(NOTED_MAX)
            .time_to_live(NOTED_EVERY)
            .build();
        Self {
            directory,
            database,
            credentials: Credentials::default(),
            noted,
            visitors: moka::sync::Cache::builder()
                .max_capacity(VISITORS_MAX)
                .time_to_live(VISIT)
                .build(),
            places_outside: Semaphore::new(OUTSIDE_MAX),
        }
    }

    /// Who sent this.
    pub async fn identify(&self, carried: Carried<'_>, request_id: Uuid) -> Identity {
        let snapshot = self.directory.load();
        let mut identity = self.prove(&snapshot, carried).await;
        if let Ok(caller) = &mut identity.caller {
            caller.request_id = request_id;
        }
        identity
    }

    async fn prove(&self, snapshot: &Snapshot, carried: Carried<'_>) -> Identity {
        match self.by_execution_token(snapshot, carried).await {
            Ok(Some(caller)) => return Ok(caller).into(),
            Ok(None) => {}
            Err(error) => return Err(error).into(),
        }
        if let Some((name, password)) = carried.authorization.and_then(basic) {
            if snapshot.has_ldap() && !name.eq_ignore_ascii_case(ADMIN) {
                return self.by_visit(snapshot, (name, password));
            }
            if let Some(user) = snapshot.user(&name) {
                return self.by_password(snapshot, user, &password).await;
            }
        }
        match carried.token {
            Some(value) => self.by_access_token(snapshot, value),
            None => Err(unauthorized("No authentication info provided")).into(),
        }
    }

    /// True once per interval for each key.
    fn first_in_interval(&self, key: String) -> bool {
        self.noted.entry(key).or_insert(()).is_fresh()
    }

    async fn by_password(&self, snapshot: &Snapshot, user: &User, password: &str) -> Identity {
        let name = &user.username;
        let hash = &user.secret.password_hash;
        match self.credentials.check(name, password, hash).await {
            Err(error) => Err(error).into(),
            Ok(false) => Identity {
                note: Some(Note::Failed(name.clone())),
                ..Err(wrong_credentials(name)).into()
            },
            Ok(true) => self.logged_in(snapshot, user),
        }
    }

    /// Somebody whose password was right.
    fn logged_in(&self, snapshot: &Snapshot, user: &User) -> Identity {
        let name = &user.username;
        if !user.active {
            return Err(wrong_credentials(name)).into();
        }
        let is_first = self.first_in_interval(format!("user {name}"));
        let is_noted = is_first || user.secret.failed_logins > 0;
        Identity {
            note: is_noted.then(|| Note::LoggedIn(name.clone())),
            ..Ok(caller(snapshot, user, Method::Basic)).into()
        }
    }

    /// Somebody of the directory service, who was there lately or is to be asked for.
    fn by_visit(&self, snapshot: &Snapshot, (name, password): (String, String)) -> Identity {
        let visitor = self
            .visitors
            .get(&self.credentials.digest(&name, &password));
        let visitor = visitor.filter(|known| Arc::ptr_eq(&known.settings, &snapshot.ldap));
        let user = visitor.and_then(|known| snapshot.user(&known.username).cloned());
        match user {
            Some(user) => self.logged_in(snapshot, &user),
            None => Identity {
                elsewhere: Some(Login {
                    settings: snapshot.ldap.clone(),
                    password: Hidden(password),
                    name: name.clone(),
                }),
                ..Err(wrong_credentials(&name)).into()
            },
        }
    }

    /// Waits until the directory service may be asked.
    pub async fn place_outside(&self) -> Option<SemaphorePermit<'_>> {
        // the semaphore is never closed
        self.places_outside.acquire().await.ok()
    }

    /// Lets somebody in whom the directory service has let in, and whose user is here; for a while
    /// it is not asked again.
    pub fn let_in(&self, login: &Login, username: &str, request_id: Uuid) -> Identity {
        let snapshot = self.directory.load();
        let Some(user) = snapshot.user(username) else {
            return Err(wrong_credentials(&login.name)).into();
        };
        let digest = self.credentials.digest(&login.name, &login.password.0);
        let visitor = Visitor {
            username: user.username.clone(),
            settings: login.settings.clone(),
        };
        self.visitors.insert(digest, visitor);
        let mut identity = self.logged_in(&snapshot, user);
        if let Ok(caller) = &mut identity.caller {
            caller.request_id = request_id;
        }
        identity
    }

    fn by_access_token(&self, snapshot: &Snapshot, value: &str) -> Identity {
        let Some((id, secret)) = token::parts(value) else {
            return Err(unauthorized("Invalid token structure")).into();
        };
        let Some(known) = snapshot.token(id) else {
            return Err(unauthorized("Unauthorized")).into();
        };
        if !token::same(&token::sha256_hex(secret), &known.secret.secret_hash) {
            return Err(unauthorized("Unauthorized")).into();
        }
        let now_ms = clock::now_ms();
        if known.secret.expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Err(unauthorized("Token is expired")).into();
        }
        let Some(user) = snapshot.user(&known.username) else {
            return Err(unauthorized("Unauthorized")).into();
        };
        if !user.active || snapshot.is_locked(user, now_ms) {
            return Err(wrong_credentials(&user.username)).into();
        }
        let is_first = self.first_in_interval(format!("token {id}"));
        Identity {
            note: is_first.then(|| Note::TokenUsed(id.to_owned())),
            ..Ok(caller(snapshot, user, Method::Token)).into()
        }
    }

    async fn by_execution_token(
        &self,
        snapshot: &Snapshot,
        carried: Carried<'_>,
    ) -> Result<Option<Caller>, Error> {
        let (value, is_certain) = match (carried.execution_token, carried.token) {
            (Some(value), _) => (value, true),
            (None, Some(value)) if !token::is_access_token(value) => (value, false),
            _ => return Ok(None),
        };
        let sha256 = token::sha256_hex(value);
        let found = match snapshot.execution(&sha256) {
            Some(running) => Some((
                ExecutionRef {
                    id: running.id.clone(),
                    tenant: running.tenant.clone(),
                },
                running.created_by.clone(),
            )),
            None => self.stored_execution(sha256).await?,
        };
        let Some((execution, creator)) = found else {
            return match is_certain {
                true => Err(unauthorized("invalid Execution Token")),
                false => Ok(None),
            };
        };
        let user = snapshot.user(&creator).filter(|user| user.active);
        let user = user.ok_or_else(|| wrong_credentials(&creator))?;
        let mut caller = caller(snapshot, user, Method::Execution);
        caller.execution = Some(execution);
        Ok(Some(caller))
    }

    /// An execution that is not active any more, or not yet, may still have something to say.
    async fn stored_execution(
        &self,
        sha256: String,
    ) -> Result<Option<(ExecutionRef, String)>, Error> {
        let connection = Pooled(self.database.reader().await?);
        let reader = Reader::begin(connection, stratalog_projections::At::Now).await?;
        let query = ListQuery::all(View::Executions, Scope::Everything)
            .with(Condition::AnyOf("token_sha256".to_owned(), vec![sha256]));
        let Some(execution) = reader.select_as::<Execution>(&query).await?.pop() else {
            return Ok(None);
        };
        let is_good = match execution.status.as_str() {
            "scheduled" => execution
                .own
                .scheduled_for_ms
                .is_some_and(|at| at - SCHEDULED_EARLY_MS <= clock::now_ms()),
            "cancelled" => has_unfinished_operations(&reader, &execution).await?,
            status => is_active(status),
        };
        drop(reader.finish().await?);
        if !is_good {
            return Err(unauthorized("invalid Execution Token"));
        }
        let found = ExecutionRef {
            id: execution.id,
            tenant: execution.tenant_name,
        };
        Ok(Some((found, execution.created_by)))
    }

    /// The user behind an execution, for what the manager does on its behalf.
    ///
    /// # Errors
    /// 401 when the user is gone or inactive.
    pub fn creator_of(&self, execution: ExecutionRef, creator: &str) -> Result<Caller, Error> {
        let snapshot = self.directory.load();
        let user = snapshot.user(creator).filter(|user| user.active);
        let user: &Arc<User> = user.ok_or_else(|| wrong_credentials(creator))?;
        let tenant = execution.tenant.clone();
        let mut caller = caller(&snapshot, user, Method::Execution).in_tenant(&tenant);
        caller.execution = Some(execution);
        Ok(caller)
    }
}

async fn has_unfinished_operations(
    reader: &Reader<Pooled>,
    execution: &Execution,
) -> Result<bool, Error> {
    let query = ListQuery::all(View::Operations, Scope::Everything).with(Condition::AnyOf(
        "execution_id".to_owned(),
        vec![execution.id.clone()],
    ));
    let operations: Vec<Operation> = reader.select_as(&query).await?;
    Ok(operations
        .iter()
        .any(|operation| !is_terminal(&operation.state)))
}

fn caller(snapshot: &Snapshot, user: &User, method: Method) -> Caller {
    let system_roles = snapshot.system_roles(user);
    Caller {
        username: user.username.clone(),
        tenant: None,
        roles: system_roles,
        system_roles,
        method,
        execution: None,
        request_id: Uuid::nil(),
        memberships: Arc::new(snapshot.memberships(user)),
        permissions: snapshot.permissions.clone(),
    }
}

/// Name and password of a Basic header whose name can be one of ours.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| (name.to_owned(), password.to_owned()))
}
