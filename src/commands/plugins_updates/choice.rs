//! Which version of each plugin an update is to come to.
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    dsl::{self, Plan, imports::Version},
    error::Error,
};

/// What somebody asks for. Nothing at all means the newest versions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wishes {
    /// Only these plugins; all when empty.
    pub(crate) plugin_names: Option<BTreeSet<String>>,
    /// Plugins that come to their newest version.
    pub(crate) to_latest: Option<BTreeSet<String>>,
    /// All come to their newest version.
    pub(crate) all_to_latest: Option<bool>,
    /// Plugins that come to the newest version of their major one.
    pub(crate) to_minor: Option<BTreeSet<String>>,
    /// All come to the newest version of their major one.
    pub(crate) all_to_minor: Option<bool>,
    /// `{updates: [{plugin_name, suggested_version}]}`: these versions whatever else is asked for.
    pub(crate) mapping: Option<Map<String, Value>>,
}

/// The wishes against what a blueprint has now.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    wishes: Wishes,
    mapped: BTreeMap<String, String>,
    /// Versions of packages in the blueprint's plan.
    present: BTreeMap<String, String>,
}

impl Choice {
    /// # Errors
    /// 400 for a mapping of another shape.
    pub(crate) fn new(wishes: Wishes, plan: &Plan) -> Result<Self, Error> {
        let mapped = mapped(wishes.mapping.as_ref())?;
        Ok(Self {
            wishes,
            mapped,
            present: packages(plan),
        })
    }

    /// The version an import is to mean, among those that are there; `None`: whatever it says.
    pub(crate) fn version<'v>(
        &self,
        package: &str,
        there: impl Iterator<Item = &'v str> + Clone,
    ) -> Option<String> {
        if let Some(version) = self.mapped.get(package) {
            return Some(version.clone());
        }
        let present = self.present.get(package);
        let is_among = |names: &Option<BTreeSet<String>>| {
            names.as_ref().is_some_and(|names| names.contains(package))
        };
        let names = self.wishes.plugin_names.as_ref();
        let is_meant = names.is_none_or(|names| names.is_empty() || names.contains(package));
        let to_minor = is_among(&self.wishes.to_minor) || self.wishes.all_to_minor == Some(true);
        let to_latest = is_among(&self.wishes.to_latest) || self.all_to_latest();
        let newest = |admits: &dyn Fn(&Version) -> bool| {
            let versions = there
                .clone()
                .filter_map(|text| Some((Version::parse(text)?, text)));
            let newest = versions.filter(|(version, _)| admits(version)).max();
            newest.map(|(_, text)| text.to_owned())
        };
        let chosen = match (is_meant, present.and_then(|text| Version::parse(text))) {
            (true, _) if to_latest => newest(&|_| true),
            (true, Some(present)) if to_minor => {
                newest(&|version| version.major() == present.major())
            }
            _ => None,
        };
        chosen.or_else(|| present.cloned())
    }

    fn all_to_latest(&self) -> bool {
        let is_empty =
            |names: &Option<BTreeSet<String>>| names.as_ref().is_none_or(BTreeSet::is_empty);
        let says_nothing = is_empty(&self.wishes.to_latest)
            && is_empty(&self.wishes.to_minor)
            && self.wishes.all_to_minor != Some(true);
        self.wishes.all_to_latest.unwrap_or(says_nothing)
    }

    /// Whether a plan has the same packages in the same versions as before.
    pub(crate) fn is_present(&self, plan: &Plan) -> bool {
        packages(plan) == self.present
    }
}

fn mapped(mapping: Option<&Map<String, Value>>) -> Result<BTreeMap<String, String>, Error> {
    let updates = mapping.and_then(|mapping| mapping.get("updates"));
    let updates = match updates {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Array(updates)) => updates,
        Some(_) => return Err(malformed()),
    };
    let one = |update: &Value| {
        let text = |key: &str| update.get(key)?.as_str().map(str::to_owned);
        Some((text("plugin_name")?, text("suggested_version")?))
    };
    updates
        .iter()
        .map(|update| one(update).ok_or_else(malformed))
        .collect()
}

fn malformed() -> Error {
    Error::bad_parameters(
        "The mapping must be {updates: [{plugin_name: …, suggested_version: …}, …]}",
    )
}

/// The packages of the plugins a plan installs, with their versions.
fn packages(plan: &Plan) -> BTreeMap<String, String> {
    let sections = [
        "deployment_plugins_to_install",
        "workflow_plugins_to_install",
        "host_agent_plugins_to_install",
    ];
    let own = sections.iter().filter_map(|name| plan.section(name));
    let of_nodes = plan.nodes().iter().filter_map(|node| node.get("plugins"));
    own.chain(of_nodes)
        .filter_map(dsl::Value::as_array)
        .flatten()
        .filter_map(|plugin| {
            let text = |key: &str| plugin.get(key)?.as_str().map(str::to_owned);
            Some((text("package_name")?, text("package_version")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    //! Which versions are chosen.
    use serde_json::json;

    use super::*;

    fn choice(wishes: Value) -> Choice {
        let plan = json!({"deployment_plugins_to_install": [
            {"package_name": "tool", "package_version": "1.2"},
        ]});
        let plan: dsl::Map = serde_json::from_value(plan).unwrap();
        Choice::new(serde_json::from_value(wishes).unwrap(), &Plan::new(plan)).unwrap()
    }

    #[test]
    fn the_newest_the_newest_of_the_major_version_or_the_present() {
        let there = ["1.2", "1.10", "1.9", "2.0"];
        for (wishes, expected) in [
            (json!({}), "2.0"),
            (json!({"all_to_latest": true}), "2.0"),
            (
                json!({"all_to_minor": true, "all_to_latest": false}),
                "1.10",
            ),
            (json!({"to_minor": ["tool"]}), "1.10"),
            (json!({"to_minor": ["other"]}), "1.2"),
            (
                json!({"plugin_names": ["other"], "all_to_latest": true}),
                "1.2",
            ),
            (
                json!({"mapping": {"updates": [
                    {"plugin_name": "tool", "suggested_version": "1.9"},
                ]}}),
                "1.9",
            ),
        ] {
            let chosen = choice(wishes.clone()).version("tool", there.into_iter());
            assert_eq!(chosen.as_deref(), Some(expected), "{wishes}");
        }
        let unknown = choice(json!({"all_to_minor": true})).version("new", there.into_iter());
        assert_eq!(unknown, None);
    }
}
