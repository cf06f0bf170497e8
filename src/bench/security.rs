//! The security figure: how often the first master of a height misbehaves, against the share of malicious validators.
//!
//! No network and no signatures: heights follow each other on the real [`Standings`], whose rules of credit and leader
//! order are those of the ledger. A malicious master stays silent; its view is nullified, the next master is asked,
//! and the block that comes at last costs those before it their credit. Malicious validators vote like everybody else,
//! because not voting would end their candidacy. What they sign is always well-formed: evidence, which jails for ten
//! thousand heights, would only make the figure better.
//!
//! `round-robin` and `random` know no credit, so an adversary has nothing to behave for: it always misbehaves.

use kithkin_protocol::consensus::{Certificate, VoteKind};
use kithkin_protocol::credit::{CREDIT_INIT, OPEN_EVERY, Standings, draw_below};
use kithkin_protocol::crypto::vrf::{VrfProof, VrfPublicKey};
use kithkin_protocol::crypto::{Digest, Signature, VerifyingKey, hash};
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::{Genesis, Header, Profile, ValidatorInfo, Workload};
use kithkin_protocol::units::{Credit, Height, Millis, View};
use serde::Serialize;
use std::collections::BTreeSet;

/// Credit of the top grade.
const TOP_GRADE: Credit = Credit(700_000);

/// How the first master is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// In turn
    RoundRobin,
    /// By lot, all alike
    Random,
    /// By credit: the published scheme to the letter
    Literal,
    /// By credit: the default
    Balanced,
    /// By credit: more candidates than there can be faulty validators
    Hardened,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::Random,
        Self::Literal,
        Self::Balanced,
        Self::Hardened,
    ];

    /// The rule's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::Literal => "literal",
            Self::Balanced => "balanced",
            Self::Hardened => "hardened",
        }
    }
}

/// When malicious validators misbehave as masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Adversary {
    /// In every view that they lead
    Always,
    /// Only when their credit made them candidates; in the open heights, where anyone may lead, they behave
    OnOff,
    /// They behave up to the top grade, then strike until less than the initial credit is left, and begin anew
    Farming,
}

impl Adversary {
    /// Every adversary.
    pub const ALL: [Self; 3] = [Self::Always, Self::OnOff, Self::Farming];

    /// The adversary's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnOff => "on-off",
            Self::Farming => "farming",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Validators.
    pub validators: u16,
    /// How many in a hundred of them are malicious, rounded down to whole validators.
    pub malicious_percent: u16,
    /// When these misbehave.
    pub adversary: Adversary,
    /// How the first master is chosen.
    pub rule: Rule,
    /// Heights before counting begins.
    pub warm_up: u64,
    /// Heights counted.
    pub heights: u64,
    /// Which genesis: the beacon starts from it.
    pub seed: u64,
}

impl Trial {
    /// How many validators are malicious.
    #[must_use]
    pub fn malicious(&self) -> u16 {
        let count = u32::from(self.validators) * u32::from(self.malicious_percent) / 100;
        u16::try_from(count).unwrap_or(self.validators)
    }

    /// How many of the counted heights had a first master that misbehaved.
    #[must_use]
    pub fn strikes(&self) -> u64 {
        let profile = match self.rule {
            Rule::RoundRobin => return self.count(|height| height % u64::from(self.validators)),
            Rule::Random => {
                let seed = self.genesis(Profile::Balanced).chain_id();
                return self.count(|height| {
                    let n = usize::from(self.validators);
                    draw_below(n, &Digest(seed.0), Height(height), View(1)) as u64
                });
            }
            Rule::Literal => Profile::Literal,
            Rule::Balanced => Profile::Balanced,
            Rule::Hardened => Profile::Hardened,
        };
        let mut chain = Chain::new(self, profile);
        let all = 1..=self.warm_up.saturating_add(self.heights);
        let struck = all.filter(|&height| chain.pass(height) && height > self.warm_up);
        struck.count() as u64
    }

    /// For the rules without credit: the first master of each height is a number.
    fn count(&self, master: impl Fn(u64) -> u64) -> u64 {
        let malicious = u64::from(self.malicious());
        let heights = (1..=self.heights).filter(|&height| master(height) < malicious);
        heights.count() as u64
    }

    fn genesis(&self, profile: Profile) -> Genesis {
        // Nothing is signed: keys only have to differ.
        let key = |kind: u8, id: u16| hash("kithkin/bench-key/1", &[&[kind], &id.to_be_bytes()]).0;
        Genesis {
            time_ms: Millis(self.seed),
            profile,
            workload: Workload::Records,
            validators: (0..self.validators)
                .map(|id| ValidatorInfo {
                    id: ValidatorId(id),
                    vote_key: VerifyingKey(key(1, id)),
                    vrf_key: VrfPublicKey(key(2, id)),
                    network_key: VerifyingKey(key(3, id)),
                    hospital: None,
                })
                .collect(),
            hospitals: Vec::new(),
            reviewers: Vec::new(),
            review_within_ms: Millis(1),
        }
    }
}

