//! `/openapi.json`: the document and the router agree, and the document and the code do.
use std::{collections::BTreeSet, fs, path::Path};

use reqwest::Method;
use serde_json::Value;

use crate::support::server::TestServer;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

/// Method and path, with names of parameters left out.
type Operation = (String, String);

fn documented(document: &Value) -> BTreeSet<Operation> {
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            operations.insert((method.to_uppercase(), nameless(path)));
        }
    }
    operations
}

fn nameless(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => "{}",
            false => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}

/// A path as a client would send it.
fn concrete(path: &str) -> String {
    path.replace("{}", "x")
}

/// Whether a template stands for a path.
fn covers(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(wanted, found)| *wanted == "{}" || wanted == found)
}

#[tokio::test]
async fn the_router_serves_what_is_documented_and_no_other_methods() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{document}"
    );
    let operations = documented(&document);
    assert!(operations.len() > 80, "{}", operations.len());
    let mut wrong = Vec::new();
    for path in operations
        .iter()
        .map(|(_, path)| path)
        .collect::<BTreeSet<_>>()
    {
        for method in METHODS {
            let sent = concrete(path);
            let request = Method::from_bytes(method.as_bytes()).unwrap();
            // what would never end is refused
            let endless = sent.ends_with("/stream").then_some("?since=never");
            let asked = format!("{sent}{}", endless.unwrap_or_default());
            let answer = server.send(server.request(request, &asked)).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let is_served =
                answer.status != 405 && !text.contains("The requested URL was not found");
            let is_documented = operations
                .iter()
                .any(|(other, template)| other == method && covers(template, &sent));
            if is_served != is_documented {
                let told = if is_documented {
                    "documented"
                } else {
                    "undocumented"
                };
                wrong.push(format!("{told} {method} {sent}: {} {text}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

#[tokio::test]
async fn the_document_refers_to_what_it_holds() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await;
    let text = String::from_utf8(document.body.clone()).unwrap();
    let document = document.expect(200);
    for reference in text.split(r##""$ref":"#"##).skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} of {path} is not its own");
        }
    }
    let blueprint = &document["components"]["schemas"]["Blueprint"]["properties"];
    assert_eq!(blueprint["main_file_name"]["type"][0], "string");
    server.stop().await;
}

#[tokio::test]
async fn every_json_body_says_what_it_holds_and_every_answer_has_a_status() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap();
            assert!(!statuses.contains_key("default"), "{method} {path}");
            assert!(
                statuses.keys().any(|status| status.starts_with('2')),
                "{method} {path}"
            );
            let body = &operation["requestBody"]["content"]["application/json"];
            let members = &body["schema"]["properties"];
            let is_told = members.as_object().is_some_and(|told| !told.is_empty());
            assert!(body.is_null() || is_told, "{method} {path}");
        }
    }
    server.stop().await;
}

/// Every route says in its doc comment what it serves; each of them is in the document.
#[tokio::test]
async fn every_route_of_the_code_is_documented() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    let operations = documented(&document);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rest/resources");
    let mut found = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let code = fs::read_to_string(&path).unwrap();
        let told: Vec<&str> = code
            .lines()
            .filter(|line| line.starts_with("/// `"))
            .collect();
        let told: Vec<Vec<Operation>> = told.iter().map(|line| named(line)).collect();
        let told: Vec<Vec<Operation>> = told.into_iter().filter(|told| !told.is_empty()).collect();
        let filters: usize = METHODS
            .iter()
            .map(|method| {
                code.matches(&format!("warp::{}()", method.to_lowercase()))
                    .count()
            })
            .sum();
        let file = path.file_name().unwrap().to_string_lossy();
        assert_eq!(
            told.len(),
            filters,
            "routes of {file} that do not say what they are"
        );
        for (method, path) in told.into_iter().flatten() {
            found += 1;
            let versioned = (method.clone(), format!("/api/v3.1{path}"));
            let is_there = operations.contains(&versioned) || operations.contains(&(method, path));
            assert!(is_there, "{versioned:?} of {file} is not documented");
        }
    }
    assert!(found > 80, "{found}");
    server.stop().await;
}

/// The operations that a doc comment begins with: `` `GET /idp`, `GET /ldap`: … ``.
fn named(line: &str) -> Vec<Operation> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| {
            let (method, path) = text.split_once(' ')?;
            let path = path.split('?').next()?.replace("{[scope.]name}", "{name}");
            METHODS
                .contains(&method)
                .then(|| (method.to_owned(), nameless(&path)))
        })
        .collect()
}
