//! The graph of instances.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::dsl::value::{Value, json};
use proptest::prelude::*;

use super::{group, host, node, plan};
use crate::dsl::planner::{CountedIds, IdSource, instances};
use crate::dsl::{DslError, Exception};

fn planned(nodes: &[Value], groups: Value) -> Result<Vec<Value>, DslError> {
    let sections = json!({"nodes": nodes, "scaling_groups": groups});
    instances(&plan(sections), &mut CountedIds::default(), Vec::new())
}

/// For every node: how many instances, and how many relationships to each target.
fn census(instances: &[Value]) -> BTreeMap<&str, (usize, BTreeMap<&str, usize>)> {
    let mut census: BTreeMap<&str, (usize, BTreeMap<&str, usize>)> = BTreeMap::new();
    for instance in instances {
        let entry = census
            .entry(instance["node_id"].as_str().unwrap())
            .or_default();
        entry.0 += 1;
        for relationship in instance["relationships"].as_array().unwrap() {
            *entry
                .1
                .entry(relationship["target_name"].as_str().unwrap())
                .or_default() += 1;
        }
    }
    census
}

fn by_id(instances: &[Value]) -> HashMap<&str, &Value> {
    instances
        .iter()
        .map(|instance| (instance["id"].as_str().unwrap(), instance))
        .collect()
}

#[test]
fn contained_nodes_multiply_and_know_their_host() {
    let mut app = node("app", 3, &[("contained_in", "vm")]);
    app["host_id"] = json!("vm");
    let planned = planned(&[host("vm", 2, &[]), app], json!({})).unwrap();
    assert_eq!(census(&planned)["vm"].0, 2);
    assert_eq!(census(&planned)["app"], (6, BTreeMap::from([("vm", 6)])));
    for instance in planned
        .iter()
        .filter(|instance| instance["node_id"] == "app")
    {
        assert_eq!(
            instance["host_id"],
            instance["relationships"][0]["target_id"]
        );
    }
}

#[test]
fn connections_reach_all_or_one() {
    let nodes = [
        node("web", 3, &[("all_to_all", "db"), ("all_to_one", "queue")]),
        node("db", 2, &[]),
        node("queue", 4, &[]),
    ];
    let planned = planned(&nodes, json!({})).unwrap();
    assert_eq!(
        census(&planned)["web"].1,
        BTreeMap::from([("db", 6), ("queue", 3)])
    );
    let queues: Vec<&Value> = planned
        .iter()
        .filter(|instance| instance["node_id"] == "web")
        .map(|instance| &instance["relationships"][2]["target_id"])
        .collect();
    assert!(
        queues.windows(2).all(|pair| pair[0] == pair[1]),
        "{queues:?}"
    );
}

