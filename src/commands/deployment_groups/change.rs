//! Making and changing groups of deployments.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::{deployment_groups::DeploymentGroup, scoped};
use stratalog_schema::{
    Event,
    events::{
        DeploymentGroupChanged, DeploymentGroupCreated, DeploymentGroupExtended,
        DeploymentGroupShrunk, Labels, Scope,
    },
};

use super::{MODEL, created, created::NewMember, labelled, load, member_ids, members, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints, deployments,
        labels::{self, Wanted},
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// Which deployments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// These.
    pub deployment_ids: Option<Vec<String>>,
    /// Those a stored filter admits.
    pub filter_id: Option<String>,
    /// Those that rules admit.
    pub filter_rules: Option<Vec<Value>>,
    /// Those of another group.
    pub deployments_from_group: Option<String>,
    /// Those that are yet to be created.
    pub new_deployments: Option<Vec<Option<NewMember>>>,
}

/// A group as somebody wants it. What is absent stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PutGroup {
    /// What it is for.
    pub description: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Labels its deployments have, too.
    pub labels: Option<Value>,
    /// Blueprint of what it creates.
    pub blueprint_id: Option<String>,
    /// Inputs of what it creates.
    pub default_inputs: Option<Map<String, Value>>,
    /// Creator of a restored one.
    pub created_by: Option<String>,
    /// Creation of a restored one.
    pub created_at: Option<Value>,
    /// How many a restored one has created.
    pub creation_counter: Option<i64>,
    /// What is in it.
    #[serde(flatten)]
    pub members: Membership,
}

/// What joins a group, and what leaves it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PatchGroup {
    /// Joins.
    pub add: Option<Membership>,
    /// Leaves.
    pub remove: Option<Membership>,
}

/// A change of a group that is being decided.
#[derive(Debug)]
pub(super) struct Changing {
    pub(super) decision: Decision,
    /// The group as it is then.
    pub(super) group: DeploymentGroup,
    pub(super) labels: Vec<Wanted>,
    /// Members before and after.
    pub(super) before: BTreeSet<String>,
    pub(super) after: BTreeSet<String>,
}

/// Creates a group, or changes it.
///
/// # Errors
/// 400, 403; 404 for what it names; 409 without a blueprint to create from.
pub async fn put(ctx: &Context, caller: &Caller, id: &str, put: &PutGroup) -> Result<(), Error> {
    caller.require(Permission::DeploymentGroupCreate)?;
    check(caller, id, put)?;
    let wanted = put.labels.as_ref().map(labels::parse).transpose()?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            deployments::require_not_cancelling(view, caller).await?;
            let mut changing = match caller.find(view, MODEL.0, id).await? {
                Some(row) => {
                    changed(view, caller, row.resource()?, (put, wanted.as_deref())).await?
                }
                None => new(view, caller, id, (put, wanted.as_deref())).await?,
            };
            members::put(view, caller, &mut changing, &put.members).await?;
            finish(
                view,
                caller,
                changing,
                put.members.new_deployments.as_deref(),
            )
            .await
        })
        .await?;
    Ok(())
}

pub(super) fn check(caller: &Caller, id: &str, put: &PutGroup) -> Result<(), Error> {
    if id.is_empty() || id.chars().count() > 256 || id.chars().any(char::is_control) {
        return Err(Error::bad_parameters(
            "The `group_id` argument must have 1 to 256 characters, and no control characters",
        ));
    }
    if put.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    if put.created_at.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if put.creation_counter.is_some_and(|counter| counter < 0) {
        return Err(Error::bad_parameters(
            "creation_counter must not be below 0",
        ));
    }
    Ok(())
}

async fn require_blueprint(view: &View, caller: &Caller, put: &PutGroup) -> Result<(), Error> {
    if let Some(blueprint) = &put.blueprint_id {
        caller.get(view, blueprints::MODEL, blueprint).await?;
    }
    Ok(())
}

fn inputs(put: &PutGroup) -> Option<String> {
    let inputs = put.default_inputs.clone()?;
    Some(Value::Object(inputs).to_string())
}

/// A group that is about to be made.
pub(super) async fn new(
    view: &View,
    caller: &Caller,
    id: &str,
    (put, wanted): (&PutGroup, Option<&[Wanted]>),
) -> Result<Changing, Error> {
    require_blueprint(view, caller, put).await?;
    let tenant = caller.tenant()?;
    let creator = put.created_by.as_ref().unwrap_or(&caller.username);
    let now_ms = clock::now_ms();
    let created_at = put.created_at.as_ref().map(labels::moment).transpose()?;
    let wanted = wanted.unwrap_or_default();
    let event = DeploymentGroupCreated {
        id: id.to_owned(),
        scope: Some(Scope {
            tenant: tenant.to_owned(),
            visibility: visibility::of_new(caller, put.visibility.as_deref(), None)?,
            created_by: creator.clone(),
        }),
        description: put.description.clone(),
        default_blueprint_id: put.blueprint_id.clone(),
        default_inputs_json: inputs(put).unwrap_or_else(|| "null".to_owned()),
        labels: labels::replaced(&[], wanted, (now_ms, &caller.username)),
        creation_counter: put.creation_counter.unwrap_or(0),
        created_at_ms: created_at.flatten().unwrap_or(now_ms),
    };
    let group = DeploymentGroup::created(&event)?;
    let mut decision = Decision::nothing();
    decision.rests_on(view, stream(tenant, id)).await?;
    decision.event(stream(tenant, id), Event::DeploymentGroupCreated(event));
    Ok(Changing {
        decision,
        group,
        labels: wanted.to_vec(),
        before: BTreeSet::new(),
        after: BTreeSet::new(),
    })
}

