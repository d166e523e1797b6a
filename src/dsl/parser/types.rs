//! Node types and relationship types: properties and interfaces with everything they inherit.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::context::{Context, map, text};
use super::derive;
use super::interfaces::{self, Interfaces, Owner};
use super::properties;
use super::values::DataTypes;
use crate::dsl::diagnostics::{Diagnostic, Path};

/// A node type or a relationship type, complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    pub derived_from: Option<String>,
    pub properties: Map<String, Value>,
    /// Of node types: `interfaces`; of relationships: source and target.
    pub interfaces: Vec<Interfaces>,
    /// Ancestors from the root, and the type itself.
    pub hierarchy: Vec<String>,
}

pub(super) type Types = IndexMap<String, Type>;

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
                types.insert(name.to_owned(), result);
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
        let own = interfaces::read(context, fields.get(*key), owner, &path.then(*key))?;
        let inherited = parent.and_then(|parent| parent.interfaces.get(position));
        all.push(match inherited {
            Some(inherited) => interfaces::inherit(own, inherited),
            None => own,
        });
    }
    let mut hierarchy = parent
        .map(|parent| parent.hierarchy.clone())
        .unwrap_or_default();
    hierarchy.push(name.to_owned());
    let derived_from = text(fields, "derived_from").map(str::to_owned);
    Ok(Type {
        derived_from,
        properties: schema,
        interfaces: all,
        hierarchy,
    })
}

impl Type {
    pub(super) fn interfaces(&self, position: usize) -> &Interfaces {
        static NONE: std::sync::LazyLock<Interfaces> = std::sync::LazyLock::new(Interfaces::new);
        self.interfaces.get(position).unwrap_or(&NONE)
    }

    pub(super) fn is_a(&self, ancestor: &str) -> bool {
        self.hierarchy.iter().any(|name| name == ancestor)
    }
}

/// The `relationships` section of the plan.
pub(super) fn relationships_to_json(types: &Types) -> Value {
    let pairs = types.iter().map(|(name, relationship)| {
        let mut fields = json!({
            "properties": relationship.properties,
            "source_interfaces": interfaces::to_json(relationship.interfaces(0)),
            "target_interfaces": interfaces::to_json(relationship.interfaces(1)),
            "name": name,
            "type_hierarchy": relationship.hierarchy,
        });
        if let (Some(parent), Some(fields)) = (&relationship.derived_from, fields.as_object_mut()) {
            fields.insert("derived_from".to_owned(), parent.as_str().into());
        }
        (name.clone(), fields)
    });
    Value::Object(pairs.collect())
}
