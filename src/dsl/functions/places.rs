//! Where in a plan functions are looked for.

use super::evaluate::DEPTH_MAX;
use super::scope::Scope;
use super::survey::survey;
use crate::dsl::Plan;
use crate::dsl::diagnostics::Step;
use crate::dsl::value::{Map, Value};

/// One value of the plan that holds calls, or is nested too deeply to be evaluated.
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

impl Place {
    pub(crate) fn value<'p>(&self, plan: &'p Plan) -> Option<&'p Value> {
        let mut steps = self.pointer.iter();
        let mut value = match steps.next()? {
            Step::Key(section) => plan.section(section)?,
            Step::Index(_) => return None,
        };
        for step in steps {
            value = match step {
                Step::Key(key) => value.get(&**key)?,
                Step::Index(index) => value.get(*index)?,
            };
        }
        Some(value)
    }

    pub(crate) fn value_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Value> {
        descend(plan, &self.pointer)
    }

    /// The operation whose inputs this place is.
    pub(crate) fn operation_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Map> {
        let (_, operation) = self.pointer.split_last().filter(|_| self.is_operation)?;
        descend(plan, operation)?.as_object_mut()
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
            Step::Key(key) => value.get_mut(&**key)?,
            Step::Index(index) => value.get_mut(*index)?,
        };
    }
    Some(value)
}

/// Whether evaluating a value does more than look at it.
fn matters(value: &Value) -> bool {
    let known = survey(value);
    known.has_calls || known.depth > DEPTH_MAX
}

/// All places, in the order in which the reference visits them.
pub(crate) fn of(plan: &Plan) -> Vec<Place> {
    let mut places = Vec::new();
    for (index, node) in plan.nodes().iter().enumerate() {
        if matters(node) {
            in_node(node, index, &mut places);
        }
    }
    in_section(plan, "outputs", None, &mut places);
    in_section(plan, "policies", Some("properties"), &mut places);
    in_section(plan, "scaling_groups", Some("properties"), &mut places);
    in_section(plan, "capabilities", None, &mut places);
    in_section(plan, "labels", None, &mut places);
    if plan
        .section("deployment_settings")
        .is_some_and(|settings| settings.is_object() && matters(settings))
    {
        places.push(Place::new(
            Scope::Section("deployment_settings"),
            "deployment_settings".to_owned(),
            vec![Step::from("deployment_settings")],
        ));
    }
    places
}

/// The places of a single node that stands by itself.
pub(crate) fn properties_of_node(node: &Value) -> Option<(&str, &Value)> {
    Some((node.get("id")?.as_str()?, node.get("properties")?))
}

fn in_section(plan: &Plan, section: &'static str, inner: Option<&str>, places: &mut Vec<Place>) {
    for (name, item) in plan.object(section).into_iter().flatten() {
        let mut path = format!("{section}.{name}");
        let mut pointer = vec![Step::from(section), Step::from(name)];
        let mut value = Some(item);
        if let Some(inner) = inner {
            path = format!("{path}.{inner}");
            pointer.push(Step::from(inner));
            value = item.get(inner);
        }
        if value.is_some_and(matters) {
            places.push(Place::new(Scope::Section(section), path, pointer));
        }
    }
}

fn in_node(node: &Value, index: usize, places: &mut Vec<Place>) {
    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
    let own = || Scope::node(name);
    let here = [Step::from("nodes"), Step::from(index)];
    let at = |steps: &[&str]| {
        let steps = steps.iter().map(|step| Step::from(*step));
        here.iter().cloned().chain(steps).collect::<Pointer>()
    };
    if node.get("properties").is_some_and(matters) {
        places.push(Place::new(
            own(),
            format!("nodes.{name}.properties"),
            at(&["properties"]),
        ));
    }
    for (capability, _) in inner(node.get("capabilities"), "properties") {
        places.push(Place::new(
            own(),
            format!("nodes.{name}.capabilities.{capability}"),
            at(&["capabilities", capability, "properties"]),
        ));
    }
    for (operation, inputs) in inner(node.get("operations"), "inputs") {
        let mut place = Place::new(
            own(),
            format!("nodes.{name}.operations.{operation}.inputs"),
            at(&["operations", operation, "inputs"]),
        );
        place.is_operation = true;
        place.is_alias = is_alias(node.get("interfaces"), operation);
        place.shown_in = shown_in(node, "interfaces", (operation, inputs), &here);
        places.push(place);
    }
    let relationships = node.get("relationships").and_then(Value::as_array);
    for (position, relationship) in relationships.into_iter().flatten().enumerate() {
        if matters(relationship) {
            in_relationship(name, relationship, (index, position), places);
        }
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
    let here = [
        Step::from("nodes"),
        Step::from(node),
        Step::from("relationships"),
        Step::from(position),
    ];
    for (interfaces, side) in [
        ("source_interfaces", "source_operations"),
        ("target_interfaces", "target_operations"),
    ] {
        for (operation, inputs) in inner(relationship.get(side), "inputs") {
            let below = [side, operation, "inputs"].into_iter().map(Step::from);
            let mut place = Place::new(
                Scope::relationship(source, target),
                format!("nodes.{source}.{kind}.{operation}.inputs"),
                here.iter().cloned().chain(below).collect(),
            );
            place.relationship = Some(kind.to_owned());
            place.is_operation = true;
            place.is_alias = is_alias(relationship.get(interfaces), operation);
            place.shown_in = shown_in(relationship, interfaces, (operation, inputs), &here);
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
        let short = operation.strip_prefix(&**interface);
        short
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|name| operations.get(name).is_some())
    })
}

/// The interface an operation with a qualified name belongs to, unless the operation's inputs
/// became its own.
fn shown_in(
    owner: &Value,
    interfaces: &str,
    (operation, inputs): (&str, &Value),
    here: &[Step],
) -> Option<Pointer> {
    let (interface, name) = operation.rsplit_once('.')?;
    let shown = owner
        .get(interfaces)?
        .get(interface)?
        .get(name)?
        .get("inputs")?;
    if shown != inputs {
        return None;
    }
    let below = [interfaces, interface, name, "inputs"].into_iter();
    Some(here.iter().cloned().chain(below.map(Step::from)).collect())
}

/// The items of a map whose value under a key matters, by name.
fn inner<'v>(
    items: Option<&'v Value>,
    key: &'static str,
) -> impl Iterator<Item = (&'v str, &'v Value)> {
    items
        .filter(|items| matters(items))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(move |(name, item)| {
            Some((&**name, item.get(key).filter(|item| matters(item))?))
        })
}
