//! A master that is silent is not waited for, and only such a one.

use super::hearsay::climb;
use super::*;
use crate::consensus::TimerKind;
use crate::consensus::silence::Heard;
use crate::credit::ValidatorSet;

/// How view 1 ended.
#[derive(Clone, Copy)]
enum End {
    Nullified,
    Notarized,
}

/// How long view 2 is waited for, when view 1 was nullified so long after the start and these were heard just before.
fn patience(heard: &[usize], after_ms: u64) -> Millis {
    patience_after(End::Nullified, heard, after_ms)
}

fn patience_after(end: End, heard: &[usize], after_ms: u64) -> Millis {
    let mut solo = Solo::follower(4, 3);
    let order = solo.order();
    solo.now = solo.now.plus(after_ms);
    for place in heard {
        let (from, count) = (Height(1), 1);
        solo.receive(order[*place], Message::GetCommitted { from, count });
    }
    let justification = match end {
        End::Nullified => Justification {
            base: None,
            nullifications: vec![solo.nullification(1)],
        },
        End::Notarized => {
            let (others, id) = (solo.others(), solo.block(1).id());
            let base = solo.certificate(&others, VoteKind::Notarize, 1, id);
            Justification {
                base: Some(base),
                nullifications: Vec::new(),
            }
        }
    };
    let outputs = solo.send_new_view(order[0], 2, justification);
    assert_eq!(solo.core.view(), View(2));
    let set = outputs.iter().rev().find_map(|output| match output {
        Output::SetTimer { timer, after } if timer.kind == TimerKind::View => Some(*after),
        _ => None,
    });
    set.expect("the view's timer is set")
}

#[test]
fn a_master_that_only_others_outlived_is_given_up_at_once() {
    let timing = Timing::default();
    let usual = timing.timeout(View(2));
    let silent = timing.silent_after().0;
    // The masters of views 1 and 3 and this node are a quorum of four.
    assert_eq!(patience(&[0, 2], silent), Millis(0));
    assert_eq!(patience(&[0, 2], silent - 1), usual);
    // It was heard; or too few others were, so that it may be this node that is cut off.
    assert_eq!(patience(&[0, 1, 2], silent), usual);
    assert_eq!(patience(&[0], silent), usual);
    assert_eq!(patience(&[], 10 * silent), usual);
}

/// After a bare notarization the finalization is normally one hop away: a silent master's view has as long as it takes
/// the others to give that up.
#[test]
fn after_a_notarization_a_silent_master_is_given_up_with_the_finalization() {
    let timing = Timing::default();
    let silent = timing.silent_after().0;
    let bare = |heard: &[usize]| patience_after(End::Notarized, heard, silent);
    assert_eq!(bare(&[0, 2]), timing.repropose_after());
    assert_eq!(bare(&[0, 1, 2]), timing.timeout(View(2)));
}

/// A view that is cut short for a silent master gets its whole time back at the master's first word.
#[test]
fn a_word_in_time_gives_the_view_its_time_back() {
    let timing = Timing::default();
    let mut solo = Solo::follower(4, 3);
    let order = solo.order();
    solo.now = solo.now.plus(timing.silent_after().0);
    let ask = Message::GetCommitted {
        from: Height(1),
        count: 1,
    };
    for place in [0, 2] {
        solo.receive(order[place], ask.clone());
    }
    let base = solo.certificate(&solo.others(), VoteKind::Notarize, 1, solo.block(1).id());
    let justification = Justification {
        base: Some(base),
        nullifications: Vec::new(),
    };
    let hurried = solo.send_new_view(order[0], 2, justification);
    solo.now = solo.now.plus(20);
    let view_timer = |outputs: &[Output]| {
        let mut set = outputs.iter().filter_map(|output| match output {
            Output::SetTimer { timer, after } if timer.kind == TimerKind::View => Some(*after),
            _ => None,
        });
        set.next_back()
    };
    assert_eq!(view_timer(&solo.receive(order[2], ask.clone())), None);
    let left = timing.timeout(View(2)).0 - 20;
    let outputs = solo.receive(order[1], ask.clone());
    assert_eq!(view_timer(&outputs), Some(Millis(left)));
    assert_eq!(view_timer(&solo.receive(order[1], ask)), None, "once");
    // The short timer is void.
    assert!(votes_sent(&solo.fire(&hurried, TimerKind::View)).is_empty());
    let outputs = solo.fire(&outputs, TimerKind::View);
    assert_eq!(
        votes_sent(&outputs),
        [(VoteKind::Nullify, 2, BlockId::NONE)]
    );
}

