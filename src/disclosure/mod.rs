//! The report to a patient about one case, as text that a layman understands and as JSON (docs/cli.md).
//!
//! What stands in it is decided in [`kithkin_protocol::emergency::Disclosure`]; here are the words and the names, which only the
//! patient's own device knows.

mod words;

use crate::stage::{Stage, StageError};
use kithkin_protocol::emergency::Disclosure;
use kithkin_protocol::ids::{CaseId, KinId};
use serde::Serialize;
use std::collections::BTreeMap;

/// A report with the names of those who are in it.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The report.
    #[serde(flatten)]
    pub disclosure: Disclosure,
    /// Names of kin, as the patient's own device has them.
    pub names: BTreeMap<KinId, String>,
}

impl Page {
    /// A report, with the name of each of the kin that `name` knows.
    #[must_use]
    pub fn new(disclosure: Disclosure, name: impl Fn(KinId) -> Option<String>) -> Self {
        let kin = disclosure.kin.iter().map(|line| line.kin);
        let names = kin.filter_map(|kin| Some((kin, name(kin)?))).collect();
        Self { disclosure, names }
    }

    /// The report about a case as a patient's own device draws it, with the names that the cluster has for its kin.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn of(stage: &Stage, patient: u16, case: CaseId) -> Result<Self, StageError> {
        let disclosure = stage.disclose(patient, case).await?;
        let directory = &stage.cluster().setting().directory;
        let name = |kin| directory.name(kin).map(|name| name.to_string());
        Ok(Self::new(disclosure, name))
    }

    /// The report for people: some twenty lines of at most 100 columns.
    #[must_use]
    pub fn text(&self) -> String {
        words::page(self)
    }
}

#[cfg(test)]
mod tests;
