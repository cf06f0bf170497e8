//! Grants on the ledger: both signatures, reads, renewal, revocation, time; and records that go their whole way.

use super::*;
use crate::consent::{
    ConsentError, Grant, GrantDeed, GrantEvent, GrantPurpose, GrantTerms, LIVE_GRANTS_MAX,
    RekeyError, Rekeying, Renewal, RevokedBy, Standing,
};
use crate::crypto::{OpeningKey, Secret32};
use crate::emergency::Scope;
use crate::ids::{GrantId, PatientId, RecordId};
use crate::record::{CheckedCapsule, Manifest, SealContext, SealedRecord, seal};
use crate::sharing::{Threshold, TierKey, deal};

fn hospital(n: u8) -> HospitalId {
    HospitalId::of(&key(n).verifying_key())
}

/// Keys of the other hospital, for its `n`th grant.
fn grant_key(n: u8) -> OpeningKey {
    OpeningKey::from_seed(Secret32::new([100 + n; 32]))
}

/// The chart for the other hospital, for a minute from now. Grants of different `n` differ in their keys.
fn terms(chain: &Chain, n: u8) -> GrantTerms {
    terms_for(chain, OTHER_HOSPITAL, n)
}

/// The same for any hospital.
pub(super) fn terms_for(chain: &Chain, of: u8, n: u8) -> GrantTerms {
    GrantTerms {
        patient: patient(),
        hospital: hospital(of),
        scopes: vec![Scope {
            tier: Tier::Chart,
            up_to: chain.ledger.height(),
            only: Vec::new(),
        }],
        purpose: GrantPurpose::Treatment,
        from_ms: chain.ledger.head_time(),
        until_ms: chain.ledger.head_time().plus(60_000),
        key: grant_key(n).sealing_key(),
    }
}

/// The terms signed by hospital `signer`, with no keys.
pub(super) fn deed(chain: &Chain, terms: GrantTerms, signer: u8) -> TxBody {
    let hospital_signature = terms.sign(chain.ledger.chain(), &key(signer));
    TxBody::Grant(Box::new(GrantDeed {
        terms,
        encapsulation: Digest([4; 32]),
        hospital_signature,
    }))
}

fn give(chain: &mut Chain, n: u8) -> GrantId {
    let terms = terms(chain, n);
    let id = terms.id(chain.ledger.chain());
    let body = deed(chain, terms, OTHER_HOSPITAL);
    let events = chain.act(PATIENT, body);
    assert_eq!(events, [step(id, GrantEvent::Granted)]);
    id
}

fn step(grant: GrantId, step: GrantEvent) -> What {
    What::Grant {
        grant,
        patient: patient(),
        hospital: hospital(OTHER_HOSPITAL),
        step,
    }
}

fn read(grant: GrantId, records: u32) -> TxBody {
    TxBody::GrantRead {
        grant,
        tier: Tier::Chart,
        records,
        digest: Digest([5; 32]),
    }
}

fn standing(chain: &Chain, grant: GrantId) -> Standing {
    let grant = chain.ledger.state().grant(grant);
    grant.expect("on chain").standing
}

fn proved(chain: &Chain, grant: GrantId) -> Grant {
    let proof = chain.ledger.prove(State::grant_key(grant));
    let proof = proof.expect("provable");
    assert_eq!(proof.verify(&chain.ledger.state_root()), Ok(()));
    State::decode_value(proof.value.as_ref().expect("there")).expect("a grant")
}

/// A patient whose chart key is known, and records sealed to it.
struct Sealer {
    key: TierKey,
    sealed: Vec<(SealedRecord, CheckedCapsule)>,
}

impl Sealer {
    fn enrol(chain: &mut Chain) -> Self {
        let key = TierKey::random(&mut chain.rng);
        let threshold = Threshold::majority(KIN.len()).expect("three kin");
        let (commitments, _) = deal(&key, threshold, &mut chain.rng).expect("dealt");
        let mut enrolment = chain.enrolment();
        enrolment.tiers[1].commitments = commitments;
        chain.accept(&mut enrolment);
        chain.act(PATIENT, TxBody::Enrol(Box::new(enrolment)));
        let sealed = Vec::new();
        Self { key, sealed }
    }

