//! Scaling out and in, and following a changed blueprint.

use crate::dsl::value::{Map, Value, json};
use proptest::prelude::*;

use super::{group, host, node, plan};
use crate::dsl::planner::{Change, CountedIds, Modification, instances, modify};
use crate::dsl::{DslError, Exception};

fn before(nodes: &[Value], groups: &Value) -> Vec<Value> {
    let sections = plan(json!({"nodes": nodes, "scaling_groups": groups}));
    instances(&sections, &mut CountedIds::default(), Vec::new()).unwrap()
}

fn change(
    nodes: &[Value],
    earlier: (&[Value], &[Value]),
    modified: Value,
    groups: &Value,
) -> Result<Modification, DslError> {
    let none = Map::new();
    let change = Change {
        nodes,
        previous_nodes: earlier.0,
        previous_node_instances: earlier.1,
        modified_nodes: modified.as_object().unwrap_or(&none),
        scaling_groups: groups.as_object().unwrap(),
    };
    modify(&change, &mut CountedIds::default())
}

/// What changes of each instance: (node, modification, number of relationships).
fn brief(listed: &[Value]) -> Vec<(&str, &str, usize)> {
    let mut brief: Vec<(&str, &str, usize)> = listed
        .iter()
        .map(|instance| {
            (
                instance["node_id"].as_str().unwrap(),
                instance["modification"].as_str().unwrap_or("related"),
                instance["relationships"].as_array().unwrap().len(),
            )
        })
        .collect();
    brief.sort_unstable();
    brief
}

fn ids<'l>(listed: &'l [Value], modification: &str) -> Vec<&'l str> {
    listed
        .iter()
        .filter(|instance| instance["modification"] == modification)
        .map(|instance| instance["id"].as_str().unwrap())
        .collect()
}

#[test]
fn scaling_out_adds_what_lives_inside() {
    let nodes = [
        host("vm", 1, &[]),
        node("app", 2, &[("contained_in", "vm"), ("all_to_all", "db")]),
        node("db", 1, &[]),
    ];
    let earlier = before(&nodes, &json!({}));
    let found = change(
        &nodes,
        (&nodes, &earlier),
        json!({"vm": {"instances": 2}}),
        &json!({}),
    )
    .unwrap();
    assert_eq!(
        brief(&found.added_and_related),
        [
            ("app", "added", 2),
            ("app", "added", 2),
            ("db", "related", 0),
            ("vm", "added", 0)
        ]
    );
    assert!(found.removed_and_related.is_empty() && found.extended_and_related.is_empty());
    let known: Vec<&Value> = earlier.iter().map(|instance| &instance["id"]).collect();
    for id in ids(&found.added_and_related, "added") {
        assert!(!known.iter().any(|known| *known == id), "{id} existed");
    }
}

#[test]
fn scaling_a_target_out_extends_its_sources() {
    let nodes = [node("web", 2, &[("all_to_all", "db")]), node("db", 1, &[])];
    let earlier = before(&nodes, &json!({}));
    let found = change(
        &nodes,
        (&nodes, &earlier),
        json!({"db": {"instances": 2}}),
        &json!({}),
    )
    .unwrap();
    assert_eq!(
        brief(&found.added_and_related),
        [
            ("db", "added", 0),
            ("web", "related", 1),
            ("web", "related", 1)
        ]
    );
    assert_eq!(
        brief(&found.extended_and_related),
        [("web", "extended", 1), ("web", "extended", 1)]
    );
}

#[test]
fn hints_decide_who_goes() {
    let nodes = [
        host("vm", 4, &[]),
        node("app", 1, &[("contained_in", "vm")]),
    ];
    let earlier = before(&nodes, &json!({}));
    let vms: Vec<&str> = earlier
        .iter()
        .filter(|instance| instance["node_id"] == "vm")
        .map(|instance| instance["id"].as_str().unwrap())
        .collect();
    let modified = json!({"vm": {
        "instances": 1,
        "removed_ids_include_hint": [vms[0]],
        "removed_ids_exclude_hint": [vms[2]],
    }});
    let found = change(&nodes, (&nodes, &earlier), modified, &json!({})).unwrap();
    let removed = ids(&found.removed_and_related, "removed");
    assert_eq!(removed.len(), 6);
    assert!(
        removed.contains(&vms[0]) && !removed.contains(&vms[2]),
        "{removed:?}"
    );
}

