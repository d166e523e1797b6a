//! Manager-wide settings: configuration and the provider context.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName, views::config::Setting,
};
use stratalog_schema::{
    Category, StreamId,
    events::{ConfigSet, ProviderContextSet},
};

use super::ldap;
use crate::{
    auth::Caller,
    clock,
    config::Settings,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

mod schema;

/// What a fresh manager is configured with.
const DEFAULTS: &str = include_str!("settings/defaults.json");

#[derive(Debug, Deserialize)]
struct Default {
    scope: String,
    name: String,
    value: Value,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default = "yes")]
    is_editable: bool,
    #[serde(default)]
    admin_only: bool,
}

fn yes() -> bool {
    true
}

/// The stream of one setting.
pub(super) fn stream(scope: &str, name: &str) -> StreamId {
    StreamId::global(Category::Settings, &format!("{scope}.{name}"))
}

/// Configuration of a fresh manager.
pub(super) fn defaults(settings: &Settings) -> Result<Vec<(StreamId, ConfigSet)>, Error> {
    let rows: Vec<Default> = serde_json::from_str(DEFAULTS).map_err(Error::internal)?;
    let host = &settings.advertised_host;
    let port = settings.internal_listen.port();
    let set = |row: Default| {
        let value = match (row.scope.as_str(), row.name.as_str()) {
            ("rest", "public_ip") => json!(host),
            ("rest", "default_agent_port") => json!(port),
            ("rest", "file_server_url") => json!(format!("https://{host}:{port}/resources")),
            _ => row.value,
        };
        let event = ConfigSet {
            value_json: value.to_string(),
            schema_json: row
                .schema
                .map(|schema| schema.to_string())
                .unwrap_or_default(),
            is_editable: row.is_editable,
            admin_only: row.admin_only,
            updater: None,
            updated_at_ms: None,
            scope: row.scope,
            name: row.name,
        };
        (stream(&event.scope, &event.name), event)
    };
    Ok(rows.into_iter().map(set).collect())
}

/// The setting called `[scope.]name`.
///
/// # Errors
/// 404, or 409 when several scopes have one of that name.
pub async fn find(view: &View, name: &str) -> Result<Setting, Error> {
    if let Some(setting) = view.get::<Setting>(name).await? {
        return Ok(setting);
    }
    let query = ListQuery::all(ViewName::Config, Scope::Everything)
        .with(Condition::AnyOf("name".to_owned(), vec![name.to_owned()]));
    let mut found: Vec<Setting> = view.select_as(&query).await?;
    if found.len() > 1 {
        let scopes: Vec<&str> = found.iter().map(|s| s.scope.as_str()).collect();
        return Err(Error::refused(
            ErrorCode::AmbiguousName,
            format!(
                "Expected 1 value, but found {}: in {}",
                found.len(),
                scopes.join(", ")
            ),
        ));
    }
    found.pop().ok_or_else(|| Error::not_found("Config", name))
}

/// Changes a setting.
///
/// # Errors
/// 404, 409 when it is not to be changed or the value does not fit, 401 for what only
/// administrators may change.
pub async fn set(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    (value, force): (&RawValue, bool),
) -> Result<(), Error> {
    let now_ms = clock::now_ms();
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let setting = find(view, name).await?;
        check(&setting, caller, value, force)?;
        let value = kept(ctx, &setting, value)?;
        let stream = stream(&setting.scope, &setting.name);
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream.clone()).await?;
        let text =
            |json: Option<&RawValue>| json.map_or_else(String::new, |json| json.get().to_owned());
        decision.event(
            stream,
            stratalog_schema::Event::ConfigSet(ConfigSet {
                value_json: value,
                schema_json: text(setting.schema.as_deref()),
                is_editable: setting.is_editable,
                admin_only: setting.admin_only,
                updater: Some(caller.username.clone()),
                updated_at_ms: Some(now_ms),
                scope: setting.scope,
                name: setting.name,
            }),
        );
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn check(setting: &Setting, caller: &Caller, value: &RawValue, force: bool) -> Result<(), Error> {
    let name = &setting.name;
    if !setting.is_editable && !force {
        return Err(Error::refused(
            ErrorCode::Conflict,
            format!("{name} is not editable"),
        ));
    }
    if (setting.admin_only || names_people(setting)) && !caller.administers_everything() {
        return Err(Error::refused(
            ErrorCode::Unauthorized,
            format!("User unauthorized: only administrators may change {name}"),
        ));
    }
    let Some(rules) = &setting.schema else {
        return Ok(());
    };
    let rules: Value = serde_json::from_str(rules.get()).map_err(Error::internal)?;
    let value: Value = serde_json::from_str(value.get()).map_err(Error::internal)?;
    schema::check(&rules, &value).map_err(|reason| {
        Error::refused(
            ErrorCode::Conflict,
            format!("Error validating {name}: {reason}"),
        )
    })
}

/// What the log keeps of a value: of a password, not what it is.
fn kept(ctx: &Context, setting: &Setting, value: &RawValue) -> Result<String, Error> {
    if !ldap::is_password(setting) {
        return Ok(value.get().to_owned());
    }
    let password: Option<String> = serde_json::from_str(value.get()).map_err(Error::internal)?;
    Ok(ldap::sealed(ctx, &password.unwrap_or_default()).to_string())
}

/// Whether a setting says where people come from: whoever changes that can be anybody.
fn names_people(setting: &Setting) -> bool {
    setting.scope == "rest" && setting.name.starts_with("ldap_")
}

/// Stream of the provider context.
pub(super) fn context_stream() -> StreamId {
    StreamId::global(Category::Settings, "provider_context")
}

/// Sets the provider context, or replaces it with `update`.
///
/// # Errors
/// 409 when there is one and `update` is not given.
pub async fn set_provider_context(
    ctx: &Context,
    caller: &Caller,
    (name, context): (&str, &RawValue),
    update: bool,
) -> Result<(), Error> {
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let key = stratalog_projections::views::provider_context::KEY;
        if !update && view.row(ViewName::ProviderContext, key).await?.is_some() {
            return Err(Error::refused(
                ErrorCode::Conflict,
                "Provider Context already exists",
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, context_stream()).await?;
        decision.event(
            context_stream(),
            stratalog_schema::Event::ProviderContextSet(ProviderContextSet {
                name: name.to_owned(),
                context_json: context.get().to_owned(),
            }),
        );
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
