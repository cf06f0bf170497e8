//! The person is asked before a device becomes kin.

use super::offers::{Dealt, share_keys};
use crate::friend_relative::messages::{
    AboutRoster, Held, Invitation, Invited, KinError, OnInvitation, RosterWish,
};
use crate::patient::messages::PatientError;
use crate::testing::{House, PATIENT, kin};
use kithkin_protocol::units::{CircleKind, ShareIndex};

impl House {
    async fn invited(&self, n: u8) -> Vec<Invitation> {
        self.ask_kin(n, Invited).await.expect("shown")
    }

    async fn says(&self, n: u8, wish: RosterWish) -> Result<(), KinError> {
        let patient = self.patient();
        self.ask_kin(n, AboutRoster { patient, wish }).await
    }

    async fn asks_its_person(&self, n: u8) {
        let kept = self.ask_kin(n, OnInvitation::Ask).await;
        kept.expect("kept");
    }
}

#[actix::test]
async fn nobody_becomes_kin_without_having_said_so() {
    let house = House::open(1).await;
    house.asks_its_person(0).await;
    let dealt = Dealt::new(&house);
    let offer = dealt.good(&house, 0);
    let asked = house.ask_kin_as(PATIENT, 0, offer.clone()).await;
    assert!(
        matches!(asked, Err(KinError::Undecided { .. })),
        "{asked:?}"
    );
    assert_eq!(house.held(0).await, Held::default());
    assert_eq!(share_keys(&house, 0), 0);
    // It waits for the person, across restarts.
    house.crash(kin(0)).await;
    let invited = house.invited(0).await;
    let [invitation] = invited.as_slice() else {
        panic!("one invitation, not {invited:?}");
    };
    let expected = Invitation {
        patient: house.patient(),
        digest: dealt.enrolment.digest(house.chain(), house.patient()),
        circle: CircleKind::First,
        kin: 5,
        needed: 3,
        until_ms: invitation.until_ms,
        accepted: None,
    };
    assert_eq!(*invitation, expected);
    house.says(0, RosterWish::Join).await.expect("said");
    let accepted = house.ask_kin_as(PATIENT, 0, offer).await;
    accepted.expect("accepted");
    assert_eq!(house.held(0).await.patients, 1);
    // Dealt anew, because somebody else has declined say: the answer still holds.
    let anew = Dealt::new(&house).good(&house, 0);
    let accepted = house.ask_kin_as(PATIENT, 0, anew).await;
    accepted.expect("accepted");
}

#[actix::test]
async fn who_waits_for_an_answer_hears_it_at_once() {
    let house = House::open(1).await;
    house.asks_its_person(0).await;
    let offer = Dealt::new(&house).good(&house, 0);
    let waits = house.ask_kin_as(PATIENT, 0, offer);
    let declines = async {
        // Each look is an answer of the actor: it goes on as soon as there is an invitation.
        while house.invited(0).await.is_empty() {}
        house.says(0, RosterWish::Decline).await.expect("said");
    };
    let (answer, ()) = futures_util::join!(waits, declines);
    assert_eq!(answer, Err(KinError::Declined));
    // People change their minds.
    house.says(0, RosterWish::Join).await.expect("said");
    let accepted = house.invited(0).await.first().and_then(|one| one.accepted);
    assert_eq!(accepted, Some(true));
}

#[actix::test]
async fn nobody_is_asked_about_shares_that_do_not_fit() {
    let house = House::open(1).await;
    house.asks_its_person(0).await;
    let mut misplaced = Dealt::new(&house).good(&house, 0);
    misplaced.index = ShareIndex::new(2).expect("not zero");
    let refused = house.ask_kin_as(PATIENT, 0, misplaced).await;
    assert!(
        matches!(refused, Err(KinError::Offer { .. })),
        "{refused:?}"
    );
    assert_eq!(house.invited(0).await, []);
}

#[actix::test]
async fn the_patient_learns_who_declines_and_goes_on_with_the_others() {
    let house = House::open(1).await;
    for n in [1, 4] {
        house.asks_its_person(n).await;
    }
    let undecided = house.enrol().await.expect_err("two have not answered");
    assert!(
        matches!(undecided, PatientError::Undecided { .. }),
        "{undecided:?}"
    );
    house.says(1, RosterWish::Join).await.expect("said");
    house.says(4, RosterWish::Decline).await.expect("said");
    let declined = PatientError::Declined { kin: house.kin(4) };
    assert_eq!(house.enrol().await, Err(declined));
    assert!(house.on_chain().await.is_none());
    let mut wish = house.wish();
    wish.roster.pop();
    let enrolled = house.ask_patient(wish).await.expect("enrolled");
    assert_eq!((enrolled.kin, enrolled.threshold), (4, 3));
    assert_eq!(house.held(4).await, Held::default());
}
