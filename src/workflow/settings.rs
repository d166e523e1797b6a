//! What the manager's configuration says about running workflows.
use serde_json::{Number, Value};
use stratalog_projections::{Condition, ListQuery, Scope, View, views::config::Setting};

use super::operation::Retries;
use crate::{error::Error, store};

/// How often failed tasks are tried again.
///
/// # Errors
/// Database errors.
pub(super) async fn retries(view: &store::View) -> Result<Retries, Error> {
    let query = ListQuery::all(View::Config, Scope::Everything).with(Condition::AnyOf(
        "scope".to_owned(),
        vec!["workflow".to_owned()],
    ));
    let settings: Vec<Setting> = view.select_as(&query).await?;
    let number = |name: &str| -> Option<Number> {
        let setting = settings.iter().find(|setting| setting.name == name)?;
        match serde_json::from_str(setting.value.as_ref()?.get()) {
            Ok(Value::Number(number)) => Some(number),
            _ => None,
        }
    };
    let default = Retries::default();
    let whole = |name: &str, default: i64| number(name).and_then(|n| n.as_i64()).unwrap_or(default);
    Ok(Retries {
        task_retries: whole("task_retries", default.task_retries),
        subgraph_retries: whole("subgraph_retries", default.subgraph_retries),
        task_retry_interval_s: number("task_retry_interval")
            .unwrap_or(default.task_retry_interval_s),
    })
}
