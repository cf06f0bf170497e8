//! The pure structs: book, tally, inbox, views, activity, limiter, future, catch-up, pool.

use super::*;
use crate::consensus::activity::{Activity, Level};
use crate::consensus::book::{Book, Permit};
use crate::consensus::catchup::{CatchUp, Future, Limiter, Service};
use crate::consensus::inbox::Inbox;
use crate::consensus::io::ViewReason;
use crate::consensus::tally::Tally;
use crate::consensus::views::Views;
use crate::crypto::Signature;
use std::collections::BTreeMap;

fn raw_vote(kind: VoteKind, view: u64, id: u8, signer: u16) -> Vote {
    Vote {
        kind,
        height: Height(1),
        view: View(view),
        id: if kind == VoteKind::Nullify {
            BlockId::NONE
        } else {
            BlockId([id; 32])
        },
        signer: ValidatorId(signer),
        signature: Signature([id; 64]),
    }
}

fn raw_cert(kind: VoteKind, view: u64, id: u8) -> Certificate {
    let vote = raw_vote(kind, view, id, 0);
    Certificate {
        kind,
        height: Height(1),
        view: View(view),
        id: vote.id,
        votes: Vec::new(),
    }
}

/// Every pair of votes in one view: what the book permits after what.
#[test]
fn the_book_never_permits_a_contradiction() {
    use VoteKind::{Finalize, Notarize, Nullify};
    let votes = [
        raw_vote(Notarize, 1, 1, 0),
        raw_vote(Notarize, 1, 2, 0),
        raw_vote(Nullify, 1, 0, 0),
        raw_vote(Finalize, 1, 1, 0),
        raw_vote(Finalize, 1, 2, 0),
    ];
    for first in &votes {
        for second in &votes {
            let mut book = Book::default();
            book.record(first.clone());
            let permit = book.permit(second.kind, second.view, second.id);
            let contradicts =
                crate::consensus::Evidence::from_votes(first.clone(), second.clone()).is_some();
            let expected = match (first == second, contradicts) {
                (true, _) => Permit::Signed(first.clone()),
                (false, true) => Permit::Never,
                (false, false) => Permit::Sign,
            };
            assert_eq!(permit, expected, "{first:?} then {second:?}");
            assert_eq!(
                book.permit(second.kind, View(2), second.id),
                Permit::Sign,
                "another view is free"
            );
        }
    }
}

