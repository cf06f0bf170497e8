//! A value that follows from its owner: worked out when it is first asked for, then kept.
//!
//! It is no part of the owner: it is not written out, and owners with and without it are equal. Whoever changes the
//! owner forgets it, by putting a new one in its place.

use std::sync::OnceLock;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    pub(crate) fn get_or_init(&self, work_out: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(work_out)
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Memo<T> {}
