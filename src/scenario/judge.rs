//! Looks whether what a script expects holds. Each verdict says what was found.

use super::expect::{Expect, closer, list};
use super::player::{PlayedCase, PlayedRecord, Player};
use super::rosters::proved;
use super::script::StandingWord;
use super::words::{PatientName, ValidatorName};
use crate::compare::equals_own;
use crate::stage::StageError;
use kithkin_actors::patient::messages::Source;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::upload::OpenedRecord;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger;
use kithkin_protocol::record::BatchStatus;
use kithkin_protocol::units::{Credit, Height, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What was found: `Ok` when the expectation holds.
pub(super) type Verdict = Result<String, String>;

/// How long a case that is to be shut is tried to be read.
const TRY_FOR: Duration = Duration::from_millis(200);

impl Player<'_> {
    /// Looks whether one expectation holds.
    pub(super) async fn judge(&self, expect: &Expect) -> Verdict {
        match expect {
            Expect::Phase { case, is } => {
                let phase = self.proved(case).await?.phase;
                holds(is.contains(&phase), phase.as_str())
            }
            Expect::ClosedBy { case, by } => match self.proved(case).await?.closed {
                Some((_, found)) => holds(found == *by, closer(found)),
                None => Err("not closed".to_owned()),
            },
            Expect::Verdict { case, is } => match self.proved(case).await?.review {
                Some(review) => holds(review.verdict == *is, review.verdict.as_str()),
                None => Err("not judged".to_owned()),
            },
            Expect::Penalised { hospital, reasons } => self.penalised(*hospital, reasons),
            Expect::Approvals { case, exactly } => {
                let found = self.proved(case).await?.approvals.len();
                holds(found == *exactly, found)
            }
            Expect::Readable { case, tiers } => self.readable(case, tiers).await,
            Expect::Shut { case } => self.shut(case).await,
            Expect::NothingLeft {} => self.nothing_left(None).await,
            Expect::Forged { case, kin } => {
                let found = &self.played(case)?.forged;
                let expected: BTreeSet<ActorName> = kin.iter().map(|kin| (*kin).into()).collect();
                holds(*found == expected, list(found))
            }
            Expect::Restarts {
                actor,
                at_least,
                because,
            } => {
                let restarts = self.stage.board().restarts();
                let reasons: Vec<_> = restarts
                    .into_iter()
                    .filter(|one| one.name == actor.0 && one.reason.contains(because.as_str()))
                    .map(|one| one.reason)
                    .collect();
                holds(reasons.len() >= *at_least, list(&reasons))
            }
            Expect::ViewChanges { at_least } => {
                let found = self.stage.board().glance().view_changes.len();
                holds(found >= *at_least, found)
            }
            Expect::Convicted { validators } => self.convicted(validators),
            Expect::ReplayRefused { kin, again, moved } => {
                self.replay_refused((*kin).into(), again, moved)
            }
            Expect::Epoch { patient, is } => {
                let found = self.entry(*patient).await?.epoch;
                holds(found.0 == *is, found)
            }
            Expect::Rules {
                patient,
                epoch,
                openable,
            } => self.rules_are(*patient, *epoch, openable).await,
            Expect::Proved { patient, exactly } => {
                let found = proved(&self.entry(*patient).await?);
                holds(found == *exactly, found)
            }
            Expect::Roster { patient, kin } => {
                let entry = self.entry(*patient).await?;
                let directory = &self.stage.cluster().setting().directory;
                let names = entry.enrolment.roster.iter();
                let found: BTreeSet<ActorName> =
                    names.filter_map(|m| directory.name(m.id())).collect();
                let wanted: BTreeSet<ActorName> = kin.iter().map(|kin| (*kin).into()).collect();
                holds(found == wanted, list(&found))
            }
            Expect::Device { patient, is } => {
                let found = self.stage.device_of(patient.0).await;
                let found = found.map_err(|error| error.to_string())?;
                holds(found == Some((*is).into()), list(found))
            }
            Expect::WrongShares { kin } => {
                let expected: BTreeSet<ActorName> = kin.iter().map(|kin| (*kin).into()).collect();
                holds(self.wrong_shares == expected, list(&self.wrong_shares))
            }
            Expect::Restored { record } => {
                let restored = self.record(record)?.restored;
                holds(
                    restored,
                    if restored {
                        "byte for byte"
                    } else {
                        "no step restored it"
                    },
                )
            }
            Expect::Status { record, is } => {
                let batches = &self.record(record)?.written.batches;
                let all = batches.iter().all(|batch| batch.status == *is);
                let found: BTreeSet<BatchStatus> =
                    batches.iter().map(|batch| batch.status).collect();
                holds(all, list(found.into_iter().map(BatchStatus::as_str)))
            }
            Expect::Erased { record, kin } => self.erased(record, kin).await,
            Expect::Height { at_least } => {
                let found = self.stage.board().height();
                holds(found >= Height(*at_least), found)
            }
            Expect::Consent { consent, is } => {
                let found = StandingWord::of(self.proved_consent(consent).await?.standing);
                holds(found == *is, found.as_str())
            }
            Expect::ConsentRead { consent, tiers } => self.consent_read(consent, tiers).await,
            Expect::ConsentReadsOnChain { consent, exactly } => {
                let found = self.proved_consent(consent).await?.records_read;
                holds(found == *exactly, found)
            }
            Expect::ConsentMisuseRefused { consent, because } => {
                self.consent_misuse_refused(consent, because)
            }
            Expect::ReadsOnChain { case, at_least } => {
                let found = self.proved(case).await?.records_read();
                holds(found >= *at_least, found)
            }
        }
    }

    /// Every record that the clinician read is the one that the patient's own keys open, and none is missing.
    async fn readable(&self, name: &str, tiers: &[Tier]) -> Verdict {
        let case = self.played(name)?;
        let on_chain = (&case.roots[..], &case.sealed);
        self.equal_own(case.patient, on_chain, &case.opened, tiers)
            .await
    }

    /// Every record that was opened is the one that the patient's own keys open, and none that is on chain is missing.
    pub(super) async fn equal_own(
        &self,
        patient: u16,
        (roots, sealed): (&[(Tier, Digest)], &BTreeMap<Tier, usize>),
        opened: &BTreeMap<Tier, Vec<OpenedRecord>>,
        tiers: &[Tier],
    ) -> Verdict {
        let of_tiers = roots.iter().filter(|(tier, _)| tiers.contains(tier));
        let roots = of_tiers.map(|(_, root)| *root).collect();
        let own = self
            .stage
            .read_all(
                self.device_of(patient),
                tiers.to_vec(),
                roots,
                Source::Hospital,
            )
            .await
            .map_err(|error| format!("the patient's own device cannot open them: {error}"))?;
        let mut found = Vec::new();
        for tier in tiers {
            let opened = opened.get(tier).map_or(&[][..], Vec::as_slice);
            let sealed = sealed.get(tier).copied().unwrap_or_default();
            equals_own(*tier, opened, &own, sealed).map_err(|error| error.to_string())?;
            found.push(format!("{} {tier}", opened.len()));
        }
        Ok(list(found))
    }

    /// Exactly these validators have offences on chain; each is jailed and has no credit.
    fn convicted(&self, expected: &[ValidatorName]) -> Verdict {
        let Some(newest) = self.stage.board().glance().newest else {
            return Err("no block was seen".to_owned());
        };
        let expected: BTreeSet<u16> = expected.iter().map(|validator| validator.0).collect();
        let guilty: Vec<_> = newest.rows.iter().filter(|row| row.offences > 0).collect();
        let found: BTreeSet<u16> = guilty.iter().map(|row| row.id.0).collect();
        let punished = guilty
            .iter()
            .all(|row| row.jailed_until.is_some() && row.credit == Credit(0));
        let texts = guilty.iter().map(|row| {
            let name = ActorName::Validator(row.id.0);
            let jail = match row.jailed_until {
                Some(height) => format!("jailed until height {height}"),
                None => "free".to_owned(),
            };
            format!(
                "{name}: {} offences, {jail}, credit {}",
                row.offences, row.credit
            )
        });
        holds(found == expected && punished, list(texts))
    }

    /// Never granted, cannot be read now, and nothing for it left a kin.
    async fn shut(&self, name: &str) -> Verdict {
        let case = self.played(name)?;
        let proved = self.proved(name).await?;
        if proved.granted_ms.is_some() {
            return Err(format!(
                "the case was granted; it is {}",
                proved.phase.as_str()
            ));
        }
        let refusal = match self.stage.read(case.hospital, case.id, None, TRY_FOR).await {
            Err(StageError::Hospital(refusal)) => refusal.to_string(),
            Err(error) => return Err(format!("whether it can be read is not known: {error}")),
            Ok(opened) => return Err(format!("{} records were read", opened.records.len())),
        };
        let nothing = self.nothing_left(Some(case.id)).await?;
        Ok(format!("{}; {refusal}; {nothing}", proved.phase.as_str()))
    }

    /// Asks every kin what it released, and compares with what the network saw leaving.
    async fn nothing_left(&self, case: Option<CaseId>) -> Verdict {
        let shape = self.stage.cluster().shape();
        let mut asked = 0_usize;
        for patient in 0..shape.patients {
            for kin in 0..shape.relatives {
                let name = ActorName::Kin(patient, kin);
                let inventory = self.stage.inventory(patient, kin).await;
                let held = inventory.map_err(|error| format!("{name} cannot be asked: {error}"))?;
                let mut released = held.released.iter();
                if released.any(|of| case.is_none_or(|case| case == *of)) {
                    return Err(format!("{name} says that it released a partial opening"));
                }
                asked += 1;
            }
        }
        match self.seen_leaving(case) {
            0 => Ok(format!(
                "{asked} kin say that they released none, and the network saw none"
            )),
            seen => Err(format!(
                "the network saw {seen} partial openings leave a kin"
            )),
        }
    }

    fn replay_refused(&self, kin: ActorName, again: &str, moved: &str) -> Verdict {
        let Some(replayed) = self.replays.get(&kin) else {
            return Err(format!("{kin} never replayed"));
        };
        let attempts = [
            ("again", &replayed.again, again),
            ("moved", &replayed.moved, moved),
        ];
        let mut found = Vec::new();
        for (attempt, reason, wanted) in attempts {
            match reason {
                Some(reason) if reason.contains(wanted) => {
                    found.push(format!("{attempt}: {reason}"))
                }
                Some(reason) => {
                    return Err(format!("{attempt}: refused for another reason: {reason}"));
                }
                None => return Err(format!("{attempt}: not refused")),
            }
        }
        Ok(list(found))
    }

    pub(super) async fn entry(&self, patient: PatientName) -> Result<ledger::Patient, String> {
        let entry = self.stage.patient(patient.0).await;
        let entry = entry.map_err(|error| error.to_string())?;
        entry.ok_or_else(|| format!("{patient} is not enrolled"))
    }

    fn played(&self, name: &str) -> Result<&PlayedCase, String> {
        self.case(name).map_err(|error| error.to_string())
    }

    pub(super) fn record(&self, name: &str) -> Result<&PlayedRecord, String> {
        let record = self.records.get(name);
        record.ok_or_else(|| format!("record {name} was not written"))
    }

    pub(super) async fn proved(&self, name: &str) -> Result<Case, String> {
        let id = self.played(name)?.id;
        let case = self
            .stage
            .case(id)
            .await
            .map_err(|error| error.to_string())?;
        case.ok_or_else(|| format!("the ledger has no case {name}"))
    }
}

pub(super) fn holds(holds: bool, found: impl ToString) -> Verdict {
    if holds {
        Ok(found.to_string())
    } else {
        Err(found.to_string())
    }
}
