//! The law of looking back: what a manager answers as of a position is what a manager whose log
//! ends there answers now, byte for byte.
mod cut;
mod story;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use serde_json::Value;
use stratalog::clock;
use stratalog_projections::{At, ListQuery, Reader, Scope, View};

use self::cut::Cut;
use crate::support::server::{Answer, TestServer};

/// Everything that is asked at every moment. What does not exist yet answers 404, which counts.
const QUESTIONS: &[&str] = &[
    "blueprints",
    "blueprints?_include=id,state&_sort=-created_at",
    "blueprints/shop",
    "blueprints/shop/archive",
    "deployments",
    "deployments?_get_data=true&_sort=-id",
    "deployments?blueprint_id=shop&_size=1&_offset=1",
    "deployments?_search=spring",
    "deployments/spring",
    "deployments?_dependencies_of=spring&_environments_only=yes",
    "deployments/inter-deployment-dependencies",
    "deployments/inter-deployment-dependencies?source_deployment_id=spring&_sort=-id",
    "deployments/spring?include_workdir=true",
    "deployments/spring/outputs",
    "deployments/spring/capabilities",
    "nodes",
    "nodes?deployment_id=spring&_evaluate_functions=true",
    "node-instances",
    "node-instances?deployment_id=spring&state=started&_sort=-id",
    "node-instances?_evaluate_functions=true",
    "executions",
    "executions?_include_system_workflows=true&_sort=-created_at",
    "executions?status=terminated&workflow_id=install",
    "events",
    "events?deployment_id=spring&type=cloudify_event&_sort=-reported_timestamp",
    "events?level=warning",
    "events?deployment_id=autumn",
    "managers?_include=id,hostname,networks",
    "brokers?name=b2",
    "log-bundles",
    "log-bundles/trouble",
    "summary/deployments?_target_field=blueprint_id&_sub_field=deployment_status",
    "summary/nodes?_target_field=deployment_id",
    "summary/node_instances?_target_field=deployment_id&_sub_field=state",
    "summary/executions?_target_field=status&_sub_field=workflow_id",
    "summary/blueprints?_target_field=tenant_name",
    "workflows?id=spring",
    "user",
    "users",
    "users?_get_data=true",
    "users/ann",
    "tenants",
    "tenants?_get_data=true",
    "tenants/default_tenant",
    "tenants/shops",
    "tokens",
    "config",
    "config?scope=rest",
    "config/rest.account_lock_period",
    "provider/context",
    "sites?_sort=name",
    "secrets",
    "secrets/door",
    "user-groups",
    "user-groups/staff?_get_data=true",
    "permissions/viewer?_get_all_results=true",
    "config?scope=authorization",
    "maintenance",
    "plugins",
    "plugins?package_name=tool&_sort=-uploaded_at",
    "plugins/tool-1.0",
    "plugins/tool-1.0/archive",
    "plugins/tool-1.1/yaml",
    "/resources/plugins/tool-1.0/plugin.yaml",
    "/resources/deployments/default_tenant/spring/",
    "/resources/deployments/default_tenant/spring/notes.txt",
    "/resources/blueprints/default_tenant/shop/blueprint.yaml",
];

/// A moment, and what was answered then.
struct Moment {
    name: &'static str,
    position: i64,
    time: DateTime<Utc>,
    answers: BTreeMap<&'static str, Told>,
}

/// Status and body.
type Told = (u16, Vec<u8>);

fn told(answer: &Answer) -> Told {
    (answer.status.as_u16(), answer.body.clone())
}

/// Asks everything now.
async fn ask(server: &TestServer) -> BTreeMap<&'static str, Told> {
    let mut answers = BTreeMap::new();
    for question in QUESTIONS {
        let answer = server.get(question).await;
        assert!(answer.status.as_u16() < 500, "{question}: {answer:?}");
        answers.insert(*question, told(&answer));
    }
    answers
}

/// Asks everything while nothing else happens; logins, which are noted once a minute, may.
async fn remember(server: &TestServer, name: &'static str) -> Moment {
    for _ in 0..3 {
        let position = server.position();
        let answers = ask(server).await;
        if server.position() == position {
            let time = clock::now();
            return Moment {
                name,
                position,
                time,
                answers,
            };
        }
    }
    panic!("something goes on after `{name}`");
}

