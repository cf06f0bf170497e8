//! Tells a person what happens while it happens: who did what, at which height, how long it took.
//!
//! Lines go to standard output as they are told; a spinner on standard error
//! shows what is being waited for. Colour only on a terminal, and not when
//! `NO_COLOR` is set. A hidden timeline collects the same lines and shows nothing.

use crate::stage::Board;
use indicatif::{ProgressBar, ProgressDrawTarget};
use kithkin_protocol::units::{Height, View};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often the spinner turns.
const SPIN_EVERY: Duration = Duration::from_millis(100);
/// Columns of the actor's name and of what it did.
const WHO_WIDTH: usize = 12;
const WHAT_WIDTH: usize = 66;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// An ordinary step.
    Plain,
    /// What was hoped for.
    Good,
    /// A fault, done on purpose or withstood.
    Harm,
    /// Something that should not be.
    Bad,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Since the beginning of the story.
    pub at: Duration,
    /// Height of the block that it stands in, or of the newest block.
    pub height: Height,
    /// Who.
    pub who: String,
    /// Did what.
    pub what: String,
    /// How long it took; none for what is not waited for.
    pub took: Option<Duration>,
    /// How it is meant.
    pub mood: Mood,
}

/// A story as it is told.
pub struct Timeline {
    begun: Instant,
    shown: bool,
    colour: bool,
    lines: Vec<Line>,
    spinner: ProgressBar,
    restarts: usize,
    views: BTreeSet<(Height, View)>,
}

impl Timeline {
    /// A timeline that begins now; `shown` says whether anybody looks at it.
    #[must_use]
    pub fn new(shown: bool) -> Self {
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            begun: Instant::now(),
            shown,
            colour: colour(),
            lines: Vec::new(),
            spinner: ProgressBar::with_draw_target(None, target),
            restarts: 0,
            views: BTreeSet::new(),
        }
    }

    /// When the story began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Everything told so far.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Waits for `step` with a spinner that says what for, and measures it.
    pub async fn while_waiting<F: Future>(&self, what: &str, step: F) -> (F::Output, Duration) {
        self.spinner.set_message(what.to_owned());
        self.spinner.enable_steady_tick(SPIN_EVERY);
        let begun = Instant::now();
        let output = step.await;
        self.spinner.disable_steady_tick();
        self.spinner.set_message("");
        (output, begun.elapsed())
    }

    /// Tells one line.
    pub fn tell(
        &mut self,
        mood: Mood,
        height: Height,
        who: impl ToString,
        what: impl Into<String>,
        took: Option<Duration>,
    ) {
        let line = Line {
            at: self.begun.elapsed(),
            height,
            who: who.to_string(),
            what: what.into(),
            took,
            mood,
        };
        self.print(&line.text(self.colour));
        self.lines.push(line);
    }

    /// Tells what the onlooker has seen since the last time: actors that died, masters that were replaced.
    pub fn news(&mut self, board: &Board) {
        let height = board.height();
        for restart in board.restarts().into_iter().skip(self.restarts) {
            self.restarts += 1;
            let what = format!("{}; the supervisor starts it again", restart.reason);
            self.tell(Mood::Harm, height, restart.name, what, None);
        }
        for (height, view) in board.glance().view_changes {
            if self.views.insert((height, view)) {
                let what = format!("the master did not answer: view {view} with another master");
                self.tell(Mood::Harm, height, "validators", what, None);
            }
        }
    }

    /// Prints text between the lines, for example a heading; a hidden timeline prints nothing.
    pub fn print(&self, text: &str) {
        if self.shown {
            self.spinner.suspend(|| println!("{text}"));
        }
    }

    /// A heading.
    pub fn heading(&self, text: &str) {
        self.print(&format!("\n{}", paint(self.colour, "1", text)));
    }

    /// `text` in the colour of a mood, where there is colour.
    #[must_use]
    pub fn painted(&self, mood: Mood, text: &str) -> String {
        paint(self.colour, mood.code(), text)
    }

    /// Takes the spinner away.
    pub fn finish(&self) {
        self.spinner.finish_and_clear();
    }
}

impl Mood {
    /// The terminal's code of its colour.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Harm => "33",
            Self::Bad => "31",
        }
    }
}

impl Line {
    fn text(&self, colour: bool) -> String {
        let at = format!("{:>8.3} s", self.at.as_secs_f64());
        let height = format!("height {:<4}", self.height.0);
        let who = format!("{:<WHO_WIDTH$}", self.who);
        let took = self.took.map(|took| format!("{:>8}", short(took)));
        let width = if took.is_some() { WHAT_WIDTH } else { 0 };
        let what = format!("{:<width$}", self.what);
        let mut text = format!(
            "{}  {}  {}  {}",
            paint(colour, "2", &at),
            paint(colour, "2", &height),
            paint(colour, "1", &who),
            paint(colour, self.mood.code(), &what),
        );
        if let Some(took) = took {
            text.push_str(&paint(colour, "2", &took));
        }
        text
    }
}

/// A span as a person reads it: milliseconds up to ten seconds, then seconds.
#[must_use]
pub fn short(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour && !code.is_empty() {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_time_height_actor_deed_and_duration() {
        let line = Line {
            at: Duration::from_millis(1_234),
            height: Height(7),
            who: "kin-0-3".to_owned(),
            what: "approves".to_owned(),
            took: Some(Duration::from_millis(45)),
            mood: Mood::Good,
        };
        let text = line.text(false);
        for part in ["1.234 s", "height 7", "kin-0-3", "approves", "45 ms"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(line.text(true).contains("\u{1b}[32mapproves"));
    }
}
