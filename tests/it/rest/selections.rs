//! What sets of rows in memory say, and what the database says, after any changes.
use std::collections::BTreeSet;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use stratalog::{
    context::Keys,
    log::{Append, NewEvent},
};
use stratalog_projections::{At, Condition, ListQuery, Scope, Sort, View, sets::Sets};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{self, DeploymentChanged, DeploymentCreated, DeploymentDeleted, Label, Labels},
};

use crate::support::server::TestServer;

const TENANTS: [&str; 3] = ["default_tenant", "one", "two"];
const USERS: [&str; 2] = ["admin", "ann"];
const VISIBILITIES: [&str; 3] = ["private", "tenant", "global"];
const KEYS: [&str; 3] = ["env", "team", "env-b"];
const VALUES: [&str; 3] = ["a", "b", "=c"];
const BLUEPRINTS: [&str; 2] = ["b1", "b2"];
const SORTS: [&str; 6] = [
    "created_at",
    "display_name",
    "blueprint_id",
    "site_name",
    "tenant_name",
    "updated_at",
];
const STEPS: usize = 300;

/// Chance, and the deployments that are there.
struct Random(StdRng, BTreeSet<(String, String)>);

impl Random {
    fn one(&mut self, of: &[&str]) -> String {
        (*of.choose(&mut self.0).unwrap()).to_owned()
    }

    fn some(&mut self, of: &[&str]) -> Vec<String> {
        let mut some: Vec<String> = of.iter().map(|text| (*text).to_owned()).collect();
        some.retain(|_| self.0.random_bool(0.4));
        some
    }

    fn labels(&mut self) -> Vec<Label> {
        let count = self.0.random_range(0..4);
        let label = |_| Label {
            key: self.one(&KEYS),
            value: self.one(&VALUES),
            created_at_ms: 0,
            created_by: "admin".to_owned(),
        };
        let mut labels: Vec<Label> = (0..count).map(label).collect();
        // no row has two of the first key
        let mut is_there = false;
        labels.retain(|label| label.key != KEYS[0] || !std::mem::replace(&mut is_there, true));
        labels
    }

    fn change(&mut self) -> NewEvent {
        let tenant = self.one(&TENANTS);
        let id = format!("d{}", self.0.random_range(0..40));
        let stream = StreamId::scoped(Category::Deployment, &tenant, &id);
        let place = (tenant.clone(), id.clone());
        let is_there = self.1.contains(&place);
        let event = match is_there && self.0.random_bool(0.4) {
            true => Event::DeploymentDeleted(DeploymentDeleted { id, tenant }),
            false if is_there => Event::DeploymentChanged(DeploymentChanged {
                labels: Some(Labels {
                    labels: self.labels(),
                }),
                visibility: Some(self.one(&VISIBILITIES)),
                id,
                tenant,
                ..DeploymentChanged::default()
            }),
            false => Event::DeploymentCreated(DeploymentCreated {
                display_name: id.clone(),
                id,
                scope: Some(events::Scope {
                    tenant,
                    visibility: self.one(&VISIBILITIES),
                    created_by: self.one(&USERS),
                }),
                blueprint_id: self.one(&BLUEPRINTS),
                labels: self.labels(),
                ..DeploymentCreated::default()
            }),
        };
        match event {
            Event::DeploymentDeleted(_) => drop(self.1.remove(&place)),
            _ => drop(self.1.insert(place)),
        }
        NewEvent::new(stream, event)
    }

    fn condition(&mut self, depth: usize) -> Condition {
        let labels = || "labels".to_owned();
        let key = self.one(&KEYS);
        let pairs: Vec<String> = self.some(&VALUES);
        let pairs: Vec<String> = pairs.iter().map(|value| format!("{key}={value}")).collect();
        match self.0.random_range(0..10) {
            0 | 1 => Condition::Has(labels(), pairs),
            2 => Condition::HasNone(labels(), pairs),
            3 => Condition::HasOther(labels(), format!("{key}="), pairs),
            4 => Condition::Has(labels(), vec![key]),
            5 => Condition::AnyOf("blueprint_id".to_owned(), self.some(&BLUEPRINTS)),
            6 => Condition::NotAnyOf("blueprint_id".to_owned(), self.some(&BLUEPRINTS)),
            7 => Condition::AnyOf("site_name".to_owned(), self.some(&["s"])),
            8 if depth > 0 => {
                Condition::Or(vec![self.condition(depth - 1), self.condition(depth - 1)])
            }
            _ => {
                let keys = vec!["default_tenant/d1".to_owned(), "one/d2".to_owned()];
                match self.0.random_bool(0.5) {
                    true => Condition::Keys(keys),
                    false => Condition::NotKeys(keys),
                }
            }
        }
    }