/// What differs, shortened; nothing when all is well.
fn difference(what: &str, now: &Told, then: &Told) -> Option<String> {
    const CHARS_MAX: usize = 3_000;
    let shown = |told: &Told| {
        let text = String::from_utf8_lossy(&told.1).into_owned();
        text.chars().take(CHARS_MAX).collect::<String>()
    };
    (now != then).then(|| {
        let (now_text, then_text) = (shown(now), shown(then));
        format!(
            "{what}\n{} {now_text}\nis not\n{} {then_text}",
            now.0, then.0
        )
    })
}

#[track_caller]
fn none(differences: Vec<String>) {
    let count = differences.len();
    assert!(count == 0, "{count}:\n{}", differences.join("\n\n"));
}

/// `_as_of` with a position and with a time, and the header, answer what was answered then.
async fn looks_back(server: &TestServer, moment: &Moment) -> Vec<String> {
    let time = moment.time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut differences = Vec::new();
    for (question, then) in &moment.answers {
        let separator = if question.contains('?') { '&' } else { '?' };
        let request = |path: &str| server.request(Method::GET, path);
        let asked = |moment: &str| request(&format!("{question}{separator}_as_of={moment}"));
        for (how, request) in [
            ("position", asked(&moment.position.to_string())),
            ("time", asked(&time)),
            (
                "header",
                request(question).header("X-As-Of", moment.position),
            ),
        ] {
            let back = server.send(request).await;
            let what = format!("`{}` by {how}: {question}", moment.name);
            differences.extend(difference(&what, &told(&back), then));
            if then.0 == 200 && back.position() != moment.position {
                differences.push(format!("{what} is true at {}", back.position()));
            }
        }
    }
    differences
}

/// Logging in to the other manager is an event of its own: it shows in the caller's last login.
fn without_logins(question: &str, told: Told) -> Told {
    if !question.starts_with("user") {
        return told;
    }
    let mut body: Value = serde_json::from_slice(&told.1).unwrap();
    let users = match body.get_mut("items") {
        Some(items) => items.as_array_mut().unwrap().iter_mut().collect(),
        None => vec![&mut body],
    };
    for user in users {
        user["last_login_at"] = Value::Null;
    }
    (told.0, body.to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_is_a_manager_whose_log_ends_there() {
    let server = TestServer::start().await;
    let moments = story::tell(&server).await;
    let mut differences = Vec::new();
    for moment in &moments {
        differences.extend(looks_back(&server, moment).await);
    }
    none(differences);
    rows_as_of_are_rows_of_a_cut_log(&server).await;
    let (database, data) = server.stop_and_keep().await;
    let mut differences = Vec::new();
    for moment in moments {
        let cut = Cut::of(&database, moment.position).await;
        let other = TestServer::over(cut.database, data.path()).await;
        for (question, told) in ask(&other).await {
            let what = format!("`{}` where the log ends: {question}", moment.name);
            let then = without_logins(question, moment.answers[question].clone());
            let now = without_logins(question, told);
            differences.extend(difference(&what, &now, &then));
        }
        other.stop().await;
    }
    none(differences);
}

/// The same for every row of every view, at positions where much was going on.
async fn rows_as_of_are_rows_of_a_cut_log(server: &TestServer) {
    let ends = cut::batch_ends(server.database()).await;
    for position in ends.into_iter().step_by(25) {
        let cut = Cut::of(server.database(), position).await;
        let client = server.database().connect().await;
        let mut whole = Reader::begin(client, At::Position(position)).await.unwrap();
        let mut ended = Reader::begin(cut.database.connect().await, At::Now)
            .await
            .unwrap();
        assert_eq!((whole.position(), ended.position()), (position, position));
        for view in View::ALL {
            let rows = [rows(&mut whole, view).await, rows(&mut ended, view).await];
            assert_eq!(rows[0], rows[1], "{} at {position}", view.name());
        }
        drop((whole, ended));
        drop(cut);
    }
}

async fn rows(reader: &mut Reader<tokio_postgres::Client>, view: View) -> Vec<String> {
    let all = ListQuery::all(view, Scope::Everything);
    let rows = reader.select(&all).await.unwrap();
    let mut shown: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    shown.sort_unstable();
    shown
}
