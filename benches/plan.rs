//! Planning: node instances at growing counts, whose times show whether planning is linear, and a
//! blueprint of a thousand nodes full of functions.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use stratalog::dsl::planner::{
    Change, CountedIds, Getters, PrepareOptions, instances, modify, prepare,
};
use stratalog::dsl::{self, DslError, Plan};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Manager;

impl Getters for Manager {
    fn has_secret(&self, _: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(true))
    }
}

fn relationship(kind: &str, connection: &str, target: &str) -> Value {
    let kind = format!("cloudify.relationships.{kind}");
    json!({
        "type": kind,
        "target_id": target,
        "type_hierarchy": ["cloudify.relationships.depends_on", kind],
        "properties": {"connection_type": connection},
    })
}

fn node(name: &str, host: Option<&str>, count: usize, relationships: Vec<Value>) -> Value {
    let mut node = json!({
        "id": name,
        "name": name,
        "properties": {},
        "operations": {},
        "capabilities": {"scalable": {"properties": {"current_instances": count}}},
        "relationships": relationships,
    });
    if let Some(host) = host {
        node["host_id"] = json!(host);
    }
    node
}

fn plan(sections: Value) -> Plan {
    Plan::new(sections.as_object().unwrap().into())
}

/// Hosts with two services each, one of them in a scaling group, all talking to one hub.
fn fleet(instances: usize) -> Plan {
    let hosts = instances / 4;
    let contained = || relationship("contained_in", "all_to_all", "vm");
    plan(json!({
        "nodes": [
            node("hub", None, 1, Vec::new()),
            node("vm", Some("vm"), hosts, vec![relationship("connected_to", "all_to_one", "hub")]),
            node("app", Some("vm"), 2, vec![contained()]),
            node("log", Some("vm"), 1, vec![
                contained(),
                relationship("connected_to", "all_to_one", "hub"),
            ]),
        ],
        "scaling_groups": {},
    }))
}

/// Nodes that look properties up in each other and take inputs.
fn blueprint(nodes: usize) -> Plan {
    let nodes: Vec<Value> = (0..nodes)
        .map(|index| {
            let name = format!("n{index}");
            let before = format!("n{}", index.saturating_sub(1));
            let relationships = match index {
                0 => Vec::new(),
                _ => vec![relationship("connected_to", "all_to_all", &before)],
            };
            let mut node = node(&name, None, 1, relationships);
            node["properties"] = json!({
                "name": {"concat": [name, ".", {"get_input": "domain"}]},
                "peer": {"get_property": [before, "name"]},
            });
            let operation = json!({"plugin": "p", "inputs": {
                "name": {"get_property": ["SELF", "name"]},
                "token": {"get_secret": "token"},
            }});
            node["operations"] = json!({"create": operation, "ifc.create": operation});
            node
        })
        .collect();
    plan(json!({"inputs": {"domain": {"default": "example.org"}}, "nodes": nodes}))
}

fn planning(c: &mut Criterion) {
    let mut group = c.benchmark_group("instances");
    for count in [1_000, 10_000, 100_000] {
        let plan = fleet(count);
        group.throughput(Throughput::Elements(count as u64));
        group.sample_size(if count > 10_000 { 10 } else { 20 });
        group.bench_with_input(BenchmarkId::from_parameter(count), &plan, |b, plan| {
            b.iter(|| instances(black_box(plan), &mut CountedIds::default(), Vec::new()).unwrap());
        });
    }
    group.finish();

    let thousand = blueprint(1_000);
    c.bench_function("prepare/1000 nodes", |b| {
        b.iter(|| {
            let options = PrepareOptions::default();
            prepare(
                black_box(&thousand),
                &options,
                &Manager,
                &mut CountedIds::default(),
            )
            .unwrap()
        });
    });

    let fleet = fleet(10_000);
    let before = instances(&fleet, &mut CountedIds::default(), Vec::new()).unwrap();
    let modified = dsl::Map::from(json!({"vm": {"instances": 2_600}}).as_object().unwrap());
    c.bench_function("scale/10000 instances", |b| {
        b.iter(|| {
            let change = Change {
                nodes: fleet.nodes(),
                previous_nodes: fleet.nodes(),
                previous_node_instances: &before,
                modified_nodes: &modified,
                scaling_groups: &dsl::Map::new(),
            };
            modify(black_box(&change), &mut CountedIds::default()).unwrap()
        });
    });
}

criterion_group!(benches, planning);
criterion_main!(benches);
