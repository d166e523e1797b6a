//! Everybody who asks, and where they are members.
use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::table::{NAMES, Roles};
use crate::support::{
    execution_token,
    server::{Answer, TestServer},
};

/// Requests that are under way at a time.
pub(super) const CONCURRENCY: usize = 16;
/// Who has an execution that speaks for them, and in which tenant.
const EXECUTING: [(&str, &str); 4] = [
    ("user", "t1"),
    ("viewer", "t1"),
    ("manager", "t2"),
    ("stranger", "t3"),
];
/// The password that everybody has.
const PASSWORD: &str = "everybody's";

/// Somebody.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    pub(super) name: String,
    /// `None`: nobody knows them.
    token: Option<String>,
    /// Roles everywhere.
    pub(super) system: Roles,
    /// Roles in tenants.
    pub(super) tenants: BTreeMap<&'static str, char>,
    /// Whether a group stands between them and their roles.
    pub(super) is_grouped: bool,
    /// The tenant of the execution whose token they come with, if it is one's.
    pub(super) execution: Option<&'static str>,
}

impl Person {
    /// The roles that count in a tenant.
    pub(super) fn roles(&self, tenant: Option<&str>) -> Roles {
        let there = tenant.and_then(|tenant| self.tenants.get(tenant));
        self.system.iter().chain(there).copied().collect()
    }

    /// The roles in whatever tenant.
    pub(super) fn roles_anywhere(&self) -> Roles {
        self.system
            .iter()
            .chain(self.tenants.values())
            .copied()
            .collect()
    }

    /// The tenant that counts where they name that one, or none.
    pub(super) fn tenant<'a>(&self, tenant: Option<&'a str>) -> Option<&'a str> {
        tenant.or(self.execution)
    }

    pub(super) fn is_known(&self) -> bool {
        self.token.is_some()
    }

    /// A request of theirs.
    pub(super) fn request(
        &self,
        server: &TestServer,
        (method, path): (&str, &str),
        tenant: Option<&str>,
    ) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = server.anonymous(method, path);
        if let Some(token) = &self.token {
            let header = match self.execution {
                Some(_) => "Execution-Token",
                None => "Authentication-Token",
            };
            request = request.header(header, token);
        }
        match tenant {
            Some(tenant) => request.header("Tenant", tenant),
            None => request,
        }
    }

    /// What they get for a request with a body.
    pub(super) async fn ask(
        &self,
        server: &TestServer,
        (method, path): (&str, &str),
        tenant: &str,
        body: &Value,
    ) -> Answer {
        let request = self.request(server, (method, path), Some(tenant));
        server.send(request.json(body)).await
    }

    /// What `GET monitoring-auth` gets from their browser.
    pub(super) async fn with_cookie(&self, server: &TestServer) -> Answer {
        let token = self.token.as_deref().unwrap_or_default();
        let request = server.anonymous(Method::GET, "monitoring-auth");
        let cookie = format!("XSRF-TOKEN={token}");
        server.send(request.header("Cookie", cookie)).await
    }
}

/// Members of `t1` with every role, by themselves and through a group; they are in `t2`, too, with
/// another role, and not in `t3`, where the stranger is. Nobody is in no tenant.
fn everybody() -> Vec<Person> {
    let mut everybody = Vec::new();
    for (name, role) in NAMES.into_iter().filter(|(_, role)| *role != 'D') {
        for is_grouped in [false, true] {
            let prefix = if is_grouped { "grouped_" } else { "" };
            let mut person = Person {
                name: format!("{prefix}{name}"),
                system: BTreeSet::from(['D']),
                is_grouped,
                ..Person::default()
            };
            if role == 'A' {
                person.system.insert('A');
                if !is_grouped {
                    person.system.remove(&'D');
                }
            } else {
                let other = if role == 'V' { 'M' } else { 'V' };
                person.tenants = BTreeMap::from([("t1", role), ("t2", other)]);
            }
            everybody.push(person);
        }
    }
    for (name, tenants) in [
        ("nobody", BTreeMap::new()),
        ("maker", BTreeMap::from([("t1", 'U')])),
        ("stranger", BTreeMap::from([("t3", 'M')])),
    ] {
        everybody.push(Person {
            name: name.to_owned(),
            system: BTreeSet::from(['D']),
            tenants,
            ..Person::default()
        });
    }
    everybody
}

