//! Puts a bundle together from whatever knows the chain: a validator's storage, or a client that asks one.
//!
//! A source need not be trusted: what comes out is verified before it is handed over.

use super::bundle::{Attachment, Bundle, CaseFile, Placed, SealedBlock, Subject};
use super::error::AuditError;
use super::findings::Mark;
use super::replay::{Life, Standing, case_of, reviewer_of, revokes};
use super::verify::issuer;
use crate::consensus::Certificate;
use crate::credit::Electorate;
use crate::crypto::merkle::MerkleTree;
use crate::emergency::{Case, Circle};
use crate::ids::{AccountId, CaseId, PatientId};
use crate::ledger::light::{Follower, Step};
use crate::ledger::{
    Accredited, BatchPlace, Block, Enrolment, Epochs, Genesis, Hospital, Meta, Patient, Register,
    Replay, Revoked, Role, SignedTransaction, State, StateProof, TxBody,
};

use crate::units::{Height, Tier};
use crate::wire::WireError;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

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

    /// Heights from `first` to `last`, ascending, whose blocks may hold transactions of the cases. Without an index: all of them.
    ///
    /// # Errors
    /// As the source says.
    fn heights_of(
        &mut self,
        _cases: &[CaseId],
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
    let mut maker = Maker { source };
    let (meta, meta_proof) = maker.entry::<Meta>(State::meta_key(), "head")?;
    let (id, ids) = maker.subject(subject)?;
    let what = format!("patient {id:#}");
    let (patient, patient_proof) = maker.entry::<Patient>(State::patient_key(id), &what)?;
    let mut bundle = Bundle {
        subject,
        steps,
        meta: meta_proof,
        patient: patient_proof,
        rosters: Vec::new(),
        register: maker.prove(State::register_key())?,
        hospitals: Vec::new(),
        issuers: Vec::new(),
        reviewers: Vec::new(),
        cases: Vec::new(),
        attachments: Vec::new(),
    };
    let cases = maker.cases(&mut bundle, ids)?;
    let rosters = maker.rosters(&mut bundle, id, &cases)?;
    let opened = cases.iter().map(|case| (case.id, case.epochs())).collect();
    let mut replay = Replay::new(genesis, &meta, (id, &patient), rosters, opened);
    maker.institutions(&mut bundle, &mut replay, &cases)?;
    let mut follower = Follower::new(genesis).map_err(|_| AuditError::NoSteps)?;
    for step in &bundle.steps {
        // What does not hold is named in the end.
        let _ = follower.follow(step);
    }
    let life = Life::new(replay, &follower);
    maker.fill(&mut bundle, life, &cases, meta.height)?;
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

struct Maker<'a, S> {
    source: &'a mut S,
}

