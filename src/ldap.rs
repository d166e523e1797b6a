//! The directory service (LDAP) that users may come from: who somebody is there, and in which
//! groups. Nothing here knows the manager's own users or groups.
//!
//! What somebody types is escaped before it stands in a filter or a distinguished name. An empty
//! password is none: directories take a bind without a password for an anonymous one, and let it
//! succeed (RFC 4513, 5.1.2).
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, SearchResult,
    ldap_escape,
};

use crate::{config::Hidden, tasks, trust};

mod name;
mod settings;
#[cfg(test)]
mod tests;

pub use name::is_same;
pub use settings::{Values, check};

/// Entries of one answer; more are an error of who wrote the filter.
const ENTRIES_MAX: i32 = 1_000;
/// Groups of one user.
const GROUPS_MAX: usize = 1_000;

/// Result codes of RFC 4511, appendix A.
const SUCCESS: u32 = 0;
const NO_SUCH_OBJECT: u32 = 32;
/// What a bind is refused with when it is the user's fault: inappropriate authentication, invalid
/// credentials, an entry that is none or cannot be one, an account that may not log in.
const WRONG: [u32; 6] = [NO_SUCH_OBJECT, 34, 48, 49, 50, 53];

/// Why nothing is known of somebody.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// There is nobody of that name with that password.
    #[error("wrong name or password")]
    WrongCredentials,
    /// The server does not answer.
    #[error("the LDAP server {url} cannot be reached: {reason}")]
    Away {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server does not do what it is asked.
    #[error("the LDAP server refuses to {what}: {reason}")]
    Refused {
        /// What it was to do.
        what: &'static str,
        /// What it says.
        reason: String,
    },
    /// The settings cannot be used.
    #[error("LDAP is not set up rightly: {0}")]
    Settings(String),
}

/// The account with which people are looked for.
#[derive(Debug, Clone)]
struct Account {
    name: String,
    password: Hidden,
}

/// A directory service as it is set up. In templates, `{username}` and `{object_dn}` are left.
#[derive(Debug, Clone)]
pub struct Service {
    url: String,
    ca_pem: Option<String>,
    timeout: Duration,
    account: Option<Account>,
    bind_format: String,
    base_dn: String,
    group_dn: String,
    user_filter: String,
    group_member_filter: String,
    uid: String,
    membership: String,
    nested_levels: u32,
}

/// Somebody who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name in the directory.
    pub name: String,
    /// Distinguished names of the groups.
    pub groups: BTreeSet<String>,
}