    /// Seals two records and puts their batch on chain; its height.
    fn write(&mut self, chain: &mut Chain, numbers: [u8; 2]) -> Height {
        let public = self.key.public();
        let mut entries = Vec::new();
        for n in numbers {
            let context = SealContext {
                chain: chain.ledger.chain(),
                patient: patient(),
                record: RecordId([n; 32]),
                tier: Tier::Chart,
                author: hospital(HOSPITAL),
            };
            let sealed = seal(&[n; 50], &context, &public, &mut chain.rng).expect("sealed");
            let entry = sealed.entry(Digest::ZERO);
            let capsule = sealed.capsule.check(&context, &entry, &public);
            self.sealed.push((sealed, capsule.expect("good")));
            entries.push(entry);
        }
        let manifest = Manifest::new(entries).expect("two records");
        let (header, lines) = batch_with(chain, &KIN, |header| {
            (header.manifest_root, header.bytes) = (manifest.root(), manifest.bytes());
        });
        assert!(header.covers(&manifest));
        chain.act(HOSPITAL, batch_body(header, lines));
        let up_to = chain.ledger.height();
        let batches = chain
            .ledger
            .state()
            .batches_of(patient(), Tier::Chart, up_to);
        let (place, _) = batches.last().expect("on chain");
        place.2
    }
}

#[test]
fn records_go_to_the_hospital_and_stay_shut_when_the_patient_says_so() {
    let mut chain = Chain::new();
    let mut sealer = Sealer::enrol(&mut chain);
    let height = sealer.write(&mut chain, [1, 2]);
    let mut terms = terms(&chain, 1);
    terms.scopes[0].only = vec![RecordId([2; 32])];
    let id = terms.id(chain.ledger.chain());
    let later = sealer.write(&mut chain, [2, 3]);

    let mut rekeying = Rekeying::new(chain.ledger.chain(), &terms);
    let places = [(height, 0), (height, 1), (later, 2)];
    let added = places.map(|(height, n)| {
        let (_, capsule) = &sealer.sealed[n];
        rekeying.add(&sealer.key, height, capsule, &mut chain.rng)
    });
    assert!(matches!(
        added,
        [
            Err(RekeyError::Consent(ConsentError::Record { .. })),
            Ok(()),
            Err(RekeyError::Consent(ConsentError::Later { .. })),
        ]
    ));
    let (bundle, encapsulation) = rekeying.finish();
    let hospital_signature = terms.sign(chain.ledger.chain(), &key(OTHER_HOSPITAL));
    let deed = GrantDeed {
        terms,
        encapsulation,
        hospital_signature,
    };
    let events = chain.act(PATIENT, TxBody::Grant(Box::new(deed)));
    assert_eq!(events, [step(id, GrantEvent::Granted)]);

    let grant = proved(&chain, id);
    let keys = bundle.accept(chain.ledger.chain(), &grant, grant_key(1));
    let keys = keys.expect("the bundle on chain");
    let events = chain.act(OTHER_HOSPITAL, read(id, 1));
    assert_eq!(events, [step(id, GrantEvent::Read(1))]);
    let open = |chain: &Chain, height, n: usize| {
        let (sealed, capsule) = &sealer.sealed[n];
        let now = chain.ledger.head_time();
        keys.open(&proved(chain, id), now, height, capsule, &sealed.ciphertext)
    };
    assert_eq!(open(&chain, height, 1), Ok(vec![2; 50]));
    assert!(open(&chain, height, 0).is_err());
    assert!(open(&chain, later, 2).is_err(), "came after the grant");
    let records = 2;
    assert_eq!(
        chain.rejected(OTHER_HOSPITAL, read(id, records)),
        Rejection::Consent(ConsentError::ReadCount { records })
    );

    let events = chain.act(PATIENT, TxBody::Revoke { grant: id });
    let by = RevokedBy::Patient;
    assert_eq!(events, [step(id, GrantEvent::Revoked(by))]);
    let standing = Standing::Revoked(chain.ledger.head_time(), by);
    let ended = ConsentError::Ended { standing };
    assert_eq!(
        open(&chain, height, 1),
        Err(RekeyError::Consent(ended)),
        "the keys are there, and are not used"
    );
    assert_eq!(
        chain.rejected(OTHER_HOSPITAL, read(id, 1)),
        Rejection::Consent(ended)
    );
    let grant = proved(&chain, id);
    assert_eq!(grant.log.1, 3, "grant, read, revocation");
    assert_eq!(grant.records_read, 1);
}

