//! The work of `upload_blueprint`: fetch, unpack, parse, store. Each step is durable before the
//! next one starts, and all of it may be done again.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::views::{blueprints::Blueprint, executions::Execution};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{BlueprintChanged, File, FilesStored, Labels},
};

use super::{archive, delete::deleted, resolver::ArchiveFiles, stream, tree, uploaded_tree};
use crate::{
    auth::{Caller, ExecutionRef},
    clock,
    commands::{
        executions::telemetry,
        labels::{self, Wanted},
        plugins::Library,
    },
    context::Context,
    dsl::{self, Category as DslCategory, DslError, Plan},
    error::{Error, ErrorCode},
    files::{
        Digest,
        archive::{Limits, Unpacked, unpack_to_blobs},
        path::ResourcePath,
    },
    store::Decision,
};

/// Files named in one event.
const FILES_PER_EVENT: usize = 10_000;
/// File that is parsed when none is named.
const MAIN_FILE: &str = "blueprint.yaml";

/// Parameters of the execution.
#[derive(Debug, Deserialize)]
struct Parameters {
    blueprint_id: String,
    #[serde(default)]
    app_file_name: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    validate_only: bool,
    #[serde(default)]
    labels: Option<Value>,
}

/// A step that cannot be taken: the state it leaves the blueprint in, and why.
struct Failure {
    state: &'static str,
    error: String,
    /// What the execution fails with.
    cause: String,
}

impl Failure {
    fn new(state: &'static str, cause: impl ToString) -> Self {
        let cause = cause.to_string();
        Self {
            state,
            error: cause.clone(),
            cause,
        }
    }
}

/// What stops an upload: a failure to report, or trouble of our own that may pass.
enum Stop {
    Failed(Failure),
    Trouble(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Trouble(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Upload<'a> {
    ctx: &'a Context,
    caller: &'a Caller,
    execution: &'a Execution,
    tenant: &'a str,
    parameters: Parameters,
}

/// Works an upload out on behalf of its execution.
///
/// # Errors
/// `InvalidBlueprint` with what the execution fails with; anything else may be tried again.
pub async fn process_upload(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<(), Error> {
    let parameters = execution
        .parameters
        .as_ref()
        .map_or("{}", |json| json.get());
    let upload = Upload {
        ctx,
        caller,
        execution,
        tenant: &execution.tenant_name,
        parameters: serde_json::from_str(parameters).map_err(Error::internal)?,
    };
    match upload.run().await {
        Ok(()) => Ok(()),
        Err(Stop::Trouble(error)) => Err(error),
        Err(Stop::Failed(failure)) => {
            upload.fail(&failure).await?;
            Err(Error::refused(ErrorCode::InvalidBlueprint, failure.cause))
        }
    }
}

impl Upload<'_> {
    fn id(&self) -> &str {
        &self.parameters.blueprint_id
    }

    async fn run(&self) -> Result<(), Stop> {
        if let Some(url) = &self.parameters.url {
            self.fetch(url).await?;
        }
        self.go_to("extracting", "Blueprint archive uploaded. Extracting...")
            .await?;
        let unpacked = self.unpack().await?;
        let root = unpacked
            .summary
            .single_directory()
            .map_err(|error| Failure::new("failed_extracting", error))?
            .to_owned();
        self.go_to("parsing", "Blueprint archive extracted. Parsing...")
            .await?;
        let files = files_below(&root, &unpacked);
        let (main_file, plan) = self.parse(&files).await?;
        Ok(self.finish(&main_file, plan, files).await?)
    }

    /// Changes the blueprint's state, with a line in the execution's log.
    async fn go_to(&self, state: &str, message: &str) -> Result<(), Error> {
        let change = BlueprintChanged {
            state: Some(self.shown(state).to_owned()),
            ..self.change()
        };
        self.append(change, telemetry::log(self.execution, "info", message))
            .await
    }

    /// A blueprint that is only validated shows no other state than that.
    fn shown<'s>(&self, state: &'s str) -> &'s str {
        if self.parameters.validate_only {
            "validating"
        } else {
            state
        }
    }

    fn change(&self) -> BlueprintChanged {
        BlueprintChanged {
            id: self.id().to_owned(),
            tenant: self.tenant.to_owned(),
            updated_at_ms: clock::now_ms(),
            ..BlueprintChanged::default()
        }
    }

