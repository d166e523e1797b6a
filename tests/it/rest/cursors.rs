//! Pages that begin behind the row where the one before ended.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

const ORDERS: [&str; 6] = [
    "",
    "_sort=-created_at",
    "_sort=display_name",
    // null in most of them
    "_sort=site_name&_sort=-display_name",
    "_sort=-site_name",
    "_sort=blueprint_id&_sort=id",
];

async fn several(server: &TestServer, number: usize) {
    for id in ["b1", "b2"] {
        blueprint(server, id).await;
    }
    server.put("sites/s1", &json!({})).await.expect(200);
    server.put("sites/s2", &json!({})).await.expect(200);
    for nth in 0..number {
        let id = format!("d{nth}");
        deployment(server, if nth % 3 == 0 { "b1" } else { "b2" }, &id).await;
        if nth % 4 == 0 {
            let site = json!({"site_name": format!("s{}", nth / 4 % 2 + 1)});
            server
                .post(&format!("deployments/{id}/set-site"), &site)
                .await
                .expect(200);
        }
    }
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

/// All pages of a list; whether it is asked by POST.
async fn pages(server: &TestServer, (list, is_search): (&str, bool)) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{list}&_size=3&_cursor={cursor}");
        let page = match is_search {
            true => server.post(&path, &json!({"filter_rules": []})).await,
            false => server.get(&path).await,
        };
        let page = page.expect(200);
        let next = &page["metadata"]["pagination"]["next"];
        found.extend(ids(&page));
        match next.as_str() {
            Some(next) => cursor = next.to_owned(),
            None => {
                assert!(next.is_null(), "{next}");
                return found;
            }
        }
    }
}

#[tokio::test]
async fn pages_by_cursor_are_the_whole_list_in_its_order() {
    let server = TestServer::start().await;
    several(&server, 14).await;
    for order in ORDERS {
        for (list, is_search) in [("deployments", false), ("searches/deployments", true)] {
            let path = format!("{list}?{order}");
            let whole = match is_search {
                true => server.post(&path, &json!({"filter_rules": []})).await,
                false => server.get(&path).await,
            };
            let whole = ids(&whole.expect(200));
            assert_eq!(whole.len(), 14);
            assert_eq!(pages(&server, (&path, is_search)).await, whole, "{path}");
        }
    }
}

#[tokio::test]
async fn what_comes_and_goes_between_pages_moves_nobody() {
    let server = TestServer::start().await;
    for nth in 0..9 {
        blueprint(&server, &format!("b{nth}")).await;
    }
    let list = "blueprints?_sort=-id";
    let answer = server.get(&format!("{list}&_size=3&_cursor=")).await;
    let (page, before) = (answer.expect(200), answer.position());
    assert_eq!(page["metadata"]["pagination"]["total"], 9);
    let next = page["metadata"]["pagination"]["next"].as_str().unwrap();
    // the row that the page ended with goes, and one comes that lies before it
    server.delete("blueprints/b6").await.expect(204);
    blueprint(&server, "b9").await;
    let wanted: Vec<String> = (0..6).rev().map(|nth| format!("b{nth}")).collect();
    assert_eq!(pages_from(&server, list, next).await, wanted);
    // one behind it goes, too: it stays in the list as of then
    server.delete("blueprints/b3").await.expect(204);
    let then = format!("{list}&_as_of={before}");
    assert_eq!(pages_from(&server, &then, next).await, wanted);
    let rest = pages_from(&server, list, next).await;
    assert_eq!(rest, ["b5", "b4", "b2", "b1", "b0"]);
}

async fn pages_from(server: &TestServer, list: &str, cursor: &str) -> Vec<String> {
    let page = server
        .get(&format!("{list}&_size=100&_cursor={cursor}"))
        .await;
    ids(&page.expect(200))
}

