//! The view rules of one height: which certificates are known, which view they justify, and why (spec section 2,
//! `validJ` and `enter`).
//!
//! Certificates that come in here have been verified. A justification is never
//! stored as a list: it is a choice among known certificates, so that it can be
//! sent in pages and written once. Grows by one certificate per view at most,
//! and each takes a quorum.

use crate::consensus::io::ViewReason;
use crate::consensus::message::{Justification, NULLIFICATIONS_PER_MESSAGE};
use crate::consensus::vote::Certificate;
use crate::units::View;
use std::collections::BTreeMap;

/// Known certificates and the current view.
#[derive(Clone, Debug)]
pub(super) struct Views {
    current: View,
    /// View of the notarization that the current view builds on.
    base: Option<View>,
    notarizations: BTreeMap<View, Certificate>,
    nullifications: BTreeMap<View, Certificate>,
}

/// A view that the known certificates justify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) view: View,
    pub(super) base: Option<View>,
    pub(super) reason: ViewReason,
}

impl Views {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.notarizations
            .len()
            .saturating_add(self.nullifications.len())
    }

    /// As read back after a restart; with nothing, view 1, which needs no justification.
    pub(super) fn restore(
        view: Option<(View, Option<View>)>,
        notarizations: BTreeMap<View, Certificate>,
        nullifications: BTreeMap<View, Certificate>,
    ) -> Self {
        let (current, base) = view.unwrap_or((View(1), None));
        Self {
            current,
            base,
            notarizations,
            nullifications,
        }
    }

    pub(super) fn current(&self) -> View {
        self.current
    }

    pub(super) fn base(&self) -> Option<View> {
        self.base
    }

    pub(super) fn base_certificate(&self) -> Option<&Certificate> {
        self.notarizations.get(&self.base?)
    }

    pub(super) fn notarization(&self, view: View) -> Option<&Certificate> {
        self.notarizations.get(&view)
    }

    pub(super) fn notarizations(&self) -> impl Iterator<Item = &Certificate> {
        self.notarizations.values()
    }

    pub(super) fn has_nullification(&self, view: View) -> bool {
        self.nullifications.contains_key(&view)
    }

    /// Whether it was not known before. One notarization per view: two for different blocks do not exist (I5).
    pub(super) fn add_notarization(&mut self, cert: Certificate) -> bool {
        let new = !self.notarizations.contains_key(&cert.view);
        self.notarizations.entry(cert.view).or_insert(cert);
        new
    }

    /// Whether it was not known before.
    pub(super) fn add_nullification(&mut self, cert: Certificate) -> bool {
        let new = !self.nullifications.contains_key(&cert.view);
        self.nullifications.entry(cert.view).or_insert(cert);
        new
    }

    /// spec 2, `validJ`: the base is notarized and lies below `view`, and every view between is nullified.
    pub(super) fn justifies(&self, base: Option<View>, view: View) -> bool {
        let based = base.is_none_or(|base| base < view && self.notarizations.contains_key(&base));
        let lowest = base.map_or(1, |base| base.0.saturating_add(1));
        // Counting first keeps the walk as short as what is known.
        let known = self
            .nullifications
            .range(View(lowest)..view.max(View(lowest)))
            .count();
        based && known as u64 == view.0.saturating_sub(lowest)
    }

    /// The highest view above the current one that the known certificates justify.
    pub(super) fn next(&self) -> Option<Next> {
        let mut view = self.current;
        let mut base = self.base;
        // spec 2, onNotar: v >= cur.v: enter(v+1, (C, [])), always
        if let Some((&notarized, _)) = self.notarizations.range(self.current..).next_back() {
            view = notarized.plus(1);
            base = Some(notarized);
        }
        // spec 2, check: q x NUL(v) with v = cur.v: enter(v+1, J + [Nullification(v)])
        while self.nullifications.contains_key(&view) {
            view = view.plus(1);
        }
        if view == self.current {
            return None;
        }
        // Of all justifications of that view the shortest: a notarization that came late serves as base as well.
        if let Some((&notarized, _)) = self.notarizations.range(..view).next_back()
            && self.justifies(Some(notarized), view)
        {
            base = Some(notarized);
        }
        let bare = base.is_some_and(|base| base.plus(1) == view);
        let reason = if bare {
            ViewReason::Notarized
        } else {
            ViewReason::Nullified
        };
        Some(Next { view, base, reason })
    }

    pub(super) fn enter(&mut self, next: Next) {
        self.current = next.view;
        self.base = next.base;
    }

    /// The page of the current justification for a peer in view `theirs`: the base if it helps, and the first
    /// nullifications that the peer lacks.
    pub(super) fn page_for(&self, theirs: View) -> Justification {
        let base = self.base.filter(|&base| base >= theirs);
        let lowest = base.map_or(theirs, |base| base.plus(1));
        self.page(base, lowest, NULLIFICATIONS_PER_MESSAGE)
    }

    /// The base and the last `count` nullifications of a justification of `view`.
    pub(super) fn latest(&self, base: Option<View>, view: View, count: usize) -> Justification {
        let lowest = base
            .map_or(View(1), |base| base.plus(1))
            .max(view.minus(count as u64));
        self.page(base, lowest, count)
    }

    fn page(&self, base: Option<View>, lowest: View, count: usize) -> Justification {
        Justification {
            base: base.and_then(|base| self.notarizations.get(&base)).cloned(),
            nullifications: self
                .nullifications
                .range(lowest..)
                .take(count)
                .map(|(_, cert)| cert.clone())
                .collect(),
        }
    }
}
