//! The deployment's side of planning: instances of nodes and groups, each inside the instance that
//! contains it.

use std::collections::HashMap;

use super::topology::Topology;

/// An instance of a node or of a scaling group.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) entity: usize,
    pub(super) id: String,
    pub(super) parent: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Forest {
    pub(super) instances: Vec<Instance>,
    /// Instances by entity, in order of creation.
    of_entity: HashMap<usize, Vec<usize>>,
}

impl Forest {
    pub(super) fn add(&mut self, entity: usize, id: String, parent: Option<usize>) -> usize {
        let index = self.instances.len();
        self.instances.push(Instance { entity, id, parent });
        self.of_entity.entry(entity).or_default().push(index);
        index
    }

    pub(super) fn get(&self, index: usize) -> &Instance {
        &self.instances[index]
    }

    pub(super) fn of(&self, entity: usize) -> &[usize] {
        self.of_entity.get(&entity).map_or(&[], Vec::as_slice)
    }

    /// The instance and everything around it, from the inside out.
    pub(super) fn around(&self, instance: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(instance), |index| self.get(*index).parent)
    }

    /// The instance of an entity that this instance lies in.
    pub(super) fn within(&self, instance: usize, entity: usize) -> Option<usize> {
        self.around(instance)
            .find(|index| self.get(*index).entity == entity)
    }

    /// The outermost host around an instance.
    pub(super) fn host(&self, topology: &Topology<'_>, instance: usize) -> Option<usize> {
        self.around(instance)
            .filter(|index| topology.entity(self.get(*index).entity).is_host())
            .last()
    }

    /// The groups an instance is a member of, innermost first.
    pub(super) fn groups<'f>(
        &'f self,
        topology: &'f Topology<'_>,
        instance: usize,
    ) -> impl Iterator<Item = &'f Instance> {
        self.around(instance)
            .skip(1)
            .map(|index| self.get(index))
            .take_while(|found| topology.entity(found.entity).is_group)
    }
}
