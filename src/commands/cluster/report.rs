//! What is printed: JSON lines, plain lines, or a table that is drawn anew. `docs/cli.md` describes the lines.

use super::acknowledged::Acknowledged;
use super::check::CheckReport;
use super::status::{Ready, Status, Stopped};
use super::table::Table;
use kithkin_protocol::crypto::Digest;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// One thing to tell.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The cluster runs and everybody is enrolled.
    Ready(&'a Ready),
    /// How it stands.
    Status(&'a Status),
    /// A file is stored for good.
    Ack(&'a Acknowledged),
    /// A file is not, or not yet with every kin.
    NotAcknowledged(&'a NotAcknowledged),
    /// What a check found.
    Check(&'a CheckReport),
    /// The end.
    Stopped(&'a Stopped),
}

/// A write that came to nothing that could be acknowledged.
#[derive(Serialize)]
pub(super) struct NotAcknowledged {
    /// Whose record.
    pub(super) patient: String,
    /// Who wrote it.
    pub(super) hospital: String,
    /// Which file.
    pub(super) file_digest: Digest,
    /// Why.
    pub(super) reason: String,
}

/// How things are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Table,
}

/// Prints; cloning shares it.
#[derive(Clone)]
pub(super) struct Reporter(Arc<Inner>);

struct Inner {
    form: Form,
    table: Mutex<Option<Table>>,
    gone: watch::Sender<bool>,
}

impl Reporter {
    /// JSON when asked for, else a table in a terminal, else plain lines.
    pub(super) fn new(json: bool) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Table,
            (false, false) => Form::Text,
        };
        Self(Arc::new(Inner {
            form,
            table: Mutex::new(None),
            gone: watch::Sender::new(false),
        }))
    }

    /// How often the status is told when nobody says.
    pub(super) fn status_every(&self) -> Duration {
        Duration::from_millis(match self.0.form {
            Form::Json => 1_000,
            Form::Text => 3_000,
            Form::Table => 500,
        })
    }

    /// Returns when nobody reads any more what is printed.
    pub(super) async fn gone(&self) {
        let mut gone = self.0.gone.subscribe();
        // The sender lives as long as this does.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// Tells one thing, at once.
    pub(super) fn line(&self, line: &Line<'_>) {
        let text = match self.0.form {
            Form::Json => serde_json::to_string(line).ok(),
            Form::Text => plain(line),
            Form::Table => match line {
                Line::Status(status) => {
                    let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
                    table.get_or_insert_with(Table::new).draw(status);
                    None
                }
                other => plain(other),
            },
        };
        if let Some(text) = text {
            self.print(&text);
        }
    }

    fn print(&self, text: &str) {
        // One lock for both, so that lines of two threads do not run into each other.
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "{text}").and_then(|()| out.flush());
        if printed.is_err() {
            self.0.gone.send_replace(true);
        }
    }
}

/// A line for people; none for what only programs want to know.
fn plain(line: &Line<'_>) -> Option<String> {
    match line {
        Line::Ready(ready) => Some(ready.to_string()),
        Line::Status(status) => Some(status.to_string()),
        Line::Check(report) => Some(report.to_string()),
        Line::Stopped(stopped) => Some(stopped.to_string()),
        Line::NotAcknowledged(_) | Line::Ack(_) => None,
    }
}
