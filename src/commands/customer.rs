//! Whose manager it is: the id that its operator was given, or made. It is kept as a setting.
use std::sync::Arc;

use stratalog_projections::views::config::Setting;
use stratalog_schema::{Category, Event, StreamId, events::ConfigSet};
use uuid::Uuid;

use crate::{
    auth::Caller,
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

const SCOPE: &str = "license";
const NAME: &str = "customer_id";
/// Longest id.
const CHARS_MAX: usize = 256;

fn stream() -> StreamId {
    StreamId::global(Category::Settings, &format!("{SCOPE}.{NAME}"))
}

/// The customer's id, if there is one.
///
/// # Errors
/// Database errors.
pub async fn id(view: &View) -> Result<Option<String>, Error> {
    let setting: Option<Setting> = view.get(&format!("{SCOPE}.{NAME}")).await?;
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

/// Sets the customer's id, or forgets it.
///
/// # Errors
/// 400 for an id that is none, 404 when there is none to forget, 409 when there is one.
pub async fn set(ctx: &Context, caller: &Caller, wanted: Option<&str>) -> Result<(), Error> {
    let is_id = |id: &str| !id.is_empty() && id.chars().count() <= CHARS_MAX;
    if wanted.is_some_and(|id| !is_id(id)) {
        return Err(Error::bad_parameters(
            "The `customer_id` argument must have from 1 to 256 characters",
        ));
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
        let event = ConfigSet {
            scope: SCOPE.to_owned(),
            name: NAME.to_owned(),
            value_json: serde_json::Value::from(wanted).to_string(),
            schema_json: String::new(),
            is_editable: false,
            admin_only: true,
            updater: Some(caller.username.clone()),
            updated_at_ms: Some(clock::now_ms()),
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream()).await?;
        decision.event(stream(), Event::ConfigSet(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
