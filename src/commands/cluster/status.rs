//! What the lines `ready`, `status` and `stopped` tell, and their words for people. `onlooker` fills them in.

use super::load::Figures;
use super::memory::Memory;
use kithkin_actors::cluster::Shape;
use kithkin_protocol::ledger::Profile;
use kithkin_protocol::units::{Height, Millis};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The cluster runs, and every patient is enrolled.
#[derive(Serialize)]
pub(super) struct Ready {
    /// The data folder.
    pub(super) data: String,
    /// Whether it is removed at the end.
    pub(super) temporary: bool,
    /// Validators.
    pub(super) validators: u16,
    /// How many of them may fail or lie.
    pub(super) tolerates: u16,
    /// Hospitals.
    pub(super) hospitals: u16,
    /// Patients.
    pub(super) patients: u16,
    /// Kin of each patient.
    pub(super) relatives: u8,
    /// How leaders are ordered.
    pub(super) profile: Profile,
    /// Height of the newest durable block.
    pub(super) height: Height,
    /// Files acknowledged in this folder so far.
    pub(super) acknowledged: u64,
    /// Patients that were enrolled just now.
    pub(super) enrolled: usize,
    /// How long it took until every actor ran.
    pub(super) launch_ms: u64,
    /// How long the enrolments took.
    pub(super) enrol_ms: u64,
    /// Memory of this process.
    #[serde(flatten)]
    pub(super) memory: Memory,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ready after {:.1} s: {} validators (tolerating {}), {} hospitals, {} patients with {} relatives each, \
             profile {}; height {}; {} files acknowledged; data in {}{}",
            seconds(self.launch_ms + self.enrol_ms),
            self.validators,
            self.tolerates,
            self.hospitals,
            self.patients,
            self.relatives,
            self.profile.as_str(),
            self.height,
            self.acknowledged,
            self.data,
            if self.temporary { " (temporary)" } else { "" },
        )
    }
}

/// A validator that was convicted on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Convicted {
    /// How often.
    pub(super) offences: u32,
    /// No candidate for master below this height; null when its time is over.
    pub(super) jailed_until: Option<Height>,
}

impl fmt::Display for Convicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offences {
            1 => write!(f, "1 offence")?,
            n => write!(f, "{n} offences")?,
        }
        match self.jailed_until {
            Some(height) => write!(f, ", jailed until height {height}"),
            None => write!(f, ", free again"),
        }
    }
}

/// How the cluster stands.
#[derive(Serialize)]
pub(super) struct Status {
    /// Time since it was ready.
    pub(super) uptime_ms: u64,
    /// Height of the newest durable block.
    pub(super) height: Height,
    /// Height of the validator that is furthest behind, among those heard of.
    pub(super) height_min: Height,
    /// Block time of the newest block seen.
    pub(super) block_time_ms: Option<Millis>,
    /// Who built the newest block seen.
    pub(super) master: Option<String>,
    /// In which view.
    pub(super) view: Option<u64>,
    /// Who is master of the next height.
    pub(super) next_master: Option<String>,
    /// Candidates for master of the next height.
    pub(super) leader_set: Vec<String>,
    /// Credit of every validator.
    pub(super) credit: BTreeMap<String, u32>,
    /// Validators that were convicted on chain.
    pub(super) convicted: BTreeMap<String, Convicted>,
    /// Transactions since the start.
    pub(super) transactions: u64,
    /// Views that were given up since the start.
    pub(super) view_changes: usize,
    /// Actors that died and were started again since the start.
    pub(super) restarts: usize,
    /// Emergency cases by phase: those that can still come to an opening, or ended lately.
    pub(super) cases: BTreeMap<&'static str, usize>,
    /// The load; null when none is written.
    pub(super) load: Option<Figures>,
    /// Memory of this process.
    #[serde(flatten)]
    pub(super) memory: Memory,
}

