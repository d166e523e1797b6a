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
        "events?_cursor=".to_owned(),
        "workflows?_cursor=".to_owned(),
        "brokers?_cursor=".to_owned(),
    ]);
    for path in refused {
        let answer = server.get(&path).await.expect(400);
        assert_eq!(answer["error_code"], "bad_parameters_error", "{path}");
    }
}