/// Given up at once means: nullified, and nothing else. A word of the master, and it is waited for again.
#[test]
fn a_master_that_comes_back_is_waited_for() {
    let mut solo = Solo::follower(4, 3);
    let order = solo.order();
    solo.now = solo.now.plus(Timing::default().silent_after().0);
    let page = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    solo.receive(
        order[2],
        Message::GetCommitted {
            from: Height(1),
            count: 1,
        },
    );
    let outputs = solo.send_new_view(order[0], 2, page);
    let outputs = solo.fire(&outputs, TimerKind::View);
    assert_eq!(
        votes_sent(&outputs),
        [(VoteKind::Nullify, 2, BlockId::NONE)]
    );
    // Its proposal is still good: notarizing after nullifying is allowed.
    let block = solo.block(2);
    let base = Justification {
        base: None,
        nullifications: vec![solo.nullification(1)],
    };
    let outputs = solo.send_proposal(2, &block, base);
    assert_eq!(votes_sent(&outputs), [(VoteKind::Notarize, 2, block.id())]);
    // This view was given up, and is not given up a second time.
    let sets_view_timer = |output: &Output| matches!(output, Output::SetTimer { timer, .. } if timer.kind == TimerKind::View);
    assert!(!outputs.iter().any(sets_view_timer));
    assert!(!is_silent(&solo, order[1]));
}

fn four() -> ValidatorSet {
    let solo = Solo::follower(4, 3);
    solo.core.ledger().standings().validators().clone()
}

fn is_silent(solo: &Solo, master: ValidatorId) -> bool {
    let set = solo.core.ledger().standings().validators();
    let (height, timing) = (solo.core.height(), Timing::default());
    let heard = &solo.core.heard;
    heard.is_silent(master, set, height, solo.now, &timing)
}

/// Seven validators, of which this node and four others speak in every height; one speaks at last in height 1.
#[test]
fn a_master_that_let_two_heights_pass_is_given_up_when_a_quorum_did_not() {
    for speakers in [4, 3] {
        let mut solo = Solo::follower(7, 3);
        let others = solo.others();
        let speak = |solo: &mut Solo, who: &[ValidatorId]| {
            for speaker in who {
                let (from, count) = (Height(1), 1);
                solo.receive(*speaker, Message::GetCommitted { from, count });
            }
        };
        let quiet = others[5];
        speak(&mut solo, &others);
        climb(&mut solo);
        for height in [2, 3] {
            solo.step(Input::Work(true));
            speak(&mut solo, &others[..speakers]);
            assert!(!is_silent(&solo, quiet), "height {height} is not over");
            climb(&mut solo);
        }
        assert_eq!(is_silent(&solo, quiet), speakers == 4, "five are a quorum");
        for speaker in &others[..speakers] {
            assert!(!is_silent(&solo, *speaker));
        }
        speak(&mut solo, &[quiet]);
        assert!(!is_silent(&solo, quiet));
    }
}

/// A hundred heights a second are no reason to give up a node that pauses for a moment.
#[test]
fn a_short_pause_is_no_silence_however_many_heights_pass() {
    let (set, timing) = (four(), Timing::default());
    let (master, pause) = (ValidatorId(1), timing.pause().0);
    let mut heard = Heard::new(Millis(0), Height(1));
    heard.wait(Millis(0));
    heard.note(master, Millis(10), Height(1));
    for id in [2, 3] {
        heard.note(ValidatorId(id), Millis(20), Height(30));
    }
    let is_silent = |heard: &Heard, height, now| {
        heard.is_silent(master, &set, Height(height), Millis(now), &timing)
    };
    assert!(!is_silent(&heard, 31, 10 + pause - 1));
    assert!(is_silent(&heard, 31, 10 + pause));
    // An idle ledger has no height that it could miss.
    assert!(!is_silent(&heard, 3, 10 + pause));
    assert!(!is_silent(&heard, 1, 10 + pause));
    // The others must have taken part in what it missed.
    heard.note(master, Millis(25), Height(30));
    assert!(!is_silent(&heard, 33, 25 + pause));
}

