//! A patient's own device: the only place where tier keys exist.

mod actor;
pub mod messages;

pub use actor::Patient;