fn role_name(initial: char) -> &'static str {
    NAMES.iter().find(|(_, role)| *role == initial).unwrap().0
}

/// Makes them known to the server.
async fn enter(server: &TestServer, mut person: Person) -> Person {
    let name = &person.name;
    let mut role = if person.system.contains(&'A') {
        "sys_admin"
    } else {
        "default"
    };
    if person.is_grouped {
        let group = json!({"group_name": format!("of_{name}"), "role": role});
        server.post("user-groups", &group).await.expect(201);
        role = "default";
    }
    let user = json!({"username": name, "password": PASSWORD, "role": role});
    server.put("users", &user).await.expect(201);
    if person.is_grouped {
        let member = json!({"group_name": format!("of_{name}"), "username": name});
        server.put("user-groups/users", &member).await.expect(200);
    }
    for (tenant, role) in &person.tenants {
        let role = role_name(*role);
        let (path, member) = match person.is_grouped {
            true => (
                "tenants/user-groups",
                json!({"tenant_name": tenant, "group_name": format!("of_{name}"), "role": role}),
            ),
            false => (
                "tenants/users",
                json!({"tenant_name": tenant, "username": name, "role": role}),
            ),
        };
        server.put(path, &member).await.expect(200);
    }
    let login = server.anonymous(Method::POST, "tokens");
    let login = login.basic_auth(name, Some(PASSWORD)).json(&json!({}));
    let token = server.send(login).await.expect(200);
    person.token = Some(token["value"].as_str().unwrap().to_owned());
    // the first use of a token is noted; nothing more is for a minute
    let known = server
        .send(person.request(server, ("GET", "user"), None))
        .await;
    known.expect(200);
    person
}

/// A server with three tenants, and everybody on it.
pub(super) async fn world() -> (TestServer, Vec<Person>) {
    // nobody but the tests knows what becomes of executions
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    for tenant in ["t1", "t2", "t3"] {
        let path = format!("tenants/{tenant}");
        server.post(&path, &json!({})).await.expect(201);
    }
    let entered = stream::iter(everybody()).map(|person| enter(&server, person));
    let mut people: Vec<Person> = entered.buffered(4).collect().await;
    let first = server.post("tokens", &json!({})).await.expect(200);
    people.push(Person {
        name: "admin".to_owned(),
        token: Some(first["value"].as_str().unwrap().to_owned()),
        system: BTreeSet::from(['A']),
        ..Person::default()
    });
    people.push(Person {
        name: "anonymous".to_owned(),
        ..Person::default()
    });
    let admin = people.iter().find(|person| person.name == "admin").unwrap();
    let known = server
        .send(admin.request(&server, ("GET", "user"), None))
        .await;
    known.expect(200);
    let named = |name: &str| people.iter().find(|person| person.name == name).unwrap();
    let mut executing = Vec::new();
    for (name, tenant) in EXECUTING {
        let begun = execute(&server, named("admin"), (named(name), tenant), "");
        executing.push(begun.await);
    }
    people.extend(executing);
    (server, people)
}

/// Begins an execution of somebody's, which nobody runs, on a deployment or on none; who comes with
/// its token.
pub(super) async fn execute(
    server: &TestServer,
    admin: &Person,
    (of, tenant): (&Person, &'static str),
    deployment: &str,
) -> Person {
    let id = format!("of_{}_on_{deployment}", of.name);
    let workflow = if deployment.is_empty() {
        "upload_blueprint"
    } else {
        "install"
    };
    let body = json!({"deployment_id": deployment, "workflow_id": workflow, "id": id,
        "force_status": "started", "created_by": of.name});
    let begun = admin.ask(server, ("POST", "executions"), tenant, &body);
    begun.await.expect(201);
    let token = execution_token(&server.running.ctx, tenant, &id).await;
    Person {
        name: format!("executing_{}", of.name),
        token: Some(token),
        execution: Some(tenant),
        ..of.clone()
    }
}
