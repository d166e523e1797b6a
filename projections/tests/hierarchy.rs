//! What deployments say of those below them, kept change by change, is what counting anew gives.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use chrono::DateTime;
use proptest::prelude::*;
use stratalog_projections::{
    Rows, fold,
    views::{deployments::Deployment, scoped},
};
use stratalog_schema::{
    Category, Event, Meta, Recorded, StreamId,
    events::{DeploymentChanged, DeploymentCreated, DeploymentDeleted, Label, Labels, Scope},
};
use uuid::Uuid;

const TENANT: &str = "t";
const NUMBER: usize = 8;
const STATUSES: [&str; 3] = ["requires_attention", "in_progress", "good"];

#[derive(Debug, Clone)]
enum Step {
    /// Made, or given other labels: parents (as bits) and whether it is an environment.
    Labelled(usize, u8, bool),
    Status(usize, usize),
    Deleted(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..NUMBER, any::<u8>(), any::<bool>())
            .prop_map(|(one, parents, kind)| Step::Labelled(one, parents, kind)),
        4 => (0..NUMBER, 0..STATUSES.len()).prop_map(|(one, status)| Step::Status(one, status)),
        1 => (0..NUMBER).prop_map(Step::Deleted),
    ]
}

/// A deployment as the test knows it.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    parents: Vec<String>,
    is_environment: bool,
    status: usize,
}

/// The slots of deployments; what was deleted is made again under another id.
#[derive(Debug, Default)]
struct World {
    rows: Rows,
    known: BTreeMap<usize, Known>,
    position: i64,
}

impl World {
    fn happens(&mut self, event: Event) {
        self.position += 1;
        let recorded = Recorded {
            position: self.position,
            stream: StreamId::global(Category::Settings, "all"),
            version: self.position,
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::from_u128(3),
            meta: Meta::system(),
            event,
        };
        fold(&recorded, &mut self.rows).unwrap();
    }

    fn label(key: &str, value: &str) -> Label {
        Label {
            key: key.to_owned(),
            value: value.to_owned(),
            ..Label::default()
        }
    }

    fn labelled(&mut self, slot: usize, bits: u8, is_environment: bool) {
        // parents have lower numbers, so that there are no circles
        let above = self.known.range(..slot);
        let parents: Vec<String> = above
            .filter(|(number, _)| bits & (1 << **number) != 0)
            .map(|(_, known)| known.id.clone())
            .collect();
        let mut labels: Vec<Label> = parents
            .iter()
            .map(|parent| Self::label("csys-obj-parent", parent))
            .collect();
        if is_environment {
            labels.push(Self::label("csys-obj-type", "environment"));
        }
        let event = match self.known.get_mut(&slot) {
            Some(known) => {
                known.parents = parents;
                known.is_environment = is_environment;
                Event::DeploymentChanged(DeploymentChanged {
                    id: known.id.clone(),
                    tenant: TENANT.to_owned(),
                    labels: Some(Labels { labels }),
                    ..DeploymentChanged::default()
                })
            }
            None => {
                let id = format!("d{slot}-{}", self.position);
                let known = Known {
                    id: id.clone(),
                    parents,
                    is_environment,
                    status: 2,
                };
                self.known.insert(slot, known);
                Event::DeploymentCreated(DeploymentCreated {
                    id,
                    scope: Some(Scope {
                        tenant: TENANT.to_owned(),
                        visibility: "tenant".to_owned(),
                        created_by: "admin".to_owned(),
                    }),
                    labels,
                    deployment_status: STATUSES[2].to_owned(),
                    ..DeploymentCreated::default()
                })
            }
        };
        self.happens(event);
    }

    fn takes(&mut self, step: &Step) {
        match *step {
            Step::Labelled(slot, parents, kind) => self.labelled(slot, parents, kind),
            Step::Status(slot, status) => {
                let Some(known) = self.known.get_mut(&slot) else {
                    return;
                };
                known.status = status;
                let event = DeploymentChanged {
                    id: known.id.clone(),
                    tenant: TENANT.to_owned(),
                    deployment_status: Some(STATUSES[status].to_owned()),
                    ..DeploymentChanged::default()
                };
                self.happens(Event::DeploymentChanged(event));
            }
            Step::Deleted(slot) => {
                if let Some(known) = self.known.remove(&slot) {
                    let event = DeploymentDeleted {
                        id: known.id,
                        tenant: TENANT.to_owned(),
                    };
                    self.happens(Event::DeploymentDeleted(event));
                }
            }
        }
    }

    /// Own status with those below, then services and environments below with their worst.
    fn counted(&self, known: &Known) -> (usize, [(i64, Option<usize>); 2]) {
        let mut below = [(0, None); 2];
        let mut add = |kind: usize, number: i64, status: Option<usize>| {
            let (sum, worst): &mut (i64, Option<usize>) = &mut below[kind];
            *sum += number;
            *worst = [*worst, status].into_iter().flatten().min();
        };
        let children = self.known.values();
        for child in children.filter(|child| child.parents.contains(&known.id)) {
            let (status, deeper) = self.counted(child);
            add(usize::from(child.is_environment), 1, Some(status));
            for (kind, (number, worst)) in deeper.into_iter().enumerate() {
                add(kind, number, worst);
            }
        }
        let all = [Some(known.status), below[0].1, below[1].1];
        (all.into_iter().flatten().min().unwrap(), below)
    }

    fn check(&self) {
        for known in self.known.values() {
            let found: Deployment = self.rows.expect(&scoped(TENANT, &known.id)).unwrap();
            let (status, [services, environments]) = self.counted(known);
            let word = |status: Option<usize>| status.map(|status| STATUSES[status]);
            assert_eq!(found.deployment_status, STATUSES[status], "{known:?}");
            assert_eq!(found.sub_services_count, services.0, "{known:?}");
            assert_eq!(found.sub_environments_count, environments.0, "{known:?}");
            assert_eq!(found.sub_services_status.as_deref(), word(services.1));
            assert_eq!(
                found.sub_environments_status.as_deref(),
                word(environments.1)
            );
            let mut consumers: Vec<&str> = found
                .labels
                .iter()
                .filter(|label| label.key == "csys-consumer-id")
                .map(|label| label.value.as_str())
                .collect();
            consumers.sort_unstable();
            let children = self.known.values();
            let children = children.filter(|child| child.parents.contains(&known.id));
            let mut expected: Vec<&str> = children.map(|child| child.id.as_str()).collect();
            expected.sort_unstable();
            assert_eq!(consumers, expected, "{known:?}");
        }
    }
}

proptest! {
    #[test]
    fn counting_change_by_change_is_counting_anew(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        for step in &steps {
            world.takes(step);
            world.check();
        }
    }
}
