//! Deterministic keys, a genesis, and transactions for clusters under test.

use crate::consensus::Identity;
use crate::crypto::vrf::VrfSecretKey;
use crate::crypto::{OpeningKey, Secret32, SigningKey};
use crate::ids::{CaseId, ChainId, ValidatorId};
use crate::ledger::{
    Genesis, HospitalInfo, Profile, SignedTransaction, Transaction, TxBody, ValidatorInfo, Workload,
};
use crate::units::{Millis, Sequence};
use std::cell::RefCell;
use std::sync::Arc;

/// Block time of height 0 in tests.
pub(in crate::testing) const GENESIS_MS: u64 = 1_700_000_000_000;

/// A genesis and the secrets behind it.
#[derive(Clone)]
pub struct Fixture {
    /// The genesis.
    pub genesis: Genesis,
    /// Number and keys of each validator, in order.
    pub identities: Vec<Arc<Identity>>,
    hospital: Arc<SigningKey>,
}

thread_local! {
    static MADE: RefCell<Vec<(u16, Profile, Fixture)>> = const { RefCell::new(Vec::new()) };
}

/// [`fixture`], made once on each thread: keys cost more than many an event.
pub(super) fn fixture_again(n: u16, profile: Profile) -> Fixture {
    MADE.with_borrow_mut(|made| {
        let known = made
            .iter()
            .find(|(size, order, _)| (*size, *order) == (n, profile));
        if let Some((.., fixture)) = known {
            return fixture.clone();
        }
        let fixture = fixture(n, profile);
        made.push((n, profile, fixture.clone()));
        fixture
    })
}

/// A genesis of `n` validators and one hospital, with keys that depend on nothing but their place.
#[must_use]
pub fn fixture(n: u16, profile: Profile) -> Fixture {
    let identities: Vec<_> = (0..n).map(|id| Arc::new(identity(id, id))).collect();
    let hospital = SigningKey::from_seed(seed(3, 0));
    let validators = identities
        .iter()
        .map(|identity| info(identity, identity.id.0));
    let genesis = Genesis {
        time_ms: Millis(GENESIS_MS),
        profile,
        workload: Workload::Records,
        validators: validators.collect(),
        hospitals: vec![HospitalInfo {
            key: hospital.verifying_key(),
            sealing: OpeningKey::from_seed(seed(4, 0)).sealing_key(),
            name: "Test hospital".to_owned(),
        }],
        reviewers: Vec::new(),
        review_within_ms: Millis(86_400_000),
    };
    Fixture {
        genesis,
        identities,
        hospital: Arc::new(hospital),
    }
}

/// Validator `id` with the keys of `person`: its own, or others after a change of keys.
pub(super) fn identity(id: u16, person: u16) -> Identity {
    Identity {
        id: ValidatorId(id),
        vote_key: SigningKey::from_seed(seed(1, person)),
        vrf_key: VrfSecretKey::from_seed(seed(2, person)),
    }
}

/// What the ledger says of it.
pub(super) fn info(identity: &Identity, person: u16) -> ValidatorInfo {
    ValidatorInfo {
        id: identity.id,
        vote_key: identity.vote_key.verifying_key(),
        vrf_key: identity.vrf_key.public_key(),
        network_key: SigningKey::from_seed(seed(5, person)).verifying_key(),
        hospital: None,
    }
}

fn seed(kind: u8, id: u16) -> Secret32 {
    let mut bytes = [kind; 32];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    Secret32::new(bytes)
}

impl Fixture {
    /// A transaction that every block may contain once: closing a case that does not exist is refused, and the
    /// refusal stands on chain.
    #[must_use]
    pub fn transaction(&self, chain: ChainId, sequence: u64) -> SignedTransaction {
        let content = Transaction {
            chain,
            signer: self.hospital.verifying_key(),
            sequence: Sequence(sequence),
            valid_until_ms: Millis(GENESIS_MS + 20 * 3_600_000),
            body: TxBody::Close {
                case: CaseId([7; 32]),
            },
        };
        content.sign(&self.hospital)
    }

    /// Signs a transaction of the hospital.
    pub(super) fn signed(&self, content: Transaction) -> SignedTransaction {
        content.sign(&self.hospital)
    }
}
