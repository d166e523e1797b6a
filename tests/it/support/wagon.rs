//! Wagons as `wagon create` makes them, of one wheel with one module.
use std::io::{Cursor, Write};

use serde_json::json;
use zip::{ZipWriter, write::SimpleFileOptions};

/// A zip of these files.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A plugin of one package.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wagon<'a> {
    pub(crate) package: &'a str,
    pub(crate) version: &'a str,
    /// Source of the package's module `tasks`.
    pub(crate) tasks: &'a str,
}

impl Wagon<'_> {
    /// Name of the wagon's file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-py3-none-any.wgn", self.module(), self.version)
    }

    fn module(&self) -> String {
        self.package.replace('-', "_")
    }

    fn wheel(&self) -> Vec<u8> {
        let Self {
            package, version, ..
        } = self;
        let module = self.module();
        let info = format!("{module}-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n");
        let wheel =
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let names = [
            format!("{module}/__init__.py"),
            format!("{module}/tasks.py"),
            format!("{info}/METADATA"),
            format!("{info}/WHEEL"),
            format!("{info}/RECORD"),
        ];
        let record: String = names.iter().map(|name| format!("{name},,\n")).collect();
        let contents = ["", self.tasks, &metadata, wheel, &record];
        let files: Vec<(&str, &[u8])> = names
            .iter()
            .map(String::as_str)
            .zip(contents.iter().map(|content| content.as_bytes()))
            .collect();
        zip(&files)
    }

    /// The wagon.
    pub(crate) fn build(&self) -> Vec<u8> {
        let wheel = format!("{}-{}-py3-none-any.whl", self.module(), self.version);
        let package = json!({
            "archive_name": self.file_name(),
            "build_server_os_properties": {
                "distribution": null, "distribution_release": null, "distribution_version": null,
            },
            "package_name": self.package,
            "package_source": ".",
            "package_version": self.version,
            "supported_platform": "any",
            "supported_python_versions": ["py3"],
            "wheels": [wheel],
        });
        zip(&[
            (
                &format!("{}/package.json", self.package),
                package.to_string().as_bytes(),
            ),
            (&format!("{}/wheels/{wheel}", self.package), &self.wheel()),
        ])
    }

    /// The wagon with its YAML file beside it, as the command line sends it.
    pub(crate) fn with_yaml(&self, yaml: &str) -> Vec<u8> {
        zip(&[
            ("plugin.yaml", yaml.as_bytes()),
            (&self.file_name(), &self.build()),
        ])
    }
}
