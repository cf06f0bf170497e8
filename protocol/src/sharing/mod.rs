//! Secret sharing of the tier keys, and opening capsules with shares instead of the key.
//!
//! A patient's tier key is dealt to the kin (Shamir, with Feldman's commitments).
//! In an emergency each approving kin turns its share into a [`PartialOpening`] of
//! exactly the requested capsules; any threshold of them give the capsules' keys,
//! and the tier key itself is never formed. [`reconstruct`] forms it, for the one
//! case that needs it: a patient who lost the device. The kin renew their shares
//! among themselves ([`Refresh`]) and hand the key on to another roster
//! ([`Resharing`]), also while the patient is unconscious.
//!
//! | file | opening.md | holds |
//! |---|---|---|
//! | `keys` | 1 | the tier key pair |
//! | `threshold`, `polynomial`, `commitments`, `share`, `deal`, `lagrange` | 1 | the sharing itself |
//! | `transport` | 1, 6 | sealing a share to a person and to the disk |
//! | `session` | 3 | the requester's one-time point and its proof |
//! | `context`, `opening`, `dleq`, `combine`, `interpolation` | 3 | partial openings: making, checking, combining |
//! | `release` | 3 | a partial opening on its way to the requester: signed, then sealed |
//! | `dealing`, `renewal` | 4, 5 | what kin deal to each other, complaints, sums over a set of dealings |
//! | `refresh` | 4 | new shares of the same key for the same kin |
//! | `reshare` | 5 | shares of the same key for another roster |
//! | `reconstruct` | 6 | rebuilding the key |
//! | `drill` | 7 | showing that a share is still there |
//!
//! Not here: capsules and records ([`crate::record`]), who may ask and when
//! ([`crate::emergency`]). The protocol in prose: `docs/spec/opening.md`.

mod combine;
mod commitments;
mod context;
mod deal;
mod dealing;
mod dleq;
mod drill;
mod encoding;
mod interpolation;
mod keys;
mod lagrange;
mod opening;
mod polynomial;
mod reconstruct;
mod refresh;
mod release;
mod renewal;
mod reshare;
mod session;
mod share;
mod threshold;
mod transport;

pub use combine::{CombineError, Combined, combine, combine_checked};
pub use commitments::Commitments;
pub use context::{OpeningContext, Rho};
pub use deal::deal;
pub use dealing::{
    BadDealing, BadSubShare, Dealing, DealingFault, PublishedShare, SubShare, SubShareFault,
    Verdict,
};
pub use dleq::DleqProof;
pub use drill::{AnswerFault, BadAnswer, DrillAnswer, DrillContext};
pub use keys::{TierKey, TierPublicKey, capsule_key_direct};
pub use lagrange::lagrange_at_zero;
pub use opening::{
    BadPartial, CheckedPartial, OPENING_CAPSULES_MAX, Opening, OpeningError, PartialFault,
    PartialOpening, check_partial, check_partials, partial_open, verify_partial,
};
pub use reconstruct::{ReconstructError, Reconstructed, reconstruct};
pub use refresh::{Refresh, ZeroDealing};
pub use release::{ReleaseError, SignedPartial};
pub use renewal::RenewalError;
pub use reshare::{Resharing, ResharingDealing};
pub use session::{SchnorrProof, SessionError, SessionPublic, SessionSecret};
pub use share::{HeldShare, Share};
pub use threshold::{KIN_MAX, KIN_MIN, Threshold, majority};
pub use transport::{
    ShareContext, load_share, open_released_share, open_share, release_share, seal_share,
    store_share,
};

use crate::crypto::group::GroupError;
use crate::units::ShareIndex;

/// What can be wrong with keys, thresholds, commitments and shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharingError {
    /// Not a threshold that this project accepts.
    #[error(
        "{needed} of {kin} is no usable threshold: {KIN_MIN} to {KIN_MAX} kin, more than half of them"
    )]
    Threshold {
        /// How many shares shall open.
        needed: usize,
        /// How many kin there are.
        kin: usize,
    },
    /// A number of commitments that fits no threshold, or not the announced one.
    #[error("{found} commitments do not fit the threshold")]
    CommitmentCount {
        /// How many there are.
        found: usize,
    },
    /// A commitment that is no group element, or the identity.
    #[error("commitment {position}: {fault}")]
    Commitment {
        /// Place of the commitment, from 0.
        position: usize,
        /// What is wrong with it.
        fault: GroupError,
    },
    /// Stored bytes that are no tier key.
    #[error("not the encoding of a tier key")]
    Key,
    /// Bytes that are no share.
    #[error("not the encoding of a share")]
    ShareEncoding,
    /// The share does not lie on the committed polynomial: whoever sent it is at fault.
    #[error("share {index} does not fit the commitments")]
    WrongShare {
        /// The share in question.
        index: ShareIndex,
    },
    /// A share for somebody else.
    #[error("this is share {found}, not share {expected}")]
    OtherIndex {
        /// Whose share was expected.
        expected: ShareIndex,
        /// Whose share it is.
        found: ShareIndex,
    },
    /// One index given twice.
    #[error("share {index} is given twice")]
    DuplicateIndex {
        /// The index in question.
        index: ShareIndex,
    },
    /// The recipient's sealing key is unusable.
    #[error("the recipient's sealing key is unusable")]
    Recipient,
    /// Sealed to another person, for another patient, tier, epoch, index or purpose, or changed on the way.
    #[error("share {index} cannot be unsealed: wrong key or context, or changed on the way")]
    Unsealable {
        /// The share in question.
        index: ShareIndex,
    },
}