    fn query(&mut self) -> ListQuery {
        let scope = match self.0.random_bool(0.2) {
            true => Scope::Everything,
            false => Scope::Tenants {
                tenants: self.some(&TENANTS),
                user: self.one(&USERS),
                administered: self.some(&TENANTS),
            },
        };
        let mut query = ListQuery::all(View::Deployments, scope);
        for _ in 0..self.0.random_range(0..4) {
            query = query.with(self.condition(1));
        }
        for _ in 0..self.0.random_range(0..3) {
            query.sort.push(Sort {
                field: self.one(&SORTS),
                descending: self.0.random_bool(0.5),
            });
        }
        query.offset = self.0.random_range(0..6);
        query.size = self.0.random_bool(0.8).then(|| self.0.random_range(0..8));
        query
    }
}

#[tokio::test]
async fn sets_of_rows_are_what_the_database_says() {
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    let ctx = &server.running.ctx;
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = Random(StdRng::seed_from_u64(seed), BTreeSet::new());
    let (mut found, mut walked) = (0, 0);
    let view = ctx.store.read(At::Now).await.unwrap();
    let few = Sets::load(&view, View::Deployments).await.unwrap();
    // as if a few rows were very many
    let mut few = few.sorting_at_most(3);
    drop(view.finish().await.unwrap());
    for _ in 0..STEPS {
        let events = (0..random.0.random_range(0..6)).map(|_| random.change());
        let append = Append {
            meta: Meta::system(),
            events: events.collect(),
            ..Append::default()
        };
        if !append.events.is_empty() {
            ctx.store.append(append).await.unwrap();
        }
        let query = random.query();
        let view = ctx.store.read(At::Now).await.unwrap();
        let chosen = ctx.selections.chosen(&ctx.changes, &view, &query).await;
        let chosen = chosen.unwrap().expect("sets can say");
        let rows = view.select(&query).await.unwrap();
        let total = view.count(&query).await.unwrap();
        few.refresh(&view).await.unwrap();
        drop(view.finish().await.unwrap());
        let expected: Vec<String> = rows.into_iter().map(|row| row.key).collect();
        match chosen.keys {
            Keys::Page(keys) => assert_eq!(keys, expected, "{query:?}"),
            other => panic!("the page is not told, but {other:?}: {query:?}"),
        }
        assert_eq!(chosen.total, total, "{query:?}");
        let chosen = few.chosen(&query).unwrap();
        if let Some(page) = few.page(&query, &chosen) {
            assert_eq!(page, expected, "{query:?}");
            walked += usize::from(chosen.len() > 3 && !page.is_empty());
        }
        found += expected.len();
    }
    assert!(found > STEPS, "questions found something: {found}");
    assert!(
        walked > STEPS / 10,
        "pages of many rows were found: {walked}"
    );
    server.stop().await;
}

/// A reader that looks at less than the sets know is told nothing.
#[tokio::test]
async fn sets_that_are_ahead_say_nothing() {
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    let ctx = &server.running.ctx;
    let mut random = Random(StdRng::seed_from_u64(1), BTreeSet::new());
    let query = ListQuery::all(View::Deployments, Scope::Everything);
    let before = ctx.store.read(At::Now).await.unwrap();
    let append = Append {
        meta: Meta::system(),
        events: (0..20).map(|_| random.change()).collect(),
        ..Append::default()
    };
    ctx.store.append(append).await.unwrap();
    let after = ctx.store.read(At::Now).await.unwrap();
    let ask = async |view| {
        let chosen = ctx.selections.chosen(&ctx.changes, view, &query).await;
        chosen.unwrap().map(|chosen| chosen.total)
    };
    let total = ask(&after).await;
    assert_eq!(total, Some(after.count(&query).await.unwrap()));
    assert_eq!(ask(&before).await, None);
    assert_eq!(before.count(&query).await.unwrap(), 0);
    drop(before.finish().await.unwrap());
    drop(after.finish().await.unwrap());
    server.stop().await;
}