#[test]
fn the_tally_counts_signers_once_and_bounds_liars() {
    let mut tally = Tally::new(Height(1));
    for signer in [0, 1, 1, 2] {
        assert_eq!(
            tally.insert(&raw_vote(VoteKind::Notarize, 3, 1, signer)),
            None
        );
    }
    assert_eq!(tally.certificate(View(3), VoteKind::Notarize, 4), None);
    tally.insert(&raw_vote(VoteKind::Notarize, 3, 1, 3));
    let cert = tally.certificate(View(3), VoteKind::Notarize, 4).unwrap();
    assert_eq!(
        cert.votes
            .iter()
            .map(|(signer, _)| signer.0)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(tally.next_fresh(), Some(View(3)));
    assert_eq!(tally.next_fresh(), None);
    // The second block convicts, the third is not even kept.
    for id in 2..20 {
        assert!(
            tally
                .insert(&raw_vote(VoteKind::Notarize, 3, id, 0))
                .is_some()
        );
    }
    assert!(tally.contains(&raw_vote(VoteKind::Notarize, 3, 2, 0)));
    assert!(!tally.contains(&raw_vote(VoteKind::Notarize, 3, 3, 0)));
    // Both blocks count for their signer: it may have told the truth to others.
    for signer in 1..4 {
        tally.insert(&raw_vote(VoteKind::Finalize, 3, 2, signer));
    }
    assert_eq!(tally.finalize_votes(BlockId([2; 32])).len(), 3);
    assert_eq!(
        tally.certificate(View(9), VoteKind::Nullify, 0),
        None,
        "no votes are no quorum"
    );
    tally.prune(View(100));
    assert!(!tally.contains(&raw_vote(VoteKind::Notarize, 3, 1, 1)));
    for (view, current, kept) in [
        (0, 1, false),
        (1, 1, true),
        (65, 1, true),
        (66, 1, false),
        (36, 100, true),
        (35, 100, false),
    ] {
        assert_eq!(
            Tally::in_range(View(view), View(current)),
            kept,
            "{view} in {current}"
        );
    }
}

#[test]
fn votes_wait_unverified_until_they_matter() {
    let (mut inbox, tally) = (Inbox::default(), Tally::new(Height(1)));
    let ballot = |vote: &Vote| Ballot {
        vote: vote.clone(),
        proposal: None,
    };
    let votes: Vec<_> = (0..3)
        .map(|signer| raw_vote(VoteKind::Notarize, 1, 1, signer))
        .collect();
    for vote in &votes[..2] {
        inbox.put(ballot(vote));
        inbox.put(ballot(vote));
        assert!(inbox.take_quorum(vote, &tally, 3).is_empty());
        assert!(inbox.take_conflict(vote, &tally).is_empty());
    }
    inbox.put(ballot(&votes[2]));
    assert_eq!(inbox.take_quorum(&votes[2], &tally, 3).len(), 3);
    // A contradiction is looked at whatever the numbers.
    let (first, second) = (
        raw_vote(VoteKind::Nullify, 1, 0, 1),
        raw_vote(VoteKind::Finalize, 1, 1, 1),
    );
    inbox.put(ballot(&first));
    inbox.put(ballot(&second));
    assert_eq!(inbox.take_conflict(&second, &tally).len(), 2);
    // Two blocks of one signer at most.
    for id in 1..50 {
        inbox.put(ballot(&raw_vote(VoteKind::Notarize, 2, id, 1)));
    }
    assert_eq!(inbox.drain().len(), 2);
    assert!(inbox.drain().is_empty());
}

fn views(notarized: &[u64], nullified: &[u64], current: Option<(u64, Option<u64>)>) -> Views {
    let current = current.map(|(view, base)| (View(view), base.map(View)));
    let notarized = notarized
        .iter()
        .map(|&view| (View(view), raw_cert(VoteKind::Notarize, view, 1)));
    let nullified = nullified
        .iter()
        .map(|&view| (View(view), raw_cert(VoteKind::Nullify, view, 0)));
    Views::restore(current, notarized.collect(), nullified.collect())
}

/// spec 2, validJ: exactly the views between base and view are nullified.
#[test]
fn justifications_are_complete() {
    let known = views(&[2], &[1, 3, 4], None);
    for (base, view, valid) in [
        (None, 1, true),
        (None, 2, true),
        (None, 3, false), // view 2 is not nullified
        (Some(2), 3, true),
        (Some(2), 5, true),
        (Some(2), 6, false), // view 5 is not nullified
        (Some(2), 2, false), // a base lies below
        (Some(1), 2, false), // not notarized
    ] {
        assert_eq!(
            known.justifies(base.map(View), View(view)),
            valid,
            "{base:?} {view}"
        );
    }
    assert!(!known.justifies(None, View(u64::MAX)));
}

#[test]
fn views_follow_certificates() {
    let next = |views: &Views| {
        views
            .next()
            .map(|next| (next.view.0, next.base.map(|base| base.0), next.reason))
    };
    assert_eq!(next(&views(&[], &[], None)), None);
    assert_eq!(
        next(&views(&[], &[1], None)),
        Some((2, None, ViewReason::Nullified))
    );
    assert_eq!(
        next(&views(&[], &[1, 2, 4], None)),
        Some((3, None, ViewReason::Nullified))
    );
    assert_eq!(
        next(&views(&[], &[2, 3], None)),
        None,
        "view 1 is neither notarized nor nullified"
    );
    assert_eq!(
        next(&views(&[1], &[], None)),
        Some((2, Some(1), ViewReason::Notarized))
    );
    assert_eq!(
        next(&views(&[1], &[1], None)),
        Some((2, Some(1), ViewReason::Notarized))
    );
    assert_eq!(
        next(&views(&[7], &[], None)),
        Some((8, Some(7), ViewReason::Notarized))
    );
    assert_eq!(
        next(&views(&[7], &[8, 9], None)),
        Some((10, Some(7), ViewReason::Nullified))
    );
    // A notarization below the current view becomes the base of the next justification, not of this one.
    let late = views(&[2], &[1, 2, 3], Some((4, None)));
    assert_eq!(next(&late), None);
    let later = views(&[2], &[1, 2, 3, 4], Some((4, None)));
    assert_eq!(next(&later), Some((5, Some(2), ViewReason::Nullified)));
}

/// A justification of 100 nullifications travels in pages of 16, only what the receiver lacks.
#[test]
fn long_justifications_come_in_pages() {
    let all: Vec<_> = (1..100).collect();
    let far = views(&[], &all, Some((100, None)));
    let mut mine = BTreeMap::new();
    let mut pages = 0;
    loop {
        let near = Views::restore(None, BTreeMap::new(), mine.clone());
        let at = near.next().map_or(View(1), |next| next.view);
        if at == View(100) {
            break;
        }
        let page = far.page_for(at);
        assert!(page.nullifications.len() <= 16 && page.base.is_none());
        mine.extend(
            page.nullifications
                .into_iter()
                .map(|cert| (cert.view, cert)),
        );
        pages += 1;
    }
    assert_eq!(pages, 7);
    let based = views(&[90], &all, Some((100, Some(90))));
    let page = based.page_for(View(5));
    assert_eq!(page.base.map(|cert| cert.view), Some(View(90)));
    assert_eq!(page.nullifications.len(), 9);
    let unasked = far.latest(None, View(100), 4);
    assert_eq!(
        unasked
            .nullifications
            .iter()
            .map(|cert| cert.view.0)
            .collect::<Vec<_>>(),
        [96, 97, 98, 99]
    );
}

/// The idle rule, all by itself.
#[test]
fn heights_are_roused_by_work_heartbeat_and_others() {
    let timing = Timing::default();
    let head = Millis(100_000);
    let wait =
        |activity: &Activity, now: u64| activity.wait(Millis(now), &timing).map(|wait| wait.0);
    let master = Activity::new(&timing, head, true);
    let mut other = Activity::new(&timing, head, false);
    assert_eq!(
        (wait(&master, 100_000), wait(&other, 100_000)),
        (Some(10_000), Some(12_000))
    );
    assert_eq!(wait(&master, 115_000), Some(0));
    assert_eq!(
        wait(&master, 50_000),
        Some(14_000),
        "a clock that was set back does not silence a node"
    );
    other.work(true);
    assert_eq!(other.level(), Level::Work);
    other.work(false);
    assert_eq!(other.level(), Level::Idle);
    // One voter of seven: listened to a second after the head; a third one: at once.
    assert!(other.hear(ValidatorId(1), 2, &timing));
    assert_eq!(wait(&other, 100_000), Some(1_000));
    assert!(!other.hear(ValidatorId(1), 2, &timing));
    assert!(other.hear(ValidatorId(2), 2, &timing));
    assert_eq!(other.level(), Level::Idle);
    assert!(other.hear(ValidatorId(3), 2, &timing));
    assert_eq!(
        (other.level(), wait(&other, 100_000)),
        (Level::Called, None)
    );
    other.work(false);
    assert_eq!(
        other.level(),
        Level::Called,
        "only own work lets a height rest again"
    );
}

#[test]
fn services_are_rationed_per_peer() {
    let mut limiter = Limiter::default();
    let (a, b) = (ValidatorId(1), ValidatorId(2));
    assert!(limiter.allow(a, Service::Committed, Millis(1_000)));
    assert!(!limiter.allow(a, Service::Committed, Millis(1_099)));
    assert!(limiter.allow(b, Service::Committed, Millis(1_001)));
    assert!(limiter.allow(a, Service::Page, Millis(1_001)));
    assert!(limiter.allow(a, Service::Committed, Millis(1_100)));
    assert!(
        limiter.allow(a, Service::Committed, Millis(10)),
        "the clock was set back"
    );
    assert!(limiter.allow(a, Service::AskedCommitted, Millis(10)));
    assert!(limiter.allow(a, Service::AskedCommitted, Millis(20)));
}

#[test]
fn messages_of_the_future_are_few() {
    let mut future = Future::default();
    let ask = |n| Message::GetCommitted {
        from: Height(n),
        count: 1,
    };
    for n in 0..100 {
        future.keep(Height(5), ValidatorId(1), ask(n));
        future.keep(Height(5), ValidatorId(2), ask(n));
    }
    assert!(future.take(Height(4)).is_none());
    let mut taken = 0;
    while future.take(Height(5)).is_some() {
        taken += 1;
    }
    assert_eq!(taken, 32);
    let solo = Solo::follower(4, 3);
    let (_, proposal) = solo.proposal(1, &solo.block(1), Justification::default());
    for peer in 0..100 {
        future.keep(Height(5), ValidatorId(peer), proposal.clone());
        future.keep(Height(5), ValidatorId(peer), proposal.clone());
    }
    let mut proposals = 0;
    while future.take(Height(5)).is_some() {
        proposals += 1;
    }
    assert_eq!(proposals, 8);
    future.keep(Height(5), ValidatorId(1), ask(1));
    future.keep(Height(6), ValidatorId(1), ask(1));
    assert!(
        future.take(Height(5)).is_none(),
        "an older height is forgotten"
    );
}

#[test]
fn peers_are_asked_in_turn_and_lose_their_claim() {
    let mut catch_up = CatchUp::default();
    assert_eq!(catch_up.next(Height(5)), None);
    for peer in 1..4 {
        catch_up.claim(ValidatorId(peer), Height(9));
    }
    catch_up.claim(ValidatorId(4), Height(5));
    let mut asked = Vec::new();
    for _ in 0..4 {
        let peer = catch_up.next(Height(5)).unwrap();
        asked.push(peer.0);
    }
    assert_eq!(
        asked,
        [1, 2, 3, 1],
        "who claims no more than we have is not asked"
    );
    catch_up.failed(ValidatorId(2));
    assert_eq!(catch_up.next(Height(5)), Some(ValidatorId(3)));
    assert_eq!(catch_up.take_asked(), Some(ValidatorId(3)));
    assert_eq!(catch_up.next(Height(9)), None);
}