/// Two fast heights after seconds without work: those were no pause, only what this node has waited since is.
#[test]
fn idleness_is_no_pause() {
    let (set, timing) = (four(), Timing::default());
    let (master, pause, idle) = (ValidatorId(1), timing.pause().0, 9_000);
    let mut heard = Heard::new(Millis(0), Height(1));
    heard.wait(Millis(0));
    heard.note(master, Millis(10), Height(1));
    heard.rest(Millis(30));
    heard.wait(Millis(idle));
    for id in [2, 3] {
        heard.note(ValidatorId(id), Millis(idle + 5), Height(3));
    }
    let is_silent = |now| heard.is_silent(master, &set, Height(4), Millis(now), &timing);
    // 20 ms of it were before that.
    assert!(!is_silent(idle + pause - 21));
    assert!(is_silent(idle + pause - 20));
}

/// The same of a whole node: heights that it did not wait in came and went, then there is work.
#[test]
fn a_master_is_waited_for_when_work_comes_after_idleness() {
    let mut solo = Solo::follower(4, 3);
    let others = solo.others();
    let speak = |solo: &mut Solo, who: &[ValidatorId]| {
        for speaker in who {
            let (from, count) = (Height(1), 1);
            solo.receive(*speaker, Message::GetCommitted { from, count });
        }
    };
    // It waits, and the height ends.
    solo.step(Input::Work(true));
    climb(&mut solo);
    speak(&mut solo, &others);
    for height in 2..=4 {
        speak(&mut solo, &others[..2]);
        if height == 3 {
            // There was work for no time at all.
            solo.step(Input::Work(true));
            solo.step(Input::Work(false));
        }
        climb(&mut solo);
    }
    let pause = Timing::default().pause().0;
    assert!(!is_silent(&solo, others[2]), "nothing was waited for");
    solo.step(Input::Work(true));
    solo.now = solo.now.plus(pause - 1);
    assert!(!is_silent(&solo, others[2]));
    solo.now = solo.now.plus(1);
    assert!(is_silent(&solo, others[2]));
    // What it had waited is not forgotten when there is no work any more.
    solo.step(Input::Work(false));
    solo.now = solo.now.plus(1);
    assert!(is_silent(&solo, others[2]));
}

/// How long view 5 is waited for, after four views that a quorum nullified; view 1 had the same master. `armed`: this node
/// had waited in view 1. `heard`: places of those who said something after that.
fn patience_of_the_next_turn(armed: bool, heard: &[usize]) -> Millis {
    let mut solo = Solo::follower(4, 3);
    let order = solo.order();
    if armed {
        solo.step(Input::Work(true));
    }
    solo.now = solo.now.plus(300);
    let page = |solo: &Solo, views: std::ops::RangeInclusive<u64>| Justification {
        base: None,
        nullifications: views.map(|view| solo.nullification(view)).collect(),
    };
    let nullifications = page(&solo, 1..=1);
    solo.send_new_view(order[2], 2, nullifications);
    for place in heard {
        let (from, count) = (Height(1), 1);
        solo.receive(order[*place], Message::GetCommitted { from, count });
    }
    let nullifications = page(&solo, 2..=4);
    let outputs = solo.send_new_view(order[2], 5, nullifications);
    assert_eq!(solo.core.view(), View(5));
    let set = outputs.iter().rev().find_map(|output| match output {
        Output::SetTimer { timer, after } if timer.kind == TimerKind::View => Some(*after),
        _ => None,
    });
    set.expect("the view's timer is set")
}

#[test]
fn a_master_that_let_its_view_pass_is_not_waited_for_again_until_it_is_heard() {
    let usual = Timing::default().timeout(View(5));
    assert_eq!(patience_of_the_next_turn(true, &[]), Millis(0));
    assert_eq!(patience_of_the_next_turn(true, &[1, 2]), Millis(0));
    assert_eq!(patience_of_the_next_turn(true, &[0]), usual);
    // Nobody had asked it for a block: no reason to think it silent.
    assert_eq!(patience_of_the_next_turn(false, &[]), usual);
}

/// One that spoke in its view and got no block through, for whatever reason, is waited for as before.
#[test]
fn a_master_that_failed_with_words_is_waited_for() {
    let mut heard = Heard::new(Millis(0), Height(1));
    let set = four();
    let (master, timing) = (ValidatorId(1), Timing::default());
    heard.note(master, Millis(10), Height(1));
    heard.let_pass(master, Millis(10));
    assert!(!heard.is_silent(master, &set, Height(1), Millis(20), &timing));
    heard.let_pass(master, Millis(11));
    assert!(heard.is_silent(master, &set, Height(1), Millis(20), &timing));
    heard.note(master, Millis(12), Height(1));
    assert!(!heard.is_silent(master, &set, Height(1), Millis(20), &timing));
}
