//! Reading durable records back, and starting from them.

use super::*;
use crate::consensus::WalError;

fn solo_wal(entries: Vec<WalEntry>) -> Result<Wal, WalError> {
    Wal::load(Height(0), None, entries)
}

#[test]
fn records_must_fit_together() {
    let solo = Solo::follower(4, 3);
    let vote = |kind, id| WalEntry::Vote(solo.vote(ValidatorId(0), kind, 1, id));
    let (a, b) = (BlockId([1; 32]), BlockId([2; 32]));
    assert!(
        solo_wal(vec![
            vote(VoteKind::Notarize, a),
            vote(VoteKind::Notarize, a)
        ])
        .is_ok()
    );
    let twice = solo_wal(vec![
        vote(VoteKind::Notarize, a),
        vote(VoteKind::Notarize, b),
    ]);
    assert_eq!(
        twice.unwrap_err(),
        WalError::Contradiction {
            height: Height(1),
            view: View(1)
        }
    );
    let proposal = |id| {
        let key = &solo.identity(ValidatorId(0)).vote_key;
        let signed =
            SignedProposalId::sign(solo.chain(), Height(1), View(1), id, ValidatorId(0), key);
        WalEntry::Proposal { signed, base: None }
    };
    assert!(solo_wal(vec![proposal(a), proposal(b)]).is_err());
    let view = WalEntry::View {
        height: Height(1),
        view: View(3),
        base: Some(View(1)),
    };
    let unjustified = WalError::Unjustified {
        height: Height(1),
        view: View(3),
    };
    assert_eq!(solo_wal(vec![view.clone()]).unwrap_err(), unjustified);
    let notarization =
        WalEntry::Notarization(solo.certificate(&solo.others(), VoteKind::Notarize, 1, a));
    let nullification = WalEntry::Nullification(solo.nullification(2));
    assert_eq!(
        solo_wal(vec![notarization.clone(), view.clone()]).unwrap_err(),
        unjustified
    );
    assert!(solo_wal(vec![notarization, nullification, view.clone()]).is_ok());
    // A chain that was restored from an old copy; records left over from a crash after a commit.
    let ahead = WalEntry::View {
        height: Height(2),
        view: View(1),
        base: None,
    };
    assert_eq!(
        solo_wal(vec![ahead.clone()]).unwrap_err(),
        WalError::Ahead {
            found: Height(2),
            head: Height(0)
        }
    );
    let cert = solo.certificate(&solo.others(), VoteKind::Finalize, 1, a);
    assert!(
        Wal::load(Height(1), Some(cert.clone()), vec![view])
            .unwrap()
            .is_empty()
    );
    assert!(Wal::load(Height(1), None, vec![]).is_err());
    assert!(Wal::load(Height(2), Some(cert.clone()), vec![]).is_err());
    assert!(Wal::load(Height(0), Some(cert), vec![]).is_err());
}

/// A restarted node repeats its vote and signs no other, in whatever order the proposals come.
#[test]
fn a_restarted_node_keeps_its_word() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    let rival = block.altered(|parts| parts.header.time_ms.0 += 1);
    let outputs = solo.send_proposal(1, &block, Justification::default());
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 1, block.id())]);
    let wal = solo_wal(written(&outputs)).unwrap();
    let mut again = Solo::with(fixture(4, Profile::Hardened), Some(solo.me), wal);
    let first = std::mem::take(&mut again.seen);
    assert_eq!(
        votes_sent(&first),
        [(VoteKind::Notarize, 1, block.id())],
        "re-sent unchanged"
    );
    let outputs = again.send_proposal(1, &rival, Justification::default());
    assert!(votes_sent(&outputs).is_empty());
    assert!(
        written(&outputs).is_empty(),
        "nor is the rival block stored"
    );
}

/// A restarted master repeats its proposal and builds no other.
#[test]
fn a_restarted_master_does_not_equivocate() {
    let mut solo = Solo::master(4);
    let mut outputs = solo.step(Input::Work(true));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Build { .. }))
    );
    solo.core.round.activity.call();
    let built = Input::Built {
        height: Height(1),
        view: View(1),
        transactions: vec![],
    };
    outputs.extend(solo.step(built));
    let proposed = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Broadcast(Message::Proposal(proposal)) => Some(proposal.block.id()),
            _ => None,
        })
    };
    let id = proposed(&outputs).expect("a proposal");
    let wal = solo_wal(written(&outputs)).unwrap();
    let mut again = Solo::with(fixture(4, Profile::Hardened), Some(solo.me), wal);
    let first = std::mem::take(&mut again.seen);
    assert_eq!(proposed(&first), Some(id));
    again.now = again.now.plus(777);
    let outputs = again.step(Input::Work(true));
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Build { .. }))
    );
}

/// spec 2, start(h): a crash between FIN and enter.
#[test]
fn a_notarization_on_disk_is_left_behind_at_start() {
    let mut solo = Solo::follower(4, 3);
    let block = solo.block(1);
    solo.send_proposal(1, &block, Justification::default());
    let cert = solo.certificate(&solo.others(), VoteKind::Notarize, 1, block.id());
    let wal = solo_wal(vec![WalEntry::Notarization(cert)]).unwrap();
    let again = Solo::with(fixture(4, Profile::Hardened), Some(solo.me), wal);
    assert_eq!(again.core.view(), View(2));
    assert_eq!(
        votes_sent(&again.seen),
        [(VoteKind::Finalize, 1, block.id()); 2]
    );
}
