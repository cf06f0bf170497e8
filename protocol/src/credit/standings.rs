//! Everything about validators that all nodes agree on, and how a block changes it (spec section 4).
//!
//! The arithmetic is in `score`, the order of masters in `order`, the checks of
//! a header in `header`.

use crate::consensus::{Certificate, VoteKind};
use crate::credit::order::{LeaderOrder, Ranking, leader_order};
use crate::credit::score::{
    ACTIVE_HEIGHTS, CreditChange, CreditReason, GAIN_AUTHOR, GAIN_AUTHOR_LATE, GAIN_VOTE,
    LOSE_INACTIVE, LOSE_OVERDUE, LOSE_UNJUSTIFIED, Record, StandingRow, grade,
};
use crate::credit::{EVIDENCE_AGE, LAG, LATE, ValidatorSet};
use crate::crypto::vrf::VrfProof;
use crate::crypto::{Digest, HashWriter, hash};
use crate::ids::{BlockId, ChainId, HospitalId, ValidatorId};
use crate::ledger::{Genesis, Header, PROTOCOL_VERSION, Profile, ProtocolVersion};
use crate::memo::Memo;
use crate::units::{Height, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Validators, credit and seed after one height: the consensus part of the ledger state.
///
/// Bounded: every collection has at most one entry per validator, or per
/// validator and each of the last few heights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    pub(super) chain: ChainId,
    profile: Profile,
    pub(super) height: Height,
    seed: Digest,
    /// The oldest set of validators that is remembered.
    pub(super) first_set: ValidatorSet,
    /// The first height that it voted on.
    pub(super) first_from: Height,
    /// Later sets, each under the first height that it votes on.
    pub(super) later_sets: BTreeMap<Height, ValidatorSet>,
    /// The number of the next newcomer; one that was used is never used again.
    pub(super) next_number: ValidatorId,
    /// How many amendments were adopted.
    pub(super) amendments: u64,
    /// The rules before the upgrade that was decided last.
    pub(super) version: ProtocolVersion,
    /// That upgrade, and its first height.
    pub(super) upgrade: Option<(ProtocolVersion, Height)>,
    pub(super) records: BTreeMap<ValidatorId, Record>,
    /// Rankings of the last [`LAG`] heights before this one, oldest first.
    rankings: VecDeque<Ranking>,
    /// Authors of the last blocks, the newest last; as many as can cool down.
    authors: Vec<ValidatorId>,
    /// The last [`LATE`] blocks: whose finalize votes already earned credit.
    pub(super) recent: BTreeMap<Height, Credited>,
    parent: Option<Parent>,
    /// The masters of the next height.
    #[serde(skip)]
    pub(super) leaders: Memo<Arc<LeaderOrder>>,
    /// The first proof that was asked about, whose, and what it proves: the same block is checked and executed.
    #[serde(skip)]
    beacon: Memo<(ValidatorId, VrfProof, Option<Digest>)>,
}

/// A finalized block and those whose votes for it were credited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credited {
    pub(super) id: BlockId,
    pub(super) validators: BTreeSet<ValidatorId>,
}

/// What rule 2 needs of the last block once its finalization is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parent {
    author: ValidatorId,
    view: View,
    /// Masters of the views before, the author excepted.
    skipped: BTreeSet<ValidatorId>,
}

