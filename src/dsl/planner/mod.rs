//! From a parsed plan to a deployment: inputs, instances, scaling and modification.
mod differences;
mod forest;
mod ids;
mod inputs;
mod instances;
mod inter_deployment;
mod links;
mod modify;
mod prepare;
mod previous;
#[cfg(test)]
mod tests;
mod topology;
mod update;

pub use ids::{CountedIds, IdSource, RandomIds};
pub use instances::instances;
pub use modify::{Change, Modification, modify};
pub use prepare::{Getters, PrepareOptions, prepare};
pub use update::{Action, EntityType, UpdateStep, update_steps};