#[test]
fn members_of_a_group_connect_within_its_instances() {
    let nodes = [
        host("vm", 1, &[("all_to_all", "ip")]),
        node("ip", 1, &[]),
        node("disk", 2, &[("all_to_all", "vm")]),
        node("db", 1, &[("contained_in", "vm"), ("all_to_all", "disk")]),
    ];
    let groups = json!({
        "site": group(&["vm", "ip", "disks"], 2),
        "disks": group(&["disk"], 3),
    });
    let planned = planned(&nodes, groups).unwrap();
    let census = census(&planned);
    assert_eq!(
        (
            census["vm"].0,
            census["ip"].0,
            census["disk"].0,
            census["db"].0
        ),
        (2, 2, 12, 2)
    );
    assert_eq!(census["vm"].1, BTreeMap::from([("ip", 2)]));
    assert_eq!(census["disk"].1, BTreeMap::from([("vm", 12)]));
    assert_eq!(census["db"].1, BTreeMap::from([("vm", 2), ("disk", 12)]));
    let known = by_id(&planned);
    let site = |instance: &Value| {
        let groups = instance["scaling_groups"].as_array().unwrap();
        groups.last().unwrap()["id"].clone()
    };
    for disk in planned
        .iter()
        .filter(|instance| instance["node_id"] == "disk")
    {
        let names: Vec<&Value> = disk["scaling_groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| &group["name"])
            .collect();
        assert_eq!(names, ["disks", "site"]);
        let vm = known[disk["relationships"][0]["target_id"].as_str().unwrap()];
        assert_eq!(site(disk), site(vm));
    }
}

#[test]
fn impossible_connections_are_refused() {
    let both = |kind: &str| [node("a", 1, &[(kind, "b")]), node("b", 1, &[])];
    let groups = json!({"g": group(&["a", "b"], 2)});
    let error = planned(&both("all_to_one"), groups).unwrap_err();
    assert_eq!(error.exception(), Exception::UnsupportedAllToOneInGroup);
    let error = planned(&both("some_to_some"), json!({})).unwrap_err();
    assert_eq!(
        error.exception(),
        Exception::IllegalConnectedToConnectionType
    );
    let mut other = both("all_to_all");
    other[0]["relationships"][0]["type_hierarchy"] = json!(["mine"]);
    let error = planned(&other, json!({})).unwrap_err();
    assert_eq!(error.exception(), Exception::UnsupportedRelationship);
}

#[test]
fn a_second_relationship_to_a_target_replaces_the_first() {
    let nodes = [
        node("a", 1, &[("contained_in", "b"), ("all_to_all", "b")]),
        node("b", 2, &[]),
    ];
    let planned = planned(&nodes, json!({})).unwrap();
    assert_eq!(census(&planned)["a"], (1, BTreeMap::from([("b", 2)])));
}

/// Gives the same few suffixes again and again before new ones.
struct Stubborn(u32);

impl IdSource for Stubborn {
    fn suffix(&mut self) -> String {
        self.0 += 1;
        format!("{:06}", self.0 / 3)
    }
}

#[test]
fn ids_are_never_given_twice() {
    let plan = plan(json!({"nodes": [node("a", 20, &[])]}));
    let taken = vec!["a_000001".to_owned()];
    let planned = instances(&plan, &mut Stubborn(0), taken).unwrap();
    assert_eq!(by_id(&planned).len(), 20);
    assert!(!by_id(&planned).contains_key("a_000001"));
}

/// Trees of nodes with connections among them: (count, parent, connected to).
fn arbitrary_shape() -> impl Strategy<Value = Vec<(usize, Option<usize>, Option<usize>)>> {
    prop::collection::vec((0_usize..4, any::<Option<u8>>(), any::<Option<u8>>()), 1..8).prop_map(
        |raw| {
            raw.into_iter()
                .enumerate()
                .map(|(index, (count, parent, target))| {
                    let earlier = |pick: Option<u8>| {
                        pick.filter(|_| index > 0)
                            .map(|pick| usize::from(pick) % index)
                    };
                    (count, earlier(parent), earlier(target))
                })
                .collect()
        },
    )
}

fn shaped(shape: &[(usize, Option<usize>, Option<usize>)], prefix: &str) -> Vec<Value> {
    let name = |index: usize| format!("{prefix}{index}");
    shape
        .iter()
        .enumerate()
        .map(|(index, (count, parent, target))| {
            let parent = parent.map(name);
            let target = target.map(name);
            let contained = parent.as_deref().map(|parent| ("contained_in", parent));
            let connected = target.as_deref().map(|target| ("all_to_all", target));
            let relationships: Vec<(&str, &str)> = contained.into_iter().chain(connected).collect();
            node(&name(index), *count, &relationships)
        })
        .collect()
}

proptest! {
    #[test]
    fn names_do_not_matter(shape in arbitrary_shape()) {
        let first = planned(&shaped(&shape, "a"), json!({})).unwrap();
        let second = planned(&shaped(&shape, "other-"), json!({})).unwrap();
        let renamed = serde_json::to_string(&second).unwrap().replace("other-", "a");
        prop_assert_eq!(serde_json::to_string(&first).unwrap(), renamed);
    }

    #[test]
    fn counts_multiply_down_the_tree(shape in arbitrary_shape()) {
        let planned = planned(&shaped(&shape, "n"), json!({})).unwrap();
        let census = census(&planned);
        let mut expected: Vec<usize> = Vec::new();
        for (index, (count, parent, target)) in shape.iter().enumerate() {
            // A connection to the container replaces the containment.
            let parent = parent.filter(|parent| Some(*parent) != *target);
            let total = count * parent.map_or(1, |parent| expected[parent]);
            expected.push(total);
            let name = format!("n{index}");
            prop_assert_eq!(census.get(name.as_str()).map_or(0, |found| found.0), total);
        }
        let known = by_id(&planned);
        for instance in &planned {
            for relationship in instance["relationships"].as_array().unwrap() {
                let target = known[relationship["target_id"].as_str().unwrap()];
                prop_assert_eq!(&target["node_id"], &relationship["target_name"]);
            }
        }
    }
}

#[test]
fn planning_is_linear() {
    let time = |count: usize| -> Duration {
        let nodes = [
            host("vm", count, &[]),
            node("app", 1, &[("contained_in", "vm"), ("all_to_one", "hub")]),
            node("hub", 1, &[]),
        ];
        let started = Instant::now();
        assert_eq!(planned(&nodes, json!({})).unwrap().len(), 2 * count + 1);
        started.elapsed()
    };
    time(1_000);
    let (small, large) = (time(2_000), time(40_000));
    // Twenty times the work; quadratic planning would take four hundred times as long.
    assert!(
        large < small * 120 + Duration::from_millis(200),
        "{small:?} then {large:?}"
    );
}
