//! What a namespace does to an imported file: names of items and references to them get its prefix.

use std::collections::HashSet;
use std::sync::Arc;

use crate::dsl::parser::is_primitive_type;
use crate::dsl::yaml::{Entry, Key, Kind, Mapping, Node};

/// How a value at some place of a file takes a prefix.
enum Shape {
    /// Untouched.
    Keep,
    /// A free value: functions in it refer to inputs and nodes by name.
    Leaf,
    /// A reference, when it is a string.
    Name,
    /// A reference when it is a string, a free value otherwise.
    NameOrLeaf,
    /// A map whose keys are names of items.
    Items(&'static Shape),
    /// A map whose keys stay.
    Map(&'static Shape),
    List(&'static Shape),
    /// A map of known keys; others stay.
    Fields(&'static [(&'static str, Shape)]),
    /// A reference when it is a string, a map of known keys otherwise.
    NameOrFields(&'static [(&'static str, Shape)]),
}

const SCHEMA: Shape = Shape::Fields(&[("type", Shape::Name), ("default", Shape::Leaf)]);
const SCHEMAS: Shape = Shape::Map(&SCHEMA);

const TYPE_INTERFACES: Shape = Shape::Map(&Shape::Map(&Shape::NameOrFields(&[
    ("implementation", Shape::Name),
    ("inputs", SCHEMAS),
])));

const TEMPLATE_INTERFACES: Shape = Shape::Map(&Shape::Map(&Shape::NameOrFields(&[
    ("implementation", Shape::Name),
    ("inputs", Shape::Leaf),
])));

const RELATIONSHIPS: Shape = Shape::List(&Shape::Fields(&[
    ("type", Shape::Name),
    ("target", Shape::Name),
    ("properties", Shape::Leaf),
    ("source_interfaces", TEMPLATE_INTERFACES),
    ("target_interfaces", TEMPLATE_INTERFACES),
]));

const TRIGGERS: Shape = Shape::Items(&Shape::Fields(&[
    ("type", Shape::Name),
    ("parameters", Shape::Leaf),
]));

const GROUP_POLICIES: Shape = Shape::Items(&Shape::Fields(&[
    ("type", Shape::Name),
    ("properties", Shape::Leaf),
    ("triggers", TRIGGERS),
]));

fn section(name: &str) -> &'static Shape {
    match name {
        "inputs" => &Shape::Items(&SCHEMA),
        "node_types" => &Shape::Items(&Shape::Fields(&[
            ("derived_from", Shape::Name),
            ("properties", SCHEMAS),
            ("runtime_properties", SCHEMAS),
            ("interfaces", TYPE_INTERFACES),
        ])),
        "relationships" => &Shape::Items(&Shape::Fields(&[
            ("derived_from", Shape::Name),
            ("properties", SCHEMAS),
            ("source_interfaces", TYPE_INTERFACES),
            ("target_interfaces", TYPE_INTERFACES),
        ])),
        "data_types" => &Shape::Items(&Shape::Fields(&[
            ("derived_from", Shape::Name),
            ("properties", SCHEMAS),
            ("description", Shape::Name),
            ("version", Shape::Name),
        ])),
        "node_templates" => &Shape::Items(&Shape::Fields(&[
            ("type", Shape::Name),
            ("properties", Shape::Leaf),
            ("capabilities", Shape::Leaf),
            ("interfaces", TEMPLATE_INTERFACES),
            ("relationships", RELATIONSHIPS),
        ])),
        "plugins" => &Shape::Items(&Shape::Fields(&[(
            "properties",
            Shape::Items(&Shape::Keep),
        )])),
        "workflows" => &Shape::Items(&Shape::NameOrFields(&[
            ("mapping", Shape::Name),
            ("parameters", SCHEMAS),
        ])),
        "policy_types" => &Shape::Items(&Shape::Fields(&[("properties", SCHEMAS)])),
        "policy_triggers" => &Shape::Items(&Shape::Fields(&[("parameters", SCHEMAS)])),
        "groups" => &Shape::Items(&Shape::Fields(&[
            ("members", Shape::List(&Shape::Name)),
            ("policies", GROUP_POLICIES),
        ])),
        "policies" => &Shape::Items(&Shape::Fields(&[
            ("type", Shape::Name),
            ("targets", Shape::List(&Shape::Name)),
            ("properties", Shape::Leaf),
        ])),
        "outputs" | "capabilities" => {
            &Shape::Items(&Shape::Fields(&[("value", Shape::NameOrLeaf)]))
        }
        "resource_tags" => &Shape::Items(&Shape::Name),
        "labels" | "blueprint_labels" | "metadata" | "deployment_settings" => {
            &Shape::Items(&Shape::Keep)
        }
        _ => &Shape::Keep,
    }
}