impl Standings {
    /// The standings at height 0. The genesis has been validated.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let chain = genesis.chain_id();
        let set = ValidatorSet::new(genesis.validators.iter().cloned());
        Self {
            chain,
            profile: genesis.profile,
            height: Height(0),
            // spec 3: S_0.seed = H(genesis)
            seed: Digest(chain.0),
            records: set.ids().map(|id| (id, Record::founder())).collect(),
            next_number: set
                .ids()
                .last()
                .map_or(ValidatorId(0), |last| ValidatorId(last.0.saturating_add(1))),
            first_set: set,
            first_from: Height(0),
            later_sets: BTreeMap::new(),
            amendments: 0,
            version: PROTOCOL_VERSION,
            upgrade: None,
            rankings: VecDeque::new(),
            authors: Vec::new(),
            recent: BTreeMap::new(),
            parent: None,
            leaders: Memo::default(),
            beacon: Memo::default(),
        }
    }

    /// The height after which these standings hold.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The beacon's present value: feeds the leader order of the next height.
    #[must_use]
    pub fn seed(&self) -> Digest {
        self.seed
    }

    /// How masters are ordered.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The validators that vote on the next height.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        self.validators_at(self.height.plus(1))
    }

    /// The validators that voted on the last height and so certify the block that led here.
    #[must_use]
    pub fn previous_validators(&self) -> &ValidatorSet {
        self.validators_at(self.height)
    }

    /// The validators that vote on `height`; known up to two heights ahead (spec section 5).
    #[must_use]
    pub fn validators_at(&self, height: Height) -> &ValidatorSet {
        self.later_sets
            .range(..=height)
            .next_back()
            .map_or(&self.first_set, |(_, set)| set)
    }

    /// What is known of a validator.
    #[must_use]
    pub fn record(&self, id: ValidatorId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// The masters of the next height, the first view's first.
    #[must_use]
    pub fn leader_order(&self) -> Vec<ValidatorId> {
        self.next_leaders().order.clone()
    }

    /// The candidates for the first view of the next height, best first.
    #[must_use]
    pub fn leader_set(&self) -> Vec<ValidatorId> {
        self.next_leaders().leader_set.clone()
    }

    fn next_leaders(&self) -> &LeaderOrder {
        self.leaders.get_or_init(|| Arc::new(self.draw_leaders()))
    }

    fn draw_leaders(&self) -> LeaderOrder {
        // spec 3: R = S_{max(0, h-1-LAG)}; here h-1 is our height. Before LAG heights the oldest is S_0.
        let now;
        let ranking = if let Some(ranking) = self.rankings.front() {
            ranking
        } else {
            now = Ranking::of(&self.records, self.height);
            &now
        };
        leader_order(
            self.profile,
            self.validators(),
            ranking,
            &self.seed,
            self.height.plus(1),
            &self.authors,
        )
    }

    /// What the author of the next block proves with its VRF key (spec section 2, `validFresh`).
    #[must_use]
    pub fn beacon_input(&self) -> Vec<u8> {
        let mut input = b"kithkin/beacon/1".to_vec();
        input.extend_from_slice(&self.chain.0);
        input.extend_from_slice(&self.height.plus(1).0.to_be_bytes());
        input.extend_from_slice(&self.seed.0);
        input
    }

    /// The output that `author` proves to the beacon, when the proof holds.
    pub(super) fn beacon_output(&self, author: ValidatorId, proof: &VrfProof) -> Option<Digest> {
        let verify = || {
            let key = self.validators().get(author)?.vrf_key;
            key.verify(&self.beacon_input(), proof).ok()
        };
        let first = self.beacon.get_or_init(|| (author, *proof, verify()));
        match first {
            (who, what, output) if (who, what) == (&author, proof) => *output,
            _ => verify(),
        }
    }

    /// Keeps what `author` itself has just made, with its own key: it need not be verified here.
    pub(crate) fn know_beacon(&self, author: ValidatorId, proof: VrfProof, output: Digest) {
        let _ = self.beacon.get_or_init(|| (author, proof, Some(output)));
    }

    /// The block finalized at `height`, one of the last [`LATE`], when the vote of `validator` for it has earned no
    /// credit yet.
    #[must_use]
    pub fn uncredited(&self, validator: ValidatorId, height: Height) -> Option<BlockId> {
        let credited = self.recent.get(&height)?;
        (!credited.validators.contains(&validator)).then_some(credited.id)
    }

    /// Every validator on record, by number.
    pub fn rows(&self) -> impl Iterator<Item = StandingRow> + '_ {
        self.records.iter().map(|(&id, record)| StandingRow {
            id,
            credit: record.credit,
            grade: grade(record.credit),
            eligible: record.is_eligible(self.height),
            jailed_until: record.is_jailed(self.height).then_some(record.jailed_until),
            offences: record.offences,
            miss: record.miss,
            last_active: record.last_active,
        })
    }

    /// Applies rules 1 to 5 and the new seed. The header must have passed [`Self::check_header`] on these standings,
    /// or be finalized.
    pub fn apply(&mut self, header: &Header, block_id: BlockId) -> Vec<CreditChange> {
        let height = header.height;
        let order = self.leader_order();
        self.rankings
            .push_back(Ranking::of(&self.records, self.height));
        while self.rankings.len() as u64 > LAG {
            self.rankings.pop_front();
        }

        let mut changes = Vec::new();
        self.credit_votes(header, &mut changes);
        self.judge_masters(header, &mut changes);
        self.convict(header, &mut changes);
        self.pass_height(height, &mut changes);

        self.seed = self.next_seed(header);
        self.remember(header, block_id, &order);
        self.height = height;
        self.leaders = Memo::default();
        self.beacon = Memo::default();
        changes
    }

    /// Rule 1: signers of the parent's finalization and of late votes, each validator and height once.
    fn credit_votes(&mut self, header: &Header, changes: &mut Vec<CreditChange>) {
        let votes = header.parent_cert.iter().flat_map(Certificate::iter_votes);
        for vote in votes.chain(header.late_votes.iter().cloned()) {
            let Some(credited) = self.recent.get_mut(&vote.height) else {
                continue;
            };
            if vote.kind != VoteKind::Finalize || !credited.validators.insert(vote.signer) {
                continue;
            }
            let reason = CreditReason::Voted {
                height: vote.height,
            };
            self.change(vote.signer, reason, changes, |record| {
                record.last_active = header.height;
                record.gain(GAIN_VOTE, header.height);
            });
        }
    }

    /// Rule 2: the author of the parent, and the masters whose views the parent proves to be nullified.
    fn judge_masters(&mut self, header: &Header, changes: &mut Vec<CreditChange>) {
        let (Some(parent), Some(cert)) = (self.parent.take(), &header.parent_cert) else {
            return;
        };
        let own_view = cert.view == parent.view;
        let reward = if own_view {
            GAIN_AUTHOR
        } else {
            GAIN_AUTHOR_LATE
        };
        self.change(
            parent.author,
            CreditReason::Authored { own_view },
            changes,
            |record| {
                record.miss = 0;
                record.gain(reward, header.height);
            },
        );
        for master in parent.skipped {
            self.change(master, CreditReason::Skipped, changes, Record::skip);
        }
    }

    /// Rule 3: evidence, which the header check found valid, unexpired and not punished before.
    fn convict(&mut self, header: &Header, changes: &mut Vec<CreditChange>) {
        for evidence in &header.evidence {
            let (height, view) = (evidence.height(), evidence.view());
            let reason = CreditReason::Convicted { height, view };
            self.change(evidence.accused(), reason, changes, |record| {
                record.convict(height, header.height);
            });
        }
    }

    /// Rules 4 and 5: what the passing of heights does.
    fn pass_height(&mut self, height: Height, changes: &mut Vec<CreditChange>) {
        let ids: Vec<_> = self.records.keys().copied().collect();
        for &id in ids.iter().filter(|_| height.0.is_multiple_of(64)) {
            self.change(id, CreditReason::Inactive, changes, |record| {
                if !record.is_active(height, ACTIVE_HEIGHTS) {
                    record.lose(LOSE_INACTIVE);
                }
            });
        }
        for &id in ids.iter().filter(|_| height.0.is_multiple_of(128)) {
            self.change(id, CreditReason::Drift, changes, |record| {
                record.drift(height)
            });
        }
    }

    /// `S_h.seed = H("kithkin/seed/1" || S_{h-1}.seed || h || beta)` with the author's VRF output as beta.
    fn next_seed(&self, header: &Header) -> Digest {
        let beta = self
            .beacon_output(header.author, &header.vrf_proof)
            // Not reached with a checked header; the same on every node all the same.
            .unwrap_or_else(|| hash("kithkin/beacon-unproved/1", &[header.vrf_proof.as_ref()]));
        let mut writer = HashWriter::new("kithkin/seed/1");
        writer.field(self.seed).number(header.height.0).field(beta);
        writer.finish()
    }

    fn remember(&mut self, header: &Header, id: BlockId, order: &[ValidatorId]) {
        let failed = usize::try_from(header.view.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let skipped = order
            .iter()
            .take(failed)
            .copied()
            .filter(|&id| id != header.author);
        self.parent = Some(Parent {
            author: header.author,
            view: header.view,
            skipped: skipped.collect(),
        });
        self.authors.push(header.author);
        // A set that is decided already may let more of them cool down than the present one.
        let cooling_max = self.validators().f().max(self.newest_validators().f());
        let cooling_max = cooling_max.max(1);
        let surplus = self.authors.len().saturating_sub(cooling_max);
        self.authors.drain(..surplus);
        self.recent.insert(
            header.height,
            Credited {
                id,
                validators: BTreeSet::new(),
            },
        );
        // The next block is at height + 1 and takes late votes from height + 1 - LATE on.
        let oldest = header.height.plus(1).minus(LATE);
        self.recent.retain(|&height, _| height >= oldest);
        // Evidence is checked under the set of its height, so a set stays as long as evidence against it counts.
        let expired = header.height.minus(EVIDENCE_AGE);
        while let Some((&from, _)) = self.later_sets.range(..=expired).next_back() {
            let Some(set) = self.later_sets.remove(&from) else {
                break;
            };
            self.first_set = set;
            self.first_from = from;
            self.later_sets.retain(|&height, _| height > from);
            // Whoever is in no set that counts cannot be punished any more.
            let mut sets = self
                .later_sets
                .values()
                .chain([&self.first_set])
                .collect::<Vec<_>>();
            sets.dedup();
            self.records
                .retain(|&id, _| sets.iter().any(|set| set.contains(id)));
        }
    }

    /// Rule 6: an emergency case of a hospital was judged unjustified; its validators lose credit.
    pub fn case_unjustified(&mut self, hospital: HospitalId) -> Vec<CreditChange> {
        self.punish_hospital(hospital, CreditReason::CaseUnjustified, LOSE_UNJUSTIFIED)
    }

    /// Rule 6: a review of a hospital's case is overdue; to be repeated every 24 h of block time.
    pub fn review_overdue(&mut self, hospital: HospitalId) -> Vec<CreditChange> {
        self.punish_hospital(hospital, CreditReason::ReviewOverdue, LOSE_OVERDUE)
    }

    fn punish_hospital(
        &mut self,
        hospital: HospitalId,
        reason: CreditReason,
        penalty: u32,
    ) -> Vec<CreditChange> {
        let mine: Vec<_> = self
            .validators()
            .iter()
            .filter(|info| info.hospital == Some(hospital))
            .map(|info| info.id)
            .collect();
        let mut changes = Vec::new();
        for id in mine {
            self.change(id, reason, &mut changes, |record| record.lose(penalty));
        }
        changes
    }

    /// Changes one record and notes the change of credit, if there is one.
    fn change(
        &mut self,
        validator: ValidatorId,
        reason: CreditReason,
        changes: &mut Vec<CreditChange>,
        apply: impl FnOnce(&mut Record),
    ) {
        let Some(record) = self.records.get_mut(&validator) else {
            return;
        };
        let before = record.credit;
        apply(record);
        let after = record.credit;
        if before != after || matches!(reason, CreditReason::Convicted { .. }) {
            changes.push(CreditChange {
                validator,
                before,
                after,
                reason,
            });
        }
    }
}
