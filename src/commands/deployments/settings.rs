//! What the settings of a blueprint (`deployment_settings`) give its deployments: a name, groups to
//! be in, and schedules.
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::deployments::Deployment;

use super::{environment::failed, storage::Known};
use crate::{
    commands::{labels::Wanted, schedules::Planned, secrets::Opener},
    dsl::{self, Plan, functions},
    error::Error,
    store::View as Reader,
};

/// The section of a plan.
const SECTION: &str = "deployment_settings";
/// Longest name for people.
const NAME_CHARS_MAX: usize = 256;

/// The settings of a deployment, functions evaluated.
#[derive(Debug, Default)]
pub(crate) struct Settings(Map<String, Value>);

impl Settings {
    /// Evaluates the settings of a prepared plan; `labels` are those the deployment will have.
    ///
    /// # Errors
    /// `DeploymentCreation` for functions that cannot be evaluated; database errors.
    pub(crate) async fn of(
        (view, opener): (&Reader, Opener<'_>),
        (deployment, labels): (&Deployment, &[Wanted]),
        plan: &Plan,
    ) -> Result<Self, Error> {
        let Some(settings) = plan.object(SECTION).filter(|settings| !settings.is_empty()) else {
            return Ok(Self::default());
        };
        let mut known = Known::of(deployment)?;
        if let Some(inputs) = plan.object("inputs") {
            known.inputs = inputs.clone();
        }
        let pair = |label: &Wanted| (label.key.clone(), label.value.clone());
        known.labels = labels.iter().map(pair).collect();
        let context = functions::Context::default();
        let payload = dsl::Value::Object(settings.clone());
        let evaluated = known
            .evaluate((view, opener), 0, &|storage| {
                functions::evaluate_runtime(storage, &payload, &context)
            })
            .await?
            .map_err(|error| failed(error.to_string()))?;
        match evaluated.as_object() {
            Some(settings) => Ok(Self(settings.into())),
            None => Err(failed(format!("{SECTION} must be a dictionary"))),
        }
    }

    /// A part of the settings, if there is anything in it.
    fn part<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(part) => match T::deserialize(part) {
                Ok(part) => Ok(Some(part)),
                Err(error) => Err(failed(format!("{SECTION}: {name}: {error}"))),
            },
        }
    }

    /// What the deployment is called.
    ///
    /// # Errors
    /// `DeploymentCreation` for what is no name.
    pub(crate) fn display_name(&self) -> Result<Option<String>, Error> {
        let name = match self.part("display_name")? {
            None => return Ok(None),
            Some(Value::String(name)) => name,
            Some(other) => other.to_string(),
        };
        if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(failed(format!(
                "The display name must be at most {NAME_CHARS_MAX} characters long and contain no \
                 control characters"
            )));
        }
        Ok(Some(name))
    }

    /// Ids of the groups it is to be in.
    ///
    /// # Errors
    /// `DeploymentCreation` for what is no list of ids.
    pub(crate) fn groups(&self) -> Result<Vec<String>, Error> {
        Ok(self.part("default_groups")?.unwrap_or_default())
    }

    /// Its schedules by their ids.
    ///
    /// # Errors
    /// `DeploymentCreation` for what is none.
    pub(crate) fn schedules(&self) -> Result<Vec<(String, Planned)>, Error> {
        let written: Map<String, Value> = self.part("default_schedules")?.unwrap_or_default();
        let read = |(id, schedule): (String, Value)| match serde_json::from_value(schedule) {
            Ok(schedule) => Ok((id, schedule)),
            Err(error) => Err(failed(format!(
                "{SECTION}: default_schedules: {id}: {error}"
            ))),
        };
        written.into_iter().map(read).collect()
    }
}
