//! `stratalog blueprint cases`: what the language makes of a folder of conformance cases, one JSON file per case.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use serde_json::{Map, Value, json};
use stratalog::dsl::imports::{Catalogue, Content};
use stratalog::dsl::{
    self, DslError, Fetched, ImportRequest, ParseOptions, Plan, ResolveError, Resolver, Source,
};

/// Runs every case of a folder on all processors.
pub(super) fn run(cases: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(out)?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(cases)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    folders.retain(|folder| folder.join("meta.json").is_file());
    folders.sort();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result =
                            case(folder).with_context(|| format!("in {}", folder.display()))?;
                        let name = folder.file_name().unwrap_or_default();
                        let file = out.join(name).with_extension("json");
                        std::fs::write(file, serde_json::to_vec(&result)?)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a case panicked"))??;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The outcome of one case, in the shape of its expectation.
fn case(folder: &Path) -> anyhow::Result<Value> {
    let meta: Value = read_json(&folder.join("meta.json"))?;
    let outcome = match meta.get("kind").and_then(Value::as_str) {
        Some("parse") => parse(folder, &meta)?.map(|plan| json!({ "ok": true, "plan": plan })),
        _ => return Ok(Value::Null),
    };
    Ok(outcome.unwrap_or_else(|error| {
        let first = error.first();
        json!({
            "ok": false,
            "error": {
                "class": first.exception.name(),
                "err_code": first.err_code,
                "message": error.to_string(),
            },
        })
    }))
}

fn read_json(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn parse(folder: &Path, meta: &Value) -> anyhow::Result<Result<Plan, DslError>> {
    let file = folder.join("blueprint.yaml");
    let options = meta
        .get("options")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let flag = |name: &str, default: bool| {
        options
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    };
    let text = match String::from_utf8(std::fs::read(&file)?) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    let location = flag("has_location", false).then(|| file.to_string_lossy().into());
    let source = Source {
        name: "blueprint.yaml".into(),
        text: text.into(),
        location,
    };
    let base = options
        .get("resources_base")
        .and_then(Value::as_str)
        .unwrap_or(".");
    let empty = Map::new();
    let resolver = CaseResolver {
        folder,
        base: folder.join(base),
        imports: meta
            .get("import_map")
            .and_then(Value::as_object)
            .unwrap_or(&empty),
    };
    let options = ParseOptions {
        validate_version: flag("validate_version", true),
        ..ParseOptions::default()
    };
    Ok(dsl::parse(&source, &resolver, &options))
}

/// Imports as a case lists them, and files of its folder.
#[derive(Debug)]
struct CaseResolver<'a> {
    folder: &'a Path,
    base: PathBuf,
    imports: &'a Map<String, Value>,
}

impl CaseResolver<'_> {
    fn listed(&self, spec: &str, entry: &Value) -> Result<Fetched, ResolveError> {
        let file = entry
            .get("file")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = match file.strip_prefix("@shared/") {
            Some(shared) => self.folder.join("../../shared").join(shared),
            None => self.folder.join(file),
        };
        let mut fetched = read(&path)?;
        let is_located = entry
            .get("location")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        if spec.starts_with("blueprint:") && !is_located {
            fetched.location = None;
        }
        let object = |value: Option<&Value>| {
            value
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        fetched.catalogue = entry.get("plugin").map(|plugin| Catalogue {
            labels: object(plugin.get("labels")),
            blueprint_labels: object(plugin.get("blueprint_labels")),
            resource_tags: object(plugin.get("resource_tags")),
        });
        Ok(fetched)
    }
}

fn read(path: &Path) -> Result<Fetched, ResolveError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ResolveError::NotFound(format!("{}: {error}", path.display())))?;
    let name: Arc<str> = path.to_string_lossy().into();
    Ok(Fetched {
        name: Arc::clone(&name),
        content: Content::Text(text.into()),
        location: Some(name),
        catalogue: None,
    })
}

impl Resolver for CaseResolver<'_> {
    fn fetch(&self, request: &ImportRequest<'_>) -> Result<Fetched, ResolveError> {
        if let Some(entry) = self.imports.get(request.spec) {
            return self.listed(request.spec, entry);
        }
        let spec = request.spec;
        let beside = request
            .importer
            .and_then(|importer| Path::new(importer).parent())
            .map(|folder| folder.join(spec));
        let versioned = spec
            .rsplit_once('.')
            .map(|(stem, extension)| format!("{stem}_{}.{extension}", request.version));
        let under_base = versioned.iter().map(String::as_str).chain([spec]);
        let candidates = beside
            .into_iter()
            .chain(under_base.map(|name| self.base.join(name)));
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .map_or_else(
                || Err(ResolveError::NotFound("no such file".to_owned())),
                |path| read(&path),
            )
    }

    fn has_file(&self, location: Option<&str>, path: &str) -> bool {
        let folder = location.and_then(|location| Path::new(location).parent());
        folder.is_some_and(|folder| folder.join(path).is_file())
    }
}
