//! Node instances: the versioned update that workers live on, and creation in bulk.
use serde_json::{Value, value::RawValue};
use stratalog_projections::{
    View,
    view::restore,
    views::{Json, node_instances::NodeInstance, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{NodeInstanceChanged, NodeInstanceDeleted},
};

use super::{own_execution::require_update, visibility};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::{Error, ErrorCode},
    log::{Append, Expected, NewEvent, read},
    store::{Decision, Terms, View as Reader},
};

mod create;
pub(crate) use create::decide as decide_creation;
pub use create::{NewNodeInstance, create};

/// How the resource is called in messages.
pub(crate) const MODEL: (View, &str) = (View::NodeInstances, "NodeInstance");

/// What is to change. What is absent stays.
#[derive(Debug, Default)]
pub struct UpdateNodeInstance {
    /// The version the change was thought out on.
    pub version: i64,
    /// Lifecycle state.
    pub state: Option<String>,
    /// Replaces all runtime properties.
    pub runtime_properties: Option<Json>,
    /// Replaces all system properties.
    pub system_properties: Option<Json>,
    /// Replaces the relationships; for deployment updates only.
    pub relationships: Option<Json>,
    /// Whatever the stored version is.
    pub force: bool,
}

/// An instance as it is after a command, and the position it is true at.
#[derive(Debug)]
pub struct Updated {
    /// The instance.
    pub instance: NodeInstance,
    /// Position of the log.
    pub position: i64,
}

/// Changes an instance. The version rises by one when anything changed, and by nothing otherwise.
///
/// # Errors
/// 403, 404; 409 when the stored version is above the given one.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    change: UpdateNodeInstance,
) -> Result<Updated, Error> {
    caller.require(Permission::NodeInstanceUpdate)?;
    if change.relationships.is_some() {
        let view = ctx.store.read(stratalog_projections::At::Now).await?;
        require_update(&view, caller).await?;
        drop(view.finish().await?);
    }
    if !Terms::is_conditional()
        && let Some(updated) = update_latest(ctx, caller, id, &change).await?
    {
        return Ok(updated);
    }
    let (appended, instance) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let (mut instance, stream, version) = load(view, caller, id).await?;
            let mut decision = Decision::nothing();
            if let Some(event) = decide(&instance, &change)? {
                apply(&mut instance, &event)?;
                decision.event(stream.clone(), Event::NodeInstanceChanged(event));
                decision.expected.push((stream, Expected::Version(version)));
            }
            Ok((decision, instance))
        })
        .await?;
    Ok(Updated {
        instance,
        position: appended.last_position,
    })
}

/// Changes an instance that changed lately without asking the database what it is. `None`: that
/// does not do (nothing is known of it, somebody was faster, or nothing is to be changed), and the
/// database is asked.
async fn update_latest(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    change: &UpdateNodeInstance,
) -> Result<Option<Updated>, Error> {
    let tenant = caller.tenant()?;
    let (key, stream) = (
        scoped(tenant, id),
        StreamId::scoped(Category::NodeInstance, tenant, id),
    );
    let known = ctx.store.log().latest().ask(|known| {
        let row = known.row(View::NodeInstances, &key)?;
        Some((row, known.version(&stream)?, known.generation()))
    });
    let Some((row, version, generation)) = known else {
        return Ok(None);
    };
    if !caller.may_see(&row.owner) {
        return Ok(None);
    }
    let mut instance: NodeInstance = restore(&key, &row.doc, row.hidden.as_deref())?;
    let Ok(Some(event)) = decide(&instance, change) else {
        return Ok(None);
    };
    apply(&mut instance, &event)?;
    let append = Append {
        meta: caller.meta(),
        expected: vec![(stream.clone(), Expected::Version(version))],
        events: vec![NewEvent::new(stream, Event::NodeInstanceChanged(event))],
        rests_on: Some(generation),
        ..Append::default()
    };
    let appended = ctx.store.append_known(append).await?;
    Ok(appended.map(|appended| Updated {
        instance,
        position: appended.last_position,
    }))
}

/// The instance with the version of its stream, in one round trip where it belongs to the caller's
/// tenant.
async fn load(
    view: &Reader,
    caller: &Caller,
    id: &str,
) -> Result<(NodeInstance, StreamId, i64), Error> {
    let stream = StreamId::scoped(Category::NodeInstance, caller.tenant()?, id);
    let (row, version) = futures::try_join!(
        caller.get(view, MODEL, id),
        read::stream_version(view, &stream)
    )?;
    let instance: NodeInstance = row.resource()?;
    if row.key == scoped(caller.tenant()?, id) {
        return Ok((instance, stream, version));
    }
    visibility::require_own_or_run(caller, view, (MODEL.0, id, &row)).await?;
    let stream = StreamId::scoped(Category::NodeInstance, &instance.tenant_name, id);
    let version = read::stream_version(view, &stream).await?;
    Ok((instance, stream, version))
}

