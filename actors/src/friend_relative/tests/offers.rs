//! Becoming a patient's kin.

use crate::friend_relative::messages::{Held, KinError, OfferShares};
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use crate::testing::{AUTHOR, House, PATIENT, SPONSOR, kin};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::emergency::{Escalation, TierPolicy};
use kithkin_protocol::ledger::{Enrolment, TierShares};
use kithkin_protocol::roster::RosterRules;
use kithkin_protocol::sharing::{Share, ShareContext, Threshold, TierKey, deal, seal_share};
use kithkin_protocol::units::{ShareIndex, Tier};
use std::sync::Arc;

/// An enrolment as the patient's device deals it, with all shares.
pub(super) struct Dealt {
    pub(super) enrolment: Enrolment,
    shares: Vec<(Tier, Vec<Share>)>,
}

impl Dealt {
    pub(super) fn new(house: &House) -> Self {
        let roster = house.cluster.roster(0);
        let threshold = Threshold::majority(roster.len()).expect("enough");
        let (mut tiers, mut all) = (Vec::new(), Vec::new());
        for tier in Tier::ALL {
            let key = TierKey::random(&mut SystemRng);
            let (commitments, shares) = deal(&key, threshold, &mut SystemRng).expect("dealt");
            let policy = TierPolicy::default_for(tier);
            tiers.push(TierShares {
                tier,
                commitments,
                policy,
            });
            all.push((tier, shares));
        }
        let enrolment = Enrolment {
            sealing: house.identity(PATIENT).opening.sealing_key(),
            roster,
            tiers,
            rules: RosterRules::default(),
            escalation: Escalation::default(),
            second: None,
            sponsor: house.hospital(SPONSOR),
            sponsor_signature: Signature([0; Signature::LEN]),
            acceptances: Vec::new(),
        };
        Self {
            enrolment,
            shares: all,
        }
    }

    /// The offer to the kin at `position`, with the share that `pick` chooses.
    fn offer(&self, house: &House, position: u8, pick: impl Fn(&[Share]) -> &Share) -> OfferShares {
        let patient = house.patient();
        let member = &self.enrolment.roster[usize::from(position)];
        let seal = |(tier, shares): &(Tier, Vec<Share>)| {
            let context = ShareContext {
                patient,
                tier: *tier,
                epoch: Enrolment::EPOCH,
            };
            let sealed = seal_share(pick(shares), &context, &member.sealing, &mut SystemRng);
            (*tier, sealed.expect("sealed"))
        };
        OfferShares {
            patient,
            enrolment: Arc::new(self.enrolment.clone()),
            index: ShareIndex::from_position(usize::from(position)).expect("few"),
            shares: self.shares.iter().map(seal).collect(),
        }
    }

    pub(super) fn good(&self, house: &House, position: u8) -> OfferShares {
        self.offer(house, position, |shares| &shares[usize::from(position)])
    }
}

pub(super) fn share_keys(house: &House, n: u8) -> usize {
    let names = house.keys_of(kin(n)).names().expect("names");
    names
        .iter()
        .filter(|name| name.starts_with("share-"))
        .count()
}

#[actix::test]
async fn an_acceptance_is_signed_for_good_shares_which_survive_a_crash() {
    let house = House::open(1).await;
    let dealt = Dealt::new(&house);
    let offer = dealt.good(&house, 0);
    let signature = house.ask_kin_as(PATIENT, 0, offer.clone()).await;
    let signature = signature.expect("accepted");
    let digest = dealt.enrolment.digest(house.chain(), house.patient());
    let key = house.identity(kin(0)).signing.verifying_key();
    let message = Enrolment::acceptance(&digest, house.kin(0));
    assert!(key.verify(&message, &signature).is_ok());
    house.crash(kin(0)).await;
    let held = Held {
        patients: 1,
        shares: 3,
        epoch: 1,
        ..Held::default()
    };
    assert_eq!(house.held(0).await, held);
    // The answer may have been lost: the same offer gets the same answer, and nothing is stored twice.
    let again = house.ask_kin_as(PATIENT, 0, offer).await;
    assert_eq!(again, Ok(signature));
    assert_eq!(share_keys(&house, 0), 3);
}

#[actix::test]
async fn a_wrong_share_names_the_patients_device_and_nothing_is_kept() {
    let house = House::open(1).await;
    let dealt = Dealt::new(&house);
    let other = Dealt::new(&house);
    let mut foreign = dealt.good(&house, 0);
    foreign.shares = other.good(&house, 0).shares;
    let mut too_few = dealt.good(&house, 0);
    too_few.shares.pop();
    let mut misplaced = dealt.good(&house, 0);
    misplaced.index = ShareIndex::new(2).expect("not zero");
    let mut weak = dealt.good(&house, 0);
    Arc::make_mut(&mut weak.enrolment).roster.truncate(2);
    let of_neighbour = dealt.offer(&house, 0, |shares| &shares[1]);
    let mut huge = dealt.good(&house, 0);
    huge.shares[0].1.ciphertext = vec![0; 1 << 20];
    for (offer, word) in [
        (foreign, "share 1 does not fit the commitments"),
        (too_few, "one share for each tier"),
        (misplaced, "place 2 of the roster is not this kin's"),
        (weak, "a circle has 3 to 64 kin"),
        (of_neighbour, "share 1 cannot be unsealed"),
        (huge, "too much at once: bytes of one sealed share"),
    ] {
        let refused = house.ask_kin_as(PATIENT, 0, offer).await;
        let refused = refused.expect_err("refused").to_string();
        assert!(refused.contains(word), "{refused}");
        let of_share = word.starts_with("share 1");
        assert_eq!(
            of_share,
            refused.contains("the patient's device dealt wrongly")
        );
    }
    assert_eq!(house.held(0).await, Held::default());
    assert_eq!(share_keys(&house, 0), 0);
}

#[actix::test]
async fn only_the_patients_own_device_offers() {
    let house = House::open(1).await;
    let offer = Dealt::new(&house).good(&house, 0);
    let strangers = [
        ActorName::Patient(1),
        AUTHOR,
        kin(1),
        ActorName::Validator(0),
        ActorName::Driver,
    ];
    for stranger in strangers {
        let refused = house.ask_kin_as(stranger, 0, offer.clone()).await;
        assert!(
            matches!(refused, Err(KinError::Forbidden { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(house.held(0).await, Held::default());
}

#[actix::test]
async fn a_newer_offer_erases_the_older_until_one_stands_on_chain() {
    let house = House::open(1).await;
    let old = Dealt::new(&house).good(&house, 0);
    house.ask_kin_as(PATIENT, 0, old).await.expect("accepted");
    let before = house.keys_of(kin(0)).names().expect("names");
    house.enrol().await.expect("enrolled");
    let after = house.keys_of(kin(0)).names().expect("names");
    let shares = |names: &[String]| -> Vec<String> {
        let mut names = names.to_vec();
        names.retain(|name| name.starts_with("share-"));
        names
    };
    assert_eq!((shares(&before).len(), shares(&after).len()), (3, 3));
    assert!(shares(&before).iter().all(|name| !after.contains(name)));
    // Now that one stands, no other takes its place.
    let other = Dealt::new(&house).good(&house, 0);
    let refused = house.ask_kin_as(PATIENT, 0, other).await;
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("another enrolment"), "{refused}");
    assert_eq!(house.keys_of(kin(0)).names().expect("names"), after);
}
