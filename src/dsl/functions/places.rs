//! Where in a plan functions are looked for.

use serde_json::{Map, Value};

use super::scope::Scope;
use crate::dsl::Plan;

/// One value of the plan that may hold calls.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) scope: Scope,
    /// The name of the place, as it appears in identifiers of inter-deployment functions.
    pub(crate) path: String,
    /// The relationship type an operation belongs to.
    pub(crate) relationship: Option<String>,
    /// Whether the value is the inputs of an operation, which is told when calls remain in it.
    pub(crate) is_operation: bool,
    /// Whether an operation goes by its short name here; it has another place under its full name.
    pub(crate) is_alias: bool,
    /// Where the same inputs stand in the interfaces of the node or relationship, which shows them
    /// evaluated, too.
    pub(crate) shown_in: Option<Pointer>,
    pointer: Pointer,
}

/// The way to a value from the plan down.
pub(crate) type Pointer = Vec<Step>;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    pub(crate) fn value<'p>(&self, plan: &'p Plan) -> Option<&'p Value> {
        let mut steps = self.pointer.iter();
        let mut value = match steps.next()? {
            Step::Key(section) => plan.section(section)?,
            Step::Index(_) => return None,
        };
        for step in steps {
            value = match step {
                Step::Key(key) => value.get(key)?,
                Step::Index(index) => value.get(*index)?,
            };
        }
        Some(value)
    }

    pub(crate) fn value_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Value> {
        descend(plan, &self.pointer)
    }

    /// The operation whose inputs this place is.
    pub(crate) fn operation_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Value> {
        let (_, operation) = self.pointer.split_last().filter(|_| self.is_operation)?;
        descend(plan, operation)
    }

    pub(crate) fn shown_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Value> {
        descend(plan, self.shown_in.as_ref()?)
    }

    fn new(scope: Scope, path: String, pointer: Pointer) -> Self {
        Self {
            scope,
            path,
            relationship: None,
            is_operation: false,
            is_alias: false,
            shown_in: None,
            pointer,
        }
    }
}

fn descend<'p>(plan: &'p mut Plan, pointer: &[Step]) -> Option<&'p mut Value> {
    let (first, rest) = pointer.split_first()?;
    let mut value = match first {
        Step::Key(section) => plan.section_mut(section)?,
        Step::Index(_) => return None,
    };
    for step in rest {
        value = match step {
            Step::Key(key) => value.get_mut(key)?,
            Step::Index(index) => value.get_mut(*index)?,
        };
    }
    Some(value)
}

/// All places, in the order in which the reference visits them.
pub(crate) fn of(plan: &Plan) -> Vec<Place> {
    let mut places = Vec::new();
    for (index, node) in plan.nodes().iter().enumerate() {
        in_node(node, index, &mut places);
    }
    in_section(plan, "outputs", None, &mut places);
    in_section(plan, "policies", Some("properties"), &mut places);
    in_section(plan, "scaling_groups", Some("properties"), &mut places);
    in_section(plan, "capabilities", None, &mut places);
    in_section(plan, "labels", None, &mut places);
    if plan
        .section("deployment_settings")
        .is_some_and(Value::is_object)
    {
        places.push(Place::new(
            Scope::Section("deployment_settings"),
            "deployment_settings".to_owned(),
            vec![Step::Key("deployment_settings".to_owned())],
        ));
    }
    places
}

/// The places of a single node that stands by itself.
pub(crate) fn properties_of_node(node: &Value) -> Option<(&str, &Value)> {
    Some((node.get("id")?.as_str()?, node.get("properties")?))
}

fn in_section(plan: &Plan, section: &'static str, inner: Option<&str>, places: &mut Vec<Place>) {
    for name in plan.object(section).into_iter().flat_map(Map::keys) {
        let mut path = format!("{section}.{name}");
        let mut pointer = vec![Step::Key(section.to_owned()), Step::Key(name.clone())];
        if let Some(inner) = inner {
            path = format!("{path}.{inner}");
            pointer.push(Step::Key(inner.to_owned()));
        }
        places.push(Place::new(Scope::Section(section), path, pointer));
    }
}

