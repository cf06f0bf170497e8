//! What a validator keeps as evidence for others: bundles of `kithkin_protocol::audit` from a store, running or at rest.
//!
//! A header holds the root of the state before its block, so a bundle shows the state before the last block. A running
//! validator takes its present state and waits for the block after it. From a store at rest that state is made anew: from
//! the newest snapshot before, or from the genesis, and the blocks since.

use super::export::ExportPlace;
use super::snapshots::Snapshots;
use super::storage::{ChainStore, StorageError};
use crate::ports::names::ActorName;
use crate::ports::store::{Space, Store, StoreError, StoreOptions};
use kithkin_protocol::audit::{self, BuildError, Bundle, Source, Subject};
use kithkin_protocol::consensus::{Certificate, Finalized};
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, PatientId};
use kithkin_protocol::ledger::light::{STEPS_MAX, Step};
use kithkin_protocol::ledger::{
    BatchPlace, Block, BlockError, Genesis, Ledger, LedgerError, State, StateProof, TreeError,
    VALIDATORS_MAX,
};
use kithkin_protocol::units::{Height, Tier};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the validator keeps in it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No validator has kept anything in the folder.
    #[error("there is no ledger in {}: give the data folder of a cluster or of a node", dir.display())]
    NoLedger {
        /// The folder.
        dir: PathBuf,
    },
    /// No block yet.
    #[error("the ledger has no block yet")]
    NoBlock,
    /// The chain begins with a snapshot here, and none is older than the head.
    #[error(
        "this validator has the chain from height {first} on and no snapshot before its head: ask another one, or let this one go on for a while"
    )]
    Begins {
        /// The first height.
        first: Height,
    },
    /// A stored block does not lead on from the state before it.
    #[error("the block at height {height} cannot be executed anew")]
    Block {
        /// Its height.
        height: Height,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// The ledger cannot be set up.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A proof cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Whoever asked has left.
    #[error("nobody waits for the bundle any more")]
    Unwanted,
}

/// A chain with the state before its last block: everything that a bundle is made from.
pub struct Archive {
    genesis: Arc<Genesis>,
    store: ChainStore,
    ledger: Ledger,
    /// The block after `ledger`.
    last: Step,
    /// For whom it is read, while the validator runs.
    place: Option<ExportPlace>,
}

impl Archive {
    /// The chain of a validator that runs: its ledger, and the block after that.
    pub(super) fn running(
        genesis: Arc<Genesis>,
        store: ChainStore,
        ledger: Ledger,
        last: Step,
        place: ExportPlace,
    ) -> Self {
        Self {
            genesis,
            store,
            ledger,
            last,
            place: Some(place),
        }
    }

    /// Goes on only while somebody waits for it.
    fn check_wanted(&self) -> Result<(), ArchiveError> {
        match &self.place {
            Some(place) if !place.is_wanted() => Err(ArchiveError::Unwanted),
            Some(_) | None => Ok(()),
        }
    }

    /// Opens the folder of a cluster or of a node that does not run, and there the validator that got furthest.
    ///
    /// # Errors
    /// Every [`ArchiveError`]; [`StoreError::InUse`] while a process has the folder.
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, ArchiveError> {
        let nothing = || ArchiveError::NoLedger {
            dir: dir.to_owned(),
        };
        // Opening makes what is not there.
        if !dir.join("db").is_dir() {
            return Err(nothing());
        }
        let store = Store::open(dir, StoreOptions::default())?;
        let mut furthest: Option<(Height, Space)> = None;
        for number in 0..VALIDATORS_MAX {
            let Ok(number) = u16::try_from(number) else {
                break;
            };
            let name = ActorName::Validator(number);
            let space = store.space(&name.to_string())?;
            let Some(height) = ChainStore::height(&space)? else {
                continue;
            };
            if furthest.as_ref().is_none_or(|(best, _)| *best < height) {
                furthest = Some((height, space));
            }
        }
        let (_, space) = furthest.ok_or_else(nothing)?;
        Self::of(space, genesis)
    }

    /// The chain in the key space of a validator that does not run.
    ///
    /// # Errors
    /// Every [`ArchiveError`].
    pub fn of(space: Space, genesis: &Genesis) -> Result<Self, ArchiveError> {
        let (store, ledger, _) = ChainStore::open(space, genesis)?;
        let head = ledger.height();
        if head == Height(0) {
            return Err(ArchiveError::NoBlock);
        }
        let ledger = before(&store, genesis, head)?;
        let body = || StorageError::Body { height: head };
        let Finalized { block, certificate } = store.block(head)?.ok_or_else(body)?;
        Ok(Self {
            genesis: Arc::new(genesis.clone()),
            last: Step {
                header: block.header.clone(),
                certificate,
                electorate: ledger.prove(State::electorate_key())?,
            },
            store,
            ledger,
            place: None,
        })
    }

