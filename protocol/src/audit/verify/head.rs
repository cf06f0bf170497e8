//! The state that a bundle's steps lead to, and the entries under it.

use super::TIME_MAX;
use crate::audit::bundle::{Bundle, CaseFile};
use crate::audit::error::{AuditError, Part};
use crate::audit::findings::{BatchFinding, ScopeFinding};
use crate::audit::replay::{Standing, reviewer_of};
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, HospitalId, PatientId};
use crate::ledger::light::Follower;
use crate::ledger::{
    Accredited, BatchEntry, BatchPlace, Enrolment, Epochs, Genesis, Hospital, Meta, Register,
    Revoked, Role, State, StateProof,
};
use crate::units::{Height, Millis};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// Somebody who takes part, as the head has it.
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) suspended_until_ms: Millis,
}

/// Who vouched for a case's clinician, if it was not the hospital itself.
pub(in crate::audit) fn issuer(case: &Case) -> Option<AccountId> {
    let issuer = case.request.credential.as_ref()?.issuer;
    (issuer != case.hospital.into()).then_some(issuer)
}

/// The state that a bundle's steps lead to.
pub(super) struct Head {
    pub(super) follower: Follower,
    /// Height of the header that commits to the state.
    height: Height,
    root: Digest,
    pub(super) meta: Meta,
}

impl Head {
    /// Follows the steps from the genesis.
    pub(super) fn reach(genesis: &Genesis, bundle: &Bundle) -> Result<Self, AuditError> {
        genesis.validate()?;
        let mut follower = Follower::new(genesis).map_err(|_| AuditError::NoSteps)?;
        for (position, step) in bundle.steps.iter().enumerate() {
            follower.follow(step).map_err(|source| AuditError::Step {
                number: position.saturating_add(1),
                height: step.header.height,
                source,
            })?;
        }
        let last = bundle.steps.last().ok_or(AuditError::NoSteps)?;
        let (height, root) = (last.header.height, last.header.parent_state_root);
        let meta = entry(
            &bundle.meta,
            &State::meta_key(),
            Part::Ledger,
            (height, &root),
        )?;
        let head = Self {
            follower,
            height,
            root,
            meta,
        };
        let meta = &head.meta;
        let before = meta.height.plus(1) == height && meta.head == last.header.parent_id;
        if !before || meta.chain != genesis.chain_id() {
            return Err(AuditError::Head { height });
        }
        check_time(meta.height, meta.time_ms)?;
        Ok(head)
    }

    /// Reads the entry with this key.
    pub(super) fn entry<T: DeserializeOwned>(
        &self,
        proof: &StateProof,
        key: &[u8],
        part: Part,
    ) -> Result<T, AuditError> {
        entry(proof, key, part, (self.height, &self.root))
    }

    /// Reads a case's entry and the identifier in its key.
    pub(super) fn case(&self, proof: &StateProof) -> Result<(CaseId, Case), AuditError> {
        let id = State::case_of_key(&proof.key).ok_or(AuditError::List { what: "cases" })?;
        let case: Case = self.entry(proof, &State::case_key(id), Part::Case(id))?;
        Ok((id, case))
    }

    /// What was in force in the epochs in which the cases were opened: exactly they, in their order.
    pub(super) fn rosters(
        &self,
        bundle: &Bundle,
        patient: PatientId,
        cases: &[(CaseId, Case)],
    ) -> Result<BTreeMap<Epochs, Enrolment>, AuditError> {
        let all: BTreeSet<Epochs> = cases.iter().map(|(_, case)| case.epochs()).collect();
        if all.len() != bundle.rosters.len() {
            return Err(AuditError::List { what: "rosters" });
        }
        let proofs = all.into_iter().zip(&bundle.rosters);
        proofs
            .map(|(epochs, proof)| {
                let key = State::roster_key(patient, epochs);
                Ok((epochs, self.entry(proof, &key, Part::Roster(epochs))?))
            })
            .collect()
    }

    /// The hospitals that asked: exactly they, in their order.
    pub(super) fn hospitals(
        &self,
        bundle: &Bundle,
        cases: &[(CaseId, Case)],
    ) -> Result<BTreeMap<HospitalId, Seen>, AuditError> {
        let asked: BTreeSet<HospitalId> = cases.iter().map(|(_, case)| case.hospital).collect();
        let parties = asked.iter().map(|id| (Role::Hospital, (*id).into()));
        let seen = self.parties(parties.collect(), &bundle.hospitals, "hospitals")?;
        Ok(asked.into_iter().zip(seen).collect())
    }

    /// The issuers that vouched for somebody else's clinicians: exactly they, in their order.
    pub(super) fn issuers(
        &self,
        bundle: &Bundle,
        cases: &[(CaseId, Case)],
    ) -> Result<BTreeMap<AccountId, Seen>, AuditError> {
        let vouched: BTreeSet<AccountId> =
            cases.iter().filter_map(|(_, case)| issuer(case)).collect();
        let parties = vouched.iter().map(|id| (Role::Issuer, *id));
        let seen = self.parties(parties.collect(), &bundle.issuers, "issuers")?;
        Ok(vouched.into_iter().zip(seen).collect())
    }

