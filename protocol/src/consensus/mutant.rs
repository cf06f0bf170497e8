//! Bugs that a simulator must be able to catch: the rules of [`super`], each broken in one place on purpose (spec
//! section 7).
//!
//! Compiled in for tests only. Without the `testing` feature [`Config::plants`] is a constant `false`, so that nothing
//! of this is left in a shipped program.

use crate::consensus::config::Config;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(unreachable_pub, reason = "public for tests only")
)]
pub enum Mutant {
    /// Own votes are sent without being made durable.
    VotesNotDurable,
    /// After its finalize vote a node waits in the view for the finalization instead of advancing.
    WaitsAfterFinalize,
    /// Nullify and finalize votes are both signed in one view.
    NullifiesAndFinalizes,
    /// A node that is stuck does not repeat itself.
    NoRebroadcast,
    /// A block is voted for without being made durable.
    BodyNotDurable,
    /// Certificates take `2f + 1` votes instead of `n - f`.
    #[cfg(any(test, feature = "testing"))]
    ShortQuorum,
    /// Views and the certificates that justify them are not made durable.
    ViewNotDurable,
    /// A proposal is accepted although nullifications between its base and its view are missing.
    AcceptsGaps,
    /// A notarization is ignored by a node that has nullified its view.
    IgnoresNotarization,
    /// Nobody says in which view it is, so nobody forwards the certificates of it.
    NoNewView,
    /// Notarizations are not made durable; everything else is.
    NotarizationNotDurable,
}

impl Config {
    /// Whether this bug is planted in the node.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn plants(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Never: this is the shipped program.
    #[cfg(not(any(test, feature = "testing")))]
    #[expect(clippy::unused_self, reason = "the same face as with planted bugs")]
    pub(super) const fn plants(&self, _: Mutant) -> bool {
        false
    }
}

#[cfg(any(test, feature = "testing"))]
mod planted {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static SHORT_QUORUM: Cell<bool> = const { Cell::new(false) };
    }

    impl Mutant {
        /// All of them, in the order of the specification.
        pub const ALL: [Self; 11] = [
            Self::VotesNotDurable,
            Self::WaitsAfterFinalize,
            Self::NullifiesAndFinalizes,
            Self::NoRebroadcast,
            Self::BodyNotDurable,
            Self::ShortQuorum,
            Self::ViewNotDurable,
            Self::AcceptsGaps,
            Self::IgnoresNotarization,
            Self::NoNewView,
            Self::NotarizationNotDurable,
        ];

        /// Its name on command lines and in tables.
        #[must_use]
        pub fn as_str(self) -> &'static str {
            match self {
                Self::VotesNotDurable => "votes-not-durable",
                Self::WaitsAfterFinalize => "waits-after-finalize",
                Self::NullifiesAndFinalizes => "nullifies-and-finalizes",
                Self::NoRebroadcast => "no-rebroadcast",
                Self::BodyNotDurable => "body-not-durable",
                Self::ShortQuorum => "short-quorum",
                Self::ViewNotDurable => "view-not-durable",
                Self::AcceptsGaps => "accepts-gaps",
                Self::IgnoresNotarization => "ignores-notarization",
                Self::NoNewView => "no-new-view",
                Self::NotarizationNotDurable => "notarization-not-durable",
            }
        }

        /// The bug with this name.
        #[must_use]
        pub fn named(name: &str) -> Option<Self> {
            Self::ALL.into_iter().find(|mutant| mutant.as_str() == name)
        }
    }

    /// While a node with [`Mutant::ShortQuorum`] works, every quorum of its thread is short: also those that the
    /// ledger counts, which knows no `Config`.
    #[derive(Debug)]
    pub(crate) struct QuorumScope(bool);

    impl QuorumScope {
        pub(crate) fn enter(short: bool) -> Self {
            Self(SHORT_QUORUM.replace(short))
        }
    }

    impl Drop for QuorumScope {
        fn drop(&mut self) {
            SHORT_QUORUM.set(self.0);
        }
    }

    /// Whether quorums are counted wrong at present.
    pub(crate) fn short_quorum() -> bool {
        SHORT_QUORUM.get()
    }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use planted::{QuorumScope, short_quorum};
