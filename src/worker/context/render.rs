//! Templates: downloaded resources with `{{ … }}` in them.
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value, json};

use super::{Context, ContextError, Side};

const CONTEXT: &str = "ctx";

impl Context {
    /// Renders like Jinja2 with `ctx` and the given variables. Only what has template marks is
    /// touched.
    pub(super) async fn render(
        &mut self,
        content: &[u8],
        variables: Option<&Value>,
    ) -> Result<Vec<u8>, ContextError> {
        let mut variables = variables
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if variables.contains_key(CONTEXT) {
            let text = "Key not allowed - a key named ctx is in template_variables";
            return Err(ContextError::definite(text));
        }
        let Ok(template) = std::str::from_utf8(content) else {
            return Ok(content.to_vec());
        };
        if !["{{", "{%", "{#"]
            .iter()
            .any(|mark| template.contains(mark))
        {
            return Ok(content.to_vec());
        }
        if template.contains(CONTEXT) {
            variables.insert(CONTEXT.to_owned(), self.snapshot().await?);
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let rendered = environment.render_str(template, variables);
        let failed = |error: minijinja::Error| ContextError {
            kind: "TemplateError",
            message: error.to_string(),
        };
        Ok(rendered.map_err(failed)?.into_bytes())
    }

    /// The context as plain values.
    async fn snapshot(&mut self) -> Result<Value, ContextError> {
        let task = self.task.clone();
        let mut fields: Map<String, Value> = task.raw_context.clone();
        let context = &task.context;
        fields.insert("type".to_owned(), json!(self.kind()));
        fields.insert("tenant_name".to_owned(), json!(context.tenant.name));
        fields.insert("blueprint".to_owned(), json!({"id": context.blueprint_id}));
        fields.insert("deployment".to_owned(), self.deployment_fields());
        if self.subjects.contains_key(&Side::Own) {
            let subject = self.subject_fields(Side::Own).await?;
            for name in ["node", "instance"] {
                fields.insert(
                    name.to_owned(),
                    subject.get(name).cloned().unwrap_or_default(),
                );
            }
        }
        for (side, name) in [(Side::Source, "source"), (Side::Target, "target")] {
            if self.subjects.contains_key(&side) {
                fields.insert(name.to_owned(), self.subject_fields(side).await?);
            }
        }
        Ok(Value::Object(fields))
    }

    async fn subject_fields(&mut self, side: Side) -> Result<Value, ContextError> {
        let node = self.node(side).await?.clone();
        let subject = self.subject(side)?;
        let (id, name) = (subject.instance_id.clone(), subject.node_name.clone());
        let instance = self.instance(side).await?;
        Ok(json!({
            "node": {
                "id": name, "name": name,
                "properties": node.get("properties"),
                "type": node.get("type"), "type_hierarchy": node.get("type_hierarchy"),
                "number_of_instances": node.get("number_of_instances"),
            },
            "instance": {
                "id": id,
                "runtime_properties": instance.properties,
                "index": instance.fields.get("index"),
                "relationships": instance.fields.get("relationships"),
            },
        }))
    }

    pub(super) fn deployment_fields(&self) -> Value {
        let context = &self.task.context;
        json!({
            "id": context.deployment_id,
            "tenant_name": context.tenant.name,
            "display_name": context.deployment_display_name,
            "creator": context.deployment_creator,
            "resource_tags": context.deployment_resource_tags,
            "runtime_only_evaluation":
                self.task.raw_context.get("runtime_only_evaluation").cloned().unwrap_or_default(),
        })
    }
}
