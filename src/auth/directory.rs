//! Users, tokens, tenants and running executions in memory, as of the newest event: asking who
//! somebody is costs no query. Fed by the log as its observer, so what was acknowledged holds for
//! the next request.
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;
use stratalog_projections::{
    Connection, ListQuery, Reader, Resource, Rows, Scope, View,
    fold::fold,
    rows::Row,
    views::{
        config::Setting, maintenance::Maintenance, permissions::PermissionChange, tenants::Tenant,
        tokens::Token, user_groups::UserGroup, users::User,
    },
};
use stratalog_schema::{Category, Event, Recorded};

use super::{Role, RoleSet, caller::Memberships, permission::Table};
use crate::{
    error::Error,
    ldap,
    log::append::{Batch, Observer},
};

mod executions;

use executions::Executions;
pub use executions::RunningExecution;

const MINUTE_MS: i64 = 60_000;

type Map<T> = imbl::HashMap<String, Arc<T>>;

/// When a user is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRule {
    /// How long; negative: never.
    pub period_min: i64,
    /// Failed logins that are forgiven.
    pub failures_max: i64,
}

impl Default for LockRule {
    fn default() -> Self {
        Self {
            period_min: -1,
            failures_max: 4,
        }
    }
}

/// One moment of the directory.
#[derive(Debug, Clone)]
pub struct Snapshot {
    users: Map<User>,
    tokens: Map<Token>,
    tenants: Map<Tenant>,
    groups: Map<UserGroup>,
    executions: Executions,
    /// What roles may do.
    pub(super) permissions: Arc<Table>,
    /// Whether the manager is in maintenance.
    pub maintenance: Maintenance,
    /// When users are locked out.
    pub lock: LockRule,
    /// Size of a page when the client asks for none.
    pub page_size: i64,
    /// How the directory service is set up that users come from.
    pub ldap: Arc<ldap::Values>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            users: Map::default(),
            tokens: Map::default(),
            tenants: Map::default(),
            groups: Map::default(),
            permissions: Arc::default(),
            maintenance: Maintenance::default(),
            executions: Executions::default(),
            lock: LockRule::default(),
            page_size: 1_000,
            ldap: Arc::default(),
        }
    }
}

