//! Puts a bundle together from whatever knows the chain: a validator's storage, or a client that asks one.
//!
//! A source need not be trusted: what comes out is verified before it is handed over.

use super::bundle::{Attachment, Bundle, CaseFile, Placed, SealedBlock, Subject};
use super::error::AuditError;
use super::findings::Mark;
use super::replay::{Life, case_of, reviewer_of};
use crate::consensus::Certificate;
use crate::credit::Electorate;
use crate::crypto::merkle::MerkleTree;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, HospitalId, PatientId};
use crate::ledger::light::Step;
use crate::ledger::{
    BatchPlace, Block, Genesis, Hospital, Meta, Patient, Replay, SignedTransaction, State,
    StateProof,
};

use crate::units::{Height, Tier};
use crate::wire::WireError;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// What a bundle is made from. All proofs must be under one head: the state before the block of the last step. A validator
/// clones its ledger at some height, waits for the block after it, and makes the last step from that.
pub trait Source {
    /// Why something cannot be read.
    type Error: std::error::Error + 'static;

    /// A light client's steps from the genesis, ascending. The last one is the head's; more than needed do no harm.
    ///
    /// # Errors
    /// As the source says.
    fn steps(&mut self) -> Result<Vec<Step>, Self::Error>;

    /// The proof of an entry, or of its absence, under the state root in the last step's header.
    ///
    /// # Errors
    /// As the source says.
    fn prove(&mut self, key: Vec<u8>) -> Result<StateProof, Self::Error>;

    /// The final block of a height with its finalization; none when the source does not keep it.
    ///
    /// # Errors
    /// As the source says.
    fn block(&mut self, height: Height) -> Result<Option<(Block, Certificate)>, Self::Error>;

    /// The cases of a patient at the head, oldest first ([`State::cases_of`]).
    ///
    /// # Errors
    /// As the source says.
    fn cases_of(&mut self, patient: PatientId) -> Result<Vec<CaseId>, Self::Error>;

    /// The places of a patient's batches at the head, ascending ([`State::batches_of`]).
    ///
    /// # Errors
    /// As the source says.
    fn batches_of(
        &mut self,
        patient: PatientId,
        tier: Tier,
        up_to: Height,
    ) -> Result<Vec<BatchPlace>, Self::Error>;

    /// Heights from `first` to `last`, ascending, whose blocks may hold transactions of the case. Without an index: all of them.
    ///
    /// # Errors
    /// As the source says.
    fn heights_of(
        &mut self,
        _case: CaseId,
        first: Height,
        last: Height,
    ) -> Result<Vec<Height>, Self::Error> {
        Ok((first.0..=last.0).map(Height).collect())
    }
}

