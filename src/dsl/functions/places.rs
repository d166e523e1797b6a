//! Where in a plan functions are looked for.

use std::sync::Arc;

use super::evaluate::DEPTH_MAX;
use super::scope::Scope;
use super::survey::survey;
use crate::dsl::Plan;
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
    shown_in: Option<Pointer>,
    pointer: Pointer,
}

/// The way to a value from the plan down.
type Pointer = Vec<Step>;

/// One step down. Most are the same everywhere, and cost nothing.
#[derive(Debug, Clone)]
enum Step {
    Member(&'static str),
    Key(Arc<str>),
    Index(usize),
}

impl Step {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Member(key) => Some(key),
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

impl Place {
    pub(crate) fn value<'p>(&self, plan: &'p Plan) -> Option<&'p Value> {
        let (section, below) = self.pointer.split_first()?;
        below
            .iter()
            .try_fold(plan.section(section.key()?)?, |value, step| match step {
                Step::Index(index) => value.get(*index),
                step => value.get(step.key()?),
            })
    }

    pub(crate) fn value_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Value> {
        descend(plan, &self.pointer)
    }

    /// The operation whose inputs this place is.
    pub(crate) fn operation_mut<'p>(&self, plan: &'p mut Plan) -> Option<&'p mut Map> {
        let (_, operation) = self.pointer.split_last().filter(|_| self.is_operation)?;
        descend(plan, operation)?.as_object_mut()
    }

    /// Whether the value stands in the interfaces, too.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown_in.is_some()
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
    let (section, below) = pointer.split_first()?;
    below.iter().try_fold(
        plan.section_mut(section.key()?)?,
        |value, step| match step {
            Step::Index(index) => value.get_mut(*index),
            step => value.get_mut(step.key()?),
        },
    )
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
            vec![Step::Member("deployment_settings")],
        ));
    }
    places
}

/// The places of a single node that stands by itself.
pub(crate) fn properties_of_node(node: &Value) -> Option<(&str, &Value)> {
    Some((node.get("id")?.as_str()?, node.get("properties")?))
}

fn in_section(
    plan: &Plan,
    section: &'static str,
    inner: Option<&'static str>,
    places: &mut Vec<Place>,
) {
    for (name, item) in plan.object(section).into_iter().flatten() {
        let mut path = format!("{section}.{name}");
        let mut pointer = vec![Step::Member(section), Step::Key(Arc::clone(name))];
        let mut value = Some(item);
        if let Some(inner) = inner {
            path = format!("{path}.{inner}");
            pointer.push(Step::Member(inner));
            value = item.get(inner);
        }
        if value.is_some_and(matters) {
            places.push(Place::new(Scope::Section(section), path, pointer));
        }
    }
}

fn in_node(node: &Value, index: usize, places: &mut Vec<Place>) {
    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
    let own = Scope::node(name);
    let here = [Step::Member("nodes"), Step::Index(index)];
    let at = |steps: &[Step]| [&here, steps].concat();
    let below = |section: &'static str, key: &Arc<str>, inner: &'static str| {
        let key = Step::Key(Arc::clone(key));
        at(&[Step::Member(section), key, Step::Member(inner)])
    };
    if node.get("properties").is_some_and(matters) {
        places.push(Place::new(
            own.clone(),
            format!("nodes.{name}.properties"),
            at(&[Step::Member("properties")]),
        ));
    }
    for (capability, _) in inner(node.get("capabilities"), "properties") {
        places.push(Place::new(
            own.clone(),
            format!("nodes.{name}.capabilities.{capability}"),
            below("capabilities", capability, "properties"),
        ));
    }
    for (operation, inputs) in inner(node.get("operations"), "inputs") {
        let mut place = Place::new(
            own.clone(),
            format!("nodes.{name}.operations.{operation}.inputs"),
            below("operations", operation, "inputs"),
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
    let scope = Scope::relationship(source, target);
    let here = [
        Step::Member("nodes"),
        Step::Index(node),
        Step::Member("relationships"),
        Step::Index(position),
    ];
    for (interfaces, side) in [
        ("source_interfaces", "source_operations"),
        ("target_interfaces", "target_operations"),
    ] {
        for (operation, inputs) in inner(relationship.get(side), "inputs") {
            let below = [
                Step::Member(side),
                Step::Key(Arc::clone(operation)),
                Step::Member("inputs"),
            ];
            let mut place = Place::new(
                scope.clone(),
                format!("nodes.{source}.{kind}.{operation}.inputs"),
                [&here[..], &below].concat(),
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
    interfaces: &'static str,
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
    let below = [
        Step::Member(interfaces),
        Step::Key(interface.into()),
        Step::Key(name.into()),
        Step::Member("inputs"),
    ];
    Some([here, &below].concat())
}

/// The items of a map whose value under a key matters, by name.
fn inner<'v>(
    items: Option<&'v Value>,
    key: &'static str,
) -> impl Iterator<Item = (&'v Arc<str>, &'v Value)> {
    items
        .filter(|items| matters(items))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(move |(name, item)| Some((name, item.get(key).filter(|item| matters(item))?)))
}
