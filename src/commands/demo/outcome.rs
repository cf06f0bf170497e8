//! What must have come out of the demo, and what is wrong when it did not.

use super::play::{Facts, Roles, name_of};
use crate::compare::{equals_own, file_is_back};
use crate::stage::{Restart, Stage};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::upload::OpenedRecord;
use kithkin_fhir::{Counts, summary};
use kithkin_protocol::emergency::Phase;
use kithkin_protocol::ids::ValidatorId;
use kithkin_protocol::units::{Credit, Tier};
use std::collections::BTreeSet;

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub facts: Facts,
    /// Kin whose forged partial openings were noticed.
    pub forged: BTreeSet<String>,
    /// Actors that died and were started again.
    pub restarts: Vec<Restart>,
    /// How often a view ended without a block.
    pub view_changes: usize,
    /// Candidates for master of the next height.
    pub leader_set: Vec<ValidatorId>,
    /// Credit of each validator.
    pub credit: Vec<(ValidatorId, Credit)>,
    /// Validators.
    pub validators: u16,
    /// Counts in the opened summary.
    pub counts: Counts,
    /// The opened summary as a clinician reads it.
    pub summary: String,
    /// What was opened and was not what was sealed; empty when all was.
    unequal: Vec<String>,
    /// Other things that must hold and do not.
    missing: Vec<String>,
}

impl Outcome {
    /// Judges the facts. `written` is the file, `expected` what was counted in it.
    ///
    /// # Errors
    /// The opened summary is no summary.
    pub fn of(
        stage: &Stage,
        facts: Facts,
        written: &[u8],
        expected: Counts,
        roles: &Roles,
    ) -> anyhow::Result<Self> {
        let opened = facts.summary.records.as_slice();
        let document = opened.first().map_or(&[][..], |record| &record.bytes);
        let counts = summary::counts(document)?;
        let text = summary::render_text(document)?;
        let reads = [&facts.summary, &facts.chart];
        let forged = reads.iter().flat_map(|read| &read.forged);
        let glance = stage.board().glance();
        let newest = glance.newest.as_ref();
        let mut outcome = Self {
            forged: forged.map(|kin| name_of(stage, *kin)).collect(),
            restarts: stage.board().restarts(),
            view_changes: glance.view_changes.len(),
            leader_set: newest.map_or_else(Vec::new, |seen| seen.leader_set.clone()),
            credit: newest.map_or_else(Vec::new, |seen| {
                seen.rows.iter().map(|row| (row.id, row.credit)).collect()
            }),
            validators: stage.cluster().shape().validators,
            counts,
            summary: text,
            unequal: unequal(&facts, written, counts, expected),
            missing: Vec::new(),
            facts,
        };
        outcome.missing = outcome.find_missing(roles);
        Ok(outcome)
    }

    /// Whether every opened plaintext equals the sealed one and the file is back byte for byte.
    #[must_use]
    pub fn opened_equals_written(&self) -> bool {
        self.unequal.is_empty()
    }

    /// Everything that is not as it must be.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        self.unequal.iter().chain(&self.missing).cloned().collect()
    }

    /// Bytes that one record costs the chain, all tiers together.
    #[must_use]
    pub fn on_chain_bytes_per_record(&self) -> f64 {
        let batches = &self.facts.written.batches;
        let bytes: usize = batches.iter().map(|batch| batch.on_chain_bytes).sum();
        let records: u32 = batches.iter().map(|batch| batch.records).sum();
        bytes as f64 / f64::from(records.max(1))
    }

    fn find_missing(&self, roles: &Roles) -> Vec<String> {
        let forger = ActorName::Kin(0, roles.forger);
        let panicking = ActorName::Kin(0, roles.panicking);
        let panicked =
            |restart: &Restart| restart.name == panicking && restart.reason.starts_with("panicked");
        let expected = [
            (
                self.forged == BTreeSet::from([forger.to_string()]),
                format!("{forger} forged, but {:?} were named", self.forged),
            ),
            (
                self.restarts.iter().any(panicked),
                format!("{panicking} panicked, but no restart was seen"),
            ),
            (
                self.view_changes > 0,
                format!("{} was stopped, but no view changed", self.facts.stopped),
            ),
            (
                self.facts.phase == Phase::Closed,
                format!(
                    "the case is {} instead of closed",
                    self.facts.phase.as_str()
                ),
            ),
        ];
        let broken = expected.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, text)| text).collect()
    }
}

/// Everything that was opened and is not what was sealed.
fn unequal(facts: &Facts, written: &[u8], counts: Counts, expected: Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = file_is_back(&facts.own, written) {
        wrong.push(error.to_string());
    }
    let reads = [(Tier::Summary, &facts.summary), (Tier::Chart, &facts.chart)];
    for (tier, read) in reads {
        if let Err(error) = equals_own(tier, &read.records, &facts.own, sealed(facts, tier)) {
            wrong.push(error.to_string());
        }
        if let Some(foreign) = foreign(&read.records, tier) {
            wrong.push(format!(
                "a record of tier {foreign} was opened with the {tier}"
            ));
        }
    }
    if counts != expected {
        wrong.push(format!(
            "the summary counts {counts:?}, the file {expected:?}"
        ));
    }
    wrong
}

fn sealed(facts: &Facts, tier: Tier) -> usize {
    let batches = facts.written.batches.iter();
    let of_tier = batches.filter(|batch| batch.tier == tier);
    of_tier.map(|batch| batch.records as usize).sum()
}

fn foreign(records: &[OpenedRecord], tier: Tier) -> Option<Tier> {
    let mut records = records.iter();
    records
        .find(|record| record.tier != tier)
        .map(|record| record.tier)
}
