//! Amendments as files: what operators hand around until a quorum of the validators has signed.
//!
//! There is one kind of file. Whoever proposes writes it without signatures; each member adds its own to a copy, with keys
//! that never leave its machine; copies are merged. Beside the amendment the file names the members of its time, so that
//! people see whom it concerns and how many signatures are missing without asking a node. What it says of them binds nobody:
//! the ledger counts the signatures itself, and [`Draft::check_on`] compares the file with a state of the ledger.

use super::handed::{self, Trouble};
use super::keys::NodeKeys;
use kithkin_protocol::credit::{Standings, ValidatorSet};
use kithkin_protocol::crypto::{Digest, Signature, VerifyingKey};
use kithkin_protocol::ids::{ChainId, ValidatorId};
use kithkin_protocol::ledger::{
    Amendment, CHANGES_MAX, Clause, Governance, GovernanceError, Register, VALIDATORS_MAX,
    ValidatorInfo,
};
use kithkin_protocol::units::{Height, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the file.
const FORMAT: u32 = 2;

/// Why an amendment's file cannot be read, written, signed, merged or handed in.
#[derive(Debug, thiserror::Error)]
pub enum AmendmentError {
    /// The operating system.
    #[error("the amendment {} cannot be {action}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
    /// There is something already.
    #[error("{} is there already and is not overwritten: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{} is no amendment: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A signature in it does not hold.
    #[error(
        "the signature of {signer} in {} does not hold: ask {signer} to sign again",
        path.display()
    )]
    Signature {
        /// The file.
        path: PathBuf,
        /// Whose.
        signer: ValidatorId,
    },
    /// Keys of somebody who is no member.
    #[error(
        "no member has the vote key {vote_key:#}: only the validators that the amendment lists can sign it"
    )]
    NotMember {
        /// The public vote key.
        vote_key: VerifyingKey,
    },
    /// Two files about different things.
    #[error(
        "the files hold different amendments ({first:#} and {second:#}): they cannot be combined"
    )]
    Different {
        /// The first one's digest.
        first: Digest,
        /// The other's.
        second: Digest,
    },
    /// Too few signatures.
    #[error(
        "{found} of {quorum} signatures are there: collect the others, then kithkin governance combine"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// For another ledger.
    #[error("the amendment is for the ledger {found:#}; this is {expected:#}")]
    Chain {
        /// The amendment's.
        found: ChainId,
        /// Whose state it was compared with.
        expected: ChainId,
    },
    /// Other members than those that it lists.
    #[error(
        "the validators have changed since the amendment was written at height {height}: propose it anew"
    )]
    Members {
        /// When it was written.
        height: Height,
    },
    /// The ledger would refuse it.
    #[error("the ledger would not adopt this")]
    Refused(#[from] GovernanceError),
}

impl AmendmentError {
    fn of(path: &Path, trouble: Trouble) -> Self {
        let path = path.to_owned();
        match trouble {
            Trouble::Io { action, reason } => Self::Io {
                path,
                action,
                reason,
            },
            Trouble::Exists => Self::Exists { path },
            Trouble::Content(reason) => Self::Content { path, reason },
        }
    }
}

/// An amendment on its way to a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The ledger.
    pub chain: ChainId,
    /// The height of the state that it was written on.
    pub height: Height,
    /// Who can sign: the validators that vote once every change that was adopted before is in force.
    pub members: ValidatorSet,
    /// What is decided.
    pub amendment: Amendment,
    /// Signatures of members; all of them hold.
    pub signatures: BTreeMap<ValidatorId, Signature>,
}

/// What an amendment is written on: a state, as far as amendments need it.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The ledger.
    pub chain: ChainId,
    /// Its validators.
    pub standings: &'a Standings,
    /// What is kept about accreditation as a whole.
    pub register: Register,
    /// Block time.
    pub time_ms: Millis,
}

