//! Changes of a plugin by hand.
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::plugins::Plugin;
use stratalog_schema::{Event, events::PluginChanged};

use super::{MODEL, stream};
use crate::{
    auth::{Caller, Permission},
    commands::{blueprints, labels, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
};

/// What is to change. What is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PatchPlugin {
    /// Another creator.
    pub creator: Option<String>,
    /// Labels for blueprints that import it: lists of values by key.
    pub blueprint_labels: Option<Map<String, Value>>,
    /// Labels for deployments of such blueprints.
    pub labels: Option<Map<String, Value>>,
    /// Tags for resources of such deployments.
    pub resource_tags: Option<Map<String, Value>>,
}

/// Changes labels, tags or the creator of a plugin.
///
/// # Errors
/// 400 for labels that are none, 403, 404.
pub async fn patch(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    patch: &PatchPlugin,
) -> Result<(), Error> {
    caller.require(Permission::PluginUpload)?;
    if let Some(creator) = &patch.creator {
        caller.require(Permission::SetOwner)?;
        if ctx.directory.load().user(creator).is_none() {
            return Err(Error::not_found("User", creator));
        }
    }
    for labels in [&patch.blueprint_labels, &patch.labels]
        .into_iter()
        .flatten()
    {
        check(labels)?;
    }
    let text = |map: &Option<Map<String, Value>>| {
        let map = map.as_ref()?;
        Some(match map.is_empty() {
            true => Value::Null.to_string(),
            false => Value::Object(map.clone()).to_string(),
        })
    };
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let plugin: Plugin = caller.get(view, MODEL, id).await?.resource()?;
            visibility::require_own(caller, id, &plugin.tenant_name)?;
            let stream = stream(&plugin.tenant_name, &plugin.package_name);
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream.clone()).await?;
            let event = PluginChanged {
                id: id.to_owned(),
                tenant: plugin.tenant_name,
                visibility: None,
                created_by: patch.creator.clone(),
                labels_json: text(&patch.labels),
                blueprint_labels_json: text(&patch.blueprint_labels),
                resource_tags_json: text(&patch.resource_tags),
            };
            decision.event(stream, Event::PluginChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

fn check(labels: &Map<String, Value>) -> Result<(), Error> {
    for (key, values) in labels {
        let values = values.as_array().ok_or_else(|| {
            Error::bad_parameters(format!("The values of the label `{key}` are no list"))
        })?;
        for value in values.iter().filter_map(Value::as_str) {
            labels::label(key, value)?;
        }
    }
    Ok(())
}

/// Widens the visibility of a plugin.
///
/// # Errors
/// 400, 403, 404; 409 when another tenant has that plugin.
pub async fn set_visibility(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    wanted: &str,
) -> Result<(), Error> {
    caller.require(Permission::ResourceSetVisibility)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let plugin: Plugin = caller.get(view, MODEL, id).await?.resource()?;
            let tenant = plugin.tenant_name.as_str();
            visibility::require_own(caller, id, tenant)?;
            let mut decision = Decision::nothing();
            if !visibility::change(caller, (id, &plugin.visibility), wanted)? {
                return Ok((decision, ()));
            }
            let others = blueprints::namesakes(view, MODEL.0, (tenant, id), wanted).await?;
            if others.len() > 1 {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!("There are plugins with id={id} in other tenants"),
                ));
            }
            let stream = stream(tenant, &plugin.package_name);
            decision.rests_on(view, stream.clone()).await?;
            let event = PluginChanged {
                id: id.to_owned(),
                tenant: tenant.to_owned(),
                visibility: Some(wanted.to_owned()),
                ..PluginChanged::default()
            };
            decision.event(stream, Event::PluginChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
