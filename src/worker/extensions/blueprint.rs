//! The blueprints of components, and blueprints as nodes.
use http::Method;
use serde_json::{Map, Value, json};

use super::{Failure, Run, definite, flag, object, text};

/// How uploads end that went wrong.
const FAILED: [&str; 5] = [
    "failed_uploading",
    "failed_extracting",
    "failed_parsing",
    "failed_extracting_to_file_server",
    "invalid",
];

impl Run<'_> {
    /// A blueprint as a node: with the secrets and plugins that it needs.
    pub(super) async fn upload_equipped(&mut self) -> Result<Value, Failure> {
        self.make_secrets().await?;
        self.bring_plugins().await?;
        self.upload().await
    }

    /// They go with it.
    pub(super) async fn delete_equipped(&mut self) -> Result<Value, Failure> {
        self.delete_blueprint().await?;
        self.take_plugins_away().await?;
        self.take_secrets_away().await?;
        Ok(Value::Null)
    }

    /// The blueprint is there afterwards; one of that name is taken as it is.
    pub(super) async fn upload(&mut self) -> Result<Value, Failure> {
        let config = self.blueprint_config().await?;
        let id = text(&config, "id").unwrap_or(self.instance_id()).to_owned();
        let archive = config.get("blueprint_archive").cloned().unwrap_or_default();
        let main_file = text(&config, "main_file_name").unwrap_or("blueprint.yaml");
        let labels = config.get("labels").cloned().unwrap_or_default();
        self.set(
            "blueprint",
            json!({
                "id": id, "blueprint_archive": archive, "application_file_name": main_file,
                "labels": labels,
            }),
        )
        .await?;
        if self.blueprint(&id).await?.is_none() {
            if flag(&config, "external_resource") {
                return definite(format!("there is no blueprint `{id}`"));
            }
            let Some(archive) = archive.as_str() else {
                return definite(format!("no archive of the blueprint `{id}` is given"));
            };
            // noted first: what is uploaded is to be deleted, too
            self.note().await?;
            self.send(&id, (archive, main_file)).await?;
        } else {
            self.say(format!("The blueprint {id} is there already"))
                .await;
        }
        self.await_uploaded(&id).await?;
        if super::is_given(&labels) && !flag(&config, "external_resource") {
            let body = json!({"labels": labels});
            self.there.patch(&["blueprints", &id], &body).await?;
        }
        Ok(Value::Null)
    }

    /// What is said of the blueprint: by a component as part of it, by a blueprint alone.
    async fn blueprint_config(&mut self) -> Result<Map<String, Value>, Failure> {
        let config = self.given("resource_config").await?;
        Ok(match config.get("blueprint") {
            Some(part) => object(Some(part)),
            None => object(Some(&config)),
        })
    }

    async fn send(&self, id: &str, (archive, main_file): (&str, &str)) -> Result<(), Failure> {
        let mut query = vec![
            ("application_file_name", main_file),
            ("visibility", "tenant"),
            ("async_upload", "true"),
        ];
        self.say(format!("Uploading the blueprint {id} from {archive}"))
            .await;
        let is_url = archive.starts_with("http://") || archive.starts_with("https://");
        let content = match is_url {
            true => {
                query.push(("blueprint_archive_url", archive));
                bytes::Bytes::new()
            }
            false => self.job.resources().get(archive).await?,
        };
        let path = ["blueprints", id];
        let to = (Method::PUT, path.as_slice());
        self.there.upload(to, &query, content).await?;
        Ok(())
    }

    async fn blueprint(&self, id: &str) -> Result<Option<Value>, Failure> {
        match self.there.get(&["blueprints", id], &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn await_uploaded(&self, id: &str) -> Result<(), Failure> {
        loop {
            let Some(found) = self.blueprint(id).await? else {
                return definite(format!("the blueprint `{id}` is gone"));
            };
            let state = found.get("state").and_then(Value::as_str);
            match state.unwrap_or_default() {
                "uploaded" => return Ok(()),
                state if FAILED.contains(&state) => {
                    let error = found.get("error").and_then(Value::as_str);
                    let error = error.unwrap_or_default();
                    return definite(format!("the blueprint `{id}` is {state}: {error}"));
                }
                _ => self.pause("the blueprint to be uploaded").await?,
            }
        }
    }

    /// The blueprint goes, unless it was there before or somebody else uses it.
    pub(super) async fn delete_blueprint(&mut self) -> Result<Value, Failure> {
        let config = self.blueprint_config().await?;
        let runtime = object(self.runtime().await?.get("blueprint"));
        if let Some(id) = text(&runtime, "id").filter(|_| !flag(&config, "external_resource")) {
            match self.there.delete(&["blueprints", id], &Value::Null).await {
                Ok(()) => self.say(format!("Deleted the blueprint {id}")).await,
                Err(error) if error.is_not_found() => {}
                Err(error) if error.code() == Some("dependent_exists_error") => {
                    self.say(format!("The blueprint {id} stays: {error}")).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.runtime().await?.shift_remove("blueprint");
        Ok(Value::Null)
    }
}