    /// Makes a bundle, without attachments, and verifies it.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn export(&mut self, subject: Subject) -> Result<Bundle, BuildError<ArchiveError>> {
        let genesis = Arc::clone(&self.genesis);
        audit::build(&genesis, self, subject, Vec::new())
    }

    /// All cases at the head, oldest first.
    #[must_use]
    pub fn cases(&self) -> Vec<&Case> {
        let mut cases: Vec<_> = self.ledger.state().cases().collect();
        cases.sort_by_key(|case| (case.height, case.index));
        cases
    }

    /// All patients who have had a case at the head.
    #[must_use]
    pub fn patients(&self) -> Vec<PatientId> {
        let cases = self.ledger.state().cases();
        let patients: BTreeSet<_> = cases.map(Case::patient).collect();
        patients.into_iter().collect()
    }
}

/// The state before the block at `head`.
fn before(store: &ChainStore, genesis: &Genesis, head: Height) -> Result<Ledger, ArchiveError> {
    let snapshots = store.snapshots();
    let mut ledger = match newest_before(&snapshots, head)? {
        Some(ledger) => ledger,
        None if store.first_block() == Height(1) => Ledger::genesis(genesis)?.0,
        None => {
            let first = store.first_block();
            return Err(ArchiveError::Begins { first });
        }
    };
    while ledger.height().plus(1) < head {
        let height = ledger.height().plus(1);
        let body = || StorageError::Body { height };
        let block = store.block(height)?.ok_or_else(body)?.block;
        ledger
            .execute(&block)
            .map_err(|source| ArchiveError::Block { height, source })?;
    }
    Ok(ledger)
}

/// The ledger of the newest snapshot before `head`, if there is one.
fn newest_before(snapshots: &Snapshots, head: Height) -> Result<Option<Ledger>, ArchiveError> {
    let complete = snapshots.complete()?;
    let heights = complete.iter().map(|one| one.manifest.height());
    match heights.filter(|height| *height < head).max() {
        Some(height) => {
            let entries = snapshots.entries(height)?;
            Ok(Some(Ledger::restore(&entries)?))
        }
        None => Ok(None),
    }
}

impl Source for Archive {
    type Error = ArchiveError;

    fn steps(&mut self) -> Result<Vec<Step>, ArchiveError> {
        let (snapshots, head) = (self.store.snapshots(), self.ledger.height());
        let mut steps: Vec<Step> = Vec::new();
        while steps.len() < STEPS_MAX {
            self.check_wanted()?;
            let after = steps.last().map_or(Height(0), |step| step.header.height);
            let more = snapshots.steps_after(&self.store, after, head)?;
            if more.is_empty() {
                break;
            }
            steps.extend(more);
        }
        // A snapshot may know of changes that the last block brings.
        steps.retain(|step| step.header.height < self.last.header.height);
        steps.push(self.last.clone());
        Ok(steps)
    }

    fn prove(&mut self, key: Vec<u8>) -> Result<StateProof, ArchiveError> {
        self.check_wanted()?;
        Ok(self.ledger.prove(key)?)
    }

    fn block(&mut self, height: Height) -> Result<Option<(Block, Certificate)>, ArchiveError> {
        self.check_wanted()?;
        let found = self.store.block(height)?;
        Ok(found.map(|Finalized { block, certificate }| (Block::clone(&block), certificate)))
    }

    fn cases_of(&mut self, patient: PatientId) -> Result<Vec<CaseId>, ArchiveError> {
        let cases = self.ledger.state().cases_of(patient);
        Ok(cases.map(|case| case.id).collect())
    }

    fn batches_of(
        &mut self,
        patient: PatientId,
        tier: Tier,
        up_to: Height,
    ) -> Result<Vec<BatchPlace>, ArchiveError> {
        let batches = self.ledger.state().batches_of(patient, tier, up_to);
        Ok(batches.map(|(place, _)| *place).collect())
    }

    fn heights_of(
        &mut self,
        cases: &[CaseId],
        first: Height,
        last: Height,
    ) -> Result<Vec<Height>, ArchiveError> {
        let mut heights = BTreeSet::new();
        for case in cases {
            heights.extend(self.store.heights_of(*case)?);
        }
        let begins = self.store.first_block();
        if first < begins {
            // Blocks that are not here are not in the index either: reading one of them names what is missing.
            heights.extend([first, begins.minus(1)]);
        }
        let within = heights.range(first..=last.max(first));
        Ok(within.copied().collect())
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