/// Why no bundle can be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: std::error::Error + 'static> {
    /// The source failed.
    #[error("the ledger cannot be read")]
    Source(#[source] E),
    /// The source has no step that leads to a head.
    #[error("the ledger shows no head yet: its first steps are still to come")]
    NoHead,
    /// No such case or patient.
    #[error("the ledger knows no {what}")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// An entry that cannot be read.
    #[error("the entry of {what} cannot be read")]
    Unreadable {
        /// Which entry.
        what: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A block that the source does not have.
    #[error("the block at height {height} is not kept here: ask another validator, or an archive")]
    NoBlock {
        /// Its height.
        height: Height,
    },
    /// Not all transactions of a case were found.
    #[error("{found} transactions of case {case} were found; it has {expected}")]
    Incomplete {
        /// The case.
        case: CaseId,
        /// How many were found.
        found: u32,
        /// How many it has.
        expected: u32,
    },
    /// What the source gave does not hold together.
    #[error("what the ledger gave does not hold together")]
    Unsound(#[from] AuditError),
}

/// Makes a bundle and verifies it. Attachments may come in any order.
///
/// # Errors
/// [`BuildError`] naming what is missing or wrong.
pub fn build<S: Source>(
    genesis: &Genesis,
    source: &mut S,
    subject: Subject,
    mut attachments: Vec<Attachment>,
) -> Result<Bundle, BuildError<S::Error>> {
    let steps = needed(source.steps().map_err(BuildError::Source)?);
    if steps.is_empty() {
        return Err(BuildError::NoHead);
    }
    let mut maker = Maker { genesis, source };
    let (meta, meta_proof) = maker.entry::<Meta>(State::meta_key(), "head")?;
    let (id, cases) = match subject {
        Subject::Patient(id) => (id, maker.source.cases_of(id).map_err(BuildError::Source)?),
        Subject::Case(id) => (maker.case(id)?.0.patient(), vec![id]),
    };
    let what = format!("patient {id:#}");
    let (patient, patient_proof) = maker.entry::<Patient>(State::patient_key(id), &what)?;
    let at = At { meta, patient };
    let mut bundle = Bundle {
        subject,
        steps,
        meta: meta_proof,
        patient: patient_proof,
        hospitals: Vec::new(),
        reviewers: Vec::new(),
        cases: Vec::new(),
        attachments: Vec::new(),
    };
    let (mut hospitals, mut reviewers) = (BTreeSet::new(), BTreeSet::new());
    for id in cases {
        let (case, file) = maker.file(&at, id)?;
        hospitals.insert(case.hospital);
        let judged = file.transactions();
        reviewers.extend(judged.filter_map(|(_, placed)| reviewer_of(&placed.transaction)));
        bundle.cases.push(file);
    }
    for id in hospitals {
        bundle.hospitals.push(maker.hospital(id)?.1);
    }
    for id in reviewers {
        let proof = maker.prove(State::reviewer_key(id))?;
        bundle.reviewers.push(proof);
    }
    attachments.sort_by(|a, b| a.name.cmp(&b.name));
    bundle.attachments = attachments;
    super::verify(genesis, &bundle)?;
    Ok(bundle)
}

/// The steps without which the head, or the validators of a height before it, could not be known: those after which others
/// vote, and the last.
fn needed(mut steps: Vec<Step>) -> Vec<Step> {
    let last = steps.pop();
    steps.retain(|step| {
        let value = step.electorate.value.as_ref();
        let electorate = value.map(|value| State::decode_value::<Electorate>(value));
        // What cannot be read is left in, for the verification to name.
        electorate.is_none_or(|read| read.map_or(true, |electorate| electorate.next.is_some()))
    });
    steps.extend(last);
    steps
}

/// The state at the head, as far as every case needs it.
struct At {
    meta: Meta,
    patient: Patient,
}

struct Maker<'a, S> {
    genesis: &'a Genesis,
    source: &'a mut S,
}

impl<S: Source> Maker<'_, S> {
    fn prove(&mut self, key: Vec<u8>) -> Result<StateProof, BuildError<S::Error>> {
        self.source.prove(key).map_err(BuildError::Source)
    }

    fn entry<T: DeserializeOwned>(
        &mut self,
        key: Vec<u8>,
        what: &str,
    ) -> Result<(T, StateProof), BuildError<S::Error>> {
        let proof = self.prove(key)?;
        let what = || what.to_owned();
        let value = proof.value.as_ref();
        let value = value.ok_or_else(|| BuildError::Unknown { what: what() })?;
        let entry = State::decode_value(value).map_err(|source| BuildError::Unreadable {
            what: what(),
            source,
        })?;
        Ok((entry, proof))
    }

    fn case(&mut self, id: CaseId) -> Result<(Case, StateProof), BuildError<S::Error>> {
        self.entry(State::case_key(id), &format!("case {id:#}"))
    }

    fn hospital(&mut self, id: HospitalId) -> Result<(Hospital, StateProof), BuildError<S::Error>> {
        self.entry(State::hospital_key(id), &format!("hospital {id:#}"))
    }

    /// Everything about one case.
    fn file(&mut self, at: &At, id: CaseId) -> Result<(Case, CaseFile), BuildError<S::Error>> {
        let (case, entry) = self.case(id)?;
        let mut batches = Vec::new();
        for scope in &case.request.scopes {
            let places = self
                .source
                .batches_of(case.patient(), scope.tier, scope.up_to)
                .map_err(BuildError::Source)?;
            for place in places {
                batches.push(self.prove(State::batch_key(place))?);
            }
        }
        let blocks = self.blocks(at, &case)?;
        let file = CaseFile {
            entry,
            batches,
            blocks,
        };
        Ok((case, file))
    }

    /// The blocks with the case's transactions, without those that the ledger refused.
    fn blocks(&mut self, at: &At, case: &Case) -> Result<Vec<SealedBlock>, BuildError<S::Error>> {
        let mut replay = Replay::new(self.genesis, &at.meta, case.patient(), &at.patient);
        replay.accredit(&self.hospital(case.hospital)?.0);
        let mut life = Life::new(case.id, replay);
        let heights = self
            .source
            .heights_of(case.id, case.height, at.meta.height)
            .map_err(BuildError::Source)?;
        let mut blocks = Vec::new();
        for height in heights {
            if life.log().1 >= case.log.1 {
                break;
            }
            let found = self.source.block(height).map_err(BuildError::Source)?;
            let (block, certificate) = found.ok_or(BuildError::NoBlock { height })?;
            let places = self.places(&mut life, case.id, &block)?;
            if !places.is_empty() {
                blocks.push(seal(block, certificate, &places));
            }
        }
        match (life.log().1, case.log.1) {
            (found, expected) if found == expected => Ok(blocks),
            (found, expected) => Err(BuildError::Incomplete {
                case: case.id,
                found,
                expected,
            }),
        }
    }

    /// The places of the block's transactions that count for the case.
    fn places(
        &mut self,
        life: &mut Life,
        case: CaseId,
        block: &Block,
    ) -> Result<Vec<usize>, BuildError<S::Error>> {
        let mut places = Vec::new();
        for (index, transaction) in block.transactions.iter().enumerate() {
            if case_of(transaction) != Some(case) {
                continue;
            }
            if let Some(reviewer) = reviewer_of(transaction)
                && self.is_reviewer(reviewer)?
            {
                life.accredit_reviewer(reviewer);
            }
            if life
                .take(mark(block, index, transaction), transaction)
                .is_ok()
            {
                places.push(index);
            }
        }
        Ok(places)
    }

    fn is_reviewer(&mut self, id: AccountId) -> Result<bool, BuildError<S::Error>> {
        Ok(self.prove(State::reviewer_key(id))?.value.is_some())
    }
}

fn mark(block: &Block, index: usize, transaction: &SignedTransaction) -> Mark {
    Mark {
        height: block.header.height,
        // A block of 4 MiB holds far fewer transactions than a u32 counts.
        index: u32::try_from(index).unwrap_or(u32::MAX),
        time_ms: block.header.time_ms,
        transaction: transaction.id(),
    }
}

/// The block's header and finalization with the transactions at these places.
fn seal(block: Block, certificate: Certificate, places: &[usize]) -> SealedBlock {
    let tree = MerkleTree::new(block.transactions.iter().map(SignedTransaction::id));
    let transactions = places.iter().filter_map(|place| {
        Some(Placed {
            path: tree.path(*place)?,
            transaction: block.transactions.get(*place)?.clone(),
        })
    });
    SealedBlock {
        transactions: transactions.collect(),
        header: block.into_parts().header,
        certificate,
    }
}