/// The group as it is, about to change.
pub(super) async fn changing(
    view: &View,
    caller: &Caller,
    group: DeploymentGroup,
) -> Result<Changing, Error> {
    visibility::require_own(caller, &group.id, &group.tenant_name)?;
    let of = (group.tenant_name.as_str(), group.id.as_str());
    let before: BTreeSet<String> = member_ids(view, of).await?.into_iter().collect();
    let mut decision = Decision::nothing();
    decision.rests_on(view, stream(of.0, of.1)).await?;
    Ok(Changing {
        decision,
        labels: labels::kept(&group.labels),
        after: before.clone(),
        before,
        group,
    })
}

async fn changed(
    view: &View,
    caller: &Caller,
    group: DeploymentGroup,
    (put, wanted): (&PutGroup, Option<&[Wanted]>),
) -> Result<Changing, Error> {
    require_blueprint(view, caller, put).await?;
    let mut changing = changing(view, caller, group).await?;
    let group = &changing.group;
    let mut event = DeploymentGroupChanged {
        id: group.id.clone(),
        tenant: group.tenant_name.clone(),
        description: put.description.clone(),
        default_blueprint_id: put.blueprint_id.clone(),
        default_inputs_json: inputs(put),
        creation_counter: put.creation_counter,
        ..DeploymentGroupChanged::default()
    };
    if let Some(visibility) = &put.visibility
        && visibility::change(caller, (&group.id, &group.visibility), visibility)?
    {
        event.visibility = Some(visibility.clone());
    }
    if let Some(wanted) = wanted {
        let by = (clock::now_ms(), caller.username.as_str());
        event.labels = Some(Labels {
            labels: labels::replaced(&group.labels, wanted, by),
        });
        changing.labels = wanted.to_vec();
        let mut lost = labels::kept(&group.labels);
        lost.retain(|label| !wanted.iter().any(|other| labels::is_same(label, other)));
        labelled::change_members(view, caller, &mut changing, &lost).await?;
    }
    let untouched = DeploymentGroupChanged {
        id: event.id.clone(),
        tenant: event.tenant.clone(),
        ..DeploymentGroupChanged::default()
    };
    if event != untouched {
        let of = stream(&event.tenant, &event.id);
        changing.group.change(&event)?;
        changing
            .decision
            .event(of, Event::DeploymentGroupChanged(event));
    }
    Ok(changing)
}

/// Lets deployments join and leave.
///
/// # Errors
/// As [`put`].
pub async fn patch(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    patch: &PatchGroup,
) -> Result<(), Error> {
    caller.require(Permission::DeploymentGroupUpdate)?;
    let gone = patch.remove.as_ref();
    if gone.is_some_and(|gone| gone.new_deployments.is_some()) {
        return Err(Error::bad_parameters("Cannot remove `new_deployments`"));
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            deployments::require_not_cancelling(view, caller).await?;
            let group = load(view, caller, id).await?;
            let mut changing = changing(view, caller, group).await?;
            let mut new = None;
            if let Some(add) = &patch.add {
                let found = members::chosen(view, caller, add).await?;
                changing.after.extend(found);
                new = add.new_deployments.as_deref();
            }
            if let Some(remove) = &patch.remove {
                for id in members::chosen(view, caller, remove).await? {
                    changing.after.remove(&id);
                }
            }
            finish(view, caller, changing, new).await
        })
        .await?;
    Ok(())
}

/// What has joined and left, the labels it gets, and what is created.
async fn finish(
    view: &View,
    caller: &Caller,
    mut changing: Changing,
    new: Option<&[Option<NewMember>]>,
) -> Result<(Decision, ()), Error> {
    let (tenant, id) = (
        changing.group.tenant_name.clone(),
        changing.group.id.clone(),
    );
    let joined: Vec<String> = changing
        .after
        .difference(&changing.before)
        .cloned()
        .collect();
    let left: Vec<String> = changing
        .before
        .difference(&changing.after)
        .cloned()
        .collect();
    labelled::join(view, caller, &mut changing, &joined).await?;
    if !left.is_empty() {
        let event = DeploymentGroupShrunk {
            id: id.clone(),
            tenant: tenant.clone(),
            deployment_ids: left,
        };
        let of = stream(&tenant, &id);
        changing
            .decision
            .event(of, Event::DeploymentGroupShrunk(event));
    }
    if !joined.is_empty() {
        changing
            .decision
            .events
            .push(extended((&tenant, &id), joined));
    }
    if let Some(new) = new.filter(|new| !new.is_empty()) {
        if changing.group.default_blueprint_id.is_none() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("Cannot create deployments: group {id} has no default blueprint set"),
            ));
        }
        created::create(view, caller, &mut changing, new).await?;
    }
    Ok((changing.decision, ()))
}

/// Deployments have joined.
pub(crate) fn extended(
    (tenant, id): (&str, &str),
    deployment_ids: Vec<String>,
) -> crate::log::NewEvent {
    let event = DeploymentGroupExtended {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        deployment_ids,
    };
    crate::log::NewEvent::new(stream(tenant, id), Event::DeploymentGroupExtended(event))
}

/// Key of a deployment in the tenant of a group.
pub(super) fn key_of(group: &DeploymentGroup, deployment_id: &str) -> String {
    scoped(&group.tenant_name, deployment_id)
}
