//! From a proposal to a quorum, and files that were changed on their way.

use super::*;
use kithkin_protocol::crypto::SealingKey;
use kithkin_protocol::ids::HospitalId;
use kithkin_protocol::ledger::{
    Accredited, Change, Genesis, HospitalInfo, IssuerInfo, Profile, ProtocolVersion, ReviewerInfo,
    Role, Workload,
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