impl Snapshot {
    /// The user of that name, whatever its case.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(&name.to_lowercase())
    }

    /// The access token of that id.
    pub fn token(&self, id: &str) -> Option<&Arc<Token>> {
        self.tokens.get(id)
    }

    /// The tenant of that name.
    pub fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(name)
    }

    /// Names of all tenants, sorted.
    pub fn tenant_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tenants.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The active execution with a token of that sha256.
    pub fn execution(&self, token_sha256: &str) -> Option<&Arc<RunningExecution>> {
        self.executions.by_token(token_sha256)
    }

    /// Whether too many logins failed lately.
    pub fn is_locked(&self, user: &User, now_ms: i64) -> bool {
        self.lock.period_min >= 0
            && user.secret.failed_logins > self.lock.failures_max
            && user.secret.last_failed_at_ms + self.lock.period_min * MINUTE_MS > now_ms
    }

    fn groups_of<'s>(&'s self, user: &'s User) -> impl Iterator<Item = &'s UserGroup> {
        let groups = self.groups.values().map(Arc::as_ref);
        groups.filter(|group| group.users.contains(&user.username))
    }

    /// System roles of a user, and of the groups the user is in.
    pub fn system_roles(&self, user: &User) -> RoleSet {
        let groups = self.groups_of(user).map(|group| group.role.as_str());
        groups
            .chain([user.role.as_str()])
            .filter_map(Role::by_name)
            .fold(RoleSet::default(), |roles, role| {
                roles.and(RoleSet::one(role))
            })
    }

    /// Tenants of a user with the roles there: those of the user, and of the groups the user is in.
    pub(super) fn memberships(&self, user: &User) -> Memberships {
        let groups: Vec<&UserGroup> = self.groups_of(user).collect();
        let member = |tenant: &Arc<Tenant>| {
            let through = groups
                .iter()
                .filter_map(|group| tenant.groups.get(&group.name));
            let named = through.chain(tenant.users.get(&user.username));
            let roles = named.filter_map(|name| Role::by_name(name));
            let roles = roles.map(RoleSet::one).reduce(RoleSet::and)?;
            Some((tenant.name.clone(), roles))
        };
        let mut found: Memberships = self.tenants.values().filter_map(member).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn refresh(&mut self, rows: &Rows, view: View, key: &str) -> Result<(), Error> {
        match view {
            View::Users => refresh(&mut self.users, rows, key),
            View::Tokens => refresh(&mut self.tokens, rows, key),
            View::Tenants => refresh(&mut self.tenants, rows, key),
            View::UserGroups => refresh(&mut self.groups, rows, key),
            View::Maintenance => {
                self.maintenance = rows.get(key)?.unwrap_or_default();
                Ok(())
            }
            View::Permissions => {
                if let Some(change) = rows.get::<PermissionChange>(key)? {
                    Arc::make_mut(&mut self.permissions).change(&change);
                }
                Ok(())
            }
            View::Config => {
                if let Some(setting) = rows.get::<Setting>(key)? {
                    self.set(&setting);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether users come from a directory service.
    pub fn has_ldap(&self) -> bool {
        let server = self.ldap.get("server").and_then(Value::as_str);
        server.is_some_and(|server| !server.is_empty())
    }

    fn set(&mut self, setting: &Setting) {
        if let ("rest", Some(name)) = (&*setting.scope, setting.name.strip_prefix("ldap_")) {
            let value = setting.value.as_ref().map(|value| value.get());
            let value = value.and_then(|value| serde_json::from_str(value).ok());
            let values = Arc::make_mut(&mut self.ldap);
            values.insert(name.to_owned(), value.unwrap_or_default());
            return;
        }
        let value = setting.value.as_ref().and_then(|v| v.get().parse().ok());
        let Some(number) = value else { return };
        match (setting.scope.as_str(), setting.name.as_str()) {
            ("rest", "account_lock_period") => self.lock.period_min = number,
            ("rest", "failed_logins_before_account_lock") => self.lock.failures_max = number,
            ("rest", "default_page_size") => self.page_size = number,
            _ => {}
        }
    }
}

fn refresh<T: Resource>(map: &mut Map<T>, rows: &Rows, key: &str) -> Result<(), Error> {
    match rows.get::<T>(key)? {
        Some(resource) => map.insert(key.to_owned(), Arc::new(resource)),
        None => map.remove(key),
    };
    Ok(())
}

/// What only changes of the directory look at.
#[derive(Debug, Default)]
struct Working {
    rows: Rows,
    position: i64,
    /// Whether something was missed, so that only reading it all again helps.
    is_stale: bool,
}

/// The directory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    current: Arc<ArcSwap<Snapshot>>,
    working: Arc<Mutex<Working>>,
}

impl Directory {
    /// What is known now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Position of the last event that is in it.
    pub fn position(&self) -> i64 {
        self.lock().position
    }

    /// Whatever is read next counts, even if its position is lower.
    pub fn forget_position(&self) {
        let mut working = self.lock();
        working.position = 0;
        working.is_stale = true;
    }

    /// Whether an event was missed and [`Directory::read_from`] must be called.
    pub fn is_stale(&self) -> bool {
        self.lock().is_stale
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Working> {
        // a snapshot is replaced whole, so what a panic left is still one
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything from the views. Gives false when it is older than what is known already:
    /// read again.
    ///
    /// # Errors
    /// Database errors, documents of another version.
    pub async fn read_from<C: Connection>(&self, reader: &Reader<C>) -> Result<bool, Error> {
        let mut rows = Rows::default();
        let mut snapshot = Snapshot::default();
        load::<User>(reader, &mut rows, &mut snapshot).await?;
        load::<Token>(reader, &mut rows, &mut snapshot).await?;
        load::<Tenant>(reader, &mut rows, &mut snapshot).await?;
        load::<Setting>(reader, &mut rows, &mut snapshot).await?;
        load::<UserGroup>(reader, &mut rows, &mut snapshot).await?;
        load::<Maintenance>(reader, &mut rows, &mut snapshot).await?;
        load::<PermissionChange>(reader, &mut rows, &mut snapshot).await?;
        snapshot.executions = Executions::read_from(reader).await?;
        let mut working = self.lock();
        if working.position > reader.head() {
            return Ok(false);
        }
        *working = Working {
            rows,
            position: reader.head(),
            is_stale: false,
        };
        self.current.store(Arc::new(snapshot));
        Ok(true)
    }

    /// Takes in events that follow, and lie up to `last_position`. Those that are in it already are
    /// passed over.
    pub fn apply(&self, events: &[Recorded], last_position: i64) {
        let mut working = self.lock();
        let mut snapshot: Option<Snapshot> = None;
        let known = working.position;
        for recorded in events.iter().filter(|e| e.position > known) {
            let concerns = matches!(
                recorded.stream.category,
                Category::User
                    | Category::Token
                    | Category::Tenant
                    | Category::UserGroup
                    | Category::Settings
                    | Category::Execution
            );
            if !concerns {
                continue;
            }
            let next = snapshot.get_or_insert_with(|| (**self.current.load()).clone());
            if let Err(error) = apply(&mut working.rows, next, recorded) {
                tracing::warn!(%error, position = recorded.position, "directory is read anew");
                working.is_stale = true;
            }
        }
        working.position = working.position.max(last_position);
        if let Some(snapshot) = snapshot {
            self.current.store(Arc::new(snapshot));
        }
    }
}

async fn load<T: Resource>(
    reader: &Reader<impl Connection>,
    rows: &mut Rows,
    snapshot: &mut Snapshot,
) -> Result<(), Error> {
    let all = ListQuery::all(T::VIEW, Scope::Everything);
    for stored in reader.select(&all).await? {
        let row = Row {
            columns: stored.resource::<T>()?.columns(),
            born: stored.born,
            owner: stored.owner,
            doc: stored.doc,
            hidden: stored.hidden,
        };
        rows.preload(T::VIEW, stored.key.clone(), Some(row));
        snapshot.refresh(rows, T::VIEW, &stored.key)?;
    }
    Ok(())
}

fn apply(rows: &mut Rows, snapshot: &mut Snapshot, recorded: &Recorded) -> Result<(), Error> {
    if recorded.stream.category == Category::Execution {
        snapshot.executions.apply(&recorded.event);
        return Ok(());
    }
    if matches!(recorded.event, Event::ProviderContextSet(_)) {
        return Ok(());
    }
    fold(recorded, rows)?;
    for change in rows.take_changes() {
        snapshot.refresh(rows, change.view, &change.key)?;
    }
    Ok(())
}

impl Observer for Directory {
    fn committed(&self, batch: &Batch) {
        {
            let mut working = self.lock();
            // another process came between: its events are missing
            working.is_stale |= batch.first_position > working.position + 1;
        }
        self.apply(&batch.events, batch.last_position);
    }

    fn went_back(&self, head: i64) {
        let mut working = self.lock();
        working.is_stale = true;
        working.position = head;
    }
}