impl Ground<'_> {
    /// The number of the next amendment.
    #[must_use]
    pub fn next_amendment(&self) -> u64 {
        self.register.amendments_after(self.standings)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    /// The digest of chain and amendment: whoever changes a letter is told so.
    digest: Digest,
    chain: ChainId,
    height: Height,
    amendment: Amendment,
    members: Vec<ValidatorInfo>,
    #[serde(default)]
    signatures: Vec<Signed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    signer: ValidatorId,
    signature: Signature,
}

impl Draft {
    /// Writes an amendment on this state, as its next one.
    ///
    /// # Errors
    /// [`AmendmentError::Refused`] when the ledger would not adopt it; who is accredited is not looked up.
    pub fn propose(
        ground: &Ground<'_>,
        changes: Vec<Clause>,
        valid_until_ms: Millis,
    ) -> Result<Self, AmendmentError> {
        let amendment = Amendment {
            number: ground.next_amendment(),
            valid_until_ms,
            changes,
        };
        amendment.check_changes(ground.standings)?;
        Ok(Self {
            chain: ground.chain,
            height: ground.standings.height(),
            members: ground.standings.newest_validators().clone(),
            amendment,
            signatures: BTreeMap::new(),
        })
    }

    /// Names the amendment: two people who see the same digest sign the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.amendment.digest(self.chain)
    }

    /// How many more members must sign.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.members.quorum().saturating_sub(self.signatures.len())
    }

    /// The members that have not signed.
    pub fn unsigned(&self) -> impl Iterator<Item = ValidatorId> + '_ {
        let signed = |id: &ValidatorId| self.signatures.contains_key(id);
        self.members.ids().filter(move |id| !signed(id))
    }

    /// Adds the signature of the member whose keys these are; returns its number.
    ///
    /// # Errors
    /// [`AmendmentError::NotMember`].
    pub fn sign(&mut self, keys: &NodeKeys) -> Result<ValidatorId, AmendmentError> {
        let vote_key = keys.public().vote_key;
        let mut members = self.members.iter();
        let info = members
            .find(|info| info.vote_key == vote_key)
            .ok_or(AmendmentError::NotMember { vote_key })?;
        let id = info.id;
        let key = keys.identity_as(id).vote_key;
        let signature = self.amendment.sign(self.chain, &key);
        self.signatures.insert(id, signature);
        Ok(id)
    }

    /// Takes over the signatures of another copy.
    ///
    /// # Errors
    /// [`AmendmentError::Different`] for a copy of something else.
    pub fn merge(&mut self, other: Self) -> Result<(), AmendmentError> {
        let (first, second) = (self.digest(), other.digest());
        if first != second || self.chain != other.chain {
            return Err(AmendmentError::Different { first, second });
        }
        if self.members != other.members {
            let height = self.height.max(other.height);
            return Err(AmendmentError::Members { height });
        }
        self.signatures.extend(other.signatures);
        Ok(())
    }

    /// What a validator hands in.
    ///
    /// # Errors
    /// [`AmendmentError::TooFew`].
    pub fn governance(&self) -> Result<Governance, AmendmentError> {
        let (found, quorum) = (self.signatures.len(), self.members.quorum());
        if found < quorum {
            return Err(AmendmentError::TooFew { found, quorum });
        }
        let signatures = self
            .signatures
            .iter()
            .map(|(id, signature)| (*id, *signature));
        Ok(self.amendment.clone().combine(signatures))
    }

    /// Whether the ledger could adopt it after this state, once enough have signed; who is accredited is not looked up.
    ///
    /// # Errors
    /// [`AmendmentError::Chain`], [`AmendmentError::Refused`] with [`GovernanceError::Number`] when another amendment (or this
    /// one) was adopted meanwhile, [`AmendmentError::Members`], and every other reason to refuse it.
    pub fn check_on(&self, ground: &Ground<'_>) -> Result<(), AmendmentError> {
        let (found, until) = (self.chain, self.amendment.valid_until_ms);
        let expected = ground.chain;
        if found != expected {
            return Err(AmendmentError::Chain { found, expected });
        }
        let (found, expected) = (self.amendment.number, ground.next_amendment());
        if found != expected {
            return Err(GovernanceError::Number { found, expected }.into());
        }
        let now = ground.time_ms;
        if until < now {
            return Err(GovernanceError::Expired { until, now }.into());
        }
        if self.members != *ground.standings.newest_validators() {
            let height = self.height;
            return Err(AmendmentError::Members { height });
        }
        Ok(self.amendment.check_changes(ground.standings)?)
    }

    /// Writes it into a new file; on return it is on disk.
    ///
    /// # Errors
    /// [`AmendmentError::Exists`], [`AmendmentError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), AmendmentError> {
        let signatures = self.signatures.iter();
        let content = Content {
            format: FORMAT,
            digest: self.digest(),
            chain: self.chain,
            height: self.height,
            amendment: self.amendment.clone(),
            members: self.members.iter().cloned().collect(),
            signatures: signatures
                .map(|(&signer, &signature)| Signed { signer, signature })
                .collect(),
        };
        toml::to_string(&content)
            .map_err(|error| Trouble::Content(error.to_string()))
            .and_then(|text| handed::write(path, &text))
            .map_err(|trouble| AmendmentError::of(path, trouble))
    }

    /// Reads one and checks its digest, its shape and every signature in it.
    ///
    /// # Errors
    /// [`AmendmentError::Io`], [`AmendmentError::Content`], [`AmendmentError::Signature`].
    pub fn read(path: &Path) -> Result<Self, AmendmentError> {
        let text = handed::read(path).map_err(|trouble| AmendmentError::of(path, trouble))?;
        let bad = |reason| AmendmentError::of(path, Trouble::Content(reason));
        let content: Content = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let (draft, signatures) = content.check().map_err(bad)?;
        draft
            .with(signatures)
            .map_err(|signer| AmendmentError::Signature {
                path: path.to_owned(),
                signer,
            })
    }

    /// Takes signatures over if they hold; otherwise says whose does not.
    fn with(mut self, signatures: Vec<Signed>) -> Result<Self, ValidatorId> {
        let message = self.amendment.message(self.chain);
        for Signed { signer, signature } in signatures {
            let info = self.members.get(signer).ok_or(signer)?;
            let holds = info.vote_key.verify(&message, &signature);
            holds.map_err(|_| signer)?;
            self.signatures.insert(signer, signature);
        }
        Ok(self)
    }
}