    async fn append(
        &self,
        change: BlueprintChanged,
        line: stratalog_schema::events::TelemetryRecord,
    ) -> Result<(), Error> {
        let ctx = self.ctx;
        ctx.store
            .command(&self.caller.meta(), None, async |view| {
                let view = &*view;
                super::load(view, self.tenant, self.id()).await?;
                let mut decision = Decision::nothing();
                decision.event(
                    stream(self.tenant, self.id()),
                    Event::BlueprintChanged(change.clone()),
                );
                decision.telemetry.push(line.clone());
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }

    async fn fetch(&self, url: &str) -> Result<(), Stop> {
        const STATE: &str = "failed_uploading";
        let state = BlueprintChanged {
            state: Some(self.shown("uploading").to_owned()),
            ..self.change()
        };
        let line = telemetry::log(
            self.execution,
            "info",
            "Downloading the blueprint archive...",
        );
        self.append(state, line).await?;
        let staged = super::resolver::download(self.ctx, url)
            .await
            .map_err(|error| Failure::new(STATE, format!("{url} cannot be downloaded: {error}")))?;
        let archive = match archive::store(self.ctx, self.tenant, self.id(), staged).await {
            Ok(archive) => archive,
            Err(error @ Error::Refused { .. }) => return Err(Failure::new(STATE, error).into()),
            Err(error) => return Err(error.into()),
        };
        self.ctx
            .store
            .command(&self.caller.meta(), None, async |view| {
                let view = &*view;
                super::load(view, self.tenant, self.id()).await?;
                let mut decision = Decision::nothing();
                super::remove_tree(&mut decision, &uploaded_tree(self.tenant, self.id()));
                archive::stored(&mut decision, &archive);
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }

    async fn unpack(&self) -> Result<Unpacked, Stop> {
        const STATE: &str = "failed_extracting";
        let tree = uploaded_tree(self.tenant, self.id());
        let directory = ResourcePath::parse(&tree).map_err(Error::internal)?;
        let current = self.ctx.files.load();
        let found = current.manifest.below(&directory).next();
        let Some((_, entry)) = found else {
            return Err(Failure::new(STATE, "The blueprint has no archive").into());
        };
        let file = self
            .ctx
            .blobs
            .open(&entry.digest)
            .await
            .map_err(Error::internal)?;
        unpack_to_blobs(file, Limits::default(), &self.ctx.blobs)
            .await
            .map_err(|error| match error {
                crate::files::Error::Archive(_) | crate::files::Error::TooLarge { .. } => {
                    Failure::new(STATE, error).into()
                }
                other => Error::internal(other).into(),
            })
    }

    /// The main file's name, and the plan it makes.
    async fn parse(&self, files: &[(String, File)]) -> Result<(String, Plan), Stop> {
        let main_file = self.parameters.app_file_name.clone();
        let main_file = main_file
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| MAIN_FILE.to_owned());
        let execution = ExecutionRef {
            id: self.execution.id.clone(),
            tenant: self.tenant.to_owned(),
        };
        let creator = &self.execution.created_by;
        let creator = self.ctx.authenticator.creator_of(execution, creator)?;
        let library = Library::new(self.ctx, creator);
        let resolver = ArchiveFiles::new(self.ctx, library, self.tenant, files);
        let outcome = super::parse::parse(resolver, &main_file).await?;
        match outcome {
            Some(Ok(plan)) => Ok((main_file, plan)),
            Some(Err(error)) => Err(invalid(&error).into()),
            None => Err(Failure::new(
                "failed_parsing",
                format!("{main_file} does not exist in the application directory"),
            )
            .into()),
        }
    }

    async fn finish(
        &self,
        main_file: &str,
        plan: Plan,
        files: Vec<(String, File)>,
    ) -> Result<(), Error> {
        let ctx = self.ctx;
        let wanted = self.labels(&plan);
        let requirements = plan.section("requirements").map(dsl::Value::to_string);
        let text = |name: &str| {
            plan.section(name)
                .and_then(dsl::Value::as_str)
                .map(str::to_owned)
        };
        let description = text("description");
        let plan = Value::from(plan).to_string();
        ctx.store
            .command(&self.caller.meta(), None, async |view| {
                let view = &*view;
                let blueprint = super::load(view, self.tenant, self.id()).await?;
                let mut decision = Decision::nothing();
                decision.telemetry.push(telemetry::log(
                    self.execution,
                    "info",
                    "Blueprint parsed. Updating DB with blueprint plan.",
                ));
                if self.parameters.validate_only {
                    deleted(&mut decision, self.tenant, self.id());
                    return Ok((decision, ()));
                }
                let change = BlueprintChanged {
                    state: Some("uploaded".to_owned()),
                    plan_json: Some(plan.clone()),
                    requirements_json: requirements.clone(),
                    main_file_name: Some(main_file.to_owned()),
                    description: description.clone(),
                    labels: Some(self.attached(&blueprint, &wanted)),
                    ..self.change()
                };
                decision.event(
                    stream(self.tenant, self.id()),
                    Event::BlueprintChanged(change),
                );
                unpacked(&mut decision, &tree(self.tenant, self.id()), &files);
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }

    /// What was asked for with the upload, else what the blueprint says itself.
    fn labels(&self, plan: &Plan) -> Vec<Wanted> {
        let asked = self.parameters.labels.as_ref().map(labels::parse);
        match asked {
            Some(Ok(asked)) if !asked.is_empty() => asked,
            _ => labels::of_plan(plan.object("blueprint_labels")),
        }
    }

    fn attached(&self, blueprint: &Blueprint, wanted: &[Wanted]) -> Labels {
        let by = (clock::now_ms(), self.execution.created_by.as_str());
        Labels {
            labels: labels::replaced(&blueprint.labels, wanted, by),
        }
    }

    async fn fail(&self, failure: &Failure) -> Result<(), Error> {
        let line = telemetry::log(self.execution, "warning", failure.error.clone());
        if !self.parameters.validate_only {
            let change = BlueprintChanged {
                state: Some(failure.state.to_owned()),
                error: Some(failure.error.clone()),
                error_traceback: Some(failure.cause.clone()),
                ..self.change()
            };
            return self.append(change, line).await;
        }
        self.ctx
            .store
            .command(&self.caller.meta(), None, async |_| {
                let mut decision = Decision::nothing();
                decision.telemetry.push(line.clone());
                deleted(&mut decision, self.tenant, self.id());
                Ok((decision, ()))
            })
            .await?;
        Ok(())
    }
}

fn invalid(error: &DslError) -> Failure {
    let cause = error.to_string();
    let (state, what) = match error.category() {
        DslCategory::Dsl => ("invalid", "Invalid blueprint"),
        _ => ("failed_parsing", "Failed parsing blueprint"),
    };
    Failure {
        state,
        error: format!("{what} - {cause}"),
        cause,
    }
}

/// Paths within the application's directory, with what the resource directory is to say of each.
fn files_below(root: &str, unpacked: &Unpacked) -> Vec<(String, File)> {
    let now_ms = clock::now_ms();
    let prefix = format!("{root}/");
    unpacked
        .files
        .iter()
        .filter_map(|file| {
            let path = file.member.path.as_str().strip_prefix(&prefix)?;
            let entry = File {
                path: path.to_owned(),
                digest: file.stored.digest.as_bytes().to_vec(),
                size_bytes: i64::try_from(file.stored.size_bytes).unwrap_or(i64::MAX),
                mode: file.member.mode,
                modified_at_ms: file.member.mtime_us.map_or(now_ms, |us| us / 1000),
            };
            Some((path.to_owned(), entry))
        })
        .collect()
}

/// Adds unpacked files below a directory, in place of what was there.
pub(crate) fn unpacked(decision: &mut Decision, tree: &str, files: &[(String, File)]) {
    super::remove_tree(decision, tree);
    for chunk in files.chunks(FILES_PER_EVENT) {
        let files = chunk
            .iter()
            .map(|(path, file)| File {
                path: format!("{tree}/{path}"),
                ..file.clone()
            })
            .collect();
        decision.event(
            StreamId::global(Category::Files, tree),
            Event::FilesStored(FilesStored { files }),
        );
    }
}

/// The unpacked files of an archive that is stored already.
pub(super) async fn unpack_stored(
    ctx: &Context,
    tenant: &str,
    id: &str,
) -> Result<Vec<(String, File)>, Error> {
    let directory = ResourcePath::parse(&uploaded_tree(tenant, id)).map_err(Error::internal)?;
    let current = ctx.files.load();
    let Some((_, entry)) = current.manifest.below(&directory).next() else {
        return Ok(Vec::new());
    };
    let refuse = |error: &dyn std::fmt::Display| Error::bad_parameters(error.to_string());
    let file = ctx
        .blobs
        .open(&entry.digest)
        .await
        .map_err(Error::internal)?;
    let unpacked = unpack_to_blobs(file, Limits::default(), &ctx.blobs)
        .await
        .map_err(|error| refuse(&error))?;
    let root = unpacked.summary.single_directory();
    let root = root.map_err(|error| refuse(&error))?;
    Ok(files_below(root, &unpacked))
}

/// Content of a file of the archive.
pub(super) fn digest_of(file: &File) -> Option<Digest> {
    Digest::from_slice(&file.digest)
}

/// Text shared between a resolver and the parser.
pub(super) type Text = Arc<str>;