/// Heights that follow each other.
struct Chain {
    standings: Standings,
    head: BlockId,
    /// View of the last block: it was finalized there.
    view: View,
    adversary: Adversary,
    malicious: u16,
    /// Farmers that have begun to strike.
    striking: BTreeSet<ValidatorId>,
    genesis: Genesis,
}

impl Chain {
    fn new(trial: &Trial, profile: Profile) -> Self {
        let genesis = trial.genesis(profile);
        Self {
            standings: Standings::genesis(&genesis),
            head: BlockId::NONE,
            view: View(1),
            adversary: trial.adversary,
            malicious: trial.malicious(),
            striking: BTreeSet::new(),
            genesis,
        }
    }

    /// Passes one height; says whether its first master misbehaved.
    fn pass(&mut self, height: u64) -> bool {
        let order = self.standings.leader_order();
        let mut failed: usize = 0;
        let author = loop {
            // At least one validator behaves: malicious ones are a minority.
            let master = order[failed % order.len()];
            if !self.misbehaves(master, height) {
                break master;
            }
            failed += 1;
        };
        let header = self.header(height, author, View(failed as u64 + 1));
        let id = header.id();
        self.standings.apply(&header, id);
        self.head = id;
        self.view = header.view;
        failed > 0
    }

    fn misbehaves(&mut self, master: ValidatorId, height: u64) -> bool {
        if master.0 >= self.malicious {
            return false;
        }
        let credit = self
            .standings
            .record(master)
            .map_or(Credit(0), |record| record.credit);
        match self.adversary {
            Adversary::Always => true,
            Adversary::OnOff => {
                let open = self.standings.profile() != Profile::Literal
                    && height.is_multiple_of(OPEN_EVERY);
                !open && self.standings.leader_set().contains(&master)
            }
            Adversary::Farming => {
                if credit >= TOP_GRADE {
                    self.striking.insert(master);
                } else if credit < CREDIT_INIT {
                    self.striking.remove(&master);
                }
                self.striking.contains(&master)
            }
        }
    }

    /// A header as [`Standings::apply`] needs it: everybody has voted for the block before.
    fn header(&self, height: u64, author: ValidatorId, view: View) -> Header {
        let ids = self.genesis.validators.iter().map(|info| info.id);
        let parent_cert = (height > 1).then(|| Certificate {
            kind: VoteKind::Finalize,
            height: Height(height - 1),
            view: self.view,
            id: self.head,
            votes: ids.map(|id| (id, Signature([0; 64]))).collect(),
        });
        Header {
            chain: self.genesis.chain_id(),
            height: Height(height),
            parent_id: self.head,
            parent_state_root: Digest::ZERO,
            author,
            view,
            time_ms: Millis(height),
            tx_root: Digest::ZERO,
            parent_cert,
            late_votes: Vec::new(),
            evidence: Vec::new(),
            // No proof: the beacon then goes on by hash, as unpredictable to the rules as with one.
            vrf_proof: VrfProof([0xff; 80]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(rule: Rule, adversary: Adversary) -> Trial {
        Trial {
            validators: 10,
            malicious_percent: 30,
            adversary,
            rule,
            warm_up: 200,
            heights: 400,
            seed: 1,
        }
    }

    #[test]
    fn rotation_gives_the_malicious_exactly_their_share() {
        assert_eq!(trial(Rule::RoundRobin, Adversary::Always).strikes(), 120);
    }

    /// Without malicious validators no first master fails, with them some do, and credit keeps them below the rotation.
    #[test]
    fn strikes_come_from_the_malicious_and_credit_holds_them_down() {
        for rule in [Rule::Literal, Rule::Balanced, Rule::Hardened] {
            for adversary in Adversary::ALL {
                let trial = trial(rule, adversary);
                let none = Trial {
                    malicious_percent: 0,
                    ..trial
                };
                assert_eq!(none.strikes(), 0, "{rule:?}, {adversary:?}");
                assert!(trial.strikes() < 120, "{rule:?}, {adversary:?}");
                assert_eq!(trial.strikes(), trial.strikes(), "the same again");
            }
        }
        // In the open heights anyone may lead, so that nobody is shut out for good.
        assert!(trial(Rule::Balanced, Adversary::Always).strikes() > 0);
    }
}
