//! Names: those that people and accounts bind with, and distinguished names.
use ldap3::dn_escape;

/// The name with which somebody binds. In a distinguished name, what somebody types is escaped.
pub(super) fn of_bind(format: &str, username: &str) -> String {
    let escaped = match format.contains('=') {
        true => dn_escape(username),
        false => username.into(),
    };
    format.replace("{username}", &escaped)
}

/// The name with which an account binds: as it is, if it is a whole name already.
pub(super) fn of_account(format: &str, name: &str) -> String {
    match name.contains(['=', '@', '\\']) {
        true => name.to_owned(),
        false => of_bind(format, name),
    }
}

/// The distinguished name of a domain: `dc=example,dc=com` of `example.com`.
pub(super) fn of_domain(domain: &str) -> String {
    let parts = domain.split('.').filter(|part| !part.is_empty());
    let parts = parts.map(|part| format!("dc={}", dn_escape(part)));
    parts.collect::<Vec<_>>().join(",")
}

/// Whether two texts are the same distinguished name: neither case nor spaces around commas and
/// equal signs count.
pub fn is_same(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

fn normal(dn: &str) -> String {
    let mut normal = String::with_capacity(dn.len());
    let mut is_escaped = false;
    let mut chars = dn.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let is_separator = matches!(c, ',' | '=' | '+') && !is_escaped;
        if is_separator {
            normal.truncate(normal.trim_end().len());
        }
        normal.extend(c.to_lowercase());
        if is_separator {
            while chars.next_if(|c| *c == ' ').is_some() {}
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    normal
}
