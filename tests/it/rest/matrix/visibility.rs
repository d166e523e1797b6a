//! What others have made: seen by those who may, hidden from all others, and changed from its own
//! tenant only.
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    made::{Made, everything},
    people::{CONCURRENCY, Person, world},
};
use crate::support::server::{Answer, TestServer};

const CHANGES: &str = include_str!("../../../data/rest/changes.tsv");

/// How a resource is read; how paths name it says [`Made::named`].
#[derive(Debug, Clone, Copy)]
enum Read {
    /// By its own path.
    One(&'static str),
    /// In a list, known by that field; an empty one: the items are texts.
    Listed(&'static str, &'static str),
    /// As [`Read::Listed`], where `_all_tenants` shows those of all tenants of the caller.
    Everywhere(&'static str, &'static str),
    /// By a list of what belongs to it.
    Within(&'static str),
    /// By a search.
    Found(&'static str, &'static str),
    /// In the directory of files; where it lies says of which tenant it is.
    File(&'static str),
}

const READS: [Read; 57] = [
    Read::One("blueprints/{}"),
    Read::One("blueprints/{}/archive"),
    Read::Everywhere("blueprints", "id"),
    Read::Found("searches/blueprints", "id"),
    Read::Listed("labels/blueprints/of", ""),
    Read::Listed("labels/deployments/of", ""),
    Read::One("deployments/{}"),
    Read::One("deployments/{}/metrics"),
    Read::One("deployments/{}/outputs"),
    Read::One("deployments/{}/capabilities"),
    Read::Everywhere("deployments", "id"),
    Read::Found("searches/deployments", "id"),
    Read::Everywhere("nodes", "deployment_id"),
    Read::One("node-instances/{}_1"),
    Read::Everywhere("node-instances", "deployment_id"),
    Read::One("agents/{}"),
    Read::Everywhere("agents", "deployment"),
    Read::One("execution-schedules/{}?deployment_id={}"),
    Read::Everywhere("execution-schedules", "id"),
    Read::One("sites/{}"),
    Read::Everywhere("sites", "name"),
    Read::One("secrets/{}"),
    Read::Everywhere("secrets", "key"),
    Read::Found("searches/secrets", "key"),
    Read::One("secrets-providers/{}"),
    Read::Listed("secrets-providers", "name"),
    Read::One("filters/blueprints/{}"),
    Read::Everywhere("filters/blueprints", "id"),
    Read::One("filters/deployments/{}"),
    Read::Everywhere("filters/deployments", "id"),
    Read::One("deployment-groups/{}"),
    Read::Everywhere("deployment-groups", "id"),
    Read::One("execution-groups/{}"),
    Read::Everywhere("execution-groups", "id"),
    Read::One("deployment-updates/{}"),
    Read::Everywhere("deployment-updates", "id"),
    Read::One("deployment-modifications/{modification}"),
    Read::Everywhere("deployment-modifications", "deployment_id"),
    Read::Within("deployment-modifications?deployment_id={}"),
    Read::Everywhere(
        "deployments/inter-deployment-dependencies",
        "dependency_creator",
    ),
    Read::One("plugins/{plugin}"),
    Read::One("plugins/{plugin}/archive"),
    Read::One("plugins/{plugin}/yaml"),
    Read::Everywhere("plugins", "package_name"),
    Read::One("executions/{}"),
    Read::One("executions/{}/timeline"),
    Read::One("executions/{}/should-start"),
    Read::Everywhere("executions", "id"),
    Read::Within("tasks_graphs?execution_id={}"),
    Read::Within("operations?execution_id={}"),
    Read::Within("operations?graph_id={}"),
    Read::One("operations/{}"),
    Read::Within("events?execution_id={}"),
    Read::Listed("events", "deployment_id"),
    Read::File("/resources/blueprints/t1/{}/blueprint.yaml"),
    Read::File("/resources/uploaded-blueprints/t1/{}/{}.tar"),
    Read::File("/resources/deployments/t1/{}/"),
];

/// Who looks, in which tenant.
const OBSERVERS: [(&str, &str); 15] = [
    ("maker", "t1"),
    ("user", "t1"),
    ("operations", "t1"),
    ("viewer", "t1"),
    ("manager", "t1"),
    ("grouped_manager", "t1"),
    ("sys_admin", "t1"),
    ("user", "t2"),
    ("viewer", "t2"),
    ("sys_admin", "t2"),
    ("stranger", "t3"),
    ("executing_user", "t1"),
    ("executing_viewer", "t1"),
    ("executing_manager", "t2"),
    ("executing_stranger", "t3"),
];
/// Who tries to change what they may not.
const CHANGERS: [(&str, &str); 4] = [
    ("user", "t1"),
    ("stranger", "t3"),
    ("executing_user", "t1"),
    ("executing_stranger", "t3"),
];

/// Those to whom private resources of `t1` are open.
const TRUSTED: [&str; 5] = [
    "maker",
    "manager",
    "grouped_manager",
    "executing_manager",
    "sys_admin",
];

/// Whether somebody sees what is in `t1`; `is_there`: because they look there.
fn sees(visibility: &str, name: &str, is_there: bool) -> bool {
    match visibility {
        "global" => true,
        "tenant" => is_there,
        _ => is_there && TRUSTED.contains(&name),
    }
}

/// Whether the list in an answer has an item of that name.
fn has(answer: &Answer, field: &str, name: &str) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let items = body["items"].as_array().cloned().unwrap_or_default();
    items.iter().any(|item| match field {
        "" => item == name,
        _ => item[field] == name,
    })
}

/// One look at one resource.
#[derive(Debug, Clone)]
struct Look<'a> {
    read: Read,
    person: &'a Person,
    tenant: &'a str,
    made: &'a Made,
    all_tenants: bool,
}

impl Look<'_> {
    async fn get(&self, server: &TestServer, path: &str) -> Answer {
        let path = self.made.named(path);
        let path = match self.all_tenants {
            true => format!("{path}?_all_tenants=true"),
            false => path,
        };
        let asked = ("GET", path.as_str());
        let request = self.person.request(server, asked, Some(self.tenant));
        server.send(request).await
    }

