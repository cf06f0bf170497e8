//! Whose clinicians may ask: with credentials of an issuer, and as long as the hospital is accredited; only then it writes.

use super::{House, house};
use crate::hospital::messages::{HospitalError, OnDuty, RequestOpening, Requested};
use crate::ports::names::ActorName;
use crate::ports::random::SystemRng;
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::crypto::{Signature, SigningKey, VerifyingKey};
use kithkin_protocol::emergency::{
    ClinicalRole, ClosedBy, Credential, CredentialError, Phase, Purpose, Reason,
};
use kithkin_protocol::ids::AccountId;
use kithkin_protocol::ledger::{Accredited, Clause, IssuerInfo, Role};
use kithkin_protocol::units::{Millis, Tier};

impl House {
    async fn ask_with(&self, credential: Option<Credential>) -> Result<Requested, HospitalError> {
        let message = RequestOpening {
            patient: self.patient(),
            tiers: vec![Tier::Summary],
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: "A-2026-18".to_owned(),
            expires_in_ms: Millis(600_000),
            session_ms: Millis(600_000),
            credential,
            after: None,
        };
        self.ask(1, message).await
    }

    fn now(&self) -> Millis {
        self.cluster.setting().clock.now()
    }

    /// What an issuer signs for the clinician on duty at hospital 1.
    async fn credential(&self, issuer: &SigningKey, valid_until_ms: Millis) -> Credential {
        let clinician: VerifyingKey = self.ask(1, OnDuty).await.expect("it tells");
        let credential = Credential {
            clinician,
            issuer: AccountId([0; 32]),
            role: ClinicalRole::Paramedic,
            hospital: self.cluster.hospital(1).expect("it has two"),
            valid_until_ms,
            signature: Signature([0; Signature::LEN]),
        };
        credential.signed(self.cluster.setting().genesis.chain_id(), issuer)
    }
}

/// A request that the ledger refused for its credential, as the screen says it.
fn refused(answer: Result<Requested, HospitalError>, expected: &str) {
    match answer {
        Err(HospitalError::Ledger { reason }) => {
            assert!(reason.contains(expected), "{expected} in {reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn a_clinician_asks_with_the_word_of_an_issuer() {
    let house = house().await;
    let port = house.cluster.network().port(ActorName::Kin(0, 0));
    let nosy = house.ask_as(port, 1, OnDuty).await;
    assert!(matches!(nosy, Err(HospitalError::Forbidden { .. })));
    house.ask_with(None).await.expect("its own word counts");
    let key = SigningKey::random(&mut SystemRng);
    let issuer = IssuerInfo {
        key: key.verifying_key(),
        name: "chamber".to_owned(),
    };
    let account = issuer.id();
    let accredit = Clause::Accredit(Accredited::Issuer(issuer));
    let adopted = house.cluster.amend(vec![accredit], House::deadline()).await;
    adopted.expect("adopted");
    let own = house.cluster.hospital(1).expect("it has two").into();
    let cannot = CredentialError::Issuer { issuer: own }.to_string();
    refused(house.ask_with(None).await, &cannot);
    let good = house.credential(&key, house.now().plus(600_000)).await;
    house.ask_with(Some(good.clone())).await.expect("it counts");
    let over = house.credential(&key, Millis(1)).await;
    refused(house.ask_with(Some(over)).await, "was valid until");
    let revoked = house
        .cluster
        .revoke(Role::Issuer, account, House::deadline());
    revoked.await.expect("adopted");
    let cannot = CredentialError::Issuer { issuer: account }.to_string();
    refused(house.ask_with(Some(good)).await, &cannot);
    house.close().await;
}

/// Its open case ends with it, the keys of the session go, and its clinicians are told why at once.
#[actix::test]
async fn a_revoked_hospital_opens_nothing_and_asks_nothing() {
    let house = house().await;
    let open = house.ask_with(None).await.expect("it stands").case;
    for n in 0..3 {
        house.approve(open, n).await;
    }
    house.read(open, None, 30_000).await.expect("it is open");
    let asked = house.ask_with(None).await.expect("it stands").case;
    let hospital = house.cluster.hospital(1).expect("it has two");
    let revoke = house
        .cluster
        .revoke(Role::Hospital, hospital.into(), House::deadline());
    revoke.await.expect("adopted");
    let client = house.cluster.client();
    let mut ended = Vec::new();
    for id in [open, asked] {
        let case = client.prove_case(id, House::deadline()).await;
        let case = case.expect("proved").expect("there");
        ended.push((case.phase, case.closed.map(|(_, by)| by)));
    }
    let closed = (Phase::Closed, Some(ClosedBy::Revoked));
    assert_eq!(ended, [closed, (Phase::Revoked, None)]);
    for case in [open, asked] {
        let late = house.read(case, None, 100).await;
        assert!(late.is_err(), "{late:?}");
    }
    let not = HospitalError::NotAccredited { hospital };
    assert_eq!(house.ask_with(None).await, Err(not));
    house.close().await;
}

/// Whoever writes hears why at once, also when the accreditation ends while kin are still asked to take their shards.
#[actix::test]
async fn a_revoked_hospital_writes_nothing() {
    let house = house().await;
    house.send_away(3).await;
    let spreading = house.spreading();
    let hospital = house.cluster.hospital(0).expect("it has two");
    let revoke = async {
        spreading.notified().await;
        let revoked = house
            .cluster
            .revoke(Role::Hospital, hospital.into(), House::deadline());
        revoked.await.expect("adopted");
        house.bring_back(3).await;
    };
    // It would wait for longer than this test does: it goes on when the last kin has signed.
    let (written, ()) = tokio::join!(house.write(demo_bundle(), 600_000), revoke);
    let not = HospitalError::NotAccredited { hospital };
    assert_eq!(written, Err(not.clone()));
    // From then on no kin is asked.
    house.send_away(3).await;
    assert_eq!(house.write(demo_bundle(), 600_000).await, Err(not));
    house.close().await;
}
