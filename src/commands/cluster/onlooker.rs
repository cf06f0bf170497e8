//! Looking at a running cluster: heights, masters, credit and cases, as a [`Status`].

use super::load::Figures;
use super::memory::Memory;
use super::status::{Convicted, Status, ms};
use crate::stage::{Board, Stage};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::validator::messages::{Answer, Concern, Look};
use kithkin_protocol::credit::StandingRow;
use kithkin_protocol::emergency::{CaseEvent, Phase};
use kithkin_protocol::ids::{CaseId, ValidatorId};
use kithkin_protocol::units::Height;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long validators may take to say where they stand.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Looks at a cluster again and again; the height that it tells never goes back.
pub(super) struct Onlooker {
    since: Instant,
    height: Cell<Height>,
    /// Cases that were there before this start.
    cases: BTreeMap<CaseId, Phase>,
}

impl Onlooker {
    /// Asks every validator where it stands, and every hospital's cases.
    ///
    /// # Errors
    /// When no validator answers.
    pub(super) async fn new(stage: &Stage) -> anyhow::Result<Self> {
        let deadline = Instant::now() + LOOK_WITHIN;
        let mut looks = JoinSet::new();
        for _ in 0..stage.cluster().shape().validators {
            // Each look starts with another validator: together they ask all of them.
            let client = stage.client().clone();
            looks.spawn_local(async move { client.look(Look::Head, deadline).await });
        }
        let mut height = Height(0);
        while let Some(look) = looks.join_next().await {
            if let Answer::Head(theirs, _) = look?? {
                height = height.max(theirs);
            }
        }
        let mut cases = BTreeMap::new();
        for n in 0..stage.cluster().shape().hospitals {
            let look = Look::Cases(Concern::Hospital(stage.hospital_id(n)?));
            if let Answer::Cases(found) = stage.client().look(look, deadline).await? {
                cases.extend(found.iter().map(|case| (case.id, case.phase)));
            }
        }
        Ok(Self {
            since: Instant::now(),
            height: Cell::new(height),
            cases,
        })
    }

    /// Time since this onlooker began.
    pub(super) fn uptime_ms(&self) -> u64 {
        ms(self.since.elapsed())
    }

    /// Somebody was told of a final block of this height.
    pub(super) fn at_least(&self, height: Height) {
        self.height.set(self.height.get().max(height));
    }

    /// The highest height known to be durable.
    pub(super) fn height(&self, board: &Board) -> Height {
        self.at_least(board.height());
        self.height.get()
    }

    /// How the cluster stands now.
    pub(super) fn status(&self, board: &Board, load: Option<Figures>) -> Status {
        let glance = board.glance();
        let newest = glance.newest.as_ref();
        let height = self.height(board);
        let mut cases = self.cases.clone();
        for (case, step) in &glance.cases {
            if let Some(phase) = phase_after(*step) {
                cases.insert(*case, phase);
            } else {
                cases.entry(*case).or_insert(Phase::Requested);
            }
        }
        let mut by_phase = BTreeMap::new();
        for phase in cases.values() {
            *by_phase.entry(phase.as_str()).or_default() += 1;
        }
        Status {
            uptime_ms: self.uptime_ms(),
            height,
            height_min: glance.heights.values().min().copied().unwrap_or(height),
            block_time_ms: newest.map(|seen| seen.time_ms),
            master: newest.map(|seen| name(seen.author)),
            view: newest.map(|seen| seen.view.0),
            next_master: newest.and_then(|seen| seen.next_master).map(name),
            leader_set: newest.map_or_else(Vec::new, |seen| {
                seen.leader_set.iter().map(|id| name(*id)).collect()
            }),
            credit: newest.map_or_else(BTreeMap::new, |seen| {
                let rows = seen.rows.iter();
                rows.map(|row| (name(row.id), row.credit.0)).collect()
            }),
            convicted: newest.map_or_else(BTreeMap::new, |seen| convicted(&seen.rows)),
            transactions: glance.transactions,
            view_changes: glance.view_changes.len(),
            restarts: board.restarts().len(),
            cases: by_phase,
            load,
            memory: Memory::now(),
        }
    }
}

/// Where a case stands after this step; none when the step does not tell.
fn phase_after(step: CaseEvent) -> Option<Phase> {
    match step {
        CaseEvent::Requested => Some(Phase::Requested),
        CaseEvent::Waiting => Some(Phase::Waiting),
        CaseEvent::Granted => Some(Phase::Granted),
        CaseEvent::Released(..) | CaseEvent::Opened | CaseEvent::Read(_) => Some(Phase::Open),
        CaseEvent::Refused => Some(Phase::Refused),
        CaseEvent::Vetoed => Some(Phase::Vetoed),
        CaseEvent::Expired => Some(Phase::Expired),
        CaseEvent::Revoked => Some(Phase::Revoked),
        CaseEvent::Closed(..) | CaseEvent::Overdue => Some(Phase::Closed),
        CaseEvent::Reviewed(_) => Some(Phase::Reviewed),
        CaseEvent::Approved(_)
        | CaseEvent::KinRefused(..)
        | CaseEvent::Remind
        | CaseEvent::SecondCircle => None,
    }
}

/// Who was convicted on chain, by name.
fn convicted(rows: &[StandingRow]) -> BTreeMap<String, Convicted> {
    let guilty = rows.iter().filter(|row| row.offences > 0);
    guilty
        .map(|row| {
            let convicted = Convicted {
                offences: row.offences,
                jailed_until: row.jailed_until,
            };
            (name(row.id), convicted)
        })
        .collect()
}

fn name(id: ValidatorId) -> String {
    ActorName::Validator(id.0).to_string()
}