#[test]
fn a_hint_for_a_member_selects_the_instance_of_its_group() {
    let nodes = [node("a", 1, &[]), node("b", 1, &[])];
    let groups = json!({"g": group(&["a", "b"], 3)});
    let earlier = before(&nodes, &groups);
    let chosen = earlier
        .iter()
        .rfind(|instance| instance["node_id"] == "b")
        .unwrap();
    let modified = json!({"g": {"instances": 2, "removed_ids_include_hint": [chosen["id"]]}});
    let found = change(&nodes, (&nodes, &earlier), modified, &groups).unwrap();
    assert_eq!(
        brief(&found.removed_and_related),
        [("a", "removed", 0), ("b", "removed", 0)]
    );
    for instance in &found.removed_and_related {
        assert_eq!(instance["scaling_groups"], chosen["scaling_groups"]);
    }
}

#[test]
fn all_to_one_keeps_its_target() {
    let nodes = [node("web", 1, &[("all_to_one", "db")]), node("db", 3, &[])];
    let mut earlier = before(&nodes, &json!({}));
    let last = earlier[earlier.len() - 1]["id"].clone();
    let web = earlier
        .iter_mut()
        .find(|instance| instance["node_id"] == "web")
        .unwrap();
    web["relationships"][0]["target_id"] = last.clone();
    let modified = json!({"web": {"instances": 2}});
    let found = change(&nodes, (&nodes, &earlier), modified.clone(), &json!({})).unwrap();
    let added = found
        .added_and_related
        .iter()
        .find(|one| one["modification"] == "added")
        .unwrap();
    assert_eq!(added["relationships"][0]["target_id"], last);
    let web = earlier
        .iter_mut()
        .find(|instance| instance["node_id"] == "web")
        .unwrap();
    let mut second = web["relationships"][0].clone();
    second["target_id"] = json!("db_other");
    web["relationships"].as_array_mut().unwrap().push(second);
    let error = change(&nodes, (&nodes, &earlier), modified, &json!({})).unwrap_err();
    assert_eq!(error.exception(), Exception::IllegalAllToOneState);
}

#[test]
fn a_changed_blueprint_adds_and_drops_nodes_and_relationships() {
    let old = [
        node("a", 1, &[("all_to_all", "b")]),
        node("b", 1, &[]),
        node("c", 1, &[]),
    ];
    let new = [
        node("a", 1, &[("all_to_all", "c")]),
        node("c", 1, &[]),
        node("d", 1, &[]),
    ];
    let earlier = before(&old, &json!({}));
    let found = change(&new, (&old, &earlier), json!({}), &json!({})).unwrap();
    assert_eq!(brief(&found.added_and_related), [("d", "added", 0)]);
    assert_eq!(
        brief(&found.removed_and_related),
        [("a", "related", 1), ("b", "removed", 0)]
    );
    assert_eq!(
        brief(&found.extended_and_related),
        [("a", "extended", 1), ("c", "related", 0)]
    );
    assert_eq!(brief(&found.reduced_and_related), [("a", "reduced", 1)]);
}

proptest! {
    #[test]
    fn scaling_ends_with_as_many_as_asked_for(
        vms in 0_usize..5, apps in 0_usize..4, wanted_vms in 0_usize..5, wanted_apps in 0_usize..4,
    ) {
        let nodes = [host("vm", vms, &[]), node("app", apps, &[("contained_in", "vm")])];
        let earlier = before(&nodes, &json!({}));
        let modified = json!({"vm": {"instances": wanted_vms}, "app": {"instances": wanted_apps}});
        let found = change(&nodes, (&nodes, &earlier), modified, &json!({})).unwrap();
        let added = ids(&found.added_and_related, "added").len();
        let removed = ids(&found.removed_and_related, "removed").len();
        let total = wanted_vms * (1 + wanted_apps);
        prop_assert_eq!(earlier.len() + added - removed, total);
        // Nobody goes and comes back.
        prop_assert!(wanted_vms != vms || wanted_apps != apps || added + removed == 0);
    }
}