/// The file with every name under the namespace; items listed as basic stay.
pub(super) fn apply(root: &Node, namespace: &str, basic: &HashSet<(Arc<str>, Arc<str>)>) -> Node {
    let Some(sections) = root.as_map() else {
        return root.clone();
    };
    let prefix = Prefix {
        text: format!("{namespace}--"),
    };
    let renamed = sections.iter().map(|(key, entry)| {
        let value = match (section(key.text()), &entry.value.kind) {
            (Shape::Items(shape), Kind::Map(items)) => {
                let is_basic = |item: &Key| {
                    !basic.is_empty()
                        && basic.contains(&(Arc::clone(key.text()), Arc::clone(item.text())))
                };
                prefix.items(&entry.value, items, shape, is_basic)
            }
            (shape, _) => prefix.value(&entry.value, shape),
        };
        (
            key.clone(),
            Entry {
                key_mark: entry.key_mark.clone(),
                value,
            },
        )
    });
    let kind = Kind::Map(Arc::new(renamed.collect()));
    Node::new(kind, root.mark.clone())
}

struct Prefix {
    text: String,
}

impl Prefix {
    fn name(&self, name: &str) -> Arc<str> {
        if name.starts_with("cloudify.") || is_primitive_type(name) {
            name.into()
        } else {
            format!("{}{name}", self.text).into()
        }
    }

    fn value(&self, node: &Node, shape: &Shape) -> Node {
        let kind = match (shape, &node.kind) {
            (Shape::Leaf | Shape::NameOrLeaf, Kind::Map(_)) => return self.leaf(node),
            (Shape::Name | Shape::NameOrLeaf | Shape::NameOrFields(_), Kind::Str(text)) => {
                Kind::Str(self.name(text))
            }
            (Shape::Items(shape), Kind::Map(items)) => {
                return self.items(node, items, shape, |_| false);
            }
            (Shape::Map(shape), Kind::Map(items)) => {
                let changed = items.iter().map(|(key, entry)| {
                    let value = self.value(&entry.value, shape);
                    (
                        key.clone(),
                        Entry {
                            key_mark: entry.key_mark.clone(),
                            value,
                        },
                    )
                });
                Kind::Map(Arc::new(changed.collect()))
            }
            (Shape::List(shape), Kind::List(items)) => {
                Kind::List(items.iter().map(|item| self.value(item, shape)).collect())
            }
            (Shape::Fields(fields) | Shape::NameOrFields(fields), Kind::Map(items)) => {
                Kind::Map(Arc::new(self.fields(items, fields)))
            }
            _ => return node.clone(),
        };
        Node::new(kind, node.mark.clone())
    }

    fn items(
        &self,
        node: &Node,
        items: &Mapping,
        shape: &Shape,
        is_basic: impl Fn(&Key) -> bool,
    ) -> Node {
        let renamed = items.iter().map(|(key, entry)| {
            if is_basic(key) {
                return (key.clone(), entry.clone());
            }
            let name = match key {
                Key::Str(name) if name.starts_with("cloudify.") => key.clone(),
                Key::Str(name) => Key::Str(format!("{}{name}", self.text).into()),
                Key::Other(_) => key.clone(),
            };
            let value = self.value(&entry.value, shape);
            (
                name,
                Entry {
                    key_mark: entry.key_mark.clone(),
                    value,
                },
            )
        });
        Node::new(Kind::Map(Arc::new(renamed.collect())), node.mark.clone())
    }

    fn fields(&self, items: &Mapping, fields: &[(&str, Shape)]) -> Mapping {
        let field = |(key, entry): (&Key, &Entry)| {
            let shape = fields.iter().find(|(name, _)| key.as_str() == Some(name));
            let value = shape.map_or_else(
                || entry.value.clone(),
                |(_, shape)| self.value(&entry.value, shape),
            );
            (
                key.clone(),
                Entry {
                    key_mark: entry.key_mark.clone(),
                    value,
                },
            )
        };
        items.iter().map(field).collect()
    }

    /// A free value: references inside functions are prefixed at any depth.
    fn leaf(&self, node: &Node) -> Node {
        let kind = match &node.kind {
            Kind::Map(items) => {
                let changed = items.iter().map(|(key, entry)| {
                    let value = match key.as_str() {
                        Some("get_input") => self.reference(&entry.value, true),
                        Some("get_property" | "get_attribute") => {
                            self.reference(&entry.value, false)
                        }
                        _ => self.leaf(&entry.value),
                    };
                    (
                        key.clone(),
                        Entry {
                            key_mark: entry.key_mark.clone(),
                            value,
                        },
                    )
                });
                Kind::Map(Arc::new(changed.collect()))
            }
            Kind::List(items) => Kind::List(items.iter().map(|item| self.leaf(item)).collect()),
            _ => return node.clone(),
        };
        Node::new(kind, node.mark.clone())
    }

    /// The argument of a function whose first (or only) part names an input or a node.
    fn reference(&self, argument: &Node, may_be_text: bool) -> Node {
        let kind = match &argument.kind {
            Kind::Str(name) if may_be_text => Kind::Str(self.reference_name(name)),
            Kind::List(items) => Kind::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(position, item)| match (position, &item.kind) {
                        (0, Kind::Str(name)) => {
                            Node::new(Kind::Str(self.reference_name(name)), item.mark.clone())
                        }
                        _ => self.leaf(item),
                    })
                    .collect(),
            ),
            _ => return self.leaf(argument),
        };
        Node::new(kind, argument.mark.clone())
    }

    fn reference_name(&self, name: &Arc<str>) -> Arc<str> {
        match name.as_ref() {
            "SELF" | "SOURCE" | "TARGET" => Arc::clone(name),
            _ => self.name(name),
        }
    }
}
