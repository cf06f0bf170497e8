//! Erasing in a script: the order, and who has signed that it was carried out.

use super::acts::{Outcome, done};
use super::expect::list;
use super::judge::Verdict;
use super::player::Player;
use super::script::Erase;
use super::words::KinName;
use crate::stage::StageError;
use kithkin_actors::patient::messages::{ErasureReport, Holder};
use kithkin_actors::ports::names::ActorName;
use std::collections::BTreeSet;

impl Player<'_> {
    pub(super) async fn erase(&mut self, erase: &Erase) -> Outcome {
        let record = self
            .records
            .get(&erase.record)
            .ok_or_else(|| StageError::TooSlow {
                what: format!("record '{}' being written, so this", erase.record),
                seconds: 0,
            })?;
        let patient = record.patient;
        let batches = record.written.batches.clone();
        let mut reports = Vec::with_capacity(batches.len());
        for batch in batches {
            reports.push(self.stage.erase(patient, batch.root).await?);
        }
        let receipts: usize = reports
            .iter()
            .flat_map(|report| &report.kin)
            .map(|kin| kin.receipts.len())
            .sum();
        let silent = self.silent(&reports);
        let mut what = format!(
            "has record {} erased: {receipts} receipts of kin, {} of the hospital",
            erase.record,
            reports
                .iter()
                .filter(|report| report.hospital.is_some())
                .count()
        );
        if !silent.is_empty() {
            what = format!("{what}; no answer from {}", list(&silent));
        }
        if let Some(record) = self.records.get_mut(&erase.record) {
            record.erased = reports;
        }
        Ok(done(ActorName::Patient(patient), what, None))
    }

    /// Who has not answered for some part.
    fn silent(&self, reports: &[ErasureReport]) -> BTreeSet<String> {
        let directory = &self.stage.cluster().setting().directory;
        let silent = reports.iter().flat_map(|report| &report.silent);
        let names = silent.map(|silent| match silent.who {
            Holder::Kin(kin) => directory.name(kin),
            Holder::Hospital(hospital) => directory.name(hospital),
        });
        names.flatten().map(|name| name.to_string()).collect()
    }

    /// Exactly these kin, and the hospital, have signed for every part of the record, and keep nothing of it.
    pub(super) async fn erased(&self, name: &str, kin: &[KinName]) -> Verdict {
        let record = self.record(name)?;
        if record.erased.is_empty() {
            return Err("no step has it erased".to_owned());
        }
        let directory = &self.stage.cluster().setting().directory;
        let mut found = Vec::new();
        for report in &record.erased {
            let signed = report.kin.iter().filter(|kin| !kin.receipts.is_empty());
            let signed: BTreeSet<ActorName> =
                signed.filter_map(|kin| directory.name(kin.kin)).collect();
            let wanted: BTreeSet<ActorName> = kin.iter().map(|kin| (*kin).into()).collect();
            if signed != wanted || report.hospital.is_none() {
                return Err(list(&signed));
            }
            found.push(signed.len());
        }
        for KinName(patient, n) in kin {
            let held = self.stage.inventory(*patient, *n).await;
            let held = held.map_err(|error| error.to_string())?;
            if held.erased < found.len() {
                return Err(format!(
                    "kin-{patient}-{n} has erased {} uploads",
                    held.erased
                ));
            }
        }
        Ok(format!(
            "{} uploads, signed for by the hospital and {} kin",
            found.len(),
            kin.len()
        ))
    }
}
