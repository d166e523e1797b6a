//! Whether the deployments behind instances are still what is said of them.
//!
//! The answer of a check names what is not (`{client, capabilities, deployment, blueprint}`); null
//! is no drift.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Failure, Run, flag, object, text};

/// What of a component is no longer what is said of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Drift {
    /// It is with another manager or tenant than the property `client` says.
    pub(super) client: bool,
    /// Keys of capabilities.
    pub(super) capabilities: Vec<String>,
    /// `id`, `labels`, `inputs`.
    pub(super) deployment: Vec<&'static str>,
    /// `id`, `labels`.
    pub(super) blueprint: Vec<&'static str>,
}

impl Drift {
    fn answer(self) -> Value {
        let mut answer = Map::new();
        if self.client {
            answer.insert("client".to_owned(), true.into());
        }
        if !self.capabilities.is_empty() {
            answer.insert("capabilities".to_owned(), json!(self.capabilities));
        }
        for (name, parts) in [
            ("deployment", self.deployment),
            ("blueprint", self.blueprint),
        ] {
            if !parts.is_empty() {
                answer.insert(name.to_owned(), json!(parts));
            }
        }
        match answer.is_empty() {
            true => Value::Null,
            false => Value::Object(answer),
        }
    }
}

impl Run<'_> {
    /// The deployment looks after itself first; then it is compared with what is said of it.
    pub(super) async fn check_component_drift(&mut self) -> Result<Value, Failure> {
        let mut drift = self.moved().await?;
        if !drift.client {
            let id = self.require_deployment_id().await?;
            self.look_after(&id, ("check_drift", Map::new())).await?;
            drift = self.component_drift(&id).await?;
        }
        Ok(drift.answer())
    }

    /// As a component, but nobody says what a shared deployment is to be like.
    pub(super) async fn check_shared_drift(&mut self) -> Result<Value, Failure> {
        let mut drift = self.moved().await?;
        if !drift.client {
            let id = self.require_deployment_id().await?;
            self.look_after(&id, ("check_drift", Map::new())).await?;
            let wanted = self.config("deployment").await?;
            if text(&wanted, "id").is_some_and(|wanted| wanted != id) {
                drift.deployment.push("id");
            }
            drift.capabilities = self.changed_capabilities(&id).await?;
        }
        Ok(drift.answer())
    }

    /// Nothing can be asked of a deployment that was made elsewhere.
    pub(super) async fn moved(&mut self) -> Result<Drift, Failure> {
        let noted = self.runtime().await?.get(super::MANAGER).cloned();
        let noted = noted.as_ref().and_then(Value::as_object);
        Ok(Drift {
            client: noted != self.external.as_ref(),
            ..Drift::default()
        })
    }

    /// Compares a component with what is said of it.
    pub(super) async fn component_drift(&mut self, id: &str) -> Result<Drift, Failure> {
        let found = self.require_deployment(id).await?;
        let mut drift = Drift {
            capabilities: self.changed_capabilities(id).await?,
            ..Drift::default()
        };
        let wanted = self.config("deployment").await?;
        if text(&wanted, "id").is_some_and(|name| !is_called(id, name, &wanted)) {
            drift.deployment.push("id");
        }
        if flag(&wanted, "external_resource") {
            // somebody else says what it is to be like
            return Ok(drift);
        }
        if lacks_labels(&found, wanted.get("labels")) {
            drift.deployment.push("labels");
        }
        let inputs = object(found.get("inputs"));
        let mut asked = object(wanted.get("inputs")).into_iter();
        if asked.any(|(name, value)| inputs.get(&name) != Some(&value)) {
            drift.deployment.push("inputs");
        }
        drift.blueprint = self.blueprint_drift(&found).await?;
        Ok(drift)
    }

    async fn blueprint_drift(&mut self, deployment: &Value) -> Result<Vec<&'static str>, Failure> {
        let wanted = self.config("blueprint").await?;
        let mut drift = Vec::new();
        let used = deployment.get("blueprint_id").and_then(Value::as_str);
        let used = used.unwrap_or_default();
        if text(&wanted, "id").is_some_and(|wanted| wanted != used) {
            drift.push("id");
        }
        let labels = wanted.get("labels");
        if !flag(&wanted, "external_resource") && labels.is_some_and(super::is_given) {
            let found = self.there.get(&["blueprints", used], &[]).await?;
            if lacks_labels(&found, labels) {
                drift.push("labels");
            }
        }
        Ok(drift)
    }

    /// Keys of capabilities that are not what they were when they were last taken over.
    async fn changed_capabilities(&mut self, id: &str) -> Result<Vec<String>, Failure> {
        let path = ["deployments", id, "capabilities"];
        let now = self.there.get(&path, &[]).await?;
        let now = object(now.get("capabilities"));
        let before = object(self.runtime().await?.get("capabilities"));
        let keys: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        let changed = keys
            .into_iter()
            .filter(|key| now.get(*key) != before.get(*key));
        Ok(changed.cloned().collect())
    }
}

/// Whether a deployment goes by a name, with a suffix where it was to get one.
fn is_called(id: &str, name: &str, config: &Map<String, Value>) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    id == name
        || flag(config, "auto_inc_suffix")
            && id
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(is_number)
}

/// Labels as they are asked for (`[{key: value}, {key: [values]}]`, or with `key` and `value`),
/// one by one. Keys are kept in lower case.
pub(super) fn asked_labels(labels: Option<&Value>) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for label in labels.and_then(Value::as_array).into_iter().flatten() {
        let label = object(Some(label));
        if let (Some(key), Some(value)) = (text(&label, "key"), text(&label, "value")) {
            asked.push((key.to_lowercase(), value.to_owned()));
            continue;
        }
        for (key, values) in &label {
            let values = match values {
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            let values = values.iter().filter_map(Value::as_str);
            asked.extend(values.map(|value| (key.to_lowercase(), value.to_owned())));
        }
    }
    asked
}

fn lacks_labels(found: &Value, asked: Option<&Value>) -> bool {
    let has = asked_labels(found.get("labels"));
    asked_labels(asked).iter().any(|label| !has.contains(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_in_all_ways_of_writing_them() {
        let labels = json!([
            {"Colour": "green"}, {"size": ["1", "2"]}, {"key": "shape", "value": "round"},
        ]);
        let expected = [
            ("colour", "green"),
            ("size", "1"),
            ("size", "2"),
            ("shape", "round"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(asked_labels(Some(&labels)), expected);
        assert!(lacks_labels(&json!({"labels": []}), Some(&labels)));
        assert!(!lacks_labels(&json!({ "labels": labels }), Some(&labels)));
    }

    #[test]
    fn a_suffix_is_part_of_a_name_only_where_it_was_asked_for() {
        let with = object(Some(&json!({"auto_inc_suffix": true})));
        assert!(is_called("part-3", "part", &with));
        assert!(!is_called("part-three", "part", &with));
        assert!(!is_called("party-3", "part", &with));
        assert!(!is_called("part-3", "part", &Map::new()));
    }

    #[test]
    fn no_drift_is_null() {
        assert_eq!(Drift::default().answer(), Value::Null);
        let drift = Drift {
            client: true,
            deployment: vec!["inputs"],
            ..Drift::default()
        };
        let expected = json!({"client": true, "deployment": ["inputs"]});
        assert_eq!(drift.answer(), expected);
    }
}
