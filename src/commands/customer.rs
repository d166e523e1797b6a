//! Whose manager it is: the id that its operator was given, or made. It is kept as a setting.
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use stratalog_projections::views::config::Setting;
use stratalog_schema::{Category, Event, StreamId, events::ConfigSet, time::wire};
use uuid::Uuid;

use crate::{
    auth::Caller,
    broker::wire::parse_timestamp,
    clock,
    context::Context,
    dsl::{Limits, yaml},
    error::{Error, ErrorCode},
    store::{Decision, View},
};

const SCOPE: &str = "license";
const NAME: &str = "customer_id";
const TERMS: &str = "terms";
/// Longest id.
const CHARS_MAX: usize = 256;

fn stream(name: &str) -> StreamId {
    StreamId::global(Category::Settings, &format!("{SCOPE}.{name}"))
}

/// The customer's id, if there is one.
///
/// # Errors
/// Database errors.
pub async fn id(view: &View) -> Result<Option<String>, Error> {
    setting(view, NAME).await
}

async fn setting<T: DeserializeOwned>(view: &View, name: &str) -> Result<Option<T>, Error> {
    let setting: Option<Setting> = view.get(&format!("{SCOPE}.{name}")).await?;
    let value = setting.and_then(|setting| setting.value);
    let value = value.map(|value| serde_json::from_str(value.get()));
    value.transpose().map_err(Error::internal)
}

/// An id for somebody who has none.
#[allow(
    clippy::disallowed_methods,
    reason = "identities are minted where commands are made"
)]
pub fn new_id() -> String {
    format!("COM-{}", Uuid::new_v4())
}

/// Sets the customer's id, or forgets it together with the terms of a licence.
///
/// # Errors
/// 400 for an id that is none, 404 when there is none to forget, 409 when there is one.
pub async fn set(ctx: &Context, caller: &Caller, wanted: Option<&str>) -> Result<(), Error> {
    if let Some(id) = wanted {
        check(id)?;
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        match (id(view).await?, wanted) {
            (Some(_), Some(_)) => {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    "The customer id is set already",
                ));
            }
            (None, None) => {
                return Err(Error::refused(
                    ErrorCode::NotFound,
                    "There is no customer id",
                ));
            }
            _ => {}
        }
        let mut decision = written(view, caller, (NAME, &json!(wanted))).await?;
        if terms(view).await?.is_some() {
            decision.extend(written(view, caller, (TERMS, &Value::Null)).await?);
        }
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn check(id: &str) -> Result<(), Error> {
    if !id.is_empty() && id.chars().count() <= CHARS_MAX {
        return Ok(());
    }
    Err(Error::bad_parameters(
        "The `customer_id` argument must have from 1 to 256 characters",
    ))
}

async fn written(
    view: &View,
    caller: &Caller,
    (name, value): (&str, &Value),
) -> Result<Decision, Error> {
    let event = ConfigSet {
        scope: SCOPE.to_owned(),
        name: name.to_owned(),
        value_json: value.to_string(),
        schema_json: String::new(),
        is_editable: false,
        admin_only: true,
        updater: Some(caller.username.clone()),
        updated_at_ms: Some(clock::now_ms()),
    };
    let mut decision = Decision::nothing();
    decision.rests_on(view, stream(name)).await?;
    decision.event(stream(name), Event::ConfigSet(event));
    Ok(decision)
}

/// What a licence says beside whose it is. It is shown and changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// RFC 3339; none: for ever.
    pub expiration_date: Option<String>,
    /// Edition it is for.
    pub license_edition: Option<String>,
    /// Whether it is for trying out.
    pub trial: bool,
    /// Version it is for.
    pub cloudify_version: Option<String>,
    /// What it allows.
    pub capabilities: Vec<String>,
}

impl Terms {
    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        let date = self.expiration_date.as_deref();
        let date = date.and_then(|date| DateTime::parse_from_rfc3339(date).ok());
        date.is_some_and(|date| date.timestamp_millis() < clock::now_ms())
    }
}

/// The terms of the licence, if one was uploaded.
///
/// # Errors
/// Database errors.
pub async fn terms(view: &View) -> Result<Option<Terms>, Error> {
    setting(view, TERMS).await
}

/// Takes a licence in, in place of the one there was. Its signature is not looked at: nothing
/// depends on it.
///
/// # Errors
/// 400 for a text that is no licence.
pub async fn upload(ctx: &Context, caller: &Caller, text: &str) -> Result<(), Error> {
    let (id, terms) = parse(text)?;
    let terms = serde_json::to_value(&terms).map_err(Error::internal)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = written(view, caller, (NAME, &json!(id))).await?;
        decision.extend(written(view, caller, (TERMS, &terms)).await?);
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// The YAML of a licence: `license` says what it is, `signature` that it is.
fn parse(text: &str) -> Result<(String, Terms), Error> {
    let bad = |why: String| {
        let text = format!("The license file cannot be used: {why}");
        Error::refused(ErrorCode::InvalidYamlFormat, text)
    };
    // signatures are bytes, which blueprints know nothing of
    let text = text.replace("!!binary", "!!str");
    let root = yaml::load(&text, &Arc::from("license"), &Limits::default());
    let root = root.map_err(|error| bad(error.to_string()))?;
    let root: Value = root.to_value().into();
    let member = |name: &str| root.get("license").and_then(|license| license.get(name));
    if root.get("signature").is_none_or(Value::is_null) {
        return Err(bad("it has no `signature`".to_owned()));
    }
    let id = member("customer_id").and_then(Value::as_str);
    let id = id.ok_or_else(|| bad("it has no `license.customer_id`".to_owned()))?;
    check(id)?;
    let words = |name: &str| match member(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let capabilities = member("capabilities").and_then(Value::as_array);
    let capabilities = capabilities.into_iter().flatten();
    let date = words("expiration_date").map(|text| moment(&text).ok_or(text));
    let date = date.transpose();
    Ok((
        id.to_owned(),
        Terms {
            expiration_date: date.map_err(|text| bad(format!("`{text}` is no date")))?,
            license_edition: words("license_edition"),
            trial: member("trial") == Some(&Value::Bool(true)),
            cloudify_version: words("cloudify_version"),
            capabilities: capabilities
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect(),
        },
    ))
}

/// A day, or a moment of one; of a day its beginning.
fn moment(text: &str) -> Option<String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let day = day.and_then(|day| day.and_hms_opt(0, 0, 0));
    let day = day.map(|day| day.and_utc().timestamp_millis());
    let exact = || Some(parse_timestamp(text)?.timestamp_millis());
    day.or_else(exact).map(wire)
}
