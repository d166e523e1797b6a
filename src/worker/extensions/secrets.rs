//! Secrets that components and blueprints bring along: made before anything that may ask for them,
//! deleted with it.
use serde_json::{Value, json};

use super::{Failure, Run, definite, object};

/// The node's property `{key: value}`; the runtime property with the keys that were made.
const SECRETS: &str = "secrets";

impl Run<'_> {
    pub(super) async fn make_secrets(&mut self) -> Result<(), Failure> {
        let wanted = object(Some(&self.property(SECRETS).await?));
        if wanted.is_empty() {
            return Ok(());
        }
        // an earlier run may have ended between any two of them
        let is_begun = self.runtime().await?.contains_key(SECRETS);
        let mut missing = Vec::new();
        for (key, value) in &wanted {
            match self.there.get(&["secrets", key], &[]).await {
                Err(error) if error.is_not_found() => missing.push((key, value)),
                Err(error) => return Err(error.into()),
                Ok(_) if is_begun => {}
                Ok(_) => return definite(format!("there is a secret `{key}` already")),
            }
        }
        if !is_begun {
            let keys: Vec<&String> = wanted.keys().collect();
            self.set(SECRETS, json!(keys)).await?;
            self.note().await?;
        }
        for (key, value) in missing {
            let value = match value {
                Value::String(value) => value.clone(),
                other => other.to_string(),
            };
            let body = json!({ "value": value });
            self.there.put(&["secrets", key], &body).await?;
        }
        Ok(())
    }

    pub(super) async fn take_secrets_away(&mut self) -> Result<(), Failure> {
        let made = self.runtime().await?.get(SECRETS).cloned();
        for key in made.iter().filter_map(Value::as_array).flatten() {
            let key = key.as_str().unwrap_or_default();
            match self.there.delete(&["secrets", key], &Value::Null).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        self.runtime().await?.shift_remove(SECRETS);
        Ok(())
    }
}
