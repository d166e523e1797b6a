//! From text to plan: blueprints of growing numbers of node templates, with types, interfaces,
//! functions and relationships. Where `STRATALOG_TEST_PYTHON` names a Python with PyPI's
//! `cloudify-common`, its parser's times on the same files stand beside ours.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    fmt::Write as _,
    hint::black_box,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use stratalog::dsl::{
    self, DslError, Fetched, ImportRequest, ParseOptions, Plan, ResolveError, Resolver, Source,
    imports::Content,
    planner::{CountedIds, Getters, PrepareOptions, prepare},
    types::BuiltIn,
};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 3] = [10, 100, 1_000];
const NAME: &str = "blueprint.yaml";

/// Nothing but the built-in types.
#[derive(Debug)]
struct OnlyTypes;

impl Resolver for OnlyTypes {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        Ok(Fetched {
            name: request.spec.into(),
            content: Content::BuiltIn(BuiltIn::for_version(request.version)),
            location: None,
            catalogue: None,
        })
    }

    fn has_file(&self, _location: Option<&str>, _path: &str) -> bool {
        false
    }
}

struct Manager;

impl Getters for Manager {
    fn has_secret(&self, _name: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(true))
    }
}

/// A tenth of the nodes are hosts, the others run on one and talk to the node before them.
fn blueprint(nodes: usize) -> String {
    let mut text = "\
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml]
inputs:
  domain: {type: string, default: example.org}
  size: {type: integer, default: 4}
plugins:
  app: {executor: central_deployment_agent, package_name: app-plugin, package_version: '1.0'}
node_types:
  app.Service:
    derived_from: cloudify.nodes.Root
    properties:
      name: {type: string, default: ''}
      port: {type: integer, default: 80}
      options: {default: {}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: app.tasks.create, inputs: {name: {default: {get_property: [SELF, name]}}}}
        start: app.tasks.start
        stop: app.tasks.stop
node_templates:
"
    .to_owned();
    for nth in 0..nodes {
        let host = nth - nth % 10;
        if nth == host {
            writeln!(text, "  n{nth}:\n    type: cloudify.nodes.Compute").unwrap();
            continue;
        }
        let before = nth - 1;
        writeln!(
            text,
            "  n{nth}:\n    type: app.Service\n    properties:\n      \
             name: {{concat: [n{nth}, '.', {{get_input: domain}}]}}\n      port: {nth}\n      \
             options: {{size: {{get_input: size}}, tags: [a, b]}}\n    relationships:\n      \
             - {{type: cloudify.relationships.contained_in, target: n{host}}}\n      \
             - {{type: cloudify.relationships.connected_to, target: n{before}}}"
        )
        .unwrap();
    }
    text.push_str("outputs:\n  name: {value: {get_property: [n1, name]}}\n");
    text
}

fn plan(source: &Source) -> Plan {
    let plan = dsl::parse(source, &OnlyTypes, &ParseOptions::default()).unwrap();
    let options = PrepareOptions::default();
    prepare(&plan, &options, &Manager, &mut CountedIds::default()).unwrap()
}

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse and plan");
    for nodes in SIZES {
        let text: Arc<str> = blueprint(nodes).into();
        let source = Source {
            name: NAME.into(),
            text: text.clone(),
            location: None,
        };
        let planned = plan(&source);
        assert_eq!(planned.nodes().len(), nodes);
        group.throughput(Throughput::Elements(nodes as u64));
        group.sample_size(20);
        group.bench_with_input(BenchmarkId::from_parameter(nodes), &source, |b, source| {
            // freeing it included: plans kept until later would each touch new memory instead
            b.iter(|| plan(black_box(source)));
        });
        group.bench_with_input(
            BenchmarkId::new("as JSON", nodes),
            &planned,
            |b, planned| {
                b.iter(|| serde_json::to_vec(black_box(planned)).unwrap());
            },
        );
        if std::env::args().any(|argument| argument == "--bench") {
            oracle(nodes, &text);
        }
    }
    group.finish();
}

/// Prints how long the reference's parser takes.
fn oracle(nodes: usize, text: &str) {
    let Some(python) = std::env::var_os("STRATALOG_TEST_PYTHON") else {
        println!("no Python with cloudify-common: the reference's time is not measured");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dsl/oracle.py");
    let mut oracle = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({
        "files": {NAME: text}, "main": NAME, "inputs": {}, "types": BuiltIn::V1_4.text(),
    });
    let mut requests = oracle.stdin.take().unwrap();
    writeln!(requests, "{request}").unwrap();
    drop(requests);
    let output = oracle.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seconds = answer["seconds"].as_f64().unwrap();
    println!(
        "parse and plan/{nodes} by cloudify-common: {:.1} ms",
        seconds * 1_000.0
    );
}

criterion_group!(benches, parsing);
criterion_main!(benches);
