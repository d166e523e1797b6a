//! `groups`, `policies`, `policy_types` and `policy_triggers`.

use crate::dsl::value::{List, Map, Value, object};

use super::context::{Context, map, or_null, text};
use super::values::{DataTypes, merge_properties};
use super::{properties, scalable};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// The policy sections of the plan.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub policy_types: Map,
    pub policy_triggers: Map,
    pub groups: Map,
    pub policies: Map,
}

pub(super) fn read(context: &Context<'_>, data_types: &DataTypes) -> Policies {
    let policy_types = schemas(context, "policy_types", "properties", data_types);
    let policy_triggers = schemas(context, "policy_triggers", "parameters", data_types);
    let reader = Reader {
        context,
        data_types,
        types: &policy_types,
        triggers: &policy_triggers,
    };
    let mut groups = Map::new();
    for (name, fields) in context.section("groups") {
        if let Some(group) = context.take(reader.group(name, map(Some(fields)))) {
            groups.insert(name.clone(), group);
        }
    }
    let mut policies = Map::new();
    for (name, fields) in context.section("policies") {
        if let Some(policy) = context.take(policy(context, name, map(Some(fields)))) {
            policies.insert(name.clone(), policy);
        }
    }
    Policies {
        policy_types,
        policy_triggers,
        groups,
        policies,
    }
}

/// A section of types that have a source and a schema.
fn schemas(context: &Context<'_>, section: &str, key: &str, data_types: &DataTypes) -> Map {
    let mut result = Map::new();
    for (name, fields) in context.section(section) {
        let fields = map(Some(fields));
        let path = Path::from([section, name, key]);
        let schema = properties::read(context, map(fields.get(key)), data_types, &path);
        if let Some(schema) = context.take(schema) {
            let item = Value::Object(object! { key: schema, "source": or_null(fields, "source") });
            result.insert(name.clone(), item);
        }
    }
    result
}

struct Reader<'a> {
    context: &'a Context<'a>,
    data_types: &'a DataTypes,
    types: &'a Map,
    triggers: &'a Map,
}

impl Reader<'_> {
    fn group(&self, name: &str, fields: &Map) -> Result<Value, Diagnostic> {
        let path = Path::from(["groups", name]);
        let templates = self.context.section("node_templates");
        if templates.contains_key(name) {
            let message = format!("the group '{name}' has the name of a node template");
            return Err(self
                .context
                .logic(211, message, path)
                .expected("another name"));
        }
        let members = self.members(fields, &path.then("members"))?;
        let mut policies = Map::new();
        let below = path.then("policies");
        for (name, fields) in map(fields.get("policies")) {
            let policy = self.group_policy(map(Some(fields)), &below.then(name))?;
            policies.insert(name.clone(), policy);
        }
        Ok(Value::Object(
            object! { "members": members, "policies": policies },
        ))
    }

    fn members(&self, fields: &Map, path: &Path) -> Result<Vec<Value>, Diagnostic> {
        let templates = self.context.section("node_templates");
        let groups = self.context.section("groups");
        let written = fields.get("members").and_then(Value::as_array);
        let written = written.map_or(&[][..], List::as_slice);
        if written.is_empty() {
            let message = "the group has no members".to_owned();
            return Err(self
                .context
                .diagnostic(Exception::Format, 1, message, path.clone())
                .expected("at least one node template or group"));
        }
        let mut members: Vec<Value> = Vec::with_capacity(written.len());
        for (position, member) in written.iter().enumerate() {
            let name = member.as_str().unwrap_or_default();
            if !templates.contains_key(name) && !groups.contains_key(name) {
                let message = format!("the member '{name}' is neither a node template nor a group");
                let known = templates.names().chain(groups.names());
                return Err(self
                    .context
                    .logic(40, message, path.then(position))
                    .did_you_mean(name, known));
            }
            if !members.contains(member) {
                members.push(member.clone());
            }
        }
        Ok(members)
    }

    fn group_policy(&self, fields: &Map, path: &Path) -> Result<Value, Diagnostic> {
        let type_name = text(fields, "type").unwrap_or_default();
        let Some(policy_type) = self.types.get(type_name) else {
            let message = format!("there is no policy type '{type_name}'");
            return Err(self
                .context
                .logic(41, message, path.then("type"))
                .did_you_mean(type_name, self.types.names()));
        };
        let properties = self.merge(fields, "properties", policy_type, path)?;
        let mut triggers = Map::new();
        let below = path.then("triggers");
        for (name, fields) in map(fields.get("triggers")) {
            let trigger = self.trigger(map(Some(fields)), &below.then(name))?;
            triggers.insert(name.clone(), trigger);
        }
        Ok(Value::Object(
            object! { "type": type_name, "properties": properties, "triggers": triggers },
        ))
    }

    fn trigger(&self, fields: &Map, path: &Path) -> Result<Value, Diagnostic> {
        let type_name = text(fields, "type").unwrap_or_default();
        let Some(trigger) = self.triggers.get(type_name) else {
            let message = format!("there is no policy trigger '{type_name}'");
            return Err(self
                .context
                .logic(42, message, path.then("type"))
                .did_you_mean(type_name, self.triggers.names()));
        };
        let parameters = self.merge(fields, "parameters", trigger, path)?;
        Ok(Value::Object(
            object! { "type": type_name, "parameters": parameters },
        ))
    }

    fn merge(
        &self,
        fields: &Map,
        key: &str,
        definition: &Value,
        path: &Path,
    ) -> Result<Map, Diagnostic> {
        let schema = map(map(Some(definition)).get(key));
        merge_properties(map(fields.get(key)), schema, self.data_types)
            .map_err(|misfit| properties::misfit_at(self.context, misfit, &path.then(key)))
    }
}

const SCALING: &str = "cloudify.policies.scaling";

fn policy(context: &Context<'_>, name: &str, fields: &Map) -> Result<Value, Diagnostic> {
    let path = Path::from(["policies", name]);
    let type_name = text(fields, "type").unwrap_or_default();
    if type_name != SCALING {
        let message = format!("'{type_name}' is not a type of policies");
        return Err(context
            .logic(204, message, path.then("type"))
            .expected(SCALING)
            .did_you_mean(type_name, [SCALING]));
    }
    let targets = fields.get("targets").and_then(Value::as_array);
    let targets = targets.map_or(&[][..], List::as_slice);
    if targets.is_empty() {
        let message = "the policy has no targets".to_owned();
        return Err(context
            .logic(206, message, path.then("targets"))
            .expected("groups"));
    }
    let groups = context.section("groups");
    for (position, target) in targets.iter().enumerate() {
        let target = target.as_str().unwrap_or_default();
        if !groups.contains_key(target) {
            let message = format!("there is no group '{target}'");
            return Err(context
                .logic(205, message, path.then("targets").then(position))
                .did_you_mean(target, groups.names()));
        }
    }
    let written = fields.get("properties").and_then(Value::as_object);
    let properties = scalable::properties_of(context, written, &path.then("properties"))?;
    Ok(Value::Object(
        object! { "type": type_name, "properties": properties, "targets": targets },
    ))
}