impl Content {
    /// All but the signatures, which are handed back; or what is wrong, in words.
    fn check(self) -> Result<(Draft, Vec<Signed>), String> {
        if self.format != FORMAT {
            let found = self.format;
            return Err(format!(
                "it has format {found}, this program reads format {FORMAT}"
            ));
        }
        let digest = self.amendment.digest(self.chain);
        if digest != self.digest {
            let said = self.digest;
            return Err(format!(
                "it hashes to {digest:#}, but says {said:#}: it was changed"
            ));
        }
        let changes = self.amendment.changes.len();
        if changes == 0 || changes > CHANGES_MAX {
            return Err(format!(
                "it has {changes} changes; 1 to {CHANGES_MAX} are allowed"
            ));
        }
        let count = self.members.len();
        let members = ValidatorSet::new(self.members);
        if count == 0 || count > VALIDATORS_MAX || members.n() != count {
            return Err(format!(
                "it lists {count} members, or one of them twice; a ledger has 1 to {VALIDATORS_MAX}"
            ));
        }
        let draft = Draft {
            chain: self.chain,
            height: self.height,
            members,
            amendment: self.amendment,
            signatures: BTreeMap::new(),
        };
        Ok((draft, self.signatures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::SealingKey;
    use kithkin_protocol::ids::HospitalId;
    use kithkin_protocol::ledger::{
        Accredited, Change, Genesis, HospitalInfo, IssuerInfo, Profile, ProtocolVersion,
        ReviewerInfo, Role, Workload,
    };
    use std::error::Error as _;
    use std::fs;

    struct Village {
        folder: tempfile::TempDir,
        keys: Vec<NodeKeys>,
        genesis: Genesis,
    }

    /// Four validators, and keys of one more.
    fn village() -> Village {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = (0..5)
            .map(|n| NodeKeys::create(&folder.path().join(n.to_string())).unwrap())
            .collect();
        let members = (0..4u16).zip(&keys);
        let genesis = Genesis {
            time_ms: Millis(1_000),
            profile: Profile::Balanced,
            workload: Workload::Records,
            validators: members
                .map(|(n, keys)| keys.public().validator(ValidatorId(n)))
                .collect(),
            hospitals: Vec::new(),
            reviewers: Vec::new(),
            review_within_ms: Millis(1_000),
        };
        Village {
            folder,
            keys,
            genesis,
        }
    }

    impl Village {
        fn standings(&self) -> Standings {
            Standings::genesis(&self.genesis)
        }

        fn propose(&self, changes: Vec<impl Into<Clause>>) -> Result<Draft, AmendmentError> {
            let changes = changes.into_iter().map(Into::into).collect();
            let standings = self.standings();
            let ground = self.ground(&standings, Millis(1_000));
            Draft::propose(&ground, changes, Millis(9_000))
        }

        fn ground<'a>(&self, standings: &'a Standings, time_ms: Millis) -> Ground<'a> {
            Ground {
                chain: self.genesis.chain_id(),
                standings,
                register: Register::default(),
                time_ms,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }

    /// Every kind of change.
    fn all(village: &Village) -> Vec<Clause> {
        let new = |id| village.keys[4].public().validator(ValidatorId(id));
        let mut all: Vec<Clause> = [
            Change::Admit(new(4)),
            Change::Rekey(new(1)),
            Change::Remove(ValidatorId(2)),
            Change::Pardon(ValidatorId(3)),
            Change::Upgrade {
                version: ProtocolVersion(7),
                height: Height(1_000_000),
            },
        ]
        .map(Clause::from)
        .to_vec();
        let hospital = HospitalInfo {
            key: VerifyingKey([1; 32]),
            sealing: SealingKey([2; 32]),
            name: "St Mary's".to_owned(),
        };
        let works_at = Some(hospital.id());
        let parties = [
            Accredited::Hospital(hospital),
            Accredited::Issuer(IssuerInfo {
                key: VerifyingKey([3; 32]),
                name: "Chamber \"North\"".to_owned(),
            }),
            Accredited::Reviewer(ReviewerInfo {
                key: VerifyingKey([4; 32]),
                hospital: works_at,
            }),
            Accredited::Reviewer(ReviewerInfo {
                key: VerifyingKey([5; 32]),
                hospital: None,
            }),
        ];
        all.extend(parties.map(Clause::Accredit));
        all.extend([Role::Hospital, Role::Issuer, Role::Reviewer].map(|role| {
            let account = HospitalId([6; 32]).into();
            Clause::Revoke { role, account }
        }));
        all
    }

    #[test]
    fn a_file_comes_back_as_it_was_written_whatever_is_changed() {
        let village = village();
        let mut draft = village
            .propose(vec![Change::Remove(ValidatorId(2))])
            .unwrap();
        draft.amendment.changes = all(&village);
        for (n, name) in ["a", "b"].iter().enumerate() {
            draft.sign(&village.keys[n]).unwrap();
            let path = village.path(name);
            draft.write(&path).unwrap();
            assert_eq!(Draft::read(&path).unwrap(), draft);
            let again = draft.write(&path);
            assert!(matches!(again, Err(AmendmentError::Exists { .. })));
        }
    }

    #[test]
    fn signatures_are_collected_until_a_quorum_is_there() {
        let village = village();
        let info = village.keys[4].public().validator(ValidatorId(4));
        let draft = village.propose(vec![Change::Admit(info)]).unwrap();
        assert_eq!(draft.missing(), 3);
        let mut whole = draft.clone();
        for n in [3, 0, 1] {
            let too_few = whole.governance();
            assert!(matches!(
                too_few,
                Err(AmendmentError::TooFew { quorum: 3, .. })
            ));
            let mut copy = draft.clone();
            let id = copy.sign(&village.keys[n]).unwrap();
            assert_eq!(usize::from(id.0), n);
            whole.merge(copy.clone()).unwrap();
            // The same once more changes nothing.
            whole.merge(copy).unwrap();
        }
        assert_eq!(whole.missing(), 0);
        assert_eq!(whole.unsigned().collect::<Vec<_>>(), [ValidatorId(2)]);
        let governance = whole.governance().unwrap();
        let set = village.standings().validators().clone();
        governance
            .check_signatures(village.genesis.chain_id(), &set)
            .unwrap();
        // Whoever is no member cannot sign.
        let stranger = whole.sign(&village.keys[4]);
        assert!(matches!(stranger, Err(AmendmentError::NotMember { .. })));
        let mut other = village
            .propose(vec![Change::Remove(ValidatorId(1))])
            .unwrap();
        other.sign(&village.keys[0]).unwrap();
        let mixed = whole.merge(other);
        assert!(matches!(mixed, Err(AmendmentError::Different { .. })));
    }

    #[test]
    fn what_was_changed_on_its_way_is_refused() {
        let village = village();
        let mut draft = village
            .propose(vec![Change::Remove(ValidatorId(1))])
            .unwrap();
        draft.sign(&village.keys[0]).unwrap();
        let path = village.path("a");
        draft.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let signature = draft.signatures[&ValidatorId(0)].to_hex();
        let vote_key = village.keys[0].public().vote_key.to_hex();
        let other = village.keys[4].public().vote_key.to_hex();
        let cases = [
            ("Remove = 1", "Remove = 2".to_owned(), "it was changed"),
            ("format = 2", "format = 1".to_owned(), "format 1"),
            ("height = 0", "height = 0\nmore = 1".to_owned(), "more"),
            (&signature, "ab".repeat(64), "v0"),
            (&vote_key, other, "v0"),
            ("signer = 0", "signer = 9".to_owned(), "v9"),
        ];
        for (n, (from, to, words)) in cases.into_iter().enumerate() {
            let spoilt = text.replace(from, &to);
            assert_ne!(spoilt, text, "{from}");
            let path = village.path(&format!("spoilt-{n}"));
            fs::write(&path, spoilt).unwrap();
            let error = Draft::read(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{from}: {error}");
        }
    }

    /// The program prints an error and its causes, one after the other.
    #[test]
    fn a_refusal_is_printed_with_its_cause_and_the_cause_once() {
        let village = village();
        let error = village.propose(Vec::<Clause>::new()).unwrap_err();
        let mut printed = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            printed = format!("{printed}: {next}");
            cause = next.source();
        }
        let cause = GovernanceError::Changes { count: 0 };
        assert_eq!(printed, format!("the ledger would not adopt this: {cause}"));
    }

    #[test]
    fn what_the_ledger_would_refuse_is_refused_before_anybody_signs() {
        let village = village();
        let error = village.propose(all(&village)).unwrap_err();
        assert!(matches!(error, AmendmentError::Refused(_)), "{error}");
        let draft = village
            .propose(vec![Change::Remove(ValidatorId(1))])
            .unwrap();
        let standings = village.standings();
        let ground = village.ground(&standings, Millis(9_000));
        draft.check_on(&ground).unwrap();
        let time_ms = Millis(9_001);
        let late = draft.check_on(&Ground { time_ms, ..ground });
        assert!(matches!(
            late,
            Err(AmendmentError::Refused(GovernanceError::Expired { .. }))
        ));
        let chain = ChainId([9; 32]);
        let elsewhere = draft.check_on(&Ground { chain, ..ground });
        assert!(matches!(elsewhere, Err(AmendmentError::Chain { .. })));
        let mut overtaken = draft.clone();
        overtaken.amendment.number = 3;
        let error = overtaken.check_on(&ground);
        assert!(matches!(
            error,
            Err(AmendmentError::Refused(GovernanceError::Number {
                found: 3,
                expected: 0
            }))
        ));
        // Amendments of both kinds count.
        let register = Register {
            amendments: 3,
            ..Register::default()
        };
        let error = overtaken.check_on(&Ground { register, ..ground });
        error.unwrap();
        let mut others = draft;
        others.members = others.members.without(ValidatorId(3));
        let error = others.check_on(&ground);
        assert!(matches!(error, Err(AmendmentError::Members { .. })));
    }
}
