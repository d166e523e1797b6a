//! Every path and method of the reference's API has a route, and every route is asked by a test of
//! the client, or there is a reason why not. The sheet of the reference's endpoints lies beside the
//! checkout (`../shared`) or where `STRATALOG_SHARED` says; without it there is nothing to compare
//! with.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{env, server::TestServer};

const MISSING: &str = include_str!("../../data/rest/missing.tsv");
const UNTESTED: &str = include_str!("../../data/rest/untested.tsv");
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];
/// Fewer would mean that the sheet was not understood.
const ROUTES_MIN: usize = 190;

/// Method and path, with `{}` for whatever is chosen.
type Endpoint = (String, String);

fn sheet() -> Option<String> {
    std::fs::read_to_string(env::shared().join("spec/rest-api.md")).ok()
}

/// The path with every chosen part in one form.
fn normal(path: &str) -> String {
    let parts = path.trim_matches('/').split('/').map(|part| {
        let is_chosen = part.contains('{') || part.contains('<');
        if is_chosen { "{}" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The endpoints that the first cell of a row names. `…` stands for the latest path without its
/// last chosen part; methods without a path mean the latest one as it is.
fn endpoints(cell: &str, (latest, whole): (&mut String, &mut String)) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let mut methods: Vec<String> = Vec::new();
    for token in cell.split([' ', ',']).filter(|token| !token.is_empty()) {
        if token.split('/').all(|part| METHODS.contains(&part)) {
            methods.extend(token.split('/').map(str::to_owned));
            continue;
        }
        let begins = token.chars().next();
        let is_path = begins.is_some_and(|c| c.is_ascii_lowercase() || c == '…');
        if !is_path || methods.is_empty() {
            continue;
        }
        let path = token.split('?').next().unwrap_or_default();
        let path = match path.strip_prefix('…') {
            Some(rest) => format!("{latest}{rest}"),
            None => {
                let own = path
                    .rsplit_once('/')
                    .filter(|(_, last)| last.starts_with('{'));
                own.map_or(path, |(directory, _)| directory)
                    .clone_into(latest);
                path.to_owned()
            }
        };
        found.extend(methods.drain(..).map(|method| (method, path.clone())));
        *whole = path;
    }
    found.extend(methods.into_iter().map(|method| (method, whole.clone())));
    found
}

/// All endpoints of the sheet's tables.
fn listed(sheet: &str) -> BTreeSet<Endpoint> {
    let mut found = BTreeSet::new();
    let mut is_inside = false;
    let (mut latest, mut whole) = (String::new(), String::new());
    for line in sheet.lines() {
        if line.starts_with("# ") {
            is_inside = line.starts_with("# 3.");
        }
        if line.starts_with('#') {
            latest.clear();
            whole.clear();
        }
        let cell = line.strip_prefix('|').and_then(|row| row.split('|').next());
        let cell = cell.unwrap_or_default().replace(['*', '`'], "");
        let is_row = METHODS.iter().any(|method| cell.trim().starts_with(method));
        // what stands outside of the API's prefix says so
        if !is_inside || !is_row || cell.contains("(no prefix)") {
            continue;
        }
        for (method, path) in endpoints(&cell, (&mut latest, &mut whole)) {
            // one row for filters of both kinds
            for kind in ["blueprints", "deployments"] {
                let path = path.replace("filters/X", &format!("filters/{kind}"));
                found.insert((method.clone(), normal(&path)));
            }
        }
    }
    found
}

fn served(document: &Value) -> BTreeSet<Endpoint> {
    let mut found = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.trim_start_matches("/api/v3.1/");
        for method in operations.as_object().unwrap().keys() {
            found.insert((method.to_uppercase(), normal(path)));
        }
    }
    found
}

/// Endpoints with reasons.
fn reasons(table: &str) -> BTreeMap<Endpoint, &str> {
    let mut known = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [method, path, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("method, path and reason: {line}");
        };
        known.insert((method.to_owned(), path.to_owned()), reason);
    }
    known
}

/// Every operation of the document is among the requests, or has a reason why not.
pub(super) fn all_is_asked<'a>(document: &Value, asked: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut missing = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            missing.insert((method.to_uppercase(), path.to_owned()));
        }
    }
    let all = missing.clone();
    for (method, path) in asked {
        let of_method = all.iter().filter(|(other, _)| other == method);
        let meant = of_method.filter(|(_, template)| stands_for(template, path));
        // of two templates the one with more words of its own is meant
        if let Some(meant) = meant.min_by_key(|(_, template)| template.matches('{').count()) {
            missing.remove(meant);
        }
    }
    let known = reasons(UNTESTED);
    let unknown: Vec<_> = missing
        .iter()
        .filter(|one| !known.contains_key(*one))
        .collect();
    assert!(
        unknown.is_empty(),
        "no call of the client asks, and there is no reason why: {unknown:?}"
    );
    let stale: Vec<_> = known.keys().filter(|one| !missing.contains(*one)).collect();
    assert!(stale.is_empty(), "asked, or not in the document: {stale:?}");
}

/// Whether a template of the document stands for a path. Files may lie deeper than their template.
fn stands_for(template: &str, path: &str) -> bool {
    if let Some(directory) = template.strip_suffix("{path}") {
        return path.starts_with(directory);
    }
    let (wanted, found): (Vec<_>, Vec<_>) = (
        template.split('/').collect(),
        path.trim_end_matches('/').split('/').collect(),
    );
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(&found)
            .all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
}

#[tokio::test]
async fn every_endpoint_of_the_reference_is_served_or_has_a_reason() {
    let Some(sheet) = sheet() else {
        eprintln!("the sheet of endpoints is absent: nothing to compare with");
        return;
    };
    let known = reasons(MISSING);
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    server.stop().await;
    let (listed, served) = (listed(&sheet), served(&document));
    assert!(listed.len() >= ROUTES_MIN, "{}", listed.len());
    let missing: BTreeSet<&Endpoint> = listed.difference(&served).collect();
    let unknown: Vec<_> = missing
        .iter()
        .filter(|one| !known.contains_key(**one))
        .collect();
    assert!(
        unknown.is_empty(),
        "not served, without a reason: {unknown:?}"
    );
    let stale: Vec<_> = known.keys().filter(|one| !missing.contains(one)).collect();
    assert!(stale.is_empty(), "served, or not in the sheet: {stale:?}");
}
