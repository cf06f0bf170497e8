//! Clinicians' credentials as files: what an issuer hands to a hospital, whose requests then carry it.
//!
//! TOML, so that people can read it: `format`, `chain` (the ledger), `issuer` (the public key that checks the signature), then the
//! fields of the [`Credential`]. The signature covers all but `format`, and the key through its account, so whoever changes a letter
//! is told so without any ledger. Whether the ledger lets that issuer vouch is another question, which the file cannot answer.

use crate::ports::folder;
use kithkin_protocol::crypto::{Signature, SigningKey, VerifyingKey};
use kithkin_protocol::emergency::{ClinicalRole, Credential, CredentialError};
use kithkin_protocol::ids::{AccountId, ChainId, HospitalId};
use kithkin_protocol::units::Millis;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Version of the file.
const FORMAT: u32 = 1;

/// Largest file in bytes: one has about 600, and room for remarks.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a credential cannot be issued, or its file not read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFileError {
    /// The operating system.
    #[error("the credential {} cannot be {action}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// The operating system's words.
        reason: String,
    },
    /// There is something already.
    #[error("{} is there already and is not overwritten: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{} is no credential: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The issuer has signed something else.
    #[error(
        "the issuer's signature in {} does not hold: it was changed after it was signed; ask the issuer for it again",
        path.display()
    )]
    Signature {
        /// The file.
        path: PathBuf,
    },
    /// The clinician's key is the issuer's.
    #[error(
        "the key {key:#} is the issuer's own: give the clinician's, with which the hospital's requests are signed"
    )]
    OwnKey {
        /// The key.
        key: VerifyingKey,
    },
    /// It would not count now.
    #[error("such a credential would not count: {0}")]
    Refused(#[from] CredentialError),
}

/// What an issuer says of a clinician.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The clinician's key.
    pub clinician: VerifyingKey,
    /// What the clinician is.
    pub role: ClinicalRole,
    /// Where.
    pub hospital: HospitalId,
    /// Last block time at which it counts.
    pub valid_until_ms: Millis,
}

/// A credential whose signature holds, for one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCredential {
    chain: ChainId,
    issuer_key: VerifyingKey,
    credential: Credential,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    chain: ChainId,
    issuer: VerifyingKey,
    clinician: VerifyingKey,
    role: ClinicalRole,
    hospital: HospitalId,
    valid_until_ms: Millis,
    signature: Signature,
}

impl IssuedCredential {
    /// Signs a statement for a ledger; `now` is the time from which it is to count.
    ///
    /// # Errors
    /// [`CredentialFileError::OwnKey`]; [`CredentialFileError::Refused`] for a time that is over or too far off. Nothing is signed then.
    pub fn issue(
        chain: ChainId,
        issuer: &SigningKey,
        statement: Statement,
        now: Millis,
    ) -> Result<Self, CredentialFileError> {
        let issuer_key = issuer.verifying_key();
        if statement.clinician == issuer_key {
            return Err(CredentialFileError::OwnKey { key: issuer_key });
        }
        let credential = statement.by(&issuer_key, Signature([0; Signature::LEN]));
        credential.check_time(now)?;
        Ok(Self {
            chain,
            issuer_key,
            credential: credential.signed(chain, issuer),
        })
    }

    /// The ledger.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Checks the signature; the credential names the account of this key.
    #[must_use]
    pub fn issuer_key(&self) -> VerifyingKey {
        self.issuer_key
    }

    /// What a request carries.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Writes it into a new file; on return it is on disk.
    ///
    /// # Errors
    /// [`CredentialFileError::Exists`], [`CredentialFileError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), CredentialFileError> {
        let credential = &self.credential;
        let content = Content {
            format: FORMAT,
            chain: self.chain,
            issuer: self.issuer_key,
            clinician: credential.clinician,
            role: credential.role,
            hospital: credential.hospital,
            valid_until_ms: credential.valid_until_ms,
            signature: credential.signature,
        };
        let path = || path.to_owned();
        let text = toml::to_string(&content).map_err(|error| CredentialFileError::Content {
            path: path(),
            reason: error.to_string(),
        })?;
        folder::write_new(&path(), text.as_bytes()).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => CredentialFileError::Exists { path: path() },
            _ => CredentialFileError::Io {
                path: path(),
                action: "written",
                reason: error.to_string(),
            },
        })
    }

    /// Reads one and checks its shape and the signature; whether it still counts, and whether the issuer is accredited, is not.
    ///
    /// # Errors
    /// [`CredentialFileError::Io`], [`CredentialFileError::Content`], [`CredentialFileError::Signature`].
    pub fn read(path: &Path) -> Result<Self, CredentialFileError> {
        let bad = |reason: String| CredentialFileError::Content {
            path: path.to_owned(),
            reason,
        };
        let io = |error: std::io::Error| CredentialFileError::Io {
            path: path.to_owned(),
            action: "read",
            reason: error.to_string(),
        };
        let bytes = fs::metadata(path).map_err(io)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(bad(format!(
                "it has {bytes} bytes; at most {FILE_BYTES_MAX} are read"
            )));
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let content: Content = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let found = content.format;
        if found != FORMAT {
            return Err(bad(format!(
                "it has format {found}, this program reads format {FORMAT}"
            )));
        }
        let issued = content.issued();
        let holds = issued
            .credential
            .check_signature(issued.chain, &issued.issuer_key);
        holds.map_err(|_| CredentialFileError::Signature {
            path: path.to_owned(),
        })?;
        Ok(issued)
    }
}

