//! YAML text in, one located tree out: scalars as YAML 1.1 resolves them, anchors shared, merge
//! keys applied.
mod compose;
mod node;
mod scalar;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use compose::load;
pub(crate) use node::{Entry, Key, Kind, Mapping, Mark, Node};

/// What a document may cost. Exceeding one is an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub file_bytes_max: usize,
    /// Levels of nesting, also after aliases are followed.
    pub depth_max: usize,
    /// Values in one file once every alias is written out.
    pub nodes_max: usize,
    /// Files one blueprint pulls in, itself included.
    pub files_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 16 << 20,
            depth_max: 120,
            nodes_max: 1_000_000,
            files_max: 500,
        }
    }
}