impl Service {
    /// Who somebody is.
    ///
    /// # Errors
    /// [`LdapError`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Person, LdapError> {
        if password.is_empty() {
            return Err(LdapError::WrongCredentials);
        }
        let mut ldap = self.connect().await?;
        let found = self.prove(&mut ldap, username, password).await;
        self.leave(ldap).await;
        found
    }

    /// Whether the server is there, and lets the account in.
    ///
    /// # Errors
    /// [`LdapError`].
    pub async fn try_out(&self) -> Result<(), LdapError> {
        let mut ldap = self.connect().await?;
        let tried = match &self.account {
            Some(account) => self.bind_account(&mut ldap, account).await,
            None => Ok(()),
        };
        self.leave(ldap).await;
        tried
    }

    async fn connect(&self) -> Result<Ldap, LdapError> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.timeout);
        if let Some(pem) = &self.ca_pem {
            let config = trust::only(pem.as_bytes())
                .map_err(|error| LdapError::Settings(format!("ldap_ca_cert: {error}")))?;
            settings = settings.set_config(Arc::new(config));
        }
        let connected = LdapConnAsync::with_settings(settings, &self.url).await;
        let (connection, ldap) = connected.map_err(|error| self.away(&error))?;
        let url = self.url.clone();
        tasks::detached("connection to LDAP", async move {
            if let Err(error) = connection.drive().await {
                tracing::warn!(url, %error, "a connection to LDAP broke off");
            }
        });
        Ok(ldap)
    }

    /// The text alone: what an error holds beside it may be a password.
    fn away(&self, error: &ldap3::LdapError) -> LdapError {
        LdapError::Away {
            url: self.url.clone(),
            reason: error.to_string(),
        }
    }

    async fn leave(&self, mut ldap: Ldap) {
        if let Err(error) = ldap.with_timeout(self.timeout).unbind().await {
            tracing::debug!(url = self.url, %error, "LDAP was left without a word");
        }
    }

    async fn prove(
        &self,
        ldap: &mut Ldap,
        username: &str,
        password: &str,
    ) -> Result<Person, LdapError> {
        let entry = match &self.account {
            Some(account) => {
                self.bind_account(ldap, account).await?;
                let entry = self.entry(ldap, username).await?;
                self.bind(ldap, &entry.dn, password).await?;
                // groups may be open to the account alone
                self.bind_account(ldap, account).await?;
                entry
            }
            None => {
                let name = name::of_bind(&self.bind_format, username);
                self.bind(ldap, &name, password).await?;
                self.entry(ldap, username).await?
            }
        };
        let name = values(&entry, &self.uid).first();
        let name = name.map_or(username, String::as_str).to_owned();
        let groups = self.groups(ldap, &entry).await?;
        Ok(Person { name, groups })
    }

    async fn bind(&self, ldap: &mut Ldap, name: &str, password: &str) -> Result<(), LdapError> {
        let bound = ldap.with_timeout(self.timeout).simple_bind(name, password);
        let result = bound.await.map_err(|error| self.away(&error))?;
        match result.rc {
            SUCCESS => Ok(()),
            rc if WRONG.contains(&rc) => Err(LdapError::WrongCredentials),
            rc => Err(refused("let somebody in", rc, &result.text)),
        }
    }

    async fn bind_account(&self, ldap: &mut Ldap, account: &Account) -> Result<(), LdapError> {
        let name = name::of_account(&self.bind_format, &account.name);
        match self.bind(ldap, &name, &account.password.0).await {
            Err(LdapError::WrongCredentials) => Err(LdapError::Settings(format!(
                "the account `{}` is not let in",
                account.name
            ))),
            bound => bound,
        }
    }

    /// The one entry of somebody.
    async fn entry(&self, ldap: &mut Ldap, username: &str) -> Result<SearchEntry, LdapError> {
        let filter = self
            .user_filter
            .replace("{username}", &ldap_escape(username));
        let mut found = self.search(ldap, &self.base_dn, &filter).await?;
        match (found.pop(), found.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (Some(_), false) => Err(LdapError::Settings(format!(
                "the user filter finds several entries of `{username}`"
            ))),
            (None, _) => Err(LdapError::WrongCredentials),
        }
    }

    async fn search(
        &self,
        ldap: &mut Ldap,
        base: &str,
        filter: &str,
    ) -> Result<Vec<SearchEntry>, LdapError> {
        let attributes = [self.uid.as_str(), self.membership.as_str()];
        let found = ldap
            .with_timeout(self.timeout)
            .with_search_options(SearchOptions::new().sizelimit(ENTRIES_MAX))
            .search(base, Scope::Subtree, filter, attributes)
            .await;
        let SearchResult(entries, result) = match found {
            Err(ldap3::LdapError::FilterParsing) => {
                let text = format!("`{filter}` is no filter");
                return Err(LdapError::Settings(text));
            }
            found => found.map_err(|error| self.away(&error))?,
        };
        match result.rc {
            SUCCESS => {}
            NO_SUCH_OBJECT => return Ok(Vec::new()),
            rc => return Err(refused("search", rc, &result.text)),
        }
        // other servers are not asked
        let own = entries
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        Ok(own.map(SearchEntry::construct).collect())
    }

    /// The groups of an entry: those it names itself or, where it names none, those that name it;
    /// then those of the groups, as many levels as are set.
    async fn groups(
        &self,
        ldap: &mut Ldap,
        entry: &SearchEntry,
    ) -> Result<BTreeSet<String>, LdapError> {
        let mut next = values(entry, &self.membership).to_vec();
        if next.is_empty() {
            next = self.groups_with(ldap, &entry.dn).await?;
        }
        let mut found = BTreeSet::new();
        for level in 1.. {
            next.retain(|group| found.insert(group.clone()));
            if found.len() > GROUPS_MAX {
                return Err(LdapError::Settings(format!(
                    "more than {GROUPS_MAX} groups of one user"
                )));
            }
            if level >= self.nested_levels || next.is_empty() {
                break;
            }
            let mut above = Vec::new();
            for group in &next {
                above.extend(self.groups_with(ldap, group).await?);
            }
            next = above;
        }
        Ok(found)
    }

    /// The groups that name an entry as a member.
    async fn groups_with(&self, ldap: &mut Ldap, dn: &str) -> Result<Vec<String>, LdapError> {
        let filter = self
            .group_member_filter
            .replace("{object_dn}", &ldap_escape(dn));
        let found = self.search(ldap, &self.group_dn, &filter).await?;
        Ok(found.into_iter().map(|group| group.dn).collect())
    }
}

/// Values of an attribute, whatever the case of its name.
fn values<'a>(entry: &'a SearchEntry, attribute: &str) -> &'a [String] {
    let mut all = entry.attrs.iter();
    let found = all.find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    found.map_or(&[], |(_, values)| values)
}

fn refused(what: &'static str, rc: u32, text: &str) -> LdapError {
    LdapError::Refused {
        what,
        reason: format!("{text} (result {rc})"),
    }
}

/// Placeholders of templates with what stands for them.
type Filling<'a> = BTreeMap<&'static str, &'a str>;
