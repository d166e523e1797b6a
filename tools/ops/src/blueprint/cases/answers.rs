//! What a manager would know in a case: secrets, and values of object-typed inputs.

use stratalog::dsl::constraints::ValuesGetter;
use stratalog::dsl::planner::Getters;
use stratalog::dsl::{DslError, Map, Value};

#[derive(Debug)]
pub(super) struct Answers {
    /// Names that are no secrets; without the list secrets cannot be asked for.
    missing: Option<Vec<Value>>,
    values: Option<Values>,
}

#[derive(Debug)]
struct Values {
    has_blueprint_id: bool,
    has_deployment_id: bool,
    values: Map,
}

impl Answers {
    pub(super) fn new(secrets: Option<&Value>, values: Option<&Value>) -> Self {
        let missing = secrets.filter(|secrets| !secrets.is_null()).map(|secrets| {
            secrets
                .get("missing")
                .and_then(Value::as_array)
                .map(|names| names.to_vec())
                .unwrap_or_default()
        });
        let values = values.filter(|values| !values.is_null()).map(|values| {
            let flag = |name: &str| values.get(name).and_then(Value::as_bool).unwrap_or(false);
            Values {
                has_blueprint_id: flag("has_blueprint_id"),
                has_deployment_id: flag("has_deployment_id"),
                values: values
                    .get("values")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default(),
            }
        });
        Self { missing, values }
    }
}

impl Getters for Answers {
    fn has_secret(&self, name: &str) -> Option<Result<bool, DslError>> {
        let missing = self.missing.as_ref()?;
        Some(Ok(!missing
            .iter()
            .any(|known| known.as_str() == Some(name))))
    }

    fn values(&self) -> Option<&dyn ValuesGetter> {
        self.values
            .as_ref()
            .map(|values| values as &dyn ValuesGetter)
    }
}

impl ValuesGetter for Values {
    fn has_blueprint_id(&self) -> bool {
        self.has_blueprint_id
    }

    fn has_deployment_id(&self) -> bool {
        self.has_deployment_id
    }

    fn get(&self, declared: &str, _value: &Value, _query: &Map) -> Result<Vec<Value>, DslError> {
        Ok(self
            .values
            .get(declared)
            .and_then(Value::as_array)
            .map(|values| values.to_vec())
            .unwrap_or_default())
    }
}
