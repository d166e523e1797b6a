//! Two who want what does not go together, at the same moment: one of them gets it.
use reqwest::Method;
use serde_json::{Value, json};

use super::{deployment, inter_deployment_dependencies::started};
use crate::support::server::{Answer, TestServer};

/// How often it is tried. Which of the two comes first is chance.
const ROUNDS: usize = 40;
const IDD: &str = "deployments/inter-deployment-dependencies";

async fn under(server: &TestServer, id: &str, parents: &[&str]) -> Answer {
    let label = |parent: &&str| json!({"csys-obj-parent": parent});
    let labels: Vec<Value> = parents.iter().map(label).collect();
    let body = json!({ "labels": labels });
    server.patch(&format!("deployments/{id}"), &body).await
}

async fn parents(server: &TestServer, id: &str) -> Vec<String> {
    let found = server.get(&format!("deployments/{id}")).await.expect(200);
    let labels = found["labels"].as_array().unwrap().iter();
    labels
        .filter(|label| label["key"] == "csys-obj-parent")
        .map(|label| label["value"].as_str().unwrap().to_owned())
        .collect()
}

/// What became of a deployment that was to be deleted while somebody was tied to it.
async fn one_of(server: &TestServer, id: &str, (deleted, tied): (Answer, Answer)) -> bool {
    let path = format!("deployments/{id}");
    let shown = String::from_utf8_lossy(&tied.body).into_owned();
    if deleted.status == 204 {
        assert!(matches!(tied.status.as_u16(), 404 | 409), "{id}: {shown}");
        return true;
    }
    deleted.refused(400, "dependent_exists_error", "");
    assert_eq!(tied.status, 200, "{id}: {shown}");
    server.get(&path).await.expect(200);
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_or_gets_a_dependent() {
    let server = started(&["user"]).await;
    for round in 0..ROUNDS {
        let target = format!("target-{round}");
        deployment(&server, "bp", &target).await;
        let body = json!({"dependency_creator": target, "source_deployment": "user",
            "target_deployment": target});
        let path = format!("deployments/{target}");
        let delete = server.delete(&path);
        let depend = server.put(IDD, &body);
        let both = match round % 2 {
            0 => tokio::join!(delete, depend),
            _ => {
                let (tied, deleted) = tokio::join!(depend, delete);
                (deleted, tied)
            }
        };
        let is_gone = one_of(&server, &target, both).await;
        let listed = server
            .get(&format!("{IDD}?dependency_creator={target}"))
            .await;
        let listed = listed.expect(200);
        match is_gone {
            true => assert_eq!(listed["items"], json!([]), "{target}"),
            false => assert_eq!(listed["items"][0]["target_deployment_id"], target.as_str()),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_or_gets_a_child() {
    let server = started(&["child"]).await;
    for round in 0..ROUNDS {
        let parent = format!("parent-{round}");
        deployment(&server, "bp", &parent).await;
        let path = format!("deployments/{parent}");
        let own = [parent.as_str()];
        let (deleted, tied) = tokio::join!(server.delete(&path), under(&server, "child", &own));
        let is_gone = one_of(&server, &parent, (deleted, tied)).await;
        let labels = parents(&server, "child").await;
        assert_eq!(labels.contains(&parent), !is_gone, "{labels:?}");
        under(&server, "child", &[]).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_tied_to_what_is_leaving() {
    let server = started(&["user", "target", "other"]).await;
    server.delete("deployments/target").await.expect(204);
    let body = json!({"dependency_creator": "late", "source_deployment": "user",
        "target_deployment": "target"});
    let late = server.put(IDD, &body).await;
    assert!(matches!(late.status.as_u16(), 404 | 409), "{late:?}");
    // what is found out or planned is left open, as where there is no such deployment
    let many = json!({"source_deployment_id": "user", "inter_deployment_dependencies":
        [{"dependency_creator": "open", "target_deployment": "target"}]});
    server.post(IDD, &many).await.expect(200);
    let listed = server
        .get(&format!("{IDD}?dependency_creator=open"))
        .await
        .expect(200);
    assert_eq!(
        listed["items"][0]["target_deployment_id"],
        Value::Null,
        "{listed}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_close_a_circle_of_parents_one_is_refused() {
    let server = started(&["a", "b"]).await;
    for round in 0..ROUNDS {
        let both = tokio::join!(under(&server, "a", &["b"]), under(&server, "b", &["a"]));
        let statuses = [both.0.status.as_u16(), both.1.status.as_u16()];
        let mut sorted = statuses;
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 409], "round {round}: {statuses:?}");
        for id in ["a", "b"] {
            under(&server, id, &[]).await.expect(200);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_close_a_circle_of_parents_one_is_refused() {
    let ids = ["a", "b", "c", "d"];
    let server = started(&ids).await;
    for round in 0..ROUNDS {
        // each below the next one, by way of what others do at the same moment
        let all = tokio::join!(
            under(&server, "a", &["b"]),
            under(&server, "b", &["c"]),
            under(&server, "c", &["d"]),
            under(&server, "d", &["a"]),
        );
        let all = [all.0, all.1, all.2, all.3].map(|answer| answer.status.as_u16());
        let refused = all.iter().filter(|status| **status == 409).count();
        let done = all.iter().filter(|status| **status == 200).count();
        assert_eq!((done, refused), (3, 1), "round {round}: {all:?}");
        for id in ids {
            under(&server, id, &[]).await.expect(200);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_depend_on_one_deployment_do_not_stand_in_each_others_way() {
    let names: Vec<String> = (0..30).map(|at| format!("user-{at}")).collect();
    let mut ids = vec!["shared"];
    ids.extend(names.iter().map(String::as_str));
    let server = started(&ids).await;
    let dependencies = names.iter().map(|name| {
        let body = json!({"dependency_creator": "c", "source_deployment": name,
            "target_deployment": "shared"});
        let request = server.request(Method::PUT, IDD).json(&body);
        server.send(request)
    });
    for answer in futures::future::join_all(dependencies).await {
        answer.expect(200);
    }
    server.stop().await;
}
