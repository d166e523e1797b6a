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
pub mod imports;
pub mod parser;
pub mod plan;
pub mod planner;
pub mod types;
pub(crate) mod yaml;

use chrono::NaiveDate;

pub use diagnostics::{Category, Diagnostic, DslError, Exception, Location, Path};
pub use imports::{Directory, Fetched, ImportRequest, ResolveError, Resolver, Source};
pub use plan::Plan;

pub use yaml::Limits;

/// How a blueprint is parsed.
#[derive(Debug, Clone, Copy)]
pub struct ParseOptions {
    /// Refuse features that the stated version of the language does not have.
    pub validate_version: bool,
    /// Check every intrinsic function.
    pub validate_functions: bool,
    /// Check the defaults of inputs against their constraints.
    pub validate_defaults: bool,
    pub limits: Limits,
    /// The day that times without a date are of.
    pub today: Option<NaiveDate>,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            validate_version: true,
            validate_functions: true,
            validate_defaults: true,
            limits: Limits::default(),
            today: None,
        }
    }
}

/// Parses a blueprint with everything it imports.
pub fn parse(
    source: &Source,
    resolver: &dyn Resolver,
    options: &ParseOptions,
) -> Result<Plan, DslError> {
    let document = imports::read(source, resolver, options)?;
    parser::compile(&document, resolver, options)
}
