//! The grant as a state machine: what it allows, and what ends or extends it.

use super::*;
use crate::crypto::Signature;
use crate::emergency::SCOPE_RECORDS_MAX;
use crate::ids::{AccountId, GrantId};

#[test]
fn a_grant_allows_what_it_names_and_nothing_else() {
    let grant = grant();
    let now = NOW.plus(10);
    let allowed = |tier, height, n| grant.allows(now, hospital(), tier, height, record(n));
    assert_eq!(allowed(Tier::Summary, Height(7), 9), Ok(()));
    assert_eq!(allowed(Tier::Chart, Height(1), 3), Ok(()));
    let (height, up_to) = (Height(8), Height(7));
    assert_eq!(
        allowed(Tier::Summary, height, 9),
        Err(ConsentError::Later { height, up_to })
    );
    assert_eq!(
        allowed(Tier::Chart, Height(1), 9),
        Err(ConsentError::Record { record: record(9) })
    );
    let tier = Tier::Sensitive;
    assert_eq!(
        allowed(tier, Height(1), 9),
        Err(ConsentError::Tier { tier })
    );
    let (hospital, from_ms, until_ms) = (OTHER, now, NOW.plus(DAY));
    let other = grant.allows(now, hospital, Tier::Summary, Height(1), record(9));
    assert_eq!(other, Err(ConsentError::OtherHospital { hospital }));
    let at = |now| grant.allows(now, self::hospital(), Tier::Summary, Height(1), record(9));
    assert_eq!(at(now.minus(1)), Err(ConsentError::NotYet { from_ms }));
    assert_eq!(at(until_ms.minus(1)), Ok(()));
    // The ledger has not noted it yet; the clock of whoever holds the keys has.
    assert!(grant.is_live());
    assert_eq!(at(until_ms), Err(ConsentError::Over { until_ms }));
}

#[test]
fn a_grant_ends_by_time_once() {
    let mut grant = grant();
    let end = NOW.plus(DAY);
    assert_eq!(grant.on_time(end.minus(1)), None);
    assert_eq!(grant.on_time(end), Some(GrantEvent::Expired));
    assert_eq!((grant.deadline(), grant.on_time(end)), (None, None));
    let standing = Standing::Expired;
    let ended = Err(ConsentError::Ended { standing });
    let before = grant.clone();
    assert_eq!(grant.on_revoke(patient().into(), end), ended);
    assert_eq!(
        grant.on_read(hospital(), Tier::Chart, 1, NOW.plus(10)),
        ended
    );
    assert_eq!(
        grant
            .allows(NOW.plus(10), hospital(), Tier::Chart, BATCH, record(2))
            .map(|()| GrantEvent::Expired),
        ended,
        "an earlier clock helps nobody"
    );
    assert_eq!(grant, before);
}

#[test]
fn patient_and_hospital_end_it_at_once_and_nobody_else_does() {
    let role = "patient or the hospital";
    let stranger = AccountId([9; 32]);
    for (signer, by) in [
        (AccountId::from(patient()), RevokedBy::Patient),
        (hospital().into(), RevokedBy::Hospital),
    ] {
        let mut grant = grant();
        assert_eq!(
            grant.on_revoke(stranger, NOW),
            Err(ConsentError::NotAllowed { role })
        );
        // Before its beginning already.
        assert_eq!(grant.on_revoke(signer, NOW), Ok(GrantEvent::Revoked(by)));
        let standing = Standing::Revoked(NOW, by);
        let ended = ConsentError::Ended { standing };
        assert_eq!(grant.on_revoke(signer, NOW), Err(ended));
        let asked = grant.allows(NOW.plus(10), hospital(), Tier::Summary, BATCH, record(1));
        assert_eq!(asked, Err(ended));
        assert_eq!(grant.on_time(NOW.plus(DAY)), None, "it stays revoked");
    }
}

#[test]
fn a_renewal_needs_both_and_serves_once() {
    let mut grant = grant();
    let (first, second) = (NOW.plus(DAY), NOW.plus(2 * DAY));
    let hospital_key = key(2).verifying_key();
    let renew = |grant: &mut Grant, signer, renewal: &Renewal, chain| {
        grant.on_renew(signer, renewal, (chain, &hospital_key), NOW)
    };
    let good = Renewal::signed(CHAIN, grant.id, first, second, &key(2));
    let before = grant.clone();
    let unsigned = Err(ConsentError::HospitalSignature {
        hospital: hospital(),
    });
    let mut later = good.clone();
    later.until_ms = second.plus(1);
    assert_eq!(renew(&mut grant, patient(), &later, CHAIN), unsigned);
    let elsewhere = ChainId([2; 32]);
    assert_eq!(renew(&mut grant, patient(), &good, elsewhere), unsigned);
    let forged = Renewal::signed(CHAIN, grant.id, first, second, &key(3));
    assert_eq!(renew(&mut grant, patient(), &forged, CHAIN), unsigned);
    let role = "patient";
    assert_eq!(
        renew(&mut grant, PatientId([9; 32]), &good, CHAIN),
        Err(ConsentError::NotAllowed { role })
    );
    let field = "end";
    for until in [first, first.minus(1), NOW.plus(GRANT_MS_MAX.0 + 1)] {
        let bad = Renewal::signed(CHAIN, grant.id, first, until, &key(2));
        assert_eq!(
            renew(&mut grant, patient(), &bad, CHAIN),
            Err(ConsentError::Terms { field })
        );
    }
    let other = GrantId([7; 32]);
    let moved = Renewal::signed(CHAIN, other, first, second, &key(2));
    assert_eq!(
        renew(&mut grant, patient(), &moved, CHAIN),
        Err(ConsentError::Unknown { grant: other })
    );
    assert_eq!(grant, before);
    assert_eq!(
        renew(&mut grant, patient(), &good, CHAIN),
        Ok(GrantEvent::Renewed(second))
    );
    assert_eq!((grant.deadline(), grant.renewals), (Some(second), 1));
    assert_eq!(
        renew(&mut grant, patient(), &good, CHAIN),
        Err(ConsentError::Stale {
            ends_ms: first,
            until_ms: second
        })
    );
    let at = first.plus(1);
    let asked = grant.allows(at, hospital(), Tier::Summary, BATCH, record(1));
    assert_eq!(asked, Ok(()), "the first end counts no more");
}

