//! Ways to more than one may: settings, deployments of other tenants, visibility, and tokens of
//! executions.
use serde_json::{Value, json};

use super::{
    made::everything,
    people::{Person, execute, world},
};

fn named<'a>(people: &'a [Person], name: &str) -> &'a Person {
    people.iter().find(|person| person.name == name).unwrap()
}

/// Who sets where people come from can be anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_manager_changes_no_setting_that_is_for_administrators() {
    let (server, people) = world().await;
    let settings = server.get("config?scope=rest").await.expect(200);
    let settings = settings["items"].as_array().unwrap();
    let mut refused = 0;
    for name in ["manager", "grouped_manager", "executing_manager"] {
        let person = named(&people, name);
        for setting in settings {
            let name = setting["name"].as_str().unwrap();
            let path = format!("config/rest.{name}");
            let body = json!({"value": "x", "force": true});
            let is_for_admins = setting["admin_only"] == true || name.starts_with("ldap_");
            if !is_for_admins {
                continue;
            }
            refused += 1;
            let before = server.position();
            let answer = person.ask(&server, ("PUT", &path), "t1", &body).await;
            answer.refused(401, "unauthorized_error", "administrators");
            assert_eq!(server.position(), before, "{path}");
            let request = person.request(&server, ("GET", &path), Some("t1"));
            let shown = server.send(request).await.expect(200);
            if setting["admin_only"] == true {
                assert_eq!(shown["value"], "********", "{path}");
            }
        }
    }
    assert!(refused >= 3 * 19, "{refused}");
    let person = named(&people, "manager");
    let body = json!({"value": 7});
    let asked = ("PUT", "config/rest.monitoring_timeout");
    person.ask(&server, asked, "t1", &body).await.expect(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_run_on_a_global_deployment_for_managers_of_other_tenants_only() {
    let (server, people) = world().await;
    everything(&server, &people).await;
    let member = json!({"tenant_name": "t3", "username": "maker", "role": "user"});
    server.put("tenants/users", &member).await.expect(200);
    let start = json!({"deployment_id": "global", "workflow_id": "install"});
    let asked = ("POST", "executions");
    let before = server.position();
    let answer = named(&people, "maker").ask(&server, asked, "t3", &start);
    answer
        .await
        .refused(403, "forbidden_error", "execute_global_workflow");
    assert_eq!(server.position(), before);
    let answer = named(&people, "stranger").ask(&server, asked, "t3", &start);
    assert_eq!(answer.await.expect(201)["tenant_name"], "t3");
    server.stop().await;
}

/// What an execution runs on may lie in another tenant; nothing else there is open to it.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_changes_what_it_runs_on_and_nothing_else_of_another_tenant() {
    let (server, people) = world().await;
    everything(&server, &people).await;
    let stranger = named(&people, "stranger");
    let of = (stranger, "t3");
    let elsewhere = named(&people, "executing_stranger");
    let there = execute(&server, named(&people, "admin"), of, "global").await;
    let change = json!({"version": 1, "runtime_properties": {"a": 1}});
    let asked = ("PATCH", "node-instances/global_1");
    for person in [stranger, elsewhere] {
        let answer = person.ask(&server, asked, "t3", &change).await;
        answer.refused(400, "illegal_action_error", "outside its tenant");
    }
    there.ask(&server, asked, "t3", &change).await.expect(200);
    let before = server.position();
    for (method, path, body) in [
        ("PATCH", "blueprints/global", json!({"description": "x"})),
        ("DELETE", "sites/global", Value::Null),
        ("PATCH", "secrets/global", json!({"value": "y"})),
        (
            "PATCH",
            "execution-groups/global",
            json!({"concurrency": 1}),
        ),
    ] {
        let answer = there.ask(&server, (method, path), "t3", &body).await;
        answer.refused(400, "illegal_action_error", "outside its tenant");
    }
    assert_eq!(server.position(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_becomes_global_or_depends_on_what_is_hidden() {
    let (server, people) = world().await;
    everything(&server, &people).await;
    let user = named(&people, "user");
    let dependencies = "deployments/inter-deployment-dependencies";
    let hidden = json!({"dependency_creator": "x", "target_deployment": "private"});
    let mut one = hidden.clone();
    one["source_deployment"] = json!("tenant");
    let answer = user.ask(&server, ("PUT", dependencies), "t1", &one).await;
    answer.refused(404, "not_found_error", "private");
    let several = json!({"source_deployment_id": "tenant",
        "inter_deployment_dependencies": [hidden]});
    let answer = user.ask(&server, ("POST", dependencies), "t1", &several);
    answer.await.expect(200);
    let path = format!("{dependencies}?dependency_creator=x");
    let request = user.request(&server, ("GET", &path), Some("t1"));
    let found = server.send(request).await.expect(200);
    assert_eq!(found["items"][0]["target_deployment_id"], Value::Null);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let before = server.position();
    let update = json!({"deployment_id": "tenant", "execution_id": "tenant",
        "visibility": "global"});
    for (method, path, body) in [
        ("PUT", "deployment-updates/wide", &update),
        ("PUT", "sites/wide", &json!({"visibility": "global"})),
        (
            "PUT",
            "deployment-groups/wide",
            &json!({"visibility": "global"}),
        ),
    ] {
        let answer = user.ask(&server, (method, path), "t1", body).await;
        answer.refused(403, "forbidden_error", "global");
    }
    assert_eq!(server.position(), before);
    server.stop().await;
}