impl Status {
    /// The rows of the table.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        let mut rows = vec![
            ("running for", format!("{:.0} s", seconds(self.uptime_ms))),
            (
                "height",
                format!("{} (all validators: {})", self.height, self.height_min),
            ),
            (
                "master",
                format!(
                    "{} in view {}; next {}",
                    or_none(&self.master),
                    self.view.unwrap_or(0),
                    or_none(&self.next_master)
                ),
            ),
            ("leader set", self.leader_set.join(" ")),
            ("credit", self.credit_text()),
            ("cases", self.cases_text()),
            ("view changes", self.view_changes.to_string()),
            ("restarts", self.restarts.to_string()),
        ];
        // Once there is such a row it stays, so the rows above keep their places.
        if !self.convicted.is_empty() {
            rows.push(("convicted", self.convicted_text()));
        }
        if let Some(load) = &self.load {
            rows.push(("load", load.to_string()));
        }
        rows.push(("memory", memory_text(self.memory)));
        rows
    }

    fn credit_text(&self) -> String {
        let mut all: Vec<_> = self.credit.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let texts: Vec<_> = all
            .iter()
            .map(|(name, credit)| format!("{name} {credit}"))
            .collect();
        texts.join("  ")
    }

    fn convicted_text(&self) -> String {
        let texts: Vec<_> = self
            .convicted
            .iter()
            .map(|(name, convicted)| format!("{name}: {convicted}"))
            .collect();
        texts.join("; ")
    }

    fn cases_text(&self) -> String {
        if self.cases.is_empty() {
            return "none".to_owned();
        }
        let texts: Vec<_> = self
            .cases
            .iter()
            .map(|(phase, n)| format!("{n} {phase}"))
            .collect();
        texts.join(", ")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = match (self.credit.values().min(), self.credit.values().max()) {
            (Some(low), Some(high)) => format!("{low}..{high}"),
            _ => "-".to_owned(),
        };
        write!(
            f,
            "height {}  master {}  leader set {}  credit {range}  cases {}  view changes {}  restarts {}",
            self.height,
            self.master.as_deref().unwrap_or("-"),
            self.leader_set.join(","),
            self.cases_text(),
            self.view_changes,
            self.restarts,
        )?;
        if !self.convicted.is_empty() {
            write!(f, "  convicted {}", self.convicted_text())?;
        }
        match &self.load {
            Some(load) => write!(f, "  load {load}"),
            None => Ok(()),
        }
    }
}

/// The end.
#[derive(Serialize)]
pub(super) struct Stopped {
    /// `signal`, `time`, `storage` or `output` (nobody reads it any more).
    pub(super) reason: &'static str,
    /// Height of the newest durable block.
    pub(super) height: Height,
    /// Time since it was ready.
    pub(super) uptime_ms: u64,
    /// Files acknowledged in this folder over all runs.
    pub(super) acknowledged: u64,
    /// Views that were given up since the start.
    pub(super) view_changes: usize,
    /// Actors that died and were started again since the start.
    pub(super) restarts: usize,
    /// The load; null when none was written.
    pub(super) load: Option<Figures>,
    /// Memory of this process.
    #[serde(flatten)]
    pub(super) memory: Memory,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stopped ({}) at height {} after {:.1} s; {} files acknowledged in all; {}",
            self.reason,
            self.height,
            seconds(self.uptime_ms),
            self.acknowledged,
            memory_text(self.memory)
        )
    }
}

impl Ready {
    /// Fills in what follows from the shape; the rest is zero.
    pub(super) fn of(shape: Shape) -> Self {
        Self {
            data: String::new(),
            temporary: false,
            validators: shape.validators,
            tolerates: shape.tolerated(),
            hospitals: shape.hospitals,
            patients: shape.patients,
            relatives: shape.relatives,
            profile: shape.profile,
            height: Height(0),
            acknowledged: 0,
            enrolled: 0,
            launch_ms: 0,
            enrol_ms: 0,
            memory: Memory::now(),
        }
    }
}

/// Whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

fn memory_text(memory: Memory) -> String {
    let mib = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{} MiB", bytes >> 20),
        None => "unknown".to_owned(),
    };
    format!(
        "{} resident, {} at most",
        mib(memory.rss_bytes),
        mib(memory.rss_peak_bytes)
    )
}
