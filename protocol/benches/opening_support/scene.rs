//! A patient, kin with shares and keys, sealed records, and a request for them, all from one seed.

use kithkin_protocol::crypto::{Digest, OpeningKey, SealingKey, SigningKey, hash};
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId, TxId};
use kithkin_protocol::record::{RecordEntry, SealContext, SealedRecord, seal};
use kithkin_protocol::sharing::{
    Commitments, HeldShare, OpeningContext, Rho, SessionSecret, Threshold, TierKey, TierPublicKey,
    deal,
};
use kithkin_protocol::units::{CircleKind, Epoch, Height, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Plaintext of each record in bytes.
pub(crate) const RECORD_BYTES: usize = 4_096;

const CHAIN: ChainId = ChainId([1; 32]);
const PATIENT: PatientId = PatientId([2; 32]);
const TIER: Tier = Tier::Chart;

/// Somebody who keeps a share.
pub(crate) struct Kin {
    pub(crate) share: HeldShare,
    pub(crate) key: SigningKey,
}

/// A record as author, kin and hospital know it.
pub(crate) struct Record {
    pub(crate) plaintext: Vec<u8>,
    pub(crate) context: SealContext,
    pub(crate) sealed: SealedRecord,
    pub(crate) entry: RecordEntry,
}

/// Everything that is there when the kin have approved.
pub(crate) struct Scene {
    pub(crate) tier_key: TierPublicKey,
    pub(crate) commitments: Commitments,
    pub(crate) kin: Vec<Kin>,
    pub(crate) records: Vec<Record>,
    /// `eps`, which takes the mask off.
    pub(crate) secret: SessionSecret,
    /// The hospital's session key, and the public part as it stands in the request.
    pub(crate) inbox: OpeningKey,
    pub(crate) session_key: SealingKey,
    pub(crate) context: OpeningContext,
}

/// Randomness of its own for each `number`: the same figures come from the same points and scalars.
pub(crate) fn rng(number: u64) -> ChaCha20Rng {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    ChaCha20Rng::from_seed(seed)
}

impl Scene {
    /// `needed` of `kin` shares, and so many records of [`RECORD_BYTES`].
    pub(crate) fn new(needed: usize, kin: usize, records: usize) -> Self {
        let mut rng = rng(0);
        let key = TierKey::random(&mut rng);
        let threshold = Threshold::new(needed, kin).expect("a threshold");
        let (commitments, shares) = deal(&key, threshold, &mut rng).expect("dealt");
        let tier_key = key.public();
        let kin = shares.into_iter().map(|share| Kin {
            share: share.held(&commitments).expect("a good share"),
            key: SigningKey::random(&mut rng),
        });
        let kin = kin.collect();
        let records = (0..records)
            .map(|number| Record::new(number, &tier_key, &mut rng))
            .collect();
        let inbox = OpeningKey::random(&mut rng);
        let secret = SessionSecret::random(&mut rng);
        let request = hash("bench/request", &[secret.point().as_ref()]);
        let context = OpeningContext {
            chain: CHAIN,
            rho: Rho::of(&CHAIN, Height(9), 4, &TxId([7; 32])),
            request,
            patient: PATIENT,
            tier: TIER,
            circle: CircleKind::First,
            epoch: Epoch(1),
            session: secret.prove(&request, &mut rng),
        };
        Self {
            tier_key,
            commitments,
            kin,
            records,
            secret,
            session_key: inbox.sealing_key(),
            inbox,
            context,
        }
    }
}

impl Record {
    fn new(number: usize, tier_key: &TierPublicKey, rng: &mut ChaCha20Rng) -> Self {
        let context = SealContext {
            chain: CHAIN,
            patient: PATIENT,
            record: RecordId(hash("bench/record", &[&number.to_be_bytes()]).0),
            tier: TIER,
            author: HospitalId([3; 32]),
        };
        let plaintext = text(rng);
        let sealed = seal(&plaintext, &context, tier_key, rng).expect("sealed");
        let entry = sealed.entry(Digest::ZERO);
        Self {
            plaintext,
            context,
            sealed,
            entry,
        }
    }
}

/// Laboratory values in FHIR's manner: compresses about as well as such records do.
pub(crate) fn text(rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut text = String::with_capacity(2 * RECORD_BYTES);
    while text.len() < RECORD_BYTES {
        let (code, value, second) = (
            rng.next_u32() % 90_000,
            rng.next_u32() % 10_000,
            rng.next_u32(),
        );
        text.push_str(&format!(
            r#"{{"resourceType":"Observation","id":"{second:08x}","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"{code}-1"}}]}},"effectiveDateTime":"2025-03-{:02}T{:02}:{:02}:00Z","valueQuantity":{{"value":{}.{:02},"unit":"mmol/L"}}}},"#,
            second % 28 + 1,
            second % 24,
            second % 60,
            value / 100,
            value % 100,
        ));
    }
    text.truncate(RECORD_BYTES);
    text.into_bytes()
}
