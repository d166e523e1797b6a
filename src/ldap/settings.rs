//! What a directory service is set up with: the values of the settings `rest.ldap_…`, and the
//! templates in them. Their names and placeholders are the reference's.
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Account, Filling, LdapError, Service, name};
use crate::config::Hidden;

/// Values by name, without what all names begin with.
pub type Values = Map<String, Value>;

/// Longest wait for an answer, where nobody says anything else; seconds.
const TIMEOUT_S: f64 = 5.0;
const TIMEOUT_S_MAX: f64 = 300.0;
/// Groups in groups in groups are looked for this deep at most.
const LEVELS_MAX: u32 = 10;

/// Templates, and what may stand in them.
const TEMPLATES: [(&str, &[&str]); 4] = [
    (
        "bind_format",
        &["username", "domain", "base_dn", "domain_dn", "group_dn"],
    ),
    ("group_dn", &["base_dn", "domain_dn"]),
    ("group_member_filter", &["object_dn"]),
    (
        "user_filter",
        &["username", "base_dn", "domain_dn", "group_dn"],
    ),
];

/// What differs between Active Directory and others, unless it is set.
struct Usual {
    bind_format: &'static str,
    user_filter: &'static str,
    group_member_filter: &'static str,
    uid: &'static str,
}

const ACTIVE_DIRECTORY: Usual = Usual {
    bind_format: "{username}@{domain}",
    user_filter: "(&(objectClass=user)(sAMAccountName={username}))",
    group_member_filter: "(&(objectClass=group)(member={object_dn}))",
    uid: "sAMAccountName",
};
const ANY: Usual = Usual {
    bind_format: "uid={username},{base_dn}",
    user_filter: "(uid={username})",
    group_member_filter: "(|(member={object_dn})(uniqueMember={object_dn}))",
    uid: "uid",
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Given {
    server: Option<String>,
    domain: Option<String>,
    username: Option<String>,
    is_active_directory: Option<bool>,
    dn_extra: Option<String>,
    ca_cert: Option<String>,
    nested_levels: Option<u32>,
    bind_format: Option<String>,
    group_dn: Option<String>,
    base_dn: Option<String>,
    group_member_filter: Option<String>,
    user_filter: Option<String>,
    attribute_uid: Option<String>,
    attribute_group_membership: Option<String>,
    timeout: Option<f64>,
}

fn set(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn filled(template: &str, filling: &Filling<'_>) -> String {
    let mut text = template.to_owned();
    for (name, value) in filling {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

impl Service {
    /// The service of these values, whose account has that password.
    ///
    /// # Errors
    /// `Settings`.
    pub fn of(values: &Values, password: Option<Hidden>) -> Result<Self, LdapError> {
        check(values)?;
        let bad = |error: serde_json::Error| LdapError::Settings(error.to_string());
        let given: Given = serde_json::from_value(values.clone().into()).map_err(bad)?;
        let usual = match given.is_active_directory {
            Some(true) => ACTIVE_DIRECTORY,
            _ => ANY,
        };
        let domain = given.domain.unwrap_or_default();
        let domain_dn = name::of_domain(&domain);
        let base_dn = set(given.base_dn).unwrap_or_else(|| match set(given.dn_extra) {
            Some(extra) => format!("{extra},{domain_dn}"),
            None => domain_dn.clone(),
        });
        if base_dn.is_empty() {
            let text = "neither a domain nor a base DN is set";
            return Err(LdapError::Settings(text.to_owned()));
        }
        let mut filling = Filling::from([
            ("domain", domain.as_str()),
            ("domain_dn", &domain_dn),
            ("base_dn", &base_dn),
        ]);
        let group_dn = set(given.group_dn).unwrap_or_else(|| "{base_dn}".to_owned());
        let group_dn = filled(&group_dn, &filling);
        filling.insert("group_dn", &group_dn);
        let template =
            |given, usual: &str| filled(&set(given).unwrap_or_else(|| usual.to_owned()), &filling);
        let account = set(given.username).zip(password);
        let timeout_s = given.timeout.unwrap_or(TIMEOUT_S);
        Ok(Self {
            url: given.server.unwrap_or_default(),
            ca_pem: set(given.ca_cert),
            timeout: Duration::from_secs_f64(timeout_s.clamp(0.1, TIMEOUT_S_MAX)),
            account: account.map(|(name, password)| Account { name, password }),
            bind_format: template(given.bind_format, usual.bind_format),
            user_filter: template(given.user_filter, usual.user_filter),
            group_member_filter: template(given.group_member_filter, usual.group_member_filter),
            uid: set(given.attribute_uid).unwrap_or_else(|| usual.uid.to_owned()),
            membership: set(given.attribute_group_membership)
                .unwrap_or_else(|| "memberOf".to_owned()),
            nested_levels: given.nested_levels.unwrap_or(1).clamp(1, LEVELS_MAX),
            group_dn,
            base_dn,
        })
    }
}

/// Checks what can be checked without the server.
///
/// # Errors
/// `Settings`.
pub fn check(values: &Values) -> Result<(), LdapError> {
    let text = |name: &str| values.get(name).and_then(Value::as_str).unwrap_or_default();
    let refused = |text: String| Err(LdapError::Settings(text));
    let has_ca = !text("ca_cert").is_empty();
    match text("server") {
        server if server.starts_with("ldaps://") && !has_ca => {
            return refused("ldaps:// needs a CA certificate".to_owned());
        }
        server if server.starts_with("ldap://") && has_ca => {
            return refused("a CA certificate is for ldaps:// only".to_owned());
        }
        server if server.starts_with("ldap://") || server.starts_with("ldaps://") => {}
        _ => return refused("the server is to begin with ldap:// or ldaps://".to_owned()),
    }
    for (name, allowed) in TEMPLATES {
        for part in text(name).split('{').skip(1) {
            let placeholder = part.split('}').next().unwrap_or_default();
            if !allowed.contains(&placeholder) {
                return refused(format!(
                    "`{{{placeholder}}}` means nothing in ldap_{name}: {} may stand there",
                    allowed.join(", ")
                ));
            }
        }
    }
    Ok(())
}