impl<S: Source> Maker<'_, S> {
    /// Whose bundle it is, and the cases in it.
    fn subject(
        &mut self,
        subject: Subject,
    ) -> Result<(PatientId, Vec<CaseId>), BuildError<S::Error>> {
        match subject {
            Subject::Patient(id) => {
                let cases = self.source.cases_of(id).map_err(BuildError::Source)?;
                Ok((id, cases))
            }
            Subject::Case(id) => {
                let case = self.case(id)?.0;
                let before = match case.request.circle {
                    Circle::First => None,
                    Circle::Second { after } => Some(after),
                };
                Ok((case.patient(), before.into_iter().chain([id]).collect()))
            }
        }
    }

    /// Puts in the entries of the cases and of the batches that they name.
    fn cases(
        &mut self,
        bundle: &mut Bundle,
        ids: Vec<CaseId>,
    ) -> Result<Vec<Case>, BuildError<S::Error>> {
        let mut cases = Vec::with_capacity(ids.len());
        for id in ids {
            let (case, entry) = self.case(id)?;
            bundle.cases.push(CaseFile {
                entry,
                batches: self.batches(&case)?,
                blocks: Vec::new(),
            });
            cases.push(case);
        }
        Ok(cases)
    }

    /// Puts in what was in force when the cases were opened.
    fn rosters(
        &mut self,
        bundle: &mut Bundle,
        patient: PatientId,
        cases: &[Case],
    ) -> Result<BTreeMap<Epochs, Enrolment>, BuildError<S::Error>> {
        let all: BTreeSet<Epochs> = cases.iter().map(Case::epochs).collect();
        let mut rosters = BTreeMap::new();
        for epochs in all {
            let what = format!("roster of epoch {epochs}");
            let (roster, proof) = self.entry(State::roster_key(patient, epochs), &what)?;
            rosters.insert(epochs, roster);
            bundle.rosters.push(proof);
        }
        Ok(rosters)
    }

    fn prove(&mut self, key: Vec<u8>) -> Result<StateProof, BuildError<S::Error>> {
        self.source.prove(key).map_err(BuildError::Source)
    }

    fn entry<T: DeserializeOwned>(
        &mut self,
        key: Vec<u8>,
        what: &str,
    ) -> Result<(T, StateProof), BuildError<S::Error>> {
        let what_else = || BuildError::Unknown {
            what: what.to_owned(),
        };
        self.find(key, what)?.ok_or_else(what_else)
    }

    /// An entry, if there is one.
    fn find<T: DeserializeOwned>(
        &mut self,
        key: Vec<u8>,
        what: &str,
    ) -> Result<Option<(T, StateProof)>, BuildError<S::Error>> {
        let proof = self.prove(key)?;
        let Some(value) = proof.value.as_ref() else {
            return Ok(None);
        };
        let entry = State::decode_value(value).map_err(|source| BuildError::Unreadable {
            what: what.to_owned(),
            source,
        })?;
        Ok(Some((entry, proof)))
    }

    fn case(&mut self, id: CaseId) -> Result<(Case, StateProof), BuildError<S::Error>> {
        self.entry(State::case_key(id), &format!("case {id:#}"))
    }

    /// Puts in the hospitals that asked, and who vouched for their clinicians.
    fn institutions(
        &mut self,
        bundle: &mut Bundle,
        replay: &mut Replay,
        cases: &[Case],
    ) -> Result<(), BuildError<S::Error>> {
        if let Some(value) = &bundle.register.value {
            let register: Register = State::decode_value(value).map_err(|source| {
                let what = "register of accreditation".to_owned();
                BuildError::Unreadable { what, source }
            })?;
            replay.issuers_since(register.issuers_since);
        }
        let asked: BTreeSet<AccountId> = cases.iter().map(|case| case.hospital.into()).collect();
        let vouched: BTreeSet<AccountId> = cases.iter().filter_map(issuer).collect();
        let parties = [(Role::Hospital, asked), (Role::Issuer, vouched)];
        for (role, ids) in parties {
            for id in ids {
                let what = format!("{role} {id:#}");
                let found = self.party(role, id)?;
                let (standing, proof) = found.ok_or(BuildError::Unknown { what })?;
                replay.accredit(standing.party, standing.until);
                match role {
                    Role::Hospital => bundle.hospitals.push(proof),
                    Role::Issuer | Role::Reviewer => bundle.issuers.push(proof),
                }
            }
        }
        Ok(())
    }

    /// Somebody as accredited, or as revoked.
    fn party(
        &mut self,
        role: Role,
        id: AccountId,
    ) -> Result<Option<(Standing, StateProof)>, BuildError<S::Error>> {
        let what = format!("{role} {id:#}");
        let key = match role {
            Role::Hospital => State::hospital_key(id.into()),
            Role::Issuer => State::issuer_key(id),
            Role::Reviewer => State::reviewer_key(id),
        };
        let until = None;
        match role {
            Role::Hospital => {
                if let Some((entry, proof)) = self.find::<Hospital>(key, &what)? {
                    let party = Accredited::Hospital(entry.info);
                    return Ok(Some((Standing { party, until }, proof)));
                }
            }
            Role::Issuer => {
                if let Some((info, proof)) = self.find(key, &what)? {
                    let party = Accredited::Issuer(info);
                    return Ok(Some((Standing { party, until }, proof)));
                }
            }
            Role::Reviewer => {
                if let Some((info, proof)) = self.find(key, &what)? {
                    let party = Accredited::Reviewer(info);
                    return Ok(Some((Standing { party, until }, proof)));
                }
            }
        }
        let revoked = self.find::<Revoked>(State::revoked_key(id), &what)?;
        let revoked = revoked.filter(|(revoked, _)| revoked.was.role() == role);
        Ok(revoked.map(|(revoked, proof)| {
            let (party, until) = (revoked.was, Some(revoked.height));
            (Standing { party, until }, proof)
        }))
    }

    /// The batches within a case's scopes.
    fn batches(&mut self, case: &Case) -> Result<Vec<StateProof>, BuildError<S::Error>> {
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
        Ok(batches)
    }

    /// Puts in the blocks with the cases' transactions, without those that the ledger refused, and who judged.
    fn fill(
        &mut self,
        bundle: &mut Bundle,
        mut life: Life<'_>,
        cases: &[Case],
        last: Height,
    ) -> Result<(), BuildError<S::Error>> {
        let ids: Vec<CaseId> = cases.iter().map(|case| case.id).collect();
        let heights = match cases.iter().map(|case| case.height).min() {
            Some(first) => self.source.heights_of(&ids, first, last),
            None => Ok(Vec::new()),
        };
        let mut reviewers = BTreeMap::new();
        for height in heights.map_err(BuildError::Source)? {
            let is_done = |case: &Case| life.log(case.id).1 >= case.log.1;
            if cases.iter().all(is_done) {
                break;
            }
            let found = self.source.block(height).map_err(BuildError::Source)?;
            let (block, certificate) = found.ok_or(BuildError::NoBlock { height })?;
            let places = self.places(&mut life, cases, &block, &mut reviewers)?;
            if places.is_empty() {
                continue;
            }
            let tree = MerkleTree::new(block.transactions.iter().map(SignedTransaction::id));
            for (id, file) in ids.iter().zip(&mut bundle.cases) {
                if let Some(places) = places.get(id) {
                    file.blocks.push(seal(&block, &certificate, &tree, places));
                }
            }
        }
        bundle.reviewers = reviewers.into_values().collect();
        match cases.iter().find(|case| life.log(case.id).1 != case.log.1) {
            None => Ok(()),
            Some(case) => Err(BuildError::Incomplete {
                case: case.id,
                found: life.log(case.id).1,
                expected: case.log.1,
            }),
        }
    }

    /// The places of the block's transactions that count, for each case that has any.
    fn places(
        &mut self,
        life: &mut Life<'_>,
        cases: &[Case],
        block: &Block,
        reviewers: &mut BTreeMap<AccountId, StateProof>,
    ) -> Result<BTreeMap<CaseId, Vec<usize>>, BuildError<S::Error>> {
        let mut places: BTreeMap<CaseId, Vec<usize>> = BTreeMap::new();
        for (index, transaction) in block.transactions.iter().enumerate() {
            let concerned: Vec<CaseId> = match &transaction.content.body {
                TxBody::Governance(governance) => {
                    let ended = cases.iter().filter(|case| revokes(governance, case));
                    ended.map(|case| case.id).collect()
                }
                _ => {
                    let own = case_of(transaction);
                    let known = |id: &CaseId| cases.iter().any(|case| case.id == *id);
                    own.filter(known).into_iter().collect()
                }
            };
            for case in concerned {
                let judge = match reviewer_of(transaction) {
                    Some(id) => self.party(Role::Reviewer, id)?.map(|found| (id, found)),
                    None => None,
                };
                if let Some((_, (standing, _))) = &judge {
                    life.accredit_reviewer(standing.clone());
                }
                let mark = mark(block, index, transaction);
                if life.take(case, mark, transaction).is_ok() {
                    places.entry(case).or_default().push(index);
                    reviewers.extend(judge.map(|(id, (_, proof))| (id, proof)));
                }
            }
        }
        Ok(places)
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
fn seal(
    block: &Block,
    certificate: &Certificate,
    tree: &MerkleTree,
    places: &[usize],
) -> SealedBlock {
    let transactions = places.iter().filter_map(|place| {
        Some(Placed {
            path: tree.path(*place)?,
            transaction: block.transactions.get(*place)?.clone(),
        })
    });
    SealedBlock {
        transactions: transactions.collect(),
        header: block.header.clone(),
        certificate: certificate.clone(),
    }
}
