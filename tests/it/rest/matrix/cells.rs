//! Every operation × everybody × every tenant: permitted or not, as the table has it.
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    people::{CONCURRENCY, Person, world},
    table::{self, Access, Row},
};
use crate::support::server::{Answer, TestServer};

/// Fewer would mean that the matrix was not built as a whole.
const CELLS_MIN: usize = 10_000;

/// What the table says of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// 401.
    Unknown,
    /// 401, although known.
    NoAdmin,
    /// 403, because there is no such tenant.
    NoSuchTenant,
    /// 403, and the permission is named.
    Denied,
    /// Refused, since no tenant was named.
    NoTenant,
    /// Neither 401 nor 403.
    Permitted,
}

/// One question.
#[derive(Debug, Clone, Copy)]
struct Cell<'a> {
    row: &'a Row,
    person: &'a Person,
    tenant: Option<&'a str>,
    all_tenants: bool,
    body: Option<&'a str>,
}

impl Cell<'_> {
    fn expected(&self) -> Expected {
        let Self { row, person, .. } = *self;
        let tenant = person.tenant(self.tenant);
        let is_own = person.execution.is_some() && person.execution == tenant;
        match &row.access {
            Access::Open => return Expected::Permitted,
            Access::Cookie => return Expected::Unknown,
            _ if !person.is_known() => return Expected::Unknown,
            _ if tenant == Some("nowhere") => return Expected::NoSuchTenant,
            Access::Known => return Expected::Permitted,
            Access::Admins if person.system.contains(&'A') => return Expected::Permitted,
            Access::Admins => return Expected::NoAdmin,
            Access::Holders(..) if is_own && row.has("exec") => return Expected::Permitted,
            Access::Holders(..) => {}
        }
        let all = self.all_tenants && row.has("all");
        let roles = match () {
            () if all => person.roles_anywhere(),
            () if row.has("here") => person.roles(Some("t1")),
            () => person.roles(tenant),
        };
        let Access::Holders(_, holders) = &row.access else {
            return Expected::Permitted;
        };
        let is_held = person.name == "admin" || !roles.is_disjoint(holders);
        match is_held {
            false => Expected::Denied,
            true if tenant.is_some() || all || !row.has("tenant") => Expected::Permitted,
            true if !(self.all_tenants && row.has("spans")) => Expected::NoTenant,
            true => Expected::Permitted,
        }
    }

    async fn ask(&self, server: &TestServer) -> Answer {
        let mut path = self.row.path.to_owned();
        if self.all_tenants {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("_all_tenants=true");
        }
        let asked = (self.row.method, path.as_str());
        let mut request = self.person.request(server, asked, self.tenant);
        if let Some(body) = self.body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_owned());
        }
        server.send(request).await
    }

    /// What is wrong with the answer, if anything is.
    fn wrong(&self, answer: &Answer) -> Option<String> {
        let expected = self.expected();
        let status = answer.status.as_u16();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let refused = |wanted: u16, code: &str, words: &str| {
            let message = body["message"].as_str().unwrap_or_default();
            status == wanted && body["error_code"] == code && message.contains(words)
        };
        let is_right = match expected {
            Expected::Unknown => refused(401, "unauthorized_error", "User unauthorized"),
            Expected::NoAdmin => refused(401, "unauthorized_error", "admin"),
            Expected::NoSuchTenant => refused(403, "forbidden_error", "nowhere"),
            Expected::Denied => match &self.row.access {
                Access::Holders(name, _) => refused(403, "forbidden_error", name),
                _ => false,
            },
            Expected::NoTenant => (400..500).contains(&status) && status != 401,
            // what comes after the permission refuses in other words
            Expected::Permitted if self.row.has("later") && status == 403 => {
                !refused(403, "forbidden_error", "not permitted to perform")
            }
            Expected::Permitted => !matches!(status, 401 | 403 | 500..),
        };
        let Self {
            row, person, body, ..
        } = self;
        (!is_right).then(|| {
            format!(
                "{} {} by {} in {:?} (all: {}, body {body:?}): {expected:?}, but {status} {}",
                row.method,
                row.path,
                person.name,
                self.tenant,
                self.all_tenants,
                String::from_utf8_lossy(&answer.body)
            )
        })
    }
}

