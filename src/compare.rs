//! Is what was opened what was sealed? Byte for byte, record by record, and the file as a whole.

use kithkin_actors::upload::OpenedRecord;
use kithkin_fhir::cut::{self, JoinError};
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::units::Tier;
use std::collections::BTreeMap;

/// Why a file did not come back.
#[derive(Debug, thiserror::Error)]
pub enum NotBack {
    /// The parts do not make a file.
    #[error("the opened parts do not make a file: {0}")]
    Join(#[from] JoinError),
    /// They make another file.
    #[error(
        "the file came back with {found} bytes, different from the {written} that were written"
    )]
    Differs {
        /// Bytes that came back.
        found: usize,
        /// Bytes that were written.
        written: usize,
    },
}

/// Why what a hospital opened is not what the patient's own keys open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unequal {
    /// Another number of records.
    #[error("{opened} records of tier {tier} were opened, {sealed} were sealed")]
    Count {
        /// The tier.
        tier: Tier,
        /// Opened.
        opened: usize,
        /// Sealed.
        sealed: usize,
    },
    /// Opened to other bytes, or a record that the patient does not have.
    #[error("record {record} of tier {tier} opened to something else than was sealed")]
    Differs {
        /// The tier.
        tier: Tier,
        /// The record.
        record: RecordId,
    },
}

/// Puts the file together from the opened records of the tiers chart and sensitive, and compares.
///
/// # Errors
/// [`NotBack`].
pub fn file_is_back(records: &[OpenedRecord], written: &[u8]) -> Result<(), NotBack> {
    let parts: Vec<Vec<u8>> = records
        .iter()
        .filter(|record| record.tier != Tier::Summary)
        .map(|record| record.bytes.clone())
        .collect();
    let file = cut::join(&parts)?;
    if file == written {
        Ok(())
    } else {
        Err(NotBack::Differs {
            found: file.len(),
            written: written.len(),
        })
    }
}

/// Compares what kin opened for a hospital with what the patient's own keys open; `sealed` records of the tier there are.
///
/// # Errors
/// [`Unequal`] naming the first difference.
pub fn equals_own(
    tier: Tier,
    opened: &[OpenedRecord],
    own: &[OpenedRecord],
    sealed: usize,
) -> Result<(), Unequal> {
    let of_tier = |records: &'_ [OpenedRecord]| -> BTreeMap<RecordId, Vec<u8>> {
        records
            .iter()
            .filter(|record| record.tier == tier)
            .map(|record| (record.record, record.bytes.clone()))
            .collect()
    };
    let (opened, own) = (of_tier(opened), of_tier(own));
    if opened.len() != sealed {
        return Err(Unequal::Count {
            tier,
            opened: opened.len(),
            sealed,
        });
    }
    match opened
        .iter()
        .find(|(record, bytes)| own.get(*record) != Some(*bytes))
    {
        Some((record, _)) => Err(Unequal::Differs {
            tier,
            record: *record,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Digest;

    fn record(tier: Tier, n: u8, bytes: &[u8]) -> OpenedRecord {
        OpenedRecord {
            tier,
            record: RecordId([n; 32]),
            root: Digest([0; 32]),
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn one_wrong_byte_a_missing_and_a_foreign_record_are_noticed() {
        let own = [record(Tier::Chart, 1, b"a"), record(Tier::Chart, 2, b"b")];
        assert_eq!(equals_own(Tier::Chart, &own, &own, 2), Ok(()));
        let wrong = [record(Tier::Chart, 1, b"a"), record(Tier::Chart, 2, b"c")];
        assert!(equals_own(Tier::Chart, &wrong, &own, 2).is_err());
        assert!(equals_own(Tier::Chart, &own[..1], &own, 2).is_err());
        let foreign = [record(Tier::Chart, 1, b"a"), record(Tier::Chart, 3, b"b")];
        assert!(equals_own(Tier::Chart, &foreign, &own, 2).is_err());
    }

    #[test]
    fn a_file_comes_back_only_whole() {
        let original = kithkin_fhir::fixture::demo_bundle();
        let bundle = kithkin_fhir::Bundle::parse(original).expect("the fixture is good");
        let cut = cut::cut(&bundle, 1_767_225_600_000).expect("the fixture can be cut");
        let records: Vec<_> = (0..)
            .zip(cut.parts)
            .map(|(n, part)| record(part.tier, n, &part.bytes))
            .collect();
        assert!(file_is_back(&records, original).is_ok());
        assert!(file_is_back(&records[1..], original).is_err());
        assert!(file_is_back(&records, b"{}").is_err());
    }
}