    /// What is wrong, if anything is.
    async fn wrong(&self, server: &TestServer) -> Option<String> {
        let name = self.person.name.as_str();
        let is_member = !name.ends_with("stranger");
        let is_there = match self.read {
            Read::File(_) => is_member,
            _ if self.all_tenants => is_member,
            _ => self.tenant == "t1",
        };
        let expected = match self.read {
            // there are no global working directories
            Read::File(path) if path.contains("/deployments/") && !is_there => false,
            _ => sees(self.made.visibility, name, is_there),
        };
        let (answer, is_seen) = match self.read {
            Read::One(path) | Read::File(path) => {
                let answer = self.get(server, path).await;
                let is_seen = answer.status == 200;
                (answer, is_seen)
            }
            Read::Within(path) => {
                let answer = self.get(server, path).await;
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                let is_seen = body["items"]
                    .as_array()
                    .is_some_and(|items| !items.is_empty());
                (answer, is_seen)
            }
            Read::Listed(path, field) | Read::Everywhere(path, field) => {
                let answer = self.get(server, path).await;
                let is_seen = has(&answer, field, self.made.visibility);
                (answer, is_seen)
            }
            Read::Found(path, field) => {
                let body = json!({"filter_rules": []});
                let answer = self
                    .person
                    .ask(server, ("POST", path), self.tenant, &body)
                    .await;
                let is_seen = has(&answer, field, self.made.visibility);
                (answer, is_seen)
            }
        };
        let status = answer.status.as_u16();
        let is_fit = match self.read {
            Read::One(_) => matches!(status, 200 | 404),
            // files of a tenant are refused as such to those who are not in it
            Read::File(_) => matches!(status, 200 | 404) || (!is_member && status == 403),
            Read::Within(_) => matches!(status, 200 | 404),
            Read::Listed(..) | Read::Everywhere(..) | Read::Found(..) => status == 200,
        };
        (is_seen != expected || !is_fit).then(|| {
            format!(
                "{:?} of {} by {name} in {} (all: {}): {status}, seen: {is_seen}",
                self.read, self.made.visibility, self.tenant, self.all_tenants
            )
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_they_may_and_nothing_else() {
    let (server, people) = world().await;
    let made = everything(&server, &people).await;
    let mut looks = Vec::new();
    for read in READS {
        for (name, tenant) in OBSERVERS {
            let person = people.iter().find(|person| person.name == name).unwrap();
            for made in &made {
                let look = Look {
                    read,
                    person,
                    tenant,
                    made,
                    all_tenants: false,
                };
                looks.push(look.clone());
                if matches!(read, Read::Everywhere(..)) {
                    looks.push(Look {
                        all_tenants: true,
                        ..look
                    });
                }
            }
        }
    }
    let looked = stream::iter(&looks).map(|look| look.wrong(&server));
    let looked = looked.buffer_unordered(CONCURRENCY);
    let wrong: Vec<String> = looked.filter_map(async |wrong| wrong).collect().await;
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        looks.len(),
        wrong.join("\n")
    );
    server.stop().await;
}

/// Changes that belong to others: method, path and body.
fn changes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = CHANGES.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let [method, path, body] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("method, path and body: {line}");
        };
        (method, path, body)
    })
}

/// Tries a change; what is wrong if it was not refused as it must be.
async fn attempt(
    server: &TestServer,
    (person, tenant): (&Person, &str),
    (method, path, body): (&str, &str, &Value),
    is_hidden: bool,
) -> Option<String> {
    let before = server.position();
    let answer = person.ask(server, (method, path), tenant, body).await;
    let status = answer.status.as_u16();
    let is_refused = match is_hidden {
        // many at once are those that may be seen, and a directory is known by its tenant
        true if path.starts_with("executions?") => matches!(status, 200 | 400),
        true if path.starts_with("/resources") => matches!(status, 403 | 404),
        true => status == 404,
        false if path.starts_with("executions?") => matches!(status, 200 | 400),
        false => matches!(status, 400 | 403 | 404 | 405 | 409),
    };
    let is_changed = server.position() != before;
    (is_changed || !is_refused).then(|| {
        let text = String::from_utf8_lossy(&answer.body);
        let text: String = text.chars().take(300).collect();
        let name = &person.name;
        format!("{method} {path} by {name} in {tenant}: {status}, changed: {is_changed}: {text}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_what_they_do_not_see_or_what_is_of_another_tenant() {
    let (server, people) = world().await;
    let made = everything(&server, &people).await;
    let mut wrong = Vec::new();
    for (method, path, body) in changes() {
        let is_for_own = path.starts_with('~');
        for made in &made {
            let visibility = made.visibility;
            for (name, tenant) in CHANGERS {
                let is_hidden = !sees(visibility, name, tenant == "t1");
                let is_others = visibility == "global" && tenant != "t1";
                if (!is_hidden && !is_others) || (is_for_own && tenant != "t1") {
                    continue;
                }
                let person = people.iter().find(|person| person.name == name).unwrap();
                let named_in = format!("\"{visibility}\"");
                let body = body.replace("\"{}\"", &named_in);
                let body: Value = serde_json::from_str(&body).unwrap();
                let path = made.named(path.trim_start_matches('~'));
                let asked = (method, path.as_str(), &body);
                wrong.extend(attempt(&server, (person, tenant), asked, is_hidden).await);
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    server.stop().await;
}