    /// The reviewers that judged: exactly they, in their order.
    pub(super) fn reviewers(&self, bundle: &Bundle) -> Result<Vec<Seen>, AuditError> {
        let transactions = bundle.cases.iter().flat_map(CaseFile::transactions);
        let judged: BTreeSet<AccountId> = transactions
            .filter_map(|(_, placed)| reviewer_of(&placed.transaction))
            .collect();
        let parties = judged.into_iter().map(|id| (Role::Reviewer, id));
        self.parties(parties.collect(), &bundle.reviewers, "reviewers")
    }

    /// Where the first issuer was accredited.
    pub(super) fn issuers_since(&self, bundle: &Bundle) -> Result<Option<Height>, AuditError> {
        let (proof, part) = (&bundle.register, Part::Register);
        if proof.key != State::register_key() {
            return Err(AuditError::Misplaced { part });
        }
        let height = self.height;
        proof
            .verify(&self.root)
            .map_err(|_| AuditError::StateProof { part, height })?;
        let register = match &proof.value {
            None => Register::default(),
            Some(value) => State::decode_value(value)
                .map_err(|source| AuditError::Unreadable { part, source })?,
        };
        Ok(register.issuers_since)
    }

    fn parties(
        &self,
        parties: Vec<(Role, AccountId)>,
        proofs: &[StateProof],
        what: &'static str,
    ) -> Result<Vec<Seen>, AuditError> {
        if parties.len() != proofs.len() {
            return Err(AuditError::List { what });
        }
        let pairs = parties.into_iter().zip(proofs);
        pairs
            .map(|((role, id), proof)| self.party(role, id, proof))
            .collect()
    }

    /// Somebody as accredited, or as revoked.
    fn party(&self, role: Role, id: AccountId, proof: &StateProof) -> Result<Seen, AuditError> {
        let part = match role {
            Role::Hospital => Part::Hospital(id.into()),
            Role::Issuer => Part::Issuer(id),
            Role::Reviewer => Part::Reviewer(id),
        };
        let key = State::revoked_key(id);
        if proof.key == key {
            let revoked: Revoked = self.entry(proof, &key, part)?;
            if revoked.was.role() != role || revoked.was.account() != id {
                return Err(AuditError::Misplaced { part });
            }
            return Ok(Seen {
                standing: Standing {
                    party: revoked.was,
                    until: Some(revoked.height),
                },
                suspended_until_ms: Millis(0),
            });
        }
        let mut suspended_until_ms = Millis(0);
        let party = match role {
            Role::Hospital => {
                let entry: Hospital = self.entry(proof, &State::hospital_key(id.into()), part)?;
                suspended_until_ms = entry.suspended_until_ms;
                Accredited::Hospital(entry.info)
            }
            Role::Issuer => Accredited::Issuer(self.entry(proof, &State::issuer_key(id), part)?),
            Role::Reviewer => {
                Accredited::Reviewer(self.entry(proof, &State::reviewer_key(id), part)?)
            }
        };
        let until = None;
        Ok(Seen {
            standing: Standing { party, until },
            suspended_until_ms,
        })
    }

    /// What the request named, with the batches that the bundle shows for it.
    pub(super) fn scopes(
        &self,
        id: CaseId,
        case: &Case,
        file: &CaseFile,
    ) -> Result<Vec<ScopeFinding>, AuditError> {
        let mut scopes: Vec<ScopeFinding> = case
            .request
            .scopes
            .iter()
            .map(|scope| ScopeFinding {
                tier: scope.tier,
                up_to: scope.up_to,
                only: scope.only.len(),
                batches: Vec::new(),
            })
            .collect();
        let mut last: Option<BatchPlace> = None;
        for (position, proof) in file.batches.iter().enumerate() {
            let number = position.saturating_add(1);
            let part = Part::Batch { case: id, number };
            let misplaced = AuditError::Misplaced { part };
            let place = State::batch_place(&proof.key).ok_or(misplaced.clone())?;
            let (patient, tier, height, index) = place;
            let mut fitting = scopes.iter_mut();
            let scope = fitting.find(|scope| scope.tier == tier && height <= scope.up_to);
            let (Some(scope), true) = (scope, patient == case.patient()) else {
                return Err(misplaced);
            };
            if last.is_some_and(|last| last >= place) {
                return Err(misplaced);
            }
            last = Some(place);
            let batch: BatchEntry = self.entry(proof, &State::batch_key(place), part)?;
            scope.batches.push(BatchFinding {
                id: batch.id,
                author: batch.header.author,
                height,
                index,
                records: batch.header.records,
                status: batch.header.status,
            });
        }
        Ok(scopes)
    }
}

fn entry<T: DeserializeOwned>(
    proof: &StateProof,
    key: &[u8],
    part: Part,
    (height, root): (Height, &Digest),
) -> Result<T, AuditError> {
    if proof.key != key {
        return Err(AuditError::Misplaced { part });
    }
    proof
        .verify(root)
        .map_err(|_| AuditError::StateProof { part, height })?;
    let value = proof.value.as_ref().ok_or(AuditError::Absent { part })?;
    State::decode_value(value).map_err(|source| AuditError::Unreadable { part, source })
}

/// Refuses times that no ledger reaches.
pub(super) fn check_time(height: Height, time: Millis) -> Result<(), AuditError> {
    if time > TIME_MAX {
        return Err(AuditError::Time { height, time });
    }
    Ok(())
}