#[test]
fn reads_are_the_hospitals_own_and_fit_the_scope() {
    let mut grant = grant();
    let now = NOW.plus(10);
    let from_ms = now;
    assert_eq!(
        grant.on_read(hospital(), Tier::Chart, 1, NOW),
        Err(ConsentError::NotYet { from_ms })
    );
    let role = "hospital";
    assert_eq!(
        grant.on_read(OTHER, Tier::Chart, 1, now),
        Err(ConsentError::NotAllowed { role })
    );
    let tier = Tier::Sensitive;
    assert_eq!(
        grant.on_read(hospital(), tier, 1, now),
        Err(ConsentError::Tier { tier })
    );
    for records in [0, 3] {
        assert_eq!(
            grant.on_read(hospital(), Tier::Chart, records, now),
            Err(ConsentError::ReadCount { records })
        );
    }
    assert_eq!(
        grant.on_read(hospital(), Tier::Chart, 2, now),
        Ok(GrantEvent::Read(2))
    );
    assert_eq!(
        grant.on_read(hospital(), Tier::Summary, 500, now),
        Ok(GrantEvent::Read(500))
    );
    assert_eq!(grant.records_read, 502);
}

#[test]
fn terms_stay_within_their_bounds() {
    type Spoil = fn(&mut GrantTerms);
    let many = |n: usize| {
        (0..n)
            .map(|i| RecordId(crate::crypto::hash("n", &[&i.to_be_bytes()]).0))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(terms().check(NOW, Height(7)), Ok(()));
    let spoilt: [(&str, Spoil); 9] = [
        ("scope", |t| t.scopes.clear()),
        ("scope", |t| t.scopes.swap(0, 1)),
        ("scope", |t| t.scopes[0].tier = Tier::Chart),
        ("scope", |t| t.scopes[1].only = vec![record(3), record(3)]),
        ("height", |t| t.scopes[0].up_to = Height(8)),
        ("begin", |t| t.from_ms = t.until_ms),
        ("end", |t| (t.from_ms, t.until_ms) = (Millis(1), NOW)),
        ("end", |t| t.until_ms = NOW.plus(GRANT_MS_MAX.0 + 1)),
        ("end", |t| t.until_ms = Millis(u64::MAX)),
    ];
    for (field, spoil) in spoilt {
        let mut terms = terms();
        spoil(&mut terms);
        let refused = terms.check(NOW, Height(7));
        assert_eq!(refused, Err(ConsentError::Terms { field }));
    }
    let mut most = terms();
    most.scopes[0].only = many(SCOPE_RECORDS_MAX / 2);
    most.scopes[1].only = many(SCOPE_RECORDS_MAX / 2);
    assert_eq!(most.check(NOW, Height(7)), Ok(()));
    most.scopes[1].only = many(SCOPE_RECORDS_MAX / 2 + 1);
    let field = "number of records";
    assert_eq!(
        most.check(NOW, Height(7)),
        Err(ConsentError::Terms { field })
    );
}

#[test]
fn the_identifier_and_the_signature_cover_every_field() {
    type Spoil = fn(&mut GrantTerms);
    let good = terms();
    let signature = good.sign(CHAIN, &key(2));
    let verifying = key(2).verifying_key();
    assert_eq!(good.verify(CHAIN, &verifying, &signature), Ok(()));
    let spoilt: [Spoil; 9] = [
        |t| t.patient.0[0] ^= 1,
        |t| t.hospital.0[0] ^= 1,
        |t| t.scopes[0].up_to = Height(6),
        |t| t.scopes[1].only.push(record(4)),
        |t| t.scopes[1].only.clear(),
        |t| t.purpose = GrantPurpose::Compliance,
        |t| t.from_ms = t.from_ms.plus(1),
        |t| t.until_ms = t.until_ms.plus(1),
        |t| t.key.0[0] ^= 1,
    ];
    for (index, spoil) in spoilt.into_iter().enumerate() {
        let mut terms = terms();
        spoil(&mut terms);
        assert_ne!(terms.id(CHAIN), good.id(CHAIN), "field {index}");
        let verdict = terms.verify(CHAIN, &verifying, &signature);
        assert!(verdict.is_err(), "field {index}");
    }
    let other = ChainId([2; 32]);
    assert_ne!(good.id(other), good.id(CHAIN));
    assert!(good.verify(other, &verifying, &signature).is_err());
    assert!(good.verify(CHAIN, &verifying, &Signature([0; 64])).is_err());
    let codes = GrantPurpose::ALL.map(GrantPurpose::code);
    for (purpose, code) in GrantPurpose::ALL.into_iter().zip(codes) {
        let text = crate::wire::encode(&purpose);
        assert!(text.ends_with(code.as_bytes()), "{code} is what is written");
    }
}