#[test]
fn a_grant_needs_the_patient_and_the_hospital() {
    let mut chain = Chain::new();
    chain.enrol();
    let good = terms(&chain, 1);
    let unsigned = Rejection::Consent(ConsentError::HospitalSignature {
        hospital: good.hospital,
    });
    for signer in [HOSPITAL, PATIENT] {
        let body = deed(&chain, good.clone(), signer);
        assert_eq!(chain.rejected(PATIENT, body), unsigned);
    }
    let TxBody::Grant(mut altered) = deed(&chain, good.clone(), OTHER_HOSPITAL) else {
        unreachable!("a grant")
    };
    altered.terms.until_ms = altered.terms.until_ms.plus(1);
    assert_eq!(chain.rejected(PATIENT, TxBody::Grant(altered)), unsigned);
    let body = deed(&chain, good.clone(), OTHER_HOSPITAL);
    for signer in [OTHER_HOSPITAL, KIN[0]] {
        assert_eq!(
            chain.rejected(signer, body.clone()),
            Rejection::Consent(ConsentError::NotAllowed { role: "patient" }),
            "nobody grants for the patient"
        );
    }
    let mut stranger = good.clone();
    stranger.hospital = hospital(KIN[0]);
    let stranger = deed(&chain, stranger, KIN[0]);
    assert!(matches!(
        chain.rejected(PATIENT, stranger),
        Rejection::NotHospital { .. }
    ));
    let mut nobody = good.clone();
    nobody.patient = PatientId::of(&key(REVIEWER).verifying_key());
    let nobody = deed(&chain, nobody, OTHER_HOSPITAL);
    assert!(matches!(
        chain.rejected(REVIEWER, nobody),
        Rejection::UnknownPatient { .. }
    ));
    let mut open_ended = good.clone();
    open_ended.until_ms = Millis(u64::MAX);
    let open_ended = deed(&chain, open_ended, OTHER_HOSPITAL);
    let field = "end";
    assert_eq!(
        chain.rejected(PATIENT, open_ended),
        Rejection::Consent(ConsentError::Terms { field })
    );
    assert_eq!(chain.ledger.state().grants_of(patient()).count(), 0);
    let grant = good.id(chain.ledger.chain());
    assert_eq!(
        chain.act(PATIENT, body.clone()),
        [step(grant, GrantEvent::Granted)]
    );
    chain.act(PATIENT, TxBody::Revoke { grant });
    assert_eq!(
        chain.rejected(PATIENT, body),
        Rejection::Consent(ConsentError::Known { grant }),
        "what the hospital signed serves once"
    );
}

