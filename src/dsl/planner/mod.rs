//! From a parsed plan to a deployment: inputs, instances, scaling and modification.
mod forest;
mod ids;
mod inputs;
mod instances;
mod inter_deployment;
mod links;
mod prepare;
mod topology;

pub use ids::{CountedIds, IdSource, RandomIds};
pub use instances::instances;
pub use prepare::{Getters, PrepareOptions, prepare};
