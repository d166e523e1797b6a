//! What is said of a host's agent, in all the places where something can be said.
use serde_json::{Map, Value};

/// The settings that hold for an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Config(Map<String, Value>);

impl Config {
    /// Takes over what is given; what `extra` says counts as if it stood beside it.
    #[must_use]
    pub(super) fn with(mut self, given: Option<&Value>) -> Self {
        let Some(Value::Object(given)) = given else {
            return self;
        };
        let stated = given.iter().filter(|(name, value)| {
            name.as_str() != "extra" && !value.is_null() && value.as_str() != Some("")
        });
        let stated = stated.map(|(name, value)| (name.clone(), value.clone()));
        self.0.extend(stated);
        match given.get("extra") {
            extra @ Some(Value::Object(_)) => self.with(extra),
            _ => self,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    /// How the agent gets to its host.
    pub(super) fn method(&self) -> &str {
        self.text("install_method").unwrap_or("none")
    }

    /// Whether another host's agent serves this one.
    pub(super) fn is_proxied(&self) -> bool {
        self.get("proxy").is_some_and(Value::is_object)
    }

    pub(super) fn network(&self) -> &str {
        self.text("network").unwrap_or("default")
    }

    /// Whether the agent is not to be given to the host's service manager.
    pub(super) fn is_detached(&self) -> bool {
        let management = self.get("process_management");
        let name = management.and_then(|management| management.get("name"));
        name.and_then(Value::as_str) == Some("detach")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_settings_go_before_earlier_ones_and_empty_ones_say_nothing() {
        let config = Config::default()
            .with(Some(
                &json!({"max_workers": 5, "user": "ubuntu", "port": 22}),
            ))
            .with(Some(
                &json!({"user": "", "port": null, "extra": {"install_dir": "/opt/a"}}),
            ))
            .with(Some(
                &json!({"max_workers": "7", "install_method": "remote"}),
            ))
            .with(None);
        assert_eq!(config.text("user"), Some("ubuntu"));
        assert_eq!(config.number("port"), Some(22));
        assert_eq!(config.number("max_workers"), Some(7));
        assert_eq!(config.text("install_dir"), Some("/opt/a"));
        assert_eq!(config.method(), "remote");
        assert!(!config.is_proxied() && !config.is_detached());
    }
}