#[test]
fn a_grant_belongs_to_one_ledger() {
    let mut chain = Chain::new();
    chain.enrol();
    let body = deed(&chain, terms(&chain, 1), OTHER_HOSPITAL);
    let signed = chain.sign(PATIENT, body.clone());
    let mut other = Chain::of(Workload::Opaque);
    other.enrol();
    assert_ne!(other.ledger.chain(), chain.ledger.chain());
    assert!(matches!(
        other.ledger.check_block(&other.block(1, vec![signed])),
        Err(BlockError::Envelope {
            source: EnvelopeError::Chain { .. },
            ..
        })
    ));
    // Signed anew by the patient, but not by the hospital.
    assert!(matches!(
        other.rejected(PATIENT, body),
        Rejection::Consent(ConsentError::HospitalSignature { .. })
    ));
    let renewed = |on: &Chain, grant, ends_ms: Millis| {
        let key = key(OTHER_HOSPITAL);
        let until = ends_ms.plus(5);
        let renewal = Renewal::signed(on.ledger.chain(), grant, ends_ms, until, &key);
        TxBody::Renew(Box::new(renewal))
    };
    let grant = give(&mut other, 1);
    let ends_ms = other.ledger.state().grant(grant).expect("live").until_ms;
    let foreign = renewed(&chain, grant, ends_ms);
    assert!(matches!(
        other.rejected(PATIENT, foreign),
        Rejection::Consent(ConsentError::HospitalSignature { .. })
    ));
    let own = renewed(&other, grant, ends_ms);
    let events = other.act(PATIENT, own);
    assert_eq!(events, [step(grant, GrantEvent::Renewed(ends_ms.plus(5)))]);
}

#[test]
fn time_ends_a_grant_before_the_reads_of_that_block() {
    let mut chain = Chain::new();
    chain.enrol();
    let grant = give(&mut chain, 1);
    assert_eq!(
        chain.act(OTHER_HOSPITAL, read(grant, 3)),
        [step(grant, GrantEvent::Read(3))]
    );
    let until = chain.ledger.state().grant(grant).expect("live").until_ms;
    let left = until.0 - chain.ledger.head_time().0;
    assert!(chain.run_after(left - 1, Vec::new()).is_empty());
    let transaction = chain.sign(OTHER_HOSPITAL, read(grant, 3));
    let events = chain.run_after(1, vec![transaction]);
    let standing = Standing::Expired;
    let reason = Rejection::Consent(ConsentError::Ended { standing });
    let signer = hospital(OTHER_HOSPITAL).into();
    assert_eq!(
        events,
        [
            step(grant, GrantEvent::Expired),
            What::Rejected { signer, reason }
        ]
    );
    assert_eq!(proved(&chain, grant).records_read, 3);
    assert_eq!(chain.ledger.state().grant_deadlines.iter().count(), 0);
    assert!(chain.run_after(600_000, Vec::new()).is_empty(), "once");
}

#[test]
fn a_renewed_grant_outlives_its_first_end() {
    let mut chain = Chain::new();
    chain.enrol();
    let grant = give(&mut chain, 1);
    let first = chain.ledger.state().grant(grant).expect("live").until_ms;
    let second = first.plus(60_000);
    let renew = |chain: &Chain, by: u8| {
        let renewal = Renewal::signed(chain.ledger.chain(), grant, first, second, &key(by));
        TxBody::Renew(Box::new(renewal))
    };
    let unsigned = renew(&chain, HOSPITAL);
    assert!(matches!(
        chain.rejected(PATIENT, unsigned),
        Rejection::Consent(ConsentError::HospitalSignature { .. })
    ));
    let good = renew(&chain, OTHER_HOSPITAL);
    assert_eq!(
        chain.rejected(OTHER_HOSPITAL, good.clone()),
        Rejection::Consent(ConsentError::NotAllowed { role: "patient" })
    );
    assert_eq!(
        chain.act(PATIENT, good.clone()),
        [step(grant, GrantEvent::Renewed(second))]
    );
    assert!(matches!(
        chain.rejected(PATIENT, good),
        Rejection::Consent(ConsentError::Stale { .. })
    ));
    let left = first.0 - chain.ledger.head_time().0;
    assert!(chain.run_after(left + 10, Vec::new()).is_empty());
    assert_eq!(
        chain.act(OTHER_HOSPITAL, read(grant, 1)),
        [step(grant, GrantEvent::Read(1))]
    );
    let ended = chain.run_after(60_000, Vec::new());
    assert_eq!(ended, [step(grant, GrantEvent::Expired)]);
}

