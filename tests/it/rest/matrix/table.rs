//! What the tables say: the permission of every operation, and the roles that hold it.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const PERMISSIONS: &str = include_str!("../../../data/rest/permissions.tsv");
const ROLES: &str = include_str!("../../../data/rest/roles.tsv");

/// Initials of the roles: `A`dmin, `M`anager, `U`ser, `O`perations, `V`iewer, `D`efault.
pub(super) type Roles = BTreeSet<char>;

/// A role's name and initial.
pub(super) const NAMES: [(&str, char); 6] = [
    ("sys_admin", 'A'),
    ("manager", 'M'),
    ("user", 'U'),
    ("operations", 'O'),
    ("viewer", 'V'),
    ("default", 'D'),
];

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    Known,
    Admins,
    Cookie,
    Holders(&'static str, Roles),
}

/// One operation as it is asked.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) method: &'static str,
    /// As a client would send it, below the API's root or, with a leading slash, the server's.
    pub(super) path: &'static str,
    pub(super) access: Access,
    flags: Vec<&'static str>,
}

impl Row {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn full_path(&self) -> String {
        let path = self.path.split('?').next().unwrap();
        match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/api/v3.1/{path}"),
        }
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect())
}

/// Permissions with the roles that hold them.
pub(super) fn holders() -> BTreeMap<&'static str, Roles> {
    let pairs = lines(ROLES).map(|line| {
        let [permission, roles] = line[..] else {
            panic!("permission and roles: {line:?}");
        };
        (permission, roles.chars().collect())
    });
    pairs.collect()
}

/// All operations.
pub(super) fn rows() -> Vec<Row> {
    let holders = holders();
    let rows = lines(PERMISSIONS).map(|line| {
        let [method, path, permission, flags] = line[..] else {
            panic!("method, path, permission and flags: {line:?}");
        };
        let access = match permission {
            "open" => Access::Open,
            "known" => Access::Known,
            "admins" => Access::Admins,
            "cookie" => Access::Cookie,
            name => Access::Holders(name, holders[name].clone()),
        };
        let flags = flags.split(',').filter(|flag| !flag.is_empty()).collect();
        Row {
            method,
            path,
            access,
            flags,
        }
    });
    rows.collect()
}

/// Whether a template of the document stands for a path. Files may lie deeper than their template.
fn stands_for(template: &str, path: &str) -> bool {
    if let Some(directory) = template.strip_suffix("{path}") {
        return path.starts_with(directory);
    }
    let wanted: Vec<_> = template.split('/').collect();
    let found: Vec<_> = path.split('/').collect();
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(&found)
            .all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
}

/// What is in the document but not in the table, and the other way round.
pub(super) fn differences(document: &Value, rows: &[Row]) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            missing.insert((method.to_uppercase(), path.as_str()));
        }
    }
    let all = missing.clone();
    let mut wrong = Vec::new();
    for row in rows {
        let path = row.full_path();
        let meant = all
            .iter()
            .filter(|(method, template)| method == row.method && stands_for(template, &path))
            // of two templates the one with more words of its own is meant
            .min_by_key(|(_, template)| template.matches('{').count());
        match meant {
            Some(meant) => drop(missing.remove(meant)),
            None => wrong.push(format!("{} {path}: no such operation", row.method)),
        }
    }
    let missing = missing.iter();
    wrong.extend(missing.map(|(method, path)| format!("{method} {path}: not in the table")));
    wrong
}
