//! The blueprint language: text in, plan or located diagnostics out. Pure: no database, clock,
//! broker or network; imports come through a resolver.
//!
//! In order: `yaml` reads text into a located tree, `imports` makes one document of a file and all
//! it imports, `parser` turns the document into a plan, `constraints` and `functions` check what
//! stands in it. `planner` makes a deployment of a plan. Diagnostics about a finished plan carry
//! plan paths, to which the parser adds where that was written.
pub mod constraints;
pub mod diagnostics;
pub mod functions;
pub mod imports;
pub mod parser;
pub mod plan;
pub mod planner;
pub mod types;
pub mod value;
pub(crate) mod yaml;

use chrono::NaiveDate;

use functions::Place;

pub use diagnostics::{Category, Diagnostic, DslError, Exception, Location, Path};
pub use imports::{Directory, Fetched, ImportRequest, ResolveError, Resolver, Source};
pub use plan::Plan;
pub use value::{Map, Value};
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
    let mut plan = parser::compile(&document, resolver, options)?;
    let places = functions::places(&plan);
    let requirements = functions::requirements(&plan, &places);
    let checked = check(&mut plan, &places, options);
    checked.map_err(|error| parser::locate(error, &document))?;
    plan.set("requirements", requirements);
    Ok(plan)
}

/// Checks what only a whole plan can be checked for.
fn check(plan: &mut Plan, places: &[Place], options: &ParseOptions) -> Result<(), DslError> {
    if options.validate_defaults {
        constraints::check_defaults(plan)?;
    }
    if options.validate_functions {
        functions::validate(plan, places)?;
    }
    Ok(())
}
