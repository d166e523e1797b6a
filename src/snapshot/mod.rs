//! Snapshots: the whole manager at one position of the log, as one file.
pub mod container;
