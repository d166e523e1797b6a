//! Sites are made, changed and deleted; deployments follow a new name, and are nowhere once their
//! site is gone.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{
    Condition, ListQuery, Scope as Rows, View as ViewName,
    views::{deployments::Deployment, sites::Site},
};
use stratalog_schema::{
    Event,
    events::{DeploymentChanged, Scope, SiteChanged, SiteCreated, SiteDeleted},
};

use super::{MODEL, check_location, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, deployments, ids, labels, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// A site somebody asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NewSite {
    /// Latitude and longitude.
    pub location: Option<String>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Creation of a restored one.
    pub created_at: Option<Value>,
    /// Creator of a restored one.
    pub created_by: Option<String>,
}

/// What is to change of a site. What is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateSite {
    /// Another name.
    pub new_name: Option<String>,
    /// Latitude and longitude; an empty text takes them away.
    pub location: Option<String>,
    /// `tenant` or `global`.
    pub visibility: Option<String>,
}

async fn refuse_taken(
    view: &View,
    (tenant, name): (&str, &str),
    visibility: &str,
) -> Result<(), Error> {
    if blueprints::namesakes(view, MODEL.0, (tenant, name), visibility)
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let what = format!("Site name=`{name}`");
    Err(Error::exists(&what, (tenant, tenant)))
}

/// Creates a site.
///
/// # Errors
/// 400 for a name or location that is none, 403, 409 when it exists.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    new: &NewSite,
) -> Result<(), Error> {
    caller.require(Permission::SiteCreate)?;
    ids::check("name", name)?;
    let location = new.location.as_deref().filter(|text| !text.is_empty());
    location.map(check_location).transpose()?;
    let visibility = visibility::of_new(caller, new.visibility.as_deref(), None)?;
    let created_at = new.created_at.as_ref().map(labels::moment).transpose()?;
    if created_at.flatten().is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if new.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let tenant = caller.tenant()?;
    let event = SiteCreated {
        name: name.to_owned(),
        scope: Some(Scope {
            tenant: tenant.to_owned(),
            visibility: visibility.clone(),
            created_by: new.created_by.as_ref().unwrap_or(&caller.username).clone(),
        }),
        location: location.map(str::to_owned),
        created_at_ms: created_at.flatten().unwrap_or_else(clock::now_ms),
    };
    let decide = async |view: Arc<View>| {
        let view = &*view;
        refuse_taken(view, (tenant, name), &visibility).await?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, name)).await?;
        decision.event(stream(tenant, name), Event::SiteCreated(event.clone()));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Changes a site; gives its name afterwards.
///
/// # Errors
/// 400 for a name or location that is none, a narrower visibility, or nothing to change; 403, 404;
/// 409 when the new name is taken.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    change: &UpdateSite,
) -> Result<String, Error> {
    caller.require(Permission::SiteUpdate)?;
    let new_name = change.new_name.as_deref().filter(|new| *new != name);
    if let Some(new_name) = &change.new_name {
        ids::check("new_name", new_name)?;
    }
    if let Some(location) = change.location.as_deref().filter(|text| !text.is_empty()) {
        check_location(location)?;
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let site: Site = caller.get(view, MODEL, name).await?.resource()?;
        let tenant = site.tenant_name.as_str();
        visibility::require_own(caller, name, tenant)?;
        let wider = change.visibility.as_deref();
        let is_wider = match wider {
            Some(wanted) => visibility::change(caller, (name, &site.visibility), wanted)?,
            None => false,
        };
        let wider = wider.filter(|_| is_wider);
        let shown = wider.unwrap_or(&site.visibility);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, name)).await?;
        if let Some(new_name) = new_name {
            refuse_taken(view, (tenant, new_name), shown).await?;
            decision.rests_on(view, stream(tenant, new_name)).await?;
        } else if wider == Some("global") {
            refuse_elsewhere(view, (tenant, name)).await?;
        }
        let event = SiteChanged {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            new_name: new_name.map(str::to_owned),
            location: change.location.clone(),
            visibility: wider.map(str::to_owned),
        };
        decision.event(stream(tenant, name), Event::SiteChanged(event));
        if let Some(new_name) = new_name {
            move_deployments(view, &mut decision, &site, new_name).await?;
        }
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(new_name.unwrap_or(name).to_owned())
}

/// What becomes global must be the only one of its name.
async fn refuse_elsewhere(view: &View, (tenant, name): (&str, &str)) -> Result<(), Error> {
    let all = blueprints::namesakes(view, MODEL.0, (tenant, name), "global").await?;
    if all.len() <= 1 {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Conflict,
        format!("There are sites with name={name} in other tenants"),
    ))
}

/// Deployments at a site are at the one of that name from now on; an empty name is nowhere. What
/// they show as their latest change stays, since nobody changed them.
async fn move_deployments(
    view: &View,
    decision: &mut Decision,
    site: &Site,
    name: &str,
) -> Result<(), Error> {
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let mut at_site =
        ListQuery::all(ViewName::Deployments, Rows::Everything).with(is("site_name", &site.name));
    // the name of a global site means that site in every tenant
    if site.visibility != "global" {
        at_site = at_site.with(is("tenant_name", &site.tenant_name));
    }
    for deployment in view.select_as::<Deployment>(&at_site).await? {
        let of = deployments::stream(&deployment.tenant_name, &deployment.id);
        decision.rests_on(view, of.clone()).await?;
        decision.event(
            of,
            Event::DeploymentChanged(DeploymentChanged {
                id: deployment.id,
                tenant: deployment.tenant_name,
                updated_at_ms: deployment.own.updated_at_ms,
                site_name: Some(name.to_owned()),
                ..DeploymentChanged::default()
            }),
        );
    }
    Ok(())
}

/// Deletes a site.
///
/// # Errors
/// 400 for a global one of another tenant, 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, name: &str) -> Result<(), Error> {
    caller.require(Permission::SiteDelete)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let site: Site = caller.get(view, MODEL, name).await?.resource()?;
        visibility::require_own(caller, name, &site.tenant_name)?;
        let of = stream(&site.tenant_name, name);
        let mut decision = Decision::nothing();
        decision.rests_on(view, of.clone()).await?;
        move_deployments(view, &mut decision, &site, "").await?;
        let event = SiteDeleted {
            name: name.to_owned(),
            tenant: site.tenant_name,
        };
        decision.event(of, Event::SiteDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
