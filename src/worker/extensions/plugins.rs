//! Plugins that components and blueprints bring along: uploaded before anything needs them, deleted
//! when it has gone. Those that are there already are nobody's to delete.
use std::io::{self, Cursor, Write};

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{Failure, Run, definite, object, text};

/// The node's property `{name: {wagon_path, plugin_yaml_path, icon_png_path}}`; the runtime
/// property with the ids of those that were uploaded.
pub(super) const PLUGINS: &str = "plugins";

impl Run<'_> {
    pub(super) async fn bring_plugins(&mut self) -> Result<(), Failure> {
        let wanted = object(Some(&self.property(PLUGINS).await?));
        for (name, files) in &wanted {
            let content = self.plugin_archive(name, &object(Some(files))).await?;
            let query = [("visibility", "tenant")];
            let to = (Method::POST, ["plugins"].as_slice());
            let uploaded = self.there.upload(to, &query, content).await;
            let uploaded = match uploaded {
                // of this or of an earlier run
                Err(error) if error.code() == Some("conflict_error") => {
                    self.say(format!("The plugin {name} is there already"))
                        .await;
                    continue;
                }
                other => other?,
            };
            self.say(format!("Uploaded the plugin {name}")).await;
            let runtime = self.runtime().await?;
            let ids = runtime.entry(PLUGINS).or_insert_with(|| json!([]));
            if let (Some(ids), Some(id)) = (ids.as_array_mut(), uploaded.get("id")) {
                ids.push(id.clone());
            }
            self.note().await?;
        }
        Ok(())
    }

    /// One zip, as the command line uploads it.
    async fn plugin_archive(
        &self,
        name: &str,
        files: &Map<String, Value>,
    ) -> Result<Bytes, Failure> {
        let (Some(wagon), Some(yaml)) =
            (text(files, "wagon_path"), text(files, "plugin_yaml_path"))
        else {
            return definite(format!(
                "the plugin `{name}` needs `wagon_path` and `plugin_yaml_path`"
            ));
        };
        let mut members = vec![
            ("plugin.wgn", self.file(wagon).await?),
            ("plugin.yaml", self.file(yaml).await?),
        ];
        if let Some(icon) = text(files, "icon_png_path") {
            members.push(("icon.png", self.file(icon).await?));
        }
        match zipped(&members) {
            Ok(archive) => Ok(archive),
            Err(error) => definite(format!("the plugin `{name}` cannot be packed: {error}")),
        }
    }

    /// A file of the blueprint, or at an address.
    async fn file(&self, path: &str) -> Result<Bytes, Failure> {
        match path.starts_with("http://") || path.starts_with("https://") {
            true => Ok(self.job.session.rest().fetch(path, None).await?),
            false => Ok(self.job.resources().get(path).await?),
        }
    }

    pub(super) async fn take_plugins_away(&mut self) -> Result<(), Failure> {
        let brought = self.runtime().await?.get(PLUGINS).cloned();
        for id in brought.iter().filter_map(Value::as_array).flatten() {
            let id = id.as_str().unwrap_or_default();
            let body = json!({"force": false});
            match self.there.delete(&["plugins", id], &body).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) if error.code() == Some("plugin_in_use") => {
                    let text = format!("The plugin {id} stays: {error}");
                    self.job.logger.log("warning", text).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.runtime().await?.shift_remove(PLUGINS);
        Ok(())
    }
}

fn zipped(members: &[(&str, Bytes)]) -> io::Result<Bytes> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner().into())
}
