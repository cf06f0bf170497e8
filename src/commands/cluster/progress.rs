//! Progress bars: on standard error, and only where a person watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for `total` steps of the same kind.
pub(super) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} ({eta})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
}
