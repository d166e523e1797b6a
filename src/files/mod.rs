//! Files of the manager: validated paths, content-addressed blobs, the resource directory, archives
//! and HTTP replies made of them. Nobody else touches the file system for resources.
pub mod archive;
pub mod blobs;
pub mod digest;
mod error;
pub mod manifest;
pub mod pack;
pub mod path;
pub mod serve;

pub use digest::Digest;
pub use error::{Error, Result};