fn in_node(node: &Value, index: usize, places: &mut Vec<Place>) {
    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
    let own = || Scope::node(name);
    let at = |steps: &[&str]| {
        let mut pointer = vec![Step::Key("nodes".to_owned()), Step::Index(index)];
        pointer.extend(steps.iter().map(|step| Step::Key((*step).to_owned())));
        pointer
    };
    places.push(Place::new(
        own(),
        format!("nodes.{name}.properties"),
        at(&["properties"]),
    ));
    for capability in keys(node.get("capabilities")) {
        places.push(Place::new(
            own(),
            format!("nodes.{name}.capabilities.{capability}"),
            at(&["capabilities", capability, "properties"]),
        ));
    }
    for operation in keys(node.get("operations")) {
        let mut place = Place::new(
            own(),
            format!("nodes.{name}.operations.{operation}.inputs"),
            at(&["operations", operation, "inputs"]),
        );
        place.is_operation = true;
        place.is_alias = is_alias(node.get("interfaces"), operation);
        place.shown_in = shown_in(node, ("interfaces", "operations"), operation, at(&[]));
        places.push(place);
    }
    let relationships = node.get("relationships").and_then(Value::as_array);
    for (position, relationship) in relationships.into_iter().flatten().enumerate() {
        in_relationship(name, relationship, (index, position), places);
    }
}

fn in_relationship(
    source: &str,
    relationship: &Value,
    (node, position): (usize, usize),
    places: &mut Vec<Place>,
) {
    let text = |key: &str| {
        relationship
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, target) = (text("type"), text("target_id"));
    let prefix = vec![
        Step::Key("nodes".to_owned()),
        Step::Index(node),
        Step::Key("relationships".to_owned()),
        Step::Index(position),
    ];
    for (interfaces, side) in [
        ("source_interfaces", "source_operations"),
        ("target_interfaces", "target_operations"),
    ] {
        for operation in keys(relationship.get(side)) {
            let mut pointer = prefix.clone();
            pointer.extend(
                [side, operation, "inputs"]
                    .into_iter()
                    .map(|key| Step::Key(key.to_owned())),
            );
            let mut place = Place::new(
                Scope::relationship(source, target),
                format!("nodes.{source}.{kind}.{operation}.inputs"),
                pointer,
            );
            place.relationship = Some(kind.to_owned());
            place.is_operation = true;
            place.is_alias = is_alias(relationship.get(interfaces), operation);
            place.shown_in = shown_in(relationship, (interfaces, side), operation, prefix.clone());
            places.push(place);
        }
    }
}

/// Whether an operation's name does not say its interface, so that it stands there under its full
/// name, too.
fn is_alias(interfaces: Option<&Value>, operation: &str) -> bool {
    let Some(interfaces) = interfaces.and_then(Value::as_object) else {
        return false;
    };
    !interfaces.iter().any(|(interface, operations)| {
        let short = operation.strip_prefix(interface.as_str());
        short
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|name| operations.get(name).is_some())
    })
}

/// The interface an operation with a qualified name belongs to, unless the operation's inputs
/// became its own.
fn shown_in(
    owner: &Value,
    (interfaces, operations): (&str, &str),
    operation: &str,
    mut pointer: Pointer,
) -> Option<Pointer> {
    let inputs = owner.get(operations)?.get(operation)?.get("inputs")?;
    let (interface, name) = operation.rsplit_once('.')?;
    let shown = owner
        .get(interfaces)?
        .get(interface)?
        .get(name)?
        .get("inputs")?;
    if shown != inputs {
        return None;
    }
    pointer.extend(
        [interfaces, interface, name, "inputs"]
            .into_iter()
            .map(|key| Step::Key(key.to_owned())),
    );
    Some(pointer)
}

fn keys(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
}
