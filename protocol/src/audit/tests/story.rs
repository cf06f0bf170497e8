//! One case from its request to its verdict, with everything in it that a bundle shows.

use super::scene::*;
use crate::crypto::Digest;
use crate::emergency::{RefusalReason, Verdict};
use crate::ids::CaseId;
use crate::ledger::{Change, TxBody, What};
use crate::units::Tier;

/// A case with everything in it, others around it, and a fifth validator that comes meanwhile.
pub(super) fn story() -> (Scene, CaseId) {
    let mut scene = Scene::new();
    scene.put_batch(PATIENT, Tier::Summary, 1);
    scene.put_batch(PATIENT, Tier::Chart, 2);
    scene.put_batch(OTHER_PATIENT, Tier::Summary, 3);
    scene.open(OTHER_HOSPITAL, OTHER_PATIENT);
    let case = scene.open(HOSPITAL, PATIENT);
    scene.put_batch(PATIENT, Tier::Summary, 4);
    scene.approve(case, &KIN[..1]);
    let reason = RefusalReason::Doubtful;
    scene.act(KIN[1], TxBody::Refuse { case, reason });
    let newcomer = scene.chain.info(4);
    scene.chain.amend(vec![Change::Admit(newcomer)]);
    // Two approvals and something else in one block.
    let (one, two) = (scene.approval(case), scene.approval(case));
    let between = TxBody::Veto { case };
    let block = vec![
        scene.sign(KIN[2], one),
        scene.sign(OTHER_PATIENT, between),
        scene.sign(KIN[3], two),
    ];
    let done = scene.chain.push(block);
    let is_refused = |what: &What| matches!(what, What::Rejected { .. });
    assert_eq!(done.iter().filter(|what| is_refused(what)).count(), 1);
    for n in [KIN[0], KIN[2], KIN[3]] {
        scene.act(n, Scene::release(case, n));
    }
    // Refused, and yet on chain: it never approved.
    let refused = scene.act(KIN[4], Scene::release(case, KIN[4]));
    assert!(refused.iter().any(is_refused), "{refused:?}");
    for records in [1, 2] {
        let (tier, digest) = (Tier::Summary, Digest([9; 32]));
        let read = TxBody::Read {
            case,
            tier,
            records,
            digest,
        };
        scene.act(HOSPITAL, read);
    }
    scene.act(HOSPITAL, TxBody::Close { case });
    let verdict = Verdict::Justified;
    scene.act(REVIEWER, TxBody::Review { case, verdict });
    (scene, case)
}
