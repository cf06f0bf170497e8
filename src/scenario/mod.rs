//! Scripted emergencies: read, check, play, judge.
//!
//! | file | what it does |
//! |---|---|
//! | `words`, `script`, `expect` | what can be written in a script (TOML) |
//! | `load`, `check` | reading a file; everybody in the cast, everything named before it is used |
//! | `player`, `acts`, `rosters`, `rules`, `readiness`, `second`, `consent`, `harm` | playing the steps on a cluster of the script's own |
//! | `judge` | looking whether what was expected holds |
//! | `report` | the result, for people and as JSON |
//!
//! The format is documented in docs/cli.md; config/scenarios/quiet-day.toml
//! shows every key. A script is checked as a whole before anything is started.

mod acts;
mod check;
mod consent;
mod devices;
mod erasures;
mod expect;
mod harm;
mod judge;
mod load;
mod player;
mod readiness;
mod report;
mod reviews;
mod rosters;
mod rules;
mod script;
mod second;
mod words;

#[cfg(test)]
mod tests;

pub use check::Problem;
pub use expect::Expect;
pub use load::{Loaded, ScriptError, files, load, parse};
pub use player::{PlayError, play};
pub use report::{ExpectationReport, Report, StepReport};
pub use script::{Act, Cast, Script, Step};
