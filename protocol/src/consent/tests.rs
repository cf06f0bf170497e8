//! One grant for all tests of the room.

mod keys;
mod machine;

use super::*;
use crate::crypto::{Digest, OpeningKey, Secret32, SigningKey};
use crate::emergency::Scope;
use crate::ids::{ChainId, TxId};

const CHAIN: ChainId = ChainId([1; 32]);
const NOW: Millis = Millis(1_000_000);
const BATCH: Height = Height(4);
const OTHER: HospitalId = HospitalId([6; 32]);
const DAY: u64 = 24 * 3_600_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret32::new([n; 32]))
}

fn patient() -> PatientId {
    PatientId::of(&key(5).verifying_key())
}

fn hospital() -> HospitalId {
    HospitalId::of(&key(2).verifying_key())
}

fn record(n: u8) -> RecordId {
    RecordId([n; 32])
}

fn scope(tier: Tier, only: Vec<RecordId>) -> Scope {
    let up_to = Height(7);
    Scope { tier, up_to, only }
}

fn opening_key() -> OpeningKey {
    OpeningKey::from_seed(Secret32::new([42; 32]))
}

fn terms() -> GrantTerms {
    GrantTerms {
        patient: patient(),
        hospital: hospital(),
        scopes: vec![
            scope(Tier::Summary, Vec::new()),
            scope(Tier::Chart, vec![record(2), record(3)]),
        ],
        purpose: GrantPurpose::Treatment,
        from_ms: NOW.plus(10),
        until_ms: NOW.plus(DAY),
        key: opening_key().sealing_key(),
    }
}

fn grant_of(terms: GrantTerms, encapsulation: Digest) -> Grant {
    let deed = GrantDeed {
        hospital_signature: terms.sign(CHAIN, &key(2)),
        terms,
        encapsulation,
    };
    Grant::new(&deed, CHAIN, (Height(9), 1, TxId([8; 32])), NOW)
}

fn grant() -> Grant {
    grant_of(terms(), Digest::ZERO)
}
