//! What a record takes on chain, in three schemes on one ledger: a header for each upload, the whole ciphertext, an entry for each record.
//!
//! Read `people` (who there is, and the sealed file), `schemes` (the transactions), `chain` (blocks and their bytes). Nothing is timed,
//! and nothing depends on chance: the same bundles give the same figures everywhere. Left out, in every scheme alike: the patient's enrolment, which
//! stands once, and what validators keep beside the chain (state, index of transactions).

mod chain;
mod people;
mod schemes;
#[cfg(test)]
mod tests;

pub use chain::{Bytes, Field, Fields};
pub use schemes::Scheme;

use self::chain::{Chain, Entry, Stored};
use self::people::People;
use kithkin_actors::ports::random::SystemRng;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ledger::TxBody;
use serde::Serialize;

/// Validators: each block has a certificate of all of them.
pub const VALIDATORS: u16 = 4;
/// Kin of each patient.
pub const KIN: usize = 5;

/// What entries say of when a record was written, in milliseconds since 1970.
const RECORDED_MS: u64 = 1_767_225_600_000;

/// The figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many validators sign each block.
    pub validators: u16,
    /// How many kin sign for each upload.
    pub kin: usize,
    /// One entry for each bundle.
    pub patients: Vec<PatientSize>,
    /// All of them together.
    pub all: Vec<SchemeSize>,
}

/// One patient's file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientSize {
    /// Name of the file.
    pub file: String,
    /// Bytes of the file.
    pub bytes: usize,
    /// Sealed records: one for each resource, the frame between them, and the summary.
    pub records: usize,
    /// Bytes of their ciphertexts.
    pub ciphertext_bytes: u64,
    /// In each scheme.
    pub schemes: Vec<SchemeSize>,
}

/// What one scheme takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemeSize {
    /// Which one.
    pub scheme: Scheme,
    /// How many transactions.
    pub transactions: usize,
    /// In how many blocks.
    pub blocks: usize,
    /// What the blocks take.
    pub bytes: Bytes,
    /// Bytes for each record.
    pub per_record: f64,
    /// How many times as much as [`Scheme::Batched`].
    pub times: f64,
    /// The same bytes by what they are for.
    pub fields: Fields,
}

/// Measures each of `bundles`, given by name and content.
///
/// # Errors
/// For a bundle that is none, and when the ledger refuses what the measurement hands in.
pub fn measure(bundles: &[(String, Vec<u8>)]) -> anyhow::Result<Report> {
    let mut patients = Vec::new();
    for (file, bundle) in bundles {
        patients.push(measure_one(file, bundle)?);
    }
    let records = patients.iter().map(|patient| patient.records).sum();
    let all = Scheme::ALL.map(|scheme| {
        let mut sum = (0, Stored::default());
        for patient in &patients {
            for size in patient.schemes.iter().filter(|size| size.scheme == scheme) {
                sum.0 += size.transactions;
                sum.1.add(Stored {
                    blocks: size.blocks,
                    bytes: size.bytes,
                    fields: size.fields.clone(),
                });
            }
        }
        (scheme, sum.0, sum.1)
    });
    Ok(Report {
        validators: VALIDATORS,
        kin: KIN,
        all: compared(all.into(), records),
        patients,
    })
}

fn measure_one(file: &str, bundle: &[u8]) -> anyhow::Result<PatientSize> {
    let hospital = SigningKey::random(&mut SystemRng);
    let mut chain = Chain::found(VALIDATORS, &hospital)?;
    let people = People::enrolled(&chain, hospital, KIN)?;
    // Enrols the patient, and gives the first block that counts a block before it.
    let enrol = TxBody::Enrol(Box::new(people.enrolment.clone()));
    let enrolled = Entry {
        transaction: chain.sign(&people.patient, enrol),
        receipts: 0,
        body: Fields::default(),
    };
    chain.append(vec![enrolled], &mut Stored::default())?;
    let uploads = people.seal(&chain, bundle)?;
    let records = uploads.iter().map(|upload| upload.records.len()).sum();
    let mut sizes = Vec::new();
    for scheme in Scheme::ALL {
        // The same upload can stand once on a chain.
        let mut chain = chain.clone();
        let entries = schemes::entries(scheme, &mut chain, &people, &uploads)?;
        let transactions = entries.len();
        let stored = if scheme == Scheme::BatchedApart {
            let mut apart = Stored::default();
            for entry in entries {
                apart.add(chain.store(vec![entry])?);
            }
            apart
        } else {
            chain.store(entries)?
        };
        sizes.push((scheme, transactions, stored));
    }
    Ok(PatientSize {
        file: file.to_owned(),
        bytes: bundle.len(),
        records,
        ciphertext_bytes: uploads.iter().map(|upload| upload.manifest.bytes()).sum(),
        schemes: compared(sizes, records),
    })
}

fn compared(sizes: Vec<(Scheme, usize, Stored)>, records: usize) -> Vec<SchemeSize> {
    let batched = sizes
        .iter()
        .find(|(scheme, ..)| *scheme == Scheme::Batched)
        .map_or(0, |(.., stored)| stored.bytes.total);
    let compare = |(scheme, transactions, stored): (Scheme, usize, Stored)| SchemeSize {
        scheme,
        transactions,
        blocks: stored.blocks,
        bytes: stored.bytes,
        per_record: stored.bytes.total as f64 / records as f64,
        times: stored.bytes.total as f64 / batched as f64,
        fields: stored.fields,
    };
    sizes.into_iter().map(compare).collect()
}
