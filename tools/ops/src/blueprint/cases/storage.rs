//! A running deployment as a case records it.

use std::sync::Arc;

use stratalog::dsl::functions::Storage;
use stratalog::dsl::{DslError, Exception, Value};

#[derive(Debug)]
pub(super) struct Recorded {
    recorded: Value,
    nodes: Vec<Arc<Value>>,
    instances: Vec<Arc<Value>>,
}

impl Recorded {
    pub(super) fn new(recorded: Value) -> Self {
        let shared = |key: &str| -> Vec<Arc<Value>> {
            let items = recorded.get(key).and_then(Value::as_array);
            items.into_iter().flatten().cloned().map(Arc::new).collect()
        };
        Self {
            nodes: shared("nodes"),
            instances: shared("node_instances"),
            recorded,
        }
    }

    fn answer(&self, key: &str) -> &Value {
        self.recorded.get(key).unwrap_or(&Value::Null)
    }

    /// The value at the first two steps of a path; what follows is not looked at.
    fn two_steps(&self, key: &str, path: &[Value]) -> Result<Value, DslError> {
        let mut value = self.answer(key);
        for step in path.iter().take(2) {
            let next = step.as_str().and_then(|step| value.get(step));
            value = next.ok_or_else(|| unknown(&step.to_string()))?;
        }
        Ok(value.clone())
    }
}

fn unknown(what: &str) -> DslError {
    let message = format!("there is no {what}");
    DslError::new(Exception::Uncontrolled("KeyError"), None, message)
}

fn of_id<'v>(items: &'v [Arc<Value>], id: &str) -> Option<&'v Arc<Value>> {
    items
        .iter()
        .find(|item| item.get("id").and_then(Value::as_str) == Some(id))
}

impl Storage for Recorded {
    fn input(&self, name: &str) -> Result<Option<Value>, DslError> {
        Ok(self.answer("inputs").get(name).cloned())
    }

    fn node(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        Ok(of_id(&self.nodes, id).cloned())
    }

    fn node_instance(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        Ok(of_id(&self.instances, id).cloned())
    }

    fn node_instances(&self, node_id: &str) -> Result<Vec<Arc<Value>>, DslError> {
        let is_of = |instance: &&Arc<Value>| {
            instance.get("node_id").and_then(Value::as_str) == Some(node_id)
        };
        Ok(self.instances.iter().filter(is_of).cloned().collect())
    }

    fn secret(&self, name: &str) -> Result<Option<Value>, DslError> {
        let secrets = self
            .answer("secrets")
            .as_object()
            .filter(|secrets| !secrets.is_empty());
        Ok(match secrets {
            Some(secrets) => secrets.get(name).cloned(),
            None => Some(format!("{name}_value").into()),
        })
    }

    fn capability(&self, path: &[Value]) -> Result<Value, DslError> {
        self.two_steps("capabilities", path)
    }

    fn group_capability(&self, path: &[Value]) -> Result<Value, DslError> {
        self.two_steps("group_capabilities", path)
    }

    fn label(&self, key: &str) -> Result<Option<Vec<Value>>, DslError> {
        Ok(self
            .answer("labels")
            .get(key)
            .and_then(Value::as_array)
            .map(|values| values.to_vec()))
    }

    fn system(&self, entity: &str, property: &str) -> Result<Value, DslError> {
        match (entity, property) {
            ("deployment", "id") => Ok(self.answer("deployment_id").clone()),
            ("deployment", "name") => Ok(self.answer("deployment_name").clone()),
            _ => Err(unknown(property)),
        }
    }

    fn consumers(&self, property: &str) -> Result<Value, DslError> {
        let consumers = self
            .answer("consumers")
            .as_object()
            .cloned()
            .unwrap_or_default();
        Ok(match property {
            "count" => consumers.len().into(),
            "ids" => consumers.keys().cloned().collect(),
            _ => consumers.into_iter().map(|(_, name)| name).collect(),
        })
    }
}
