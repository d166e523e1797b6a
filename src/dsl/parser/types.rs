//! Node types and relationship types: properties and interfaces with everything they inherit.

use std::collections::HashSet;
use std::sync::Arc;

use crate::dsl::value::{List, Map, Value, object};
use indexmap::IndexMap;

use super::context::{Context, map, text};
use super::derive;
use super::interfaces::{self, OfType, Owner};
use super::properties;
use super::values::DataTypes;
use crate::dsl::diagnostics::{Diagnostic, Path};

/// A node type or a relationship type, complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    pub derived_from: Option<String>,
    pub properties: Map,
    /// Of node types: `interfaces`; of relationships: source and target.
    pub interfaces: Vec<OfType>,
    /// Ancestors from the root, and the type itself.
    pub hierarchy: List,
}

pub(super) type Types = IndexMap<Arc<str>, Type>;

/// Which section, and under which keys its types keep interfaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub section: &'static str,
    pub interfaces: &'static [&'static str],
}

pub(super) const NODE_TYPES: Kind = Kind {
    section: "node_types",
    interfaces: &["interfaces"],
};
pub(super) const RELATIONSHIPS: Kind = Kind {
    section: "relationships",
    interfaces: &["source_interfaces", "target_interfaces"],
};

/// Reads all types of a section. What is wrong with one is reported, and the type left out with its
/// descendants.
pub(super) fn read(
    context: &Context<'_>,
    kind: Kind,
    data_types: &DataTypes,
) -> Result<Types, Diagnostic> {
    let written = context.section(kind.section);
    let parents = |fields| text(fields, "derived_from").into_iter().collect();
    let mut types = Types::with_capacity(written.len());
    let mut broken = HashSet::new();
    for name in derive::order(context, kind.section, written, parents)? {
        let parent = derive::parent(context, kind.section, name, written);
        let result = parent.and_then(|parent| match parent {
            Some(parent) if broken.contains(parent) => Ok(None),
            parent => {
                let parent = parent.and_then(|parent| types.get(parent));
                one(context, kind, name, parent, data_types).map(Some)
            }
        });
        match result {
            Ok(Some(result)) => {
                types.insert(name.into(), result);
            }
            Ok(None) => {
                broken.insert(name);
            }
            Err(diagnostic) => {
                context.report(diagnostic);
                broken.insert(name);
            }
        }
    }
    Ok(types)
}

fn one(
    context: &Context<'_>,
    kind: Kind,
    name: &str,
    parent: Option<&Type>,
    data_types: &DataTypes,
) -> Result<Type, Diagnostic> {
    let path = Path::from([kind.section, name]);
    let fields = map(context.section(kind.section).get(name));
    let written = map(fields.get("properties"));
    let mut schema = properties::read(context, written, data_types, &path.then("properties"))?;
    if let Some(parent) = parent {
        schema = properties::inherit(schema, written, &parent.properties, data_types);
    }
    // Nothing reads them, but they must be sound.
    let runtime = map(fields.get("runtime_properties"));
    properties::read(
        context,
        runtime,
        data_types,
        &path.then("runtime_properties"),
    )?;
    let mut all = Vec::with_capacity(kind.interfaces.len());
    for (position, key) in kind.interfaces.iter().enumerate() {
        let owner = Owner::Type(data_types);
        let own = interfaces::read(context, fields.get(key), owner, &path.then(*key))?;
        let inherited = parent.and_then(|parent| parent.interfaces.get(position));
        let interfaces = match inherited {
            Some(inherited) => interfaces::inherit(own, &inherited.interfaces),
            None => own,
        };
        all.push(OfType {
            interfaces,
            ..OfType::default()
        });
    }
    let mut hierarchy = parent
        .map(|parent| parent.hierarchy.clone())
        .unwrap_or_default();
    hierarchy.push(name.into());
    let derived_from = text(fields, "derived_from").map(str::to_owned);
    Ok(Type {
        derived_from,
        properties: schema,
        interfaces: all,
        hierarchy,
    })
}

impl Type {
    /// The interfaces under one of the keys of the kind of type.
    pub(super) fn interfaces(&self, position: usize) -> &OfType {
        &self.interfaces[position]
    }

    pub(super) fn is_a(&self, ancestor: &str) -> bool {
        self.hierarchy
            .iter()
            .any(|name| name.as_str() == Some(ancestor))
    }
}

/// The `relationships` section of the plan.
pub(super) fn relationships_to_json(types: &Types) -> Value {
    let pairs = types.iter().map(|(name, relationship)| {
        let mut fields = Value::Object(object! {
            "properties": &relationship.properties,
            "source_interfaces": interfaces::to_value(&relationship.interfaces(0).interfaces),
            "target_interfaces": interfaces::to_value(&relationship.interfaces(1).interfaces),
            "name": name,
            "type_hierarchy": &relationship.hierarchy,
        });
        if let (Some(parent), Some(fields)) = (&relationship.derived_from, fields.as_object_mut()) {
            fields.insert("derived_from", parent.as_str().into());
        }
        (name.clone(), fields)
    });
    Value::Object(pairs.collect())
}
