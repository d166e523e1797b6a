//! Names, templates and what is refused, without a server.
use serde_json::json;

use super::{Service, Values, is_same, name, settings::check};
use crate::config::Hidden;

fn values(value: serde_json::Value) -> Values {
    value.as_object().unwrap().clone()
}

#[test]
fn what_somebody_types_is_no_part_of_a_name() {
    let format = "uid={username},dc=example";
    assert_eq!(name::of_bind(format, "ann"), "uid=ann,dc=example");
    for typed in ["ann,ou=x", "ann+cn=x", "ann\\,x"] {
        let name = name::of_bind(format, typed);
        assert!(!name.contains(typed), "{name}");
    }
    let upn = name::of_bind("{username}@example.com", "ann");
    assert_eq!(upn, "ann@example.com");
    for name in [
        "cn=reader,dc=example",
        "reader@example.com",
        "EXAMPLE\\reader",
    ] {
        assert_eq!(super::name::of_account(format, name), name);
    }
    assert_eq!(name::of_account(format, "r"), "uid=r,dc=example");
}

#[test]
fn distinguished_names_are_compared_as_such() {
    assert!(is_same(
        "CN=Ops, OU=Groups,dc=Example",
        "cn=ops,ou = groups,DC=example"
    ));
    assert!(!is_same("cn=ops,ou=groups", "cn=ops\\,ou=groups"));
    assert!(!is_same("cn=ops", "cn=op s"));
}

#[test]
fn what_is_not_set_follows_from_the_domain() {
    let given = values(json!({"server": "ldap://x", "domain": "example.com",
        "dn_extra": "ou=people", "username": "reader"}));
    let service = Service::of(&given, Some(Hidden("s".to_owned()))).unwrap();
    assert_eq!(service.base_dn, "ou=people,dc=example,dc=com");
    assert_eq!(service.group_dn, service.base_dn);
    assert_eq!(
        service.bind_format,
        "uid={username},ou=people,dc=example,dc=com"
    );
    assert_eq!(service.nested_levels, 1);
    assert!(!format!("{service:?}").contains("\"s\""));
    let mut given = given;
    given.insert("is_active_directory".to_owned(), json!(true));
    given.insert("group_dn".to_owned(), json!("ou=groups,{domain_dn}"));
    let service = Service::of(&given, None).unwrap();
    assert_eq!(service.bind_format, "{username}@example.com");
    assert_eq!(service.group_dn, "ou=groups,dc=example,dc=com");
    assert!(service.account.is_none());
}

#[test]
fn what_cannot_work_is_refused() {
    for (value, words) in [
        (json!({}), "begin with"),
        (json!({"server": "http://x"}), "begin with"),
        (json!({"server": "ldaps://x"}), "needs a CA"),
        (
            json!({"server": "ldap://x", "ca_cert": "pem"}),
            "ldaps:// only",
        ),
        (
            json!({"server": "ldap://x", "user_filter": "(uid={user})"}),
            "{user}",
        ),
        (
            json!({"server": "ldap://x", "group_member_filter": "(m={username})"}),
            "{username}",
        ),
    ] {
        let error = check(&values(value.clone())).unwrap_err().to_string();
        assert!(error.contains(words), "{value}: {error}");
    }
    let nowhere = values(json!({"server": "ldap://x"}));
    assert!(Service::of(&nowhere, None).is_err());
}
