//! The blueprint language: text in, plan or located diagnostics out. Pure: no database, clock, broker or network;
//! imports come through a resolver.
//!
//! The parser hands a finished plan on in this order: `constraints::check_defaults(&mut Plan)` checks the defaults of
//! the deployment inputs, `functions::validate(&mut Plan)` checks every intrinsic function in it, and
//! `functions::requirements(&Plan)` collects the secrets and parent capabilities it needs. Their diagnostics carry
//! plan paths, to which the parser adds file, line and column. While it reads an input or parameter it asks
//! `constraints::check_definition` whether the list of constraints is well formed. `values::parse` (of the parser)
//! fits a JSON value to a declared type, for both.
pub mod constraints;
pub mod diagnostics;
pub mod functions;
pub mod plan;
pub mod planner;

pub use diagnostics::{Category, Diagnostic, DslError, Exception, Location, Path};
pub use plan::Plan;
