//! Taking a blueprint in: its row, its archive and the execution that works it out, in one append.
use serde_json::{Value, json};
use stratalog_projections::views::blueprints::Blueprint;
use stratalog_schema::{
    Category, Event, StreamId,
    events::{BlueprintCreated, ExecutionCreated, Scope},
};

use super::{MODEL, STATES, archive, delete::deleted, is_failed, namesakes, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        ids,
        labels::{self, Wanted},
        own_execution, visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    files::blobs::Staged,
    store::{Decision, View},
};

/// A blueprint to take in.
#[derive(Debug, Default)]
pub struct UploadBlueprint {
    /// Its id.
    pub id: String,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Older form of the former.
    pub private_resource: Option<bool>,
    /// The main file within the archive.
    pub application_file_name: Option<String>,
    /// Where the archive is to be fetched from.
    pub url: Option<String>,
    /// The archive.
    pub archive: Option<Staged>,
    /// Its labels.
    pub labels: Vec<Wanted>,
    /// Only stores it: another upload workflow runs elsewhere, or it is restored.
    pub skip_execution: bool,
    /// Only finds out whether it is valid; leaves nothing behind.
    pub validate_only: bool,
    /// State of a restored one.
    pub state: Option<String>,
    /// Creation of a restored one.
    pub created_at_ms: Option<i64>,
    /// Creator of a restored one.
    pub created_by: Option<String>,
}

/// What became of an upload request.
#[derive(Debug)]
pub struct Accepted {
    /// The execution that works it out, if any.
    pub execution: Option<String>,
    /// Position of the log after it.
    pub position: i64,
}

/// Takes a blueprint in. A failed one of the same id is replaced.
///
/// # Errors
/// 400 for bad arguments or an archive of no known format, 403, 409 when the id is taken.
pub async fn upload(
    ctx: &Context,
    caller: &Caller,
    mut upload: UploadBlueprint,
) -> Result<Accepted, Error> {
    caller.require(Permission::BlueprintUpload)?;
    let tenant = caller.tenant()?.to_owned();
    ids::check("blueprint_id", &upload.id)?;
    let visibility = visibility::of_new(
        caller,
        upload.visibility.as_deref(),
        upload.private_resource,
    )?;
    check(caller, &upload)?;
    let stored = match upload.archive.take() {
        Some(staged) => Some(archive::store(ctx, &tenant, &upload.id, staged).await?),
        None => None,
    };
    let taking_in = TakingIn {
        scope: Scope {
            tenant,
            visibility,
            created_by: creator(caller, &upload),
        },
        execution: (!upload.skip_execution).then(own_execution::new_id),
        stored,
        upload,
        now_ms: clock::now_ms(),
    };
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            Ok((taking_in.decide(view).await?, ()))
        })
        .await?;
    Ok(Accepted {
        execution: taking_in.execution,
        position: appended.last_position,
    })
}

/// An upload all of whose parts are known.
struct TakingIn {
    upload: UploadBlueprint,
    scope: Scope,
    stored: Option<archive::StoredArchive>,
    execution: Option<String>,
    now_ms: i64,
}

impl TakingIn {
    async fn decide(&self, view: &View) -> Result<Decision, Error> {
        let Self { upload, scope, .. } = self;
        let of = (scope.tenant.as_str(), upload.id.as_str());
        let mut decision = Decision::nothing();
        let stream = stream(of.0, of.1);
        decision.rests_on(view, stream.clone()).await?;
        for row in namesakes(view, MODEL.0, of, &scope.visibility).await? {
            let other: Blueprint = row.resource()?;
            if other.tenant_name != scope.tenant || !is_failed(&other.state) {
                return Err(taken(&upload.id, &scope.tenant));
            }
            deleted(&mut decision, of.0, of.1);
        }
        let created = created(upload, scope.clone(), self.execution.clone(), self.now_ms);
        decision.event(stream, Event::BlueprintCreated(created));
        if let Some(stored) = &self.stored {
            archive::stored(&mut decision, stored);
        }
        if let Some(execution) = &self.execution {
            let started = start(upload, execution, scope.clone(), self.now_ms);
            decision.event(
                StreamId::scoped(Category::Execution, &scope.tenant, execution),
                Event::ExecutionCreated(started),
            );
        }
        Ok(decision)
    }
}

fn check(caller: &Caller, upload: &UploadBlueprint) -> Result<(), Error> {
    if upload.url.is_some() && upload.archive.is_some() {
        return Err(Error::bad_parameters(
            "Can pass blueprint as only one of: URL via query parameters, multi-form or chunked.",
        ));
    }
    if upload.url.is_none() && upload.archive.is_none() && !upload.skip_execution {
        return Err(Error::bad_parameters(
            "Missing blueprint archive: pass it as URL, multi-form or chunked.",
        ));
    }
    if let Some(state) = &upload.state
        && !STATES.contains(&state.as_str())
    {
        return Err(unknown_state(state));
    }
    if upload.created_at_ms.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if upload.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    Ok(())
}

pub(super) fn unknown_state(state: &str) -> Error {
    Error::bad_parameters(format!(
        "Invalid state: `{state}`. Valid blueprint state values are: {}",
        STATES.join(", ")
    ))
}

fn taken(id: &str, tenant: &str) -> Error {
    Error::refused(
        ErrorCode::Conflict,
        format!(
            "blueprint with id={id} already exists on tenant {tenant} or with global visibility"
        ),
    )
}

fn creator(caller: &Caller, upload: &UploadBlueprint) -> String {
    let given = upload.created_by.clone();
    given.unwrap_or_else(|| caller.username.clone())
}

fn created(
    upload: &UploadBlueprint,
    scope: Scope,
    execution: Option<String>,
    now_ms: i64,
) -> BlueprintCreated {
    let state = match &upload.state {
        Some(state) => state.as_str(),
        None if upload.validate_only => "validating",
        None if upload.url.is_some() => "pending",
        None => "uploading",
    };
    // labels asked for come with the result of the upload, unless there is no workflow that would
    // set them
    let labels = match &execution {
        Some(_) => Vec::new(),
        None => labels::replaced(&[], &upload.labels, (now_ms, &scope.created_by)),
    };
    BlueprintCreated {
        id: upload.id.clone(),
        scope: Some(scope),
        state: state.to_owned(),
        main_file_name: Some(main_file(upload)),
        created_at_ms: upload.created_at_ms.unwrap_or(now_ms),
        upload_execution: execution,
        labels,
        is_hidden: false,
    }
}

fn main_file(upload: &UploadBlueprint) -> String {
    let given = upload.application_file_name.clone();
    given.unwrap_or_else(|| "blueprint.yaml".to_owned())
}

fn start(upload: &UploadBlueprint, id: &str, scope: Scope, now_ms: i64) -> ExecutionCreated {
    let labels: Vec<Value> = upload
        .labels
        .iter()
        .map(|label| json!({ (label.key.clone()): label.value }))
        .collect();
    let parameters = json!({
        "blueprint_id": upload.id,
        "app_file_name": main_file(upload),
        "url": upload.url,
        "file_server_root": "/opt/manager/resources",
        "marketplace_api_url": "https://marketplace.cloudify.co",
        "validate_only": upload.validate_only,
        "labels": labels,
    });
    ExecutionCreated {
        id: id.to_owned(),
        scope: Some(scope),
        workflow_id: super::UPLOAD_WORKFLOW.to_owned(),
        status: "pending".to_owned(),
        parameters_json: parameters.to_string(),
        allow_custom_parameters: true,
        created_at_ms: now_ms,
        ..ExecutionCreated::default()
    }
}
