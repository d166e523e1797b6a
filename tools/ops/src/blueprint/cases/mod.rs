//! `stratalog blueprint cases`: what the language makes of a folder of conformance cases, one JSON
//! file per case.

mod answers;
mod resolver;
mod storage;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use serde_json::json;
use stratalog::dsl::functions;
use stratalog::dsl::planner::{self, Change, CountedIds, PrepareOptions};
use stratalog::dsl::{self, DslError, Map, ParseOptions, Plan, Source, Value};

use answers::Answers;
use resolver::CaseResolver;
use storage::Recorded;

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
fn case(folder: &Path) -> anyhow::Result<serde_json::Value> {
    let case = Case {
        folder,
        meta: read_json(&folder.join("meta.json"))?,
    };
    let outcome = match (case.word("kind"), case.word("op")) {
        ("parse", _) => case.parse()?.map(|plan| ("plan", Value::from(plan))),
        ("prepare", _) => case.prepare()?.map(|plan| ("plan", Value::from(plan))),
        ("multi_instance", "modify") => case.modify()?.map(|change| ("modification", change)),
        ("multi_instance", _) => case.create()?.map(|plan| ("plan", Value::from(plan))),
        ("evaluate", _) => case.evaluate()?.map(|result| ("result", result)),
        (kind, _) => anyhow::bail!("there is no kind of cases '{kind}'"),
    };
    Ok(match outcome {
        Ok((key, value)) => json!({ "ok": true, key: value }),
        Err(error) => json!({
            "ok": false,
            "error": {
                "class": error.exception().name(),
                "err_code": error.err_code(),
                "message": error.to_string(),
            },
        }),
    })
}

fn read_json(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// One case: a folder and what is said about it.
struct Case<'a> {
    folder: &'a Path,
    meta: Value,
}

type Outcome<T> = anyhow::Result<Result<T, DslError>>;

impl Case<'_> {
    fn word(&self, key: &str) -> &str {
        self.meta
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn option(&self, name: &str) -> Option<&Value> {
        self.meta.get("options")?.get(name)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.option(name)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    }

    fn parse(&self) -> Outcome<Plan> {
        let file = self.folder.join("blueprint.yaml");
        let bytes = std::fs::read(&file)?;
        let text = String::from_utf8_lossy(&bytes);
        let location = self
            .flag("has_location", false)
            .then(|| file.to_string_lossy().into());
        let source = Source {
            name: "blueprint.yaml".into(),
            text: text.into(),
            location,
        };
        let base = self
            .option("resources_base")
            .and_then(Value::as_str)
            .unwrap_or(".");
        let empty = Map::new();
        let resolver = CaseResolver {
            folder: self.folder,
            base: self.folder.join(base),
            imports: self
                .meta
                .get("import_map")
                .and_then(Value::as_object)
                .unwrap_or(&empty),
        };
        let options = ParseOptions {
            validate_version: self.flag("validate_version", true),
            ..ParseOptions::default()
        };
        Ok(dsl::parse(&source, &resolver, &options))
    }

    fn prepare(&self) -> Outcome<Plan> {
        let inputs = match read_json(&self.folder.join("inputs.json"))? {
            Value::Object(inputs) => inputs,
            _ => Map::new(),
        };
        let options = PrepareOptions {
            inputs,
            runtime_only_evaluation: self.flag("runtime_only_evaluation", false),
            auto_correct_types: self.flag("auto_correct_types", false),
            ..PrepareOptions::default()
        };
        let answers = Answers::new(self.option("secrets"), self.option("values"));
        Ok(self.parse()?.and_then(|plan| {
            planner::prepare(&plan, &options, &answers, &mut CountedIds::default())
        }))
    }

    fn create(&self) -> Outcome<Plan> {
        Ok(self.parse()?.and_then(|mut plan| {
            let instances = planner::instances(&plan, &mut CountedIds::default(), [])?;
            plan.set("node_instances", instances.into());
            Ok(plan)
        }))
    }

    fn modify(&self) -> Outcome<Value> {
        let change = read_json(&self.folder.join("modify.json"))?;
        let empty = Map::new();
        let list = |key: &str| {
            change
                .get(key)
                .and_then(Value::as_array)
                .map_or(&[][..], |list| list)
        };
        let object = |key: &str| change.get(key).and_then(Value::as_object).unwrap_or(&empty);
        let change = Change {
            nodes: list("nodes"),
            previous_nodes: list("previous_nodes"),
            previous_node_instances: list("previous_node_instances"),
            modified_nodes: object("modified_nodes"),
            scaling_groups: object("scaling_groups"),
        };
        let modification = planner::modify(&change, &mut CountedIds::default());
        Ok(modification.map(|modification| json!(modification).into()))
    }

    fn evaluate(&self) -> Outcome<Value> {
        let call = read_json(&self.folder.join("evaluate.json"))?;
        let storage = Recorded::new(call.get("storage").cloned().unwrap_or_default());
        let argument = |key: &str| {
            call.get("args")
                .and_then(|args| args.get(key))
                .cloned()
                .unwrap_or_default()
        };
        let object = |key: &str| argument(key).as_object().cloned().unwrap_or_default();
        let result = match call.get("fn").and_then(Value::as_str).unwrap_or_default() {
            "evaluate_functions" => {
                let context = functions::Context::from_json(&argument("context"));
                functions::evaluate_runtime(&storage, &argument("payload"), &context)
            }
            "evaluate_outputs" => {
                functions::evaluate_outputs(&storage, &object("outputs_def")).map(Value::Object)
            }
            "evaluate_capabilities" => {
                functions::evaluate_capabilities(&storage, &object("capabilities"))
                    .map(Value::Object)
            }
            "evaluate_node_functions" => {
                functions::evaluate_node(&storage, &argument("node"), None)
            }
            "evaluate_node_instance_functions" => {
                functions::evaluate_node_instance(&storage, &argument("node_instance"))
            }
            name => anyhow::bail!("there is no function '{name}'"),
        };
        Ok(result)
    }
}