#[test]
fn only_the_two_of_them_touch_a_grant() {
    let mut chain = Chain::new();
    chain.enrol();
    let grant = give(&mut chain, 1);
    let before = proved(&chain, grant);
    let role = "hospital";
    assert_eq!(
        chain.rejected(HOSPITAL, read(grant, 1)),
        Rejection::Consent(ConsentError::NotAllowed { role })
    );
    assert!(matches!(
        chain.rejected(PATIENT, read(grant, 1)),
        Rejection::NotHospital { .. }
    ));
    for signer in [HOSPITAL, KIN[0], REVIEWER] {
        assert!(matches!(
            chain.rejected(signer, TxBody::Revoke { grant }),
            Rejection::Consent(ConsentError::NotAllowed { .. })
        ));
    }
    let unknown = GrantId([1; 32]);
    assert_eq!(
        chain.rejected(PATIENT, TxBody::Revoke { grant: unknown }),
        Rejection::Consent(ConsentError::Unknown { grant: unknown })
    );
    assert_eq!(proved(&chain, grant), before);
    let by = RevokedBy::Hospital;
    assert_eq!(
        chain.act(OTHER_HOSPITAL, TxBody::Revoke { grant }),
        [step(grant, GrantEvent::Revoked(by))]
    );
}

#[test]
fn live_grants_are_bounded_and_listed_first() {
    let mut chain = Chain::new();
    chain.enrol();
    let max = u8::try_from(LIVE_GRANTS_MAX).expect("few");
    let given: Vec<_> = (0..max).map(|n| give(&mut chain, n)).collect();
    let body = deed(&chain, terms(&chain, max), OTHER_HOSPITAL);
    let patient = patient();
    assert_eq!(
        chain.rejected(PATIENT, body),
        Rejection::Consent(ConsentError::TooMany { patient })
    );
    chain.act(PATIENT, TxBody::Revoke { grant: given[0] });
    let last = give(&mut chain, max);
    let mut expected = given[1..].to_vec();
    expected.extend([last, given[0]]);
    let listed = chain.ledger.state().grants_of(patient);
    assert_eq!(listed.map(|grant| grant.id).collect::<Vec<_>>(), expected);
    assert_eq!(
        chain.ledger.state().grants_of(PatientId([1; 32])).count(),
        0
    );
}

/// The tables come back from what was stored, and from what a snapshot holds, and time goes on for them.
#[test]
fn grants_survive_a_restart_and_a_snapshot() {
    let mut chain = Chain::new();
    chain.enrol();
    let (ending, revoked) = (give(&mut chain, 1), give(&mut chain, 2));
    chain.act(PATIENT, TxBody::Revoke { grant: revoked });
    let mut held: Vec<_> = chain.ledger.state().entries().collect();
    held.sort();
    let stored: Vec<_> = chain.stored.clone().into_iter().collect();
    assert_eq!(held, stored, "a snapshot holds what is stored");
    for tag in [17, 18, 19] {
        assert!(held.iter().any(|(key, _)| key[0] == tag), "table {tag}");
    }
    let mut restored = Ledger::restore(&held).expect("a stored ledger");
    let block = chain.block(60_000, Vec::new());
    let effects = restored.execute(&block).expect("a block");
    assert_eq!(effects.events.len(), 1);
    assert_eq!(effects.events[0].what, step(ending, GrantEvent::Expired));
    let events = chain.run_after(60_000, Vec::new());
    assert_eq!(events, [step(ending, GrantEvent::Expired)]);
    assert_eq!(restored.state_root(), chain.ledger.state_root());
    assert_eq!(standing(&chain, ending), Standing::Expired);
    assert!(matches!(
        standing(&chain, revoked),
        Standing::Revoked(_, RevokedBy::Patient)
    ));
}
