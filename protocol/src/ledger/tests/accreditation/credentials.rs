//! Who vouches for clinicians, and what a credential must hold.

use super::*;
use crate::emergency::{ClinicalRole, Credential, CredentialError};

/// With the first issuer hospitals no longer vouch for their own, and never again.
#[test]
fn issuers_take_over_from_hospitals() {
    let mut chain = Chain::new();
    chain.enrol();
    let cannot = |issuer| {
        let issuer = account(issuer);
        Rejection::Credential(CredentialError::Issuer { issuer })
    };
    let before = chain.case_of(HOSPITAL, HOSPITAL);
    let early = chain.request_vouched(HOSPITAL, ISSUER);
    assert_eq!(chain.refused(HOSPITAL, early), cannot(ISSUER));
    let other = chain.request_vouched(HOSPITAL, OTHER_HOSPITAL);
    assert_eq!(chain.refused(HOSPITAL, other), cannot(OTHER_HOSPITAL));
    assert_eq!(chain.amend(vec![issuer(ISSUER), issuer(OTHER_ISSUER)]), []);
    let own = chain.request_vouched(HOSPITAL, HOSPITAL);
    assert_eq!(chain.refused(HOSPITAL, own), cannot(HOSPITAL));
    let asked = chain.case_of(HOSPITAL, ISSUER);
    let granted = chain.case_of(HOSPITAL, ISSUER);
    chain.grant(granted);
    let elsewhere = chain.case_of(HOSPITAL, OTHER_ISSUER);
    // It goes: what is not granted ends, what kin have granted goes on.
    let ended = chain.amend(vec![revoke(Role::Issuer, ISSUER)]);
    assert_eq!(steps(&ended), [(asked, CaseEvent::Revoked)]);
    assert_eq!(
        [before, asked, granted, elsewhere].map(|case| chain.phase(case)),
        [
            Phase::Requested,
            Phase::Revoked,
            Phase::Granted,
            Phase::Requested
        ]
    );
    assert_eq!(chain.live(), 3);
    chain.act(HOSPITAL, TxBody::Close { case: granted });
    assert_eq!(chain.phase(granted), Phase::Closed);
    let late = chain.request_vouched(HOSPITAL, ISSUER);
    assert_eq!(chain.refused(HOSPITAL, late), cannot(ISSUER));
    chain.amend(vec![revoke(Role::Issuer, OTHER_ISSUER)]);
    let own = chain.request_vouched(HOSPITAL, HOSPITAL);
    assert_eq!(
        chain.refused(HOSPITAL, own),
        cannot(HOSPITAL),
        "a revocation widens nothing"
    );
    let since = chain.ledger.state().register().issuers_since;
    assert!(since.is_some_and(|since| since < chain.ledger.height()));
    // Issuers sign credentials, and nothing on chain.
    chain.amend(vec![issuer(LATER)]);
    assert!(!chain.is_known(LATER));
}

/// A credential is one clinician's, one hospital's, for a time, on one ledger.
#[test]
fn a_credential_is_checked_field_by_field() {
    let mut chain = Chain::new();
    chain.enrol();
    chain.amend(vec![issuer(ISSUER)]);
    let now = chain.ledger.head_time();
    type Spoil = fn(&mut Credential);
    type Expected = fn(&CredentialError) -> bool;
    let signed_wrong: [(Spoil, Expected); 4] = [
        (
            |c| c.clinician = key(NEW).verifying_key(),
            |e| matches!(e, CredentialError::Clinician { .. }),
        ),
        (
            |c| c.hospital = hospital_id(OTHER_HOSPITAL),
            |e| matches!(e, CredentialError::Hospital { .. }),
        ),
        (
            |c| c.valid_until_ms = Millis(5),
            |e| matches!(e, CredentialError::Expired { .. }),
        ),
        (
            |c| c.valid_until_ms = Millis(u64::MAX),
            |e| matches!(e, CredentialError::TooLong { .. }),
        ),
    ];
    for (index, (spoil, expected)) in signed_wrong.into_iter().enumerate() {
        let mut credential = chain.credential(HOSPITAL, ISSUER);
        spoil(&mut credential);
        let credential = credential.signed(chain.ledger.chain(), &key(ISSUER));
        let request = chain.request_for(HOSPITAL, credential, |_| ());
        match chain.refused(HOSPITAL, request) {
            Rejection::Credential(error) => assert!(expected(&error), "case {index}: {error}"),
            other => panic!("case {index}: {other}"),
        }
    }
    // Every field is under the signature.
    let forged: [Spoil; 4] = [
        |c| c.role = ClinicalRole::Nurse,
        |c| c.valid_until_ms.0 += 1,
        |c| c.signature.0[9] ^= 1,
        |c| *c = c.clone().signed(crate::ids::ChainId([7; 32]), &key(ISSUER)),
    ];
    for (index, spoil) in forged.into_iter().enumerate() {
        let mut credential = chain.credential(HOSPITAL, ISSUER);
        spoil(&mut credential);
        let request = chain.request_for(HOSPITAL, credential, |_| ());
        let rejection = chain.refused(HOSPITAL, request);
        let expected = Rejection::Credential(CredentialError::Signature);
        assert_eq!(rejection, expected, "case {index}");
    }
    // The clinician signs the credential too: another one cannot be put in its place.
    let mut swapped = chain.request_vouched(HOSPITAL, ISSUER);
    let mut midwife = chain.credential(HOSPITAL, ISSUER);
    midwife.role = ClinicalRole::Midwife;
    swapped.credential = Some(midwife.signed(chain.ledger.chain(), &key(ISSUER)));
    assert!(matches!(
        chain.refused(HOSPITAL, swapped),
        Rejection::Request { .. }
    ));
    // It counts up to its last millisecond, and not a block longer.
    let end = now.plus(1_000);
    let credential = Credential {
        valid_until_ms: end,
        ..chain.credential(HOSPITAL, ISSUER)
    };
    let credential = credential.signed(chain.ledger.chain(), &key(ISSUER));
    for (at, counts) in [(end, true), (end.plus(1), false)] {
        let request = chain.request_for(HOSPITAL, credential.clone(), |_| ());
        let transaction = chain.sign(HOSPITAL, TxBody::Request(Box::new(request)));
        let after = at.0 - chain.ledger.head_time().0;
        let what = chain.run_after(after, vec![transaction]);
        assert_eq!(matches!(what[..], [What::Case { .. }]), counts, "{what:?}");
    }
}

/// The patient learns who asked without saying who the clinician is; it counts as an attempt, and opens nothing.
#[test]
fn a_request_without_a_credential_is_an_attempt() {
    let mut chain = Chain::new();
    chain.enrol();
    let missing = Rejection::Credential(CredentialError::Missing);
    for issuers in [Vec::new(), vec![issuer(ISSUER)]] {
        if !issuers.is_empty() {
            chain.amend(issuers);
        }
        let request = chain.request_with(HOSPITAL, |request| request.credential = None);
        assert_eq!(chain.refused(HOSPITAL, request), missing);
        assert_eq!(chain.live(), 0);
    }
}
