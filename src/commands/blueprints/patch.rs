//! Changes of a blueprint by hand, and by upload workflows that run elsewhere.
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use stratalog_projections::{StoredRow, views::blueprints::Blueprint};
use stratalog_schema::{
    Event,
    events::{BlueprintChanged, File, Labels},
};

use super::{
    MODEL, STATES, delete::deleted, is_failed, process, remove_tree, stream, tree,
    upload::unknown_state, uploaded_tree,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        labels::{self, Wanted},
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// What is to change. What is absent stays; nothing else is known.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PatchBlueprint {
    /// The prepared plan.
    pub plan: Option<Map<String, Value>>,
    /// What deployments of it need.
    pub requirements: Option<Map<String, Value>>,
    /// Its description.
    pub description: Option<String>,
    /// Path of the main file.
    pub main_file_name: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Where the upload stands.
    pub state: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Details of the failure.
    pub error_traceback: Option<String>,
    /// The whole new set of labels.
    #[serde(deserialize_with = "some")]
    pub labels: Option<Value>,
    /// Another creator.
    pub creator: Option<String>,
    /// Another creation time.
    pub created_at: Option<String>,
    /// The execution that uploads it.
    pub upload_execution: Option<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.filter(|value| !value.is_null()))
}

impl PatchBlueprint {
    fn is_empty(&self) -> bool {
        let Self {
            plan,
            requirements,
            description,
            main_file_name,
            visibility,
            state,
            error,
            error_traceback,
            labels,
            creator,
            created_at,
            upload_execution,
            unknown: _,
        } = self;
        let texts = [
            description,
            main_file_name,
            visibility,
            state,
            error,
            error_traceback,
            creator,
            created_at,
            upload_execution,
        ];
        plan.is_none()
            && requirements.is_none()
            && labels.is_none()
            && texts.iter().all(|text| text.is_none())
    }

    fn check(&self, caller: &Caller) -> Result<(), Error> {
        if !self.unknown.is_empty() {
            let names: Vec<&str> = self.unknown.keys().map(String::as_str).collect();
            return Err(Error::bad_parameters(format!(
                "Unknown parameters: {}",
                names.join(", ")
            )));
        }
        if self.is_empty() {
            return Err(Error::refused(
                ErrorCode::IllegalAction,
                "Update a blueprint request must include at least one parameter to update",
            ));
        }
        if let Some(state) = &self.state
            && !STATES.contains(&state.as_str())
        {
            return Err(unknown_state(state));
        }
        if self.creator.is_some() {
            caller.require(Permission::SetOwner)?;
        }
        if self.created_at.is_some() {
            caller.require(Permission::SetTimestamp)?;
        }
        Ok(())
    }
}

/// Changes a blueprint. One that was only being validated is gone afterwards; the answer is what it
/// was.
///
/// # Errors
/// 400, 403, 404; 409 for labels of one that is not uploaded.
pub async fn patch(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    patch: PatchBlueprint,
) -> Result<Option<StoredRow>, Error> {
    caller.require(Permission::BlueprintUpload)?;
    patch.check(caller)?;
    let tenant = caller.tenant()?;
    let files = match patch.state.as_deref() {
        Some("uploaded") => Some(match process::unpack_stored(ctx, tenant, id).await {
            Ok(files) => Ok(files),
            Err(refusal @ Error::Refused { .. }) => Err(refusal.to_string()),
            Err(error) => return Err(error),
        }),
        _ => None,
    };
    let changing = Changing {
        wanted: patch.labels.as_ref().map(labels::parse).transpose()?,
        patch,
        files,
    };
    let (_, gone) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            changing.decide(view, caller, id).await
        })
        .await?;
    Ok(gone)
}

type Files = Vec<(String, File)>;

/// A change all of whose parts are known.
struct Changing {
    patch: PatchBlueprint,
    wanted: Option<Vec<Wanted>>,
    /// The unpacked archive, where it counts as uploaded now; or why it cannot be unpacked.
    files: Option<Result<Files, String>>,
}

