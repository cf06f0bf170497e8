//! The status as a table in a terminal, drawn anew in place.

use super::status::Status;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The table.
pub(super) struct Table {
    block: MultiProgress,
    rows: Vec<ProgressBar>,
}

impl Table {
    /// An empty table on standard output.
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stdout_with_hz(20);
        Self {
            block: MultiProgress::with_draw_target(target),
            rows: Vec::new(),
        }
    }

    /// Shows this status instead of the last one.
    pub(super) fn draw(&mut self, status: &Status) {
        let rows = status.rows();
        while self.rows.len() < rows.len() {
            // Cuts a line that is longer than the terminal is wide.
            let style = ProgressStyle::with_template("{wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let row = ProgressBar::no_length().with_style(style);
            self.rows.push(self.block.add(row));
        }
        for (row, (name, value)) in self.rows.iter().zip(rows) {
            row.set_message(format!("{name:>14}  {value}"));
            row.tick();
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for row in &self.rows {
            row.abandon();
        }
    }
}