/// The tenants somebody asks in.
fn tenants(person: &Person) -> &'static [Option<&'static str>] {
    match person.name.as_str() {
        "maker" => &[],
        "anonymous" => &[Some("t1"), None],
        "admin" => &[Some("t1"), None, Some("nowhere")],
        _ if person.is_grouped => &[Some("t1"), Some("t3")],
        _ => &[Some("t1"), Some("t2"), Some("t3"), None, Some("nowhere")],
    }
}

fn matrix<'a>(rows: &'a [Row], people: &'a [Person]) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for row in rows.iter().filter(|row| !row.has("last")) {
        for person in people {
            for tenant in tenants(person) {
                let cell = Cell {
                    row,
                    person,
                    tenant: *tenant,
                    all_tenants: false,
                    body: None,
                };
                if row.method == "GET" {
                    cells.push(cell);
                } else {
                    let broken = Cell {
                        body: Some("{"),
                        ..cell
                    };
                    cells.push(broken);
                    let empty = Cell {
                        body: Some("{}"),
                        ..cell
                    };
                    let is_unwanted = row.has("broken") && empty.expected() == Expected::Permitted;
                    cells.extend((!is_unwanted).then_some(empty));
                }
                let is_list = row.has("all") || row.method == "GET";
                if is_list && !person.is_grouped && matches!(tenant, Some("t3") | None) {
                    cells.push(Cell {
                        all_tenants: true,
                        body: (row.method != "GET").then_some("{}"),
                        ..cell
                    });
                }
            }
        }
    }
    cells
}

/// Asks everything, and tells what was answered wrongly.
async fn ask<'a, 'b: 'a>(
    server: &TestServer,
    cells: impl Iterator<Item = &'a Cell<'b>>,
) -> Vec<String> {
    let asked = stream::iter(cells).map(|cell| async move {
        let answer = cell.ask(server).await;
        cell.wrong(&answer)
    });
    let answered = asked.buffer_unordered(CONCURRENCY);
    answered.filter_map(async |wrong| wrong).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let (server, people) = world().await;
    let rows = table::rows();
    let document = server.get("/openapi.json").await.expect(200);
    let mut wrong = table::differences(&document, &rows);
    let cells = matrix(&rows, &people);
    assert!(cells.len() >= CELLS_MIN, "{}", cells.len());
    let is_permitted = |cell: &&Cell<'_>| cell.expected() == Expected::Permitted;
    let before = server.position();
    let refused = cells.iter().filter(|cell| !is_permitted(cell));
    wrong.extend(ask(&server, refused).await);
    if server.position() != before {
        wrong.push("something was refused and written down all the same".to_owned());
    }
    wrong.extend(ask(&server, cells.iter().filter(is_permitted)).await);
    assert!(
        wrong.is_empty(),
        "{} of {} cells:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
    last(&server, &rows, &people).await;
    server.stop().await;
}

/// What concerns everybody: those who may not are refused, and one who may does it.
async fn last(server: &TestServer, rows: &[Row], people: &[Person]) {
    for row in rows.iter().filter(|row| row.has("last")) {
        let cells = people.iter().map(|person| Cell {
            row,
            person,
            tenant: Some("t1"),
            all_tenants: false,
            body: Some("{}"),
        });
        let cells: Vec<Cell<'_>> = cells.collect();
        let is_permitted = |cell: &&Cell<'_>| cell.expected() == Expected::Permitted;
        // the last one leaves things as others need them
        let refused = cells.iter().filter(|cell| !is_permitted(cell));
        let mut wrong = ask(server, refused).await;
        wrong.extend(ask(server, cells.iter().filter(is_permitted)).await);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn roles_hold_the_permissions_of_the_table() {
    let server = TestServer::start().await;
    let told = server.get("config?scope=authorization").await.expect(200);
    let told = &told["authorization"]["permissions"];
    let expected: serde_json::Map<String, Value> = table::holders()
        .into_iter()
        .map(|(permission, holders)| {
            let names = table::NAMES
                .iter()
                .filter(|(_, role)| holders.contains(role));
            let names: Vec<&str> = names.map(|(name, _)| *name).collect();
            (permission.to_owned(), json!(names))
        })
        .collect();
    let told = told.as_object().unwrap();
    let wrong: Vec<String> = expected
        .keys()
        .chain(told.keys())
        .filter(|name| expected.get(*name) != told.get(*name))
        .map(|name| {
            format!(
                "{name}: {:?}, told {:?}",
                expected.get(name),
                told.get(name)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}
