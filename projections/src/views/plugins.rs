//! Plugins, and where they are installed. Wagons and YAML files lie in the resource directory.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{PluginChanged, PluginStateChanged, PluginUploaded},
    time::wire,
};

use super::{Json, json, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "plugins",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::linked("package_name"),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("id", Kind::Text, "id"),
            Field::doc("archive_name", Kind::Text),
            Field::doc("distribution", Kind::Text),
            Field::doc("distribution_release", Kind::Text),
            Field::doc("distribution_version", Kind::Text),
            Field::doc("excluded_wheels_p", Kind::Json),
            Field::doc("excluded_wheels", Kind::Json),
            Field::col("package_name", Kind::Text, "package_name"),
            Field::doc("package_source", Kind::Text),
            Field::doc("package_version", Kind::Text),
            Field::doc("supported_platform_p", Kind::Json),
            Field::doc("supported_platform", Kind::Text),
            Field::doc("supported_py_versions_p", Kind::Json),
            Field::doc("supported_py_versions", Kind::Json),
            Field::col("uploaded_at", Kind::Int, "created_at"),
            Field::doc("wheels_p", Kind::Json),
            Field::doc("wheels", Kind::Json),
            Field::doc("title", Kind::Text),
            Field::doc("blueprint_labels", Kind::Json),
            Field::doc("labels", Kind::Json),
            Field::doc("resource_tags", Kind::Json),
            Field::doc("installation_state", Kind::Json),
            Field::doc("yaml_files_paths", Kind::Json),
            Field::doc("yaml_url_path", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A plugin.
    pub struct Plugin {
        /// Its id.
        pub id: String,
        /// Name of the wagon's file.
        pub archive_name: String,
        /// Distribution it was built on.
        pub distribution: Option<String>,
        /// That distribution's release name.
        pub distribution_release: Option<String>,
        /// That distribution's version.
        pub distribution_version: Option<String>,
        /// Always null.
        pub excluded_wheels_p: Null,
        /// Wheels the wagon lacks on purpose.
        pub excluded_wheels: Option<Json>,
        /// The Python package.
        pub package_name: String,
        /// Where the package came from when the wagon was built.
        pub package_source: Option<String>,
        /// The package's version.
        pub package_version: String,
        /// Always null.
        pub supported_platform_p: Null,
        /// Platform it runs on, as wheels name it; `any` for all.
        pub supported_platform: Option<String>,
        /// Always null.
        pub supported_py_versions_p: Null,
        /// Pythons it runs on: `py311`.
        pub supported_py_versions: Option<Vec<String>>,
        /// Upload.
        pub uploaded_at: String,
        /// Always null.
        pub wheels_p: Null,
        /// Names of its wheels.
        pub wheels: Vec<String>,
        /// What people call it.
        pub title: String,
        /// Labels for blueprints that import it.
        pub blueprint_labels: Option<Json>,
        /// Labels for deployments of such blueprints.
        pub labels: Option<Json>,
        /// Tags for resources of such deployments.
        pub resource_tags: Option<Json>,
        /// Where it is installed, or is to be.
        pub installation_state: Vec<Installation>,
        /// Its YAML files in the resource directory.
        pub yaml_files_paths: Vec<String>,
        /// The import that means exactly this plugin.
        pub yaml_url_path: Option<String>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// The state of a plugin on one manager or agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// `pending-install`, `installing`, `installed`…
    pub state: String,
    /// Why it is `error`.
    pub error: Option<String>,
    /// Host name of the manager.
    pub manager: Option<String>,
    /// Name of the agent.
    pub agent: Option<String>,
}

/// What of a plugin is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Upload; milliseconds since the epoch.
    pub uploaded_at_ms: i64,
}

/// Where the files of a plugin lie.
pub fn directory(id: &str) -> String {
    format!("plugins/{id}")
}

impl Resource for Plugin {
    const VIEW: View = View::Plugins;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.uploaded_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.package_name.as_str()),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let key = match event {
        Event::PluginUploaded(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.id),
        Event::PluginChanged(e) => scoped(&e.tenant, &e.id),
        Event::PluginStateChanged(e) => scoped(&e.tenant, &e.id),
        Event::PluginDeleted(e) => scoped(&e.tenant, &e.id),
        _ => return,
    };
    needs.key(View::Plugins, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::PluginUploaded(e) => {
            let plugin = uploaded(e)?;
            rows.put(&plugin)
        }
        Event::PluginChanged(e) => {
            let mut plugin: Plugin = rows.expect(&scoped(&e.tenant, &e.id))?;
            change(&mut plugin, e)?;
            rows.put(&plugin)
        }
        Event::PluginStateChanged(e) => {
            let mut plugin: Plugin = rows.expect(&scoped(&e.tenant, &e.id))?;
            install(&mut plugin, e);
            rows.put(&plugin)
        }
        Event::PluginDeleted(e) => {
            rows.remove(View::Plugins, &scoped(&e.tenant, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn uploaded(e: &PluginUploaded) -> Result<Plugin, Error> {
    let scope = scope(e.scope.as_ref());
    let directory = directory(&e.id);
    let yaml_files_paths: Vec<String> = e
        .yaml_files
        .iter()
        .map(|name| format!("{directory}/{name}"))
        .collect();
    // clients are told the missing distribution in the reference's language
    let distribution = e.distribution.as_deref().unwrap_or("None");
    let yaml_url_path = (!yaml_files_paths.is_empty()).then(|| {
        format!(
            "plugin:{}?version={}&distribution={distribution}",
            e.package_name, e.package_version
        )
    });
    let mut plugin = Plugin {
        id: e.id.clone(),
        archive_name: e.archive_name.clone(),
        distribution: e.distribution.clone(),
        distribution_release: e.distribution_release.clone(),
        distribution_version: e.distribution_version.clone(),
        excluded_wheels_p: (),
        excluded_wheels: json(&e.excluded_wheels_json)?,
        package_name: e.package_name.clone(),
        package_source: e.package_source.clone(),
        package_version: e.package_version.clone(),
        supported_platform_p: (),
        supported_platform: e.supported_platform.clone(),
        supported_py_versions_p: (),
        supported_py_versions: Some(e.supported_py_versions.clone())
            .filter(|versions| !versions.is_empty()),
        uploaded_at: wire(e.uploaded_at_ms),
        wheels_p: (),
        wheels: e.wheels.clone(),
        title: e.title.clone(),
        blueprint_labels: json(&e.blueprint_labels_json)?,
        labels: json(&e.labels_json)?,
        resource_tags: json(&e.resource_tags_json)?,
        installation_state: Vec::new(),
        yaml_files_paths,
        yaml_url_path,
        own: Own {
            uploaded_at_ms: e.uploaded_at_ms,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    plugin.set_visibility(&scope.visibility);
    Ok(plugin)
}

fn change(plugin: &mut Plugin, e: &PluginChanged) -> Result<(), Error> {
    if let Some(visibility) = &e.visibility {
        plugin.set_visibility(visibility);
    }
    if let Some(created_by) = &e.created_by {
        plugin.created_by.clone_from(created_by);
    }
    for (field, text) in [
        (&mut plugin.labels, &e.labels_json),
        (&mut plugin.blueprint_labels, &e.blueprint_labels_json),
        (&mut plugin.resource_tags, &e.resource_tags_json),
    ] {
        if let Some(text) = text {
            *field = json(text)?;
        }
    }
    Ok(())
}

fn install(plugin: &mut Plugin, e: &PluginStateChanged) {
    let installation = Installation {
        state: e.state.clone(),
        error: e.error.clone(),
        manager: e.manager.clone(),
        agent: e.agent.clone(),
    };
    let known = plugin
        .installation_state
        .iter_mut()
        .find(|known| known.manager == e.manager && known.agent == e.agent);
    match known {
        Some(known) => *known = installation,
        None => plugin.installation_state.push(installation),
    }
}