/// What changes, if anything does.
fn decide(
    instance: &NodeInstance,
    change: &UpdateNodeInstance,
) -> Result<Option<NodeInstanceChanged>, Error> {
    if !change.force && instance.version > change.version {
        return Err(Error::refused(
            ErrorCode::Conflict,
            format!(
                "Node instance update conflict [current version={}, update version={}]",
                instance.version, change.version
            ),
        ));
    }
    let changed = |before: &Option<Json>, after: &Option<Json>| {
        after
            .as_ref()
            .filter(|after| !is_same(before.as_deref(), after))
            .map(|after| after.get().to_owned())
    };
    let mut event = NodeInstanceChanged {
        id: instance.id.clone(),
        tenant: instance.tenant_name.clone(),
        version: instance.version + 1,
        state: change
            .state
            .clone()
            .filter(|state| *state != instance.state),
        runtime_properties_json: changed(&instance.runtime_properties, &change.runtime_properties),
        system_properties_json: changed(&instance.system_properties, &change.system_properties),
        relationships_json: changed(&instance.relationships, &change.relationships),
        is_status_check_ok: None,
        has_configuration_drift: None,
    };
    if let Some(properties) = &event.system_properties_json {
        let properties: Value = serde_json::from_str(properties).map_err(Error::internal)?;
        let (is_ok, is_drifted) = flags(&properties);
        event.is_status_check_ok = Some(is_ok).filter(|flag| *flag != instance.is_status_check_ok);
        event.has_configuration_drift =
            Some(is_drifted).filter(|flag| *flag != instance.has_configuration_drift);
    }
    let is_nothing = event.state.is_none()
        && event.runtime_properties_json.is_none()
        && event.system_properties_json.is_none()
        && event.relationships_json.is_none();
    Ok((!is_nothing).then_some(event))
}

/// Whether two documents say the same, however they are written.
fn is_same(before: Option<&RawValue>, after: &RawValue) -> bool {
    let Some(before) = before else {
        return false;
    };
    if before.get() == after.get() {
        return true;
    }
    let parse = |text: &RawValue| serde_json::from_str::<Value>(text.get()).ok();
    matches!((parse(before), parse(after)), (Some(a), Some(b)) if a == b)
}

/// Whether the latest status check was good, and whether any drift check found a difference.
pub(crate) fn flags(system_properties: &Value) -> (bool, bool) {
    let is_ok = system_properties
        .pointer("/status/ok")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let drifted = |check: &Value| {
        check.get("ok") == Some(&Value::Bool(false))
            || check.get("result").is_some_and(|result| !result.is_null())
    };
    let of_node = system_properties.get("configuration_drift").into_iter();
    let of_relationships = [
        "source_relationships_configuration_drift",
        "target_relationships_configuration_drift",
    ]
    .into_iter()
    .filter_map(|name| system_properties.get(name)?.as_object())
    .flat_map(|checks| checks.values());
    let is_drifted = of_node.chain(of_relationships).any(drifted);
    (is_ok, is_drifted)
}

/// The same as the view's fold does, so that the answer needs no second query.
fn apply(instance: &mut NodeInstance, event: &NodeInstanceChanged) -> Result<(), Error> {
    instance.version = event.version;
    if let Some(state) = &event.state {
        instance.state.clone_from(state);
    }
    for (field, change) in [
        (
            &mut instance.runtime_properties,
            &event.runtime_properties_json,
        ),
        (
            &mut instance.system_properties,
            &event.system_properties_json,
        ),
        (&mut instance.relationships, &event.relationships_json),
    ] {
        if let Some(change) = change {
            *field = Some(RawValue::from_string(change.clone()).map_err(Error::internal)?);
        }
    }
    if let Some(flag) = event.is_status_check_ok {
        instance.is_status_check_ok = flag;
    }
    if let Some(flag) = event.has_configuration_drift {
        instance.has_configuration_drift = flag;
    }
    Ok(())
}

/// Removes an instance; for deployment updates only.
///
/// # Errors
/// 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str) -> Result<(), Error> {
    caller.require(Permission::NodeInstanceDelete)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            require_update(view, caller).await?;
            let row = visibility::own(caller, view, MODEL, id).await?;
            let tenant = row.owner.tenant.unwrap_or_default();
            let mut decision = Decision::nothing();
            decision.event(
                StreamId::scoped(Category::NodeInstance, &tenant, id),
                Event::NodeInstanceDeleted(NodeInstanceDeleted {
                    id: id.to_owned(),
                    tenant,
                }),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