impl Statement {
    fn by(self, issuer: &VerifyingKey, signature: Signature) -> Credential {
        Credential {
            clinician: self.clinician,
            issuer: AccountId::of(issuer),
            role: self.role,
            hospital: self.hospital,
            valid_until_ms: self.valid_until_ms,
            signature,
        }
    }
}

impl Content {
    fn issued(self) -> IssuedCredential {
        let statement = Statement {
            clinician: self.clinician,
            role: self.role,
            hospital: self.hospital,
            valid_until_ms: self.valid_until_ms,
        };
        IssuedCredential {
            chain: self.chain,
            issuer_key: self.issuer,
            credential: statement.by(&self.issuer, self.signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Secret32;
    use kithkin_protocol::emergency::CREDENTIAL_MS_MAX;

    const CHAIN: ChainId = ChainId([7; 32]);
    const NOW: Millis = Millis(1_000);

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(Secret32::new([n; 32]))
    }

    fn statement(role: ClinicalRole, valid_until_ms: Millis) -> Statement {
        Statement {
            clinician: key(2).verifying_key(),
            role,
            hospital: HospitalId([3; 32]),
            valid_until_ms,
        }
    }

    fn issue(valid_until_ms: Millis) -> Result<IssuedCredential, CredentialFileError> {
        let statement = statement(ClinicalRole::Midwife, valid_until_ms);
        IssuedCredential::issue(CHAIN, &key(1), statement, NOW)
    }

    #[test]
    fn a_file_comes_back_as_it_was_written_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for role in ClinicalRole::ALL {
            let statement = statement(role, Millis(5_000));
            let issued = IssuedCredential::issue(CHAIN, &key(1), statement, NOW).unwrap();
            let path = folder.path().join(role.as_str());
            issued.write(&path).unwrap();
            let read = IssuedCredential::read(&path).unwrap();
            assert_eq!(read, issued);
            // The ledger takes it too.
            let credential = read.credential();
            let (clinician, issuer) = (key(2).verifying_key(), read.issuer_key());
            let hospital = HospitalId([3; 32]);
            let counts = credential.check(CHAIN, &clinician, hospital, Some(&issuer), NOW);
            assert_eq!(counts, Ok(()));
            let again = issued.write(&path);
            assert!(matches!(again, Err(CredentialFileError::Exists { .. })));
        }
        let missing = IssuedCredential::read(&folder.path().join("none"));
        assert!(matches!(missing, Err(CredentialFileError::Io { .. })));
    }

    #[test]
    fn what_would_not_count_is_not_signed() {
        let last = NOW.plus(CREDENTIAL_MS_MAX.0);
        issue(last).unwrap();
        issue(NOW).unwrap();
        assert!(matches!(
            issue(last.plus(1)),
            Err(CredentialFileError::Refused(
                CredentialError::TooLong { .. }
            ))
        ));
        assert!(matches!(
            issue(NOW.minus(1)),
            Err(CredentialFileError::Refused(
                CredentialError::Expired { .. }
            ))
        ));
        let own = statement(ClinicalRole::Nurse, NOW);
        let own = IssuedCredential::issue(CHAIN, &key(2), own, NOW);
        assert!(matches!(own, Err(CredentialFileError::OwnKey { .. })));
    }

    /// Whatever byte is changed: the file is refused, or it says the same as before (a digit in capitals).
    #[test]
    fn no_byte_can_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, spoilt) = (folder.path().join("whole"), folder.path().join("spoilt"));
        let issued = issue(Millis(5_000)).unwrap();
        issued.write(&whole).unwrap();
        let bytes = fs::read(&whole).unwrap();
        let mut unsigned = 0;
        for place in 0..bytes.len() {
            for bit in [0x01, 0x20] {
                let mut bytes = bytes.clone();
                bytes[place] ^= bit;
                fs::write(&spoilt, &bytes).unwrap();
                match IssuedCredential::read(&spoilt) {
                    Ok(read) => assert_eq!(read, issued, "byte {place}"),
                    Err(CredentialFileError::Signature { .. }) => unsigned += 1,
                    Err(CredentialFileError::Content { .. } | CredentialFileError::Io { .. }) => {}
                    Err(error) => panic!("byte {place}: {error}"),
                }
            }
        }
        assert!(unsigned > 300, "{unsigned}");
    }

    #[test]
    fn other_fields_versions_and_sizes_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole");
        issue(Millis(5_000)).unwrap().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let chain = CHAIN.to_hex();
        let cases = [
            ("format = 1", "format = 9".to_owned(), "format 9"),
            ("format = 1", "format = 1\nmore = 1".to_owned(), "more"),
            ("midwife", "wizard".to_owned(), "wizard"),
            ("midwife", "physician".to_owned(), "does not hold"),
            ("= 5000", "= 5001".to_owned(), "does not hold"),
            (&chain, "08".repeat(32), "does not hold"),
            ("format = 1", "#".repeat(70_000), "at most 65536"),
        ];
        for (n, (from, to, words)) in cases.into_iter().enumerate() {
            let spoilt = text.replace(from, &to);
            assert_ne!(spoilt, text, "{from}");
            let path = folder.path().join(n.to_string());
            fs::write(&path, spoilt).unwrap();
            let error = IssuedCredential::read(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{from}: {error}");
        }
    }
}
