//! What can be done to the manager, by REST and by the executor alike: commands decide and append.
//! No HTTP here.
pub mod agents;
pub mod blueprints;
pub mod bootstrap;
pub mod constraints;
pub mod customer;
pub mod deployment_groups;
pub mod deployments;
mod execution_end;
pub mod execution_groups;
pub mod executions;
pub mod files;
mod filter_rules;
pub mod filters;
mod ids;
pub(crate) mod json;
pub mod labels;
pub mod logs;
pub mod maintenance;
pub mod modifications;
pub mod node_instances;
pub mod nodes;
pub mod operations;
mod own_execution;
pub mod permissions;
pub mod schedules;
pub mod secrets;
pub mod settings;
pub mod sites;
pub mod snapshots;
pub mod tasks_graphs;
pub mod tenants;
pub mod tokens;
pub mod user_groups;
pub mod users;
mod visibility;

pub use execution_end::{Ended, execution_end};
