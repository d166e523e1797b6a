//! `update_plugin`: the deployments of a blueprint are updated to its hidden copy, one after the
//! other. Which of them have been is found again in the log.
use std::time::Duration;

use stratalog_projections::{
    At,
    views::{
        deployments::Deployment, executions::Execution, plugins_updates::PluginsUpdate, scoped,
    },
};

use super::{Runner, Stop};
use crate::{
    commands::{
        deployment_updates::{self, Initiate, Options},
        executions, plugins_updates,
    },
    error::{Error, ErrorCode},
    workflow::builtin::flag,
};

/// How long one deployment may take.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Runner {
    pub(super) async fn update_plugins(&mut self, execution: &Execution) -> Result<(), Stop> {
        let view = self.ctx.store.read(At::Now).await?;
        let update = plugins_updates::of_execution(&view, execution).await?;
        drop(view.finish().await.map_err(Error::from)?);
        let Some(update) = update else {
            return Err(Stop::Failed(Error::refused(
                ErrorCode::BadParameters,
                "There is no plugins update for this execution",
            )));
        };
        let parameters = executions::parameters_of(execution)?;
        let flag = |name: &str| flag(&parameters, name).unwrap_or(false);
        let new = Initiate {
            blueprint_id: update.temp_blueprint_id.clone(),
            options: Options {
                force: flag("force"),
                auto_correct_types: flag("auto_correct_types"),
                reevaluate_active_statuses: flag("reevaluate_active_statuses"),
                update_plugins: true,
                skip_install: true,
                skip_uninstall: true,
                skip_reinstall: true,
                ..Options::default()
            },
            ..Initiate::default()
        };
        for (tenant, id) in plugins_updates::deployments_of(&update)? {
            if self.is_to_be_updated((&tenant, &id), &update).await? {
                self.update_one(execution, (&tenant, &id), &new).await?;
            }
        }
        Ok(())
    }

    /// Whether a deployment is still there and does not follow the copy yet.
    async fn is_to_be_updated(
        &self,
        (tenant, id): (&str, &str),
        update: &PluginsUpdate,
    ) -> Result<bool, Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let deployment: Option<Deployment> = view.get(&scoped(tenant, id)).await?;
        drop(view.finish().await?);
        let temp = update.temp_blueprint_id.as_deref();
        Ok(deployment.is_some_and(|deployment| Some(deployment.blueprint_id.as_str()) != temp))
    }

    /// One deployment; what goes wrong with it is told, and the others go on.
    async fn update_one(
        &mut self,
        execution: &Execution,
        (tenant, id): (&str, &str),
        new: &Initiate,
    ) -> Result<(), Stop> {
        let caller = self.caller().in_tenant(tenant);
        let caller = caller.on_behalf_of(&execution.created_by);
        let started =
            deployment_updates::initiate_for(&self.ctx, &caller, (execution, id), new).await;
        let started = match started {
            Ok(started) => started,
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                let text = format!("The deployment {id} cannot be updated: {error}");
                return self.note(execution, &text).await;
            }
        };
        let ended = self
            .await_execution((tenant, &started.execution), PATIENCE)
            .await?;
        let text = match ended {
            None => format!("The update {} of the deployment {id} goes on", started.id),
            Some(end) if end.status == "terminated" => {
                format!("The deployment {id} was updated")
            }
            Some(end) => format!(
                "The update {} of the deployment {id} has {}: {}",
                started.id,
                end.status,
                end.error.unwrap_or_default()
            ),
        };
        self.note(execution, &text).await
    }
}
