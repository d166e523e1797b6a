//! Imports over a folder: what is found, what is refused, how namespaces and merging work out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use crate::dsl::value::json;

use super::pep440::fits;
use super::{Catalogue, Directory, UploadedBlueprint, UploadedPlugin};
use crate::dsl::{ParseOptions, Plan, parse};

/// Parses `blueprint.yaml` of a folder made of the given files.
fn plan(files: &[(&str, &str)], set_up: impl FnOnce(&mut Directory)) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut directory = Directory::new(folder.path());
    set_up(&mut directory);
    let source = directory.source("blueprint.yaml").unwrap();
    parse(&source, &directory, &ParseOptions::default()).map_err(|error| error.to_string())
}

fn main(rest: &str) -> String {
    format!("tosca_definitions_version: cloudify_dsl_1_5\n{rest}")
}

#[test]
fn files_are_found_beside_the_importing_file_and_never_outside() {
    let text = main("imports: [sub/a.yaml]\n");
    let files = [
        ("blueprint.yaml", text.as_str()),
        ("sub/a.yaml", "imports: [b.yaml, ../c.yaml]\n"),
        ("sub/b.yaml", "node_types: {b: {}}\n"),
        ("c.yaml", "inputs: {c: {}}\n"),
    ];
    let found = plan(&files, |_| {}).unwrap();
    assert_eq!(found.section("inputs"), Some(&json!({ "c": {} })));
    let text = main("imports: [../../../../etc/hostname]\n");
    let error = plan(&[("blueprint.yaml", &text)], |_| {}).unwrap_err();
    assert!(error.contains("the archive has no such file"), "{error}");
}

#[test]
fn a_plugin_import_takes_the_newest_version_that_fits() {
    let plugin = |version: &str, text: &str| UploadedPlugin {
        name: "p".to_owned(),
        version: version.to_owned(),
        distribution: None,
        files: vec![("plugin.yaml".to_owned(), Arc::from(text))],
        catalogue: Catalogue::default(),
    };
    let of = |version: &str| {
        let text = format!(
            "plugins: {{p: {{executor: host_agent, package_name: p, package_version: '{version}'}}}}"
        );
        plugin(version, &text)
    };
    let chosen = |spec: &str| {
        let text = main(&format!(
            "imports: ['plugin:p{spec}']\nworkflows: {{w: p.run}}\n"
        ));
        plan(&[("blueprint.yaml", &text)], |directory| {
            directory.plugins = vec![of("1.9"), of("1.10"), of("2.0")];
        })
        .map(|plan| {
            plan.section("workflow_plugins_to_install").unwrap()[0]["package_version"].clone()
        })
    };
    assert_eq!(chosen("").unwrap(), "2.0");
    assert_eq!(chosen("?version= >=1.0,<2").unwrap(), "1.10");
    assert_eq!(chosen("?version=1.9").unwrap(), "1.9");
    assert!(
        chosen("?version=3")
            .unwrap_err()
            .contains("only 1.9, 1.10, 2.0")
    );
    assert!(
        chosen("?colour=red")
            .unwrap_err()
            .contains("'colour=red' is no condition")
    );
}

#[test]
fn an_imported_blueprint_lives_under_its_namespace() {
    let other = tempfile::tempdir().unwrap();
    let text = main("inputs: {size: {default: 1}}\noutputs: {o: {value: {get_input: size}}}\n");
    std::fs::write(other.path().join("main.yaml"), text).unwrap();
    let text = main("imports: ['inner--blueprint:other']\n");
    let plan = plan(&[("blueprint.yaml", &text)], |directory| {
        let main_file = "main.yaml".to_owned();
        let blueprint = UploadedBlueprint {
            folder: other.path().to_owned(),
            main_file,
        };
        directory.blueprints.insert("other".to_owned(), blueprint);
    })
    .unwrap();
    assert_eq!(
        plan.section("namespaces_mapping"),
        Some(&json!({ "inner": "other" }))
    );
    assert_eq!(plan.section("imported_blueprints"), Some(&json!(["other"])));
    assert_eq!(
        plan.section("outputs"),
        Some(&json!({ "inner--o": { "value": { "get_input": "inner--size" } } }))
    );
}

#[test]
fn the_built_in_types_serve_every_version_they_are_for() {
    for version in ["1_3", "1_4", "1_5"] {
        let text = format!(
            "tosca_definitions_version: cloudify_dsl_{version}\nimports: [cloudify/types/types.yaml]\n\
             node_templates: {{vm: {{type: cloudify.nodes.Compute}}}}\n"
        );
        let plan = plan(&[("blueprint.yaml", &text)], |_| {}).unwrap();
        let workflows = plan.object("workflows").unwrap();
        assert!(
            workflows.contains_key("install") && workflows.contains_key("scale"),
            "{version}"
        );
        assert_eq!(plan.node("vm").unwrap()["host_id"], "vm");
    }
    let text =
        "tosca_definitions_version: cloudify_dsl_1_2\nimports: [cloudify/types/types.yaml]\n";
    let error = plan(&[("blueprint.yaml", text)], |_| {}).unwrap_err();
    assert!(error.contains("newer than cloudify_dsl_1_2"), "{error}");
}

#[test]
fn version_specifiers_follow_python_packages() {
    for (version, specifier, expected) in [
        ("1.2.3", ">=1.2,<2", true),
        ("1.10", ">1.9", true),
        ("1.0", "==1.0.0", true),
        ("1.0", "1.0.0", false),
        ("1.2.3", "==1.2.*", true),
        ("1.3", "!=1.2.*", true),
        ("1.4.5", "~=1.4.2", true),
        ("1.5", "~=1.4.2", false),
        ("1.5", "~=1.4", true),
        ("2.0rc1", "<2.0", false),
        ("2.0rc1", ">=2.0.dev1", true),
        ("2.0.post1", ">2.0", false),
        ("1.0.dev1", "<1.0a1", true),
        ("1!0.1", ">9", true),
    ] {
        assert_eq!(
            fits(version, specifier),
            Ok(expected),
            "{version} {specifier}"
        );
    }
    assert!(fits("1.0", ">=x").is_err());
    assert!(fits("1.0", "~=1").is_err());
}
