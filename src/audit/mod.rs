//! Audit bundles as files: made from a data folder, completed with FHIR events, checked without any node.
//!
//! What is proved, and how, is `kithkin_protocol::audit`'s. Here its findings are also said in FHIR ([`fhir`]), and that
//! document goes into the bundle: it follows from the proofs, so whoever checks the bundle writes it once more and
//! compares it byte for byte.

pub mod fhir;

use kithkin_actors::cluster::{FoundingError, Shape};
use kithkin_actors::node::file::{self, GenesisFileError};
use kithkin_actors::validator::{Archive, ArchiveError};
use kithkin_fhir::FactError;
use kithkin_protocol::audit::words::{Basis, Line, Report};
use kithkin_protocol::audit::{
    Attachment, AuditError, BUNDLE_BYTES_MAX, BuildError, Bundle, BundleError, Findings, Subject,
    verify,
};
use kithkin_protocol::ledger::Genesis;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Why a bundle does not hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Its proofs.
    #[error(transparent)]
    Proofs(#[from] AuditError),
    /// The events are not there.
    #[error(
        "the bundle lacks the FHIR events that follow from its proofs ({})",
        fhir::NAME
    )]
    NoEvents,
    /// Other events than those that follow from the proofs.
    #[error(
        "the FHIR events in the bundle ({}) are not those that follow from its proofs: byte {at} differs",
        fhir::NAME
    )]
    Events {
        /// The first byte that differs, from 0.
        at: usize,
    },
    /// The findings cannot be said in FHIR.
    #[error("what the bundle proves cannot be said in FHIR")]
    Fhir(#[from] FactError),
    /// The completed bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// A bundle that holds.
#[derive(Debug)]
pub struct Verified {
    /// What it shows. The FHIR events are not listed as attached: they follow from the rest.
    pub findings: Findings,
    /// The FHIR events.
    pub events: Vec<u8>,
}

impl Verified {
    /// Everything in words.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let mut report = Report::new(&self.findings);
        report.words.push(Line {
            basis: Basis::Proved,
            text: format!(
                "The FHIR events in the bundle ({}, {} bytes) say the same and nothing else: they were written anew from what is proved, and are \
                 equal to the byte.",
                fhir::NAME,
                self.events.len()
            ),
        });
        report
    }
}

/// Checks the bytes of a bundle from the genesis alone.
///
/// # Errors
/// [`VerifyError`] naming what does not hold.
pub fn check(genesis: &Genesis, bytes: &[u8]) -> Result<Verified, VerifyError> {
    let bundle = Bundle::decode(bytes).map_err(AuditError::from)?;
    let mut findings = verify(genesis, &bundle)?;
    let events = fhir::events(&findings)?;
    let mut attached = bundle.attachments.iter();
    let found = attached
        .find(|attachment| attachment.name == fhir::NAME)
        .ok_or(VerifyError::NoEvents)?;
    let same = found.content.iter().zip(&events);
    let at = same.take_while(|(one, other)| one == other).count();
    if found.content.as_slice() != events || found.media_type != fhir::MEDIA_TYPE {
        return Err(VerifyError::Events { at });
    }
    findings
        .attachments
        .retain(|attachment| attachment.name != fhir::NAME);
    Ok(Verified { findings, events })
}

/// Puts the FHIR events into a bundle that was just made, and checks the whole; its bytes.
///
/// # Errors
/// [`VerifyError`] naming what does not hold.
pub fn complete(genesis: &Genesis, mut bundle: Bundle) -> Result<Vec<u8>, VerifyError> {
    let events = fhir::events(&verify(genesis, &bundle)?)?;
    let attachment = Attachment::new(fhir::NAME.to_owned(), fhir::MEDIA_TYPE.to_owned(), events);
    bundle.attachments.push(attachment);
    bundle.attachments.sort_by(|a, b| a.name.cmp(&b.name));
    let bytes = bundle.encode()?;
    check(genesis, &bytes)?;
    Ok(bytes)
}

/// Reads a bundle's file, as far as its size allows it to be one.
///
/// # Errors
/// The operating system's.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > BUNDLE_BYTES_MAX as u64 {
        return Err(std::io::Error::other(format!(
            "it has {bytes} bytes; a bundle has {BUNDLE_BYTES_MAX} at most"
        )));
    }
    std::fs::read(path)
}

/// Writes a bundle into a new file; on return it is on disk.
///
/// # Errors
/// The operating system's; a file that is there is never overwritten.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What [`export_all`] has written.
#[derive(Debug)]
pub struct Exported {
    /// The genesis file.
    pub genesis: PathBuf,
    /// One bundle for each patient who has had a case.
    pub bundles: Vec<PathBuf>,
}

impl Exported {
    /// How somebody checks the bundles.
    #[must_use]
    pub fn hint(&self) -> String {
        let lines = self.bundles.iter().map(|bundle| {
            format!(
                "kithkin audit verify {} --genesis {}",
                bundle.display(),
                self.genesis.display()
            )
        });
        match self.bundles.is_empty() {
            true => "nobody has had an emergency: there is no bundle to check".to_owned(),
            false => lines.collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Why bundles cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// `cluster.toml`.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The ledger in the folder.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// A bundle cannot be made.
    #[error("no audit bundle can be made")]
    Build(#[from] BuildError<ArchiveError>),
    /// A bundle does not hold.
    #[error("the audit bundle does not hold")]
    Verify(#[from] VerifyError),
    /// The folder holds bundles of another ledger, or is none.
    #[error("{} is there already, and is never overwritten: give a new folder", path.display())]
    Taken {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The genesis file in a folder of bundles.
const GENESIS: &str = "genesis.toml";

/// Checks, before there is anything to write, that [`export_all`] can write into this folder.
///
/// # Errors
/// [`ExportError::Taken`].
pub fn check_free(out: &Path) -> Result<(), ExportError> {
    let genesis = out.join(GENESIS);
    let in_the_way = match (out.is_dir(), genesis.exists()) {
        (true, true) => Some(genesis),
        (false, _) if out.exists() => Some(out.to_owned()),
        _ => None,
    };
    in_the_way.map_or(Ok(()), |path| Err(ExportError::Taken { path }))
}

/// Writes genesis and bundles of all patients who have had a case, from the data folder of a cluster that has stopped.
///
/// # Errors
/// [`ExportError`] naming what cannot be read, shown or written.
pub fn export_all(data: &Path, out: &Path) -> Result<Exported, ExportError> {
    let io = |path: &Path, source| ExportError::Io {
        path: path.to_owned(),
        source,
    };
    let genesis = Shape::genesis_of_folder(data)?.ok_or_else(|| ArchiveError::NoLedger {
        dir: data.to_owned(),
    })?;
    let mut archive = Archive::open(data, &genesis)?;
    std::fs::create_dir_all(out).map_err(|source| io(out, source))?;
    let path = out.join(GENESIS);
    file::write(&path, &genesis)?;
    let mut exported = Exported {
        genesis: path,
        bundles: Vec::new(),
    };
    for patient in archive.patients() {
        let bundle = archive.export(Subject::Patient(patient))?;
        let bytes = complete(&genesis, bundle)?;
        let path = out.join(format!("patient-{patient}.audit"));
        write(&path, &bytes).map_err(|source| io(&path, source))?;
        exported.bundles.push(path);
    }
    Ok(exported)
}
