//! Relationships of node templates.

use std::sync::Arc;

use crate::dsl::value::{Map, Value, object};

use super::context::{Context, map, text};
use super::operations::{Finder, Need};
use super::properties;
use super::types::{self, Type, Types};
use super::values::{DataTypes, merge_properties};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

const CONTAINED_IN: &str = "cloudify.relationships.contained_in";
const LIFECYCLE_OPERATION: &str = "cloudify.relationships.depends_on_lifecycle_operation";

/// A relationship of a node, resolved.
#[derive(Debug)]
pub(super) struct Relationship {
    pub target: Arc<str>,
    pub is_containment: bool,
    /// The plugins that its source and its target need for it.
    pub source_plugins: Arc<[Need]>,
    pub target_plugins: Arc<[Need]>,
    pub fields: Value,
}

/// What relationships are read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub context: &'a Context<'a>,
    pub finder: &'a Finder<'a>,
    pub types: &'a Types,
    pub data_types: &'a DataTypes,
}

impl Reader<'_> {
    /// All relationships of one node, in document order.
    pub(super) fn read(
        &self,
        node: &str,
        written: &[Value],
        path: &Path,
    ) -> Result<Vec<Relationship>, Diagnostic> {
        let mut relationships = Vec::with_capacity(written.len());
        for (position, relationship) in written.iter().enumerate() {
            let fields = map(Some(relationship));
            relationships.push(self.one(node, fields, &path.then(position))?);
        }
        let mut containers = relationships
            .iter()
            .filter(|relationship| relationship.is_containment);
        if let (Some(first), Some(second)) = (containers.next(), containers.next()) {
            let message = format!(
                "'{node}' is contained in '{}' and in '{}'",
                first.target, second.target
            );
            return Err(self
                .context
                .logic(112, message, path.clone())
                .expected("one relationship of containment"));
        }
        Ok(relationships)
    }

    fn one(&self, node: &str, fields: &Map, path: &Path) -> Result<Relationship, Diagnostic> {
        let type_name = text(fields, "type").unwrap_or_default();
        let target = text(fields, "target").unwrap_or_default();
        let relationship_type = self.check(node, type_name, target, path)?;
        let given = map(fields.get("properties"));
        let properties = merge_properties(given, &relationship_type.properties, self.data_types)
            .map_err(|misfit| {
                properties::misfit_at(self.context, misfit, &path.then("properties"))
            })?;
        if relationship_type.is_a(LIFECYCLE_OPERATION) {
            self.check_lifecycle_operation(given, target, path)?;
        }
        let side = |(key, position): (&str, usize)| {
            let of_type = relationship_type.interfaces(position);
            self.finder
                .apply(fields.get(key), of_type, 19, &path.then(key))
        };
        let source = side(("source_interfaces", 0))?;
        let target_side = side(("target_interfaces", 1))?;
        let fields = object! {
            "type": type_name,
            "target_id": target,
            "properties": properties,
            "source_interfaces": source.interfaces,
            "target_interfaces": target_side.interfaces,
            "source_operations": source.operations,
            "target_operations": target_side.operations,
            "type_hierarchy": &relationship_type.hierarchy,
        };
        Ok(Relationship {
            target: target.into(),
            is_containment: relationship_type.is_a(CONTAINED_IN),
            source_plugins: source.plugins,
            target_plugins: target_side.plugins,
            fields: Value::Object(fields),
        })
    }

    fn check(
        &self,
        node: &str,
        type_name: &str,
        target: &str,
        path: &Path,
    ) -> Result<&Type, Diagnostic> {
        let templates = self.context.section("node_templates");
        let written = self.context.section(types::RELATIONSHIPS.section);
        if written.get(type_name).is_some_and(Value::is_null) {
            let message = format!("the relationship '{type_name}' has no definition");
            let exception = Exception::Uncontrolled("KeyError");
            return Err(self
                .context
                .diagnostic(exception, None, message, path.then("type"))
                .expected("a map; {} for a type that adds nothing"));
        }
        let Some(relationship_type) = self.types.get(type_name) else {
            let message = format!("there is no relationship '{type_name}'");
            return Err(self
                .context
                .logic(26, message, path.then("type"))
                .did_you_mean(type_name, self.types.keys().map(|name| &**name)));
        };
        if !templates.contains_key(target) {
            let message = format!("there is no node template '{target}'");
            return Err(self
                .context
                .logic(25, message, path.then("target"))
                .did_you_mean(target, templates.names()));
        }
        if target == node {
            let message = format!("'{node}' has a relationship with itself");
            return Err(self.context.logic(23, message, path.then("target")));
        }
        Ok(relationship_type)
    }

    /// The operation waited for must be one the target has.
    fn check_lifecycle_operation(
        &self,
        given: &Map,
        target: &str,
        path: &Path,
    ) -> Result<(), Diagnostic> {
        let Some(operation) = given.get("operation").and_then(Value::as_str) else {
            let message = "the relationship does not say which operation it waits for".to_owned();
            return Err(self
                .context
                .logic(215, message, path.clone())
                .expected("the property 'operation'"));
        };
        let template = map(self.context.section("node_templates").get(target));
        let lifecycle = map(map(template.get("interfaces")).get("cloudify.interfaces.lifecycle"));
        if lifecycle.contains_key(operation) {
            return Ok(());
        }
        let message = format!("'{target}' has no lifecycle operation '{operation}' of its own");
        Err(self
            .context
            .logic(216, message, path.then("properties").then("operation"))
            .did_you_mean(operation, lifecycle.names()))
    }
}