impl Changing {
    async fn decide(
        &self,
        view: &View,
        caller: &Caller,
        id: &str,
    ) -> Result<(Decision, Option<StoredRow>), Error> {
        let row = visibility::own(caller, view, MODEL, id).await?;
        let blueprint: Blueprint = row.resource()?;
        let mut decision = Decision::nothing();
        let of = stream(&blueprint.tenant_name, id);
        decision.rests_on(view, of.clone()).await?;
        if blueprint.state == "validating" {
            deleted(&mut decision, &blueprint.tenant_name, id);
            return Ok((decision, Some(row)));
        }
        check_imports(view, caller, &self.patch).await?;
        let mut change = changed(&blueprint, &self.patch, &self.wanted, caller)?;
        apply_files(&mut decision, &blueprint, &mut change, self.files.as_ref());
        decision.event(of, Event::BlueprintChanged(change));
        Ok((decision, None))
    }
}

fn changed(
    blueprint: &Blueprint,
    patch: &PatchBlueprint,
    wanted: &Option<Vec<Wanted>>,
    caller: &Caller,
) -> Result<BlueprintChanged, Error> {
    let now_ms = clock::now_ms();
    let by = (now_ms, caller.username.as_str());
    let state = patch.state.as_deref().unwrap_or(&blueprint.state);
    let plan_labels = || {
        let plan = patch.plan.as_ref()?;
        let section = plan.get("blueprint_labels")?.as_object();
        Some(labels::of_plan(section.map(Into::into).as_ref()))
    };
    let wanted = match wanted {
        Some(_) if state != "uploaded" => {
            return Err(Error::refused(
                ErrorCode::Conflict,
                "Blueprint labels can be created only if the provided blueprint state is \
                 'uploaded'",
            ));
        }
        Some(wanted) => Some(wanted.clone()),
        None if patch.state.as_deref() == Some("uploaded") => plan_labels(),
        None => None,
    };
    let is_state_set = patch.state.is_some();
    let text = |map: &Option<Map<String, Value>>| map.clone().map(|m| Value::Object(m).to_string());
    let created_at = patch.created_at.clone().map(Value::String);
    Ok(BlueprintChanged {
        id: blueprint.id.clone(),
        tenant: blueprint.tenant_name.clone(),
        updated_at_ms: now_ms,
        // error texts hang on the state: without a new one, the old one is set again
        state: (is_state_set || patch.error.is_some() || patch.error_traceback.is_some())
            .then(|| state.to_owned()),
        error: patch
            .error
            .clone()
            .or_else(|| blueprint.error.clone().filter(|_| !is_state_set)),
        error_traceback: patch
            .error_traceback
            .clone()
            .or_else(|| blueprint.error_traceback.clone().filter(|_| !is_state_set)),
        plan_json: text(&patch.plan),
        requirements_json: text(&patch.requirements),
        main_file_name: patch.main_file_name.clone(),
        description: patch.description.clone(),
        visibility: patch.visibility.clone(),
        upload_execution: patch.upload_execution.clone(),
        created_by: patch.creator.clone(),
        labels: wanted.map(|wanted| Labels {
            labels: labels::replaced(&blueprint.labels, &wanted, by),
        }),
        is_hidden: None,
        created_at_ms: match created_at {
            Some(created_at) => labels::moment(&created_at)?,
            None => None,
        },
    })
}

/// What the new state means for the files: unpacked once uploaded, gone once failed.
fn apply_files(
    decision: &mut Decision,
    blueprint: &Blueprint,
    change: &mut BlueprintChanged,
    files: Option<&Result<Files, String>>,
) {
    let (tenant, id) = (&blueprint.tenant_name, &blueprint.id);
    match files {
        Some(Ok(files)) => process::unpacked(decision, &tree(tenant, id), files),
        Some(Err(error)) => {
            change.state = Some("failed_extracting_to_file_server".to_owned());
            change.error = Some(error.clone());
        }
        None => {}
    }
    if change.state.as_deref().is_some_and(is_failed) {
        remove_tree(decision, &uploaded_tree(tenant, id));
    }
}

async fn check_imports(view: &View, caller: &Caller, patch: &PatchBlueprint) -> Result<(), Error> {
    let imported = patch
        .plan
        .as_ref()
        .and_then(|plan| plan.get("imported_blueprints")?.as_array());
    for id in imported.into_iter().flatten().filter_map(Value::as_str) {
        if caller.find(view, MODEL.0, id).await?.is_none() {
            return Err(Error::refused(
                ErrorCode::ImportedBlueprintNotFound,
                format!("Requested blueprint import `{id}` was not found"),
            ));
        }
    }
    Ok(())
}
