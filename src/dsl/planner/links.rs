//! Relationships between instances, from relationships between nodes.

use std::collections::HashMap;

use super::forest::Forest;
use super::topology::{Connection, Link, Topology};
use crate::dsl::{DslError, Exception};

/// Chooses the one target of an all_to_one relationship among the instances of the target node.
pub(super) type Chooser<'c> =
    dyn Fn(usize, &Link<'_>, &[usize]) -> Result<Option<usize>, DslError> + 'c;

/// For each instance, its targets with the position of the relationship, in the order of the
/// template.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) of_instance: Vec<Vec<Tie>>,
}

/// A relationship of an instance: its position in the template, and the target instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) position: usize,
    pub(super) target: usize,
}

pub(super) fn connect(
    topology: &Topology<'_>,
    forest: &Forest,
    choose: &Chooser<'_>,
) -> Result<Links, DslError> {
    let mut links = Links {
        of_instance: vec![Vec::new(); forest.instances.len()],
    };
    for (source, entity) in topology.entities.iter().enumerate() {
        for link in &entity.links {
            for (from, to) in pairs(topology, forest, source, link, choose)? {
                links.of_instance[from].push(Tie {
                    position: link.position,
                    target: to,
                });
            }
        }
    }
    Ok(links)
}

/// The target with the smallest id, which is what planning from nothing takes.
pub(super) fn smallest_id(forest: &Forest, targets: &[usize]) -> Option<usize> {
    targets
        .iter()
        .copied()
        .min_by(|left, right| forest.get(*left).id.cmp(&forest.get(*right).id))
}

fn pairs(
    topology: &Topology<'_>,
    forest: &Forest,
    source: usize,
    link: &Link<'_>,
    choose: &Chooser<'_>,
) -> Result<Vec<(usize, usize)>, DslError> {
    let (sources, targets) = (forest.of(source), forest.of(link.target));
    let group = topology.common_group(source, link.target);
    Ok(match (link.connection, group) {
        (Connection::Contained, _) => sources
            .iter()
            .filter_map(|from| Some((*from, forest.within(*from, link.target)?)))
            .collect(),
        (Connection::AllToAll, None) => sources
            .iter()
            .flat_map(|from| targets.iter().map(|to| (*from, *to)))
            .collect(),
        (Connection::AllToAll, Some(group)) => within_group(forest, sources, targets, group),
        (Connection::AllToOne, None) => match choose(source, link, targets)? {
            Some(to) => sources.iter().map(|from| (*from, to)).collect(),
            None => Vec::new(),
        },
        (Connection::AllToOne, Some(group)) => {
            return Err(DslError::new(
                Exception::UnsupportedAllToOneInGroup,
                None,
                format!(
                    "'{}' connects all_to_one to '{}' although both are in the scaling group '{}'",
                    topology.entity(source).name,
                    topology.entity(link.target).name,
                    topology.entity(group).name,
                ),
            ));
        }
    })
}

/// Everything to everything, inside each instance of the group.
fn within_group(
    forest: &Forest,
    sources: &[usize],
    targets: &[usize],
    group: usize,
) -> Vec<(usize, usize)> {
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    for to in targets {
        if let Some(instance) = forest.within(*to, group) {
            members.entry(instance).or_default().push(*to);
        }
    }
    let mut pairs = Vec::new();
    for from in sources {
        let around = forest.within(*from, group);
        let near = around.and_then(|instance| members.get(&instance));
        pairs.extend(near.into_iter().flatten().map(|to| (*from, *to)));
    }
    pairs
}
