//! The node instances of a new deployment.

use crate::dsl::value::{Map, Value, object};

use super::forest::Forest;
use super::ids::{IdSource, Ids};
use super::links::{Links, connect, smallest_id};
use super::topology::Topology;
use crate::dsl::{DslError, Exception, Plan};

/// Instances one plan may have, groups counted.
pub(super) const INSTANCES_MAX: usize = 2_000_000;

/// The node instances of a plan whose functions are evaluated. `taken` are ids that exist already.
pub fn instances(
    plan: &Plan,
    ids: &mut dyn IdSource,
    taken: impl IntoIterator<Item = String>,
) -> Result<Vec<Value>, DslError> {
    let none = Map::new();
    let groups = plan.object("scaling_groups").unwrap_or(&none);
    let topology = Topology::new(plan.nodes(), groups)?;
    let mut ids = Ids::new(ids, taken);
    let forest = grow(&topology, &mut ids)?;
    let links = connect(&topology, &forest, &|_, _, targets| {
        Ok(smallest_id(&forest, targets))
    })?;
    Ok(describe(&topology, &forest, &links))
}

fn grow(topology: &Topology<'_>, ids: &mut Ids<'_>) -> Result<Forest, DslError> {
    let mut forest = Forest::default();
    for index in &topology.order {
        let entity = topology.entity(*index);
        let count = entity.count.clone()?;
        let parents: Vec<Option<usize>> = match entity.parent {
            Some(parent) => forest.of(parent).iter().copied().map(Some).collect(),
            None => vec![None],
        };
        if parents.len().saturating_mul(count) + forest.instances.len() > INSTANCES_MAX {
            return Err(too_many());
        }
        for parent in parents {
            for _ in 0..count {
                let id = ids.next(entity.name);
                forest.add(*index, id, parent);
            }
        }
    }
    Ok(forest)
}

pub(super) fn too_many() -> DslError {
    DslError::new(
        Exception::Uncontrolled("MemoryError"),
        None,
        format!("the plan has more than {INSTANCES_MAX} node instances"),
    )
}

/// The instances of nodes as JSON.
fn describe(topology: &Topology<'_>, forest: &Forest, links: &Links) -> Vec<Value> {
    (0..forest.instances.len())
        .filter(|index| !topology.entity(forest.get(*index).entity).is_group)
        .map(|index| {
            let ties = links.of_instance.get(index).map_or(&[][..], Vec::as_slice);
            Value::Object(describe_one(topology, forest, index, ties))
        })
        .collect()
}

/// One node instance with these relationships.
pub(super) fn describe_one(
    topology: &Topology<'_>,
    forest: &Forest,
    index: usize,
    ties: &[super::links::Tie],
) -> Map {
    let instance = forest.get(index);
    let entity = topology.entity(instance.entity);
    let mut described = Map::new();
    described.insert("id", Value::from(instance.id.as_str()));
    described.insert("name", Value::from(entity.name));
    described.insert("node_id", Value::from(entity.name));
    if let Some(host) = entity.host {
        let id = forest
            .host(topology, index)
            .map_or(host, |host| forest.get(host).id.as_str());
        described.insert("host_id", Value::from(id));
    }
    let relationships = ties
        .iter()
        .map(|tie| {
            let target = forest.get(tie.target);
            Value::Object(object! {
                "type": entity.kind_at(tie.position),
                "target_name": topology.entity(target.entity).name,
                "target_id": &*target.id,
            })
        })
        .collect();
    described.insert("relationships", Value::Array(relationships));
    let groups: Vec<Value> = forest
        .groups(topology, index)
        .map(|group| {
            Value::Object(object! {"name": topology.entity(group.entity).name, "id": &*group.id})
        })
        .collect();
    if !groups.is_empty() {
        described.insert("scaling_groups", Value::from(groups));
    }
    described
}