#[tokio::test]
async fn cursors_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    several(&server, 4).await;
    let page = server
        .get("deployments?_sort=created_at&_size=2&_cursor=")
        .await
        .expect(200);
    let next = page["metadata"]["pagination"]["next"].as_str().unwrap();
    let without = server.get("deployments?_size=2").await.expect(200);
    assert!(without["metadata"]["pagination"].get("next").is_none());
    let forged = |token: &Value| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(token.to_string())
    };
    let refused = BTreeSet::from([
        format!("deployments?_size=2&_cursor={next}"),
        format!("deployments?_sort=-created_at&_size=2&_cursor={next}"),
        format!("blueprints?_sort=created_at&_size=2&_cursor={next}"),
        format!("deployments?_sort=created_at&_offset=1&_cursor={next}"),
        "deployments?_get_all_results=true&_cursor=".to_owned(),
        "deployments?_cursor=nonsense".to_owned(),
        format!(
            "deployments?_cursor={}",
            forged(&json!({"of": "deployments", "by": [], "at": ["x", "y", "z"]}))
        ),
        format!(
            "deployments?_cursor={}",
            forged(&json!({"of": "deployments", "by": [], "at": []}))
        ),
        "events?_cursor=nonsense".to_owned(),
        format!("events?_cursor={next}"),
        format!(
            "events?_cursor={}",
            forged(&json!({"of": "events", "by": [], "at": ["x", "1"]}))
        ),
        "workflows?_cursor=".to_owned(),
        "brokers?_cursor=".to_owned(),
    ]);
    for path in refused {
        let answer = server.get(&path).await.expect(400);
        assert_eq!(answer["error_code"], "bad_parameters_error", "{path}");
    }
}

async fn tell(server: &TestServer, texts: &[&str]) {
    let event = |text: &&str| {
        let message = json!({"text": text});
        json!({"event_type": "workflow_started", "message": message, "context": {}})
    };
    let events: Vec<Value> = texts.iter().map(event).collect();
    let told = json!({"execution_id": "e", "events": events});
    server.post("events", &told).await.expect(201);
}

/// Messages of all pages from a cursor on.
async fn told(server: &TestServer, list: &str, mut cursor: String) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let path = format!("{list}&_size=3&_cursor={cursor}");
        let page = server.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        found.extend(items.map(|item| item["message"].as_str().unwrap().to_owned()));
        match page["metadata"]["pagination"]["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

#[tokio::test]
async fn events_come_page_by_page_whatever_is_told_meanwhile() {
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    let execution = json!({"deployment_id": "d", "workflow_id": "install", "id": "e",
        "force_status": "terminated"});
    server.post("executions", &execution).await.expect(201);
    // each of these is a segment of its own
    for texts in [
        ["m3", "m9"],
        ["m1", "m0"],
        ["m7", "m4"],
        ["m2", "m8"],
        ["m6", "m5"],
    ] {
        tell(&server, &texts).await;
    }
    for order in [
        "",
        "&_sort=-timestamp",
        "&_sort=reported_timestamp",
        "&_sort=-message",
        "&_sort=event_type&_sort=message",
        "&_sort=-_storage_id",
        // only those are looked at that have it
        "&_sort=timestamp&message=m%25",
    ] {
        let list = format!("events?execution_id=e&type=cloudify_event{order}");
        let whole = server.get(&format!("{list}&_size=100")).await.expect(200);
        let whole: Vec<&str> = whole["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["message"].as_str().unwrap())
            .collect();
        assert_eq!(whole.len(), 10, "{order}");
        assert_eq!(told(&server, &list, String::new()).await, whole, "{order}");
    }
    let list = "events?execution_id=e&type=cloudify_event&_sort=-timestamp";
    let page = server
        .get(&format!("{list}&_size=4&_cursor="))
        .await
        .expect(200);
    assert_eq!(page["metadata"]["pagination"]["total"], 10);
    let next = page["metadata"]["pagination"]["next"].as_str().unwrap();
    tell(&server, &["m10", "m11"]).await;
    let rest = told(&server, list, next.to_owned()).await;
    assert_eq!(rest.len(), 6);
    assert!(!rest.contains(&"m10".to_owned()), "{rest:?}");
}
