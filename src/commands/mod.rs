//! What can be done to the manager, by REST and by the executor alike: commands decide and append. No HTTP here.
pub mod users;
