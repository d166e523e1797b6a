//! Constraints on inputs and parameters: whether their definitions are sound, and which values they
//! admit.

mod check;
mod define;
mod operator;
mod pattern;
#[cfg(test)]
mod tests;
mod types;

pub use check::{ValuesGetter, check_defaults, check_value};
pub use operator::is_object_type;
pub use types::auto_correct;

pub(crate) use define::check_definition;
pub(crate) use pattern::compiles as is_pattern;
pub(crate) use types::{default_of_type, is_of_primitive_type};
