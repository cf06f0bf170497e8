//! The demo's story: enrol, write, an emergency in which three things go wrong, read, close, restore.
//!
//! Not here: whether it came out well ([`super::outcome`]).

use crate::disclosure::Page;
use crate::faults::stop_the_master;
use crate::stage::{Ask, Stage, StageError};
use crate::timeline::{Mood, Timeline};
use crate::waiting::until;
use kithkin_actors::friend_relative::messages::{Conduct, Decision};
use kithkin_actors::hospital::messages::{Opened, Requested, Written};
use kithkin_actors::patient::messages::{Enrolled, Source};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::supervisor::Fault;
use kithkin_actors::upload::OpenedRecord;
use kithkin_protocol::emergency::{CaseEvent, Phase};
use kithkin_protocol::ids::{CaseId, KinId, ValidatorId};
use kithkin_protocol::ledger::What;
use kithkin_protocol::roster::RosterRules;
use kithkin_protocol::units::{Height, Tier};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kin of the demo's patient.
pub const KIN: u8 = 5;
/// How long the hospital waits for kin that do not take their shards.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long anything that is waited for may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long a forger may take to show itself before the story goes on without it.
const FORGER_WITHIN: Duration = Duration::from_secs(10);

const PATIENT: u16 = 0;
const WRITER: u16 = 0;
const READER: u16 = 1;

/// Which kin does what; drawn from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Approves, then sends a forged partial opening.
    pub forger: u8,
    /// Panics during the emergency and approves after its restart.
    pub panicking: u8,
    /// Approve. With the one that panics they are just enough.
    pub honest: [u8; 2],
    /// Cannot be reached.
    pub away: u8,
}

/// Everything that happened, for [`super::outcome`] to judge.
#[derive(Debug)]
pub struct Facts {
    /// The enrolment.
    pub enrolled: Enrolled,
    /// The upload.
    pub written: Written,
    /// The case.
    pub case: CaseId,
    /// Who was master when it was stopped.
    pub stopped: ValidatorId,
    /// From the clinician's request to the grant on chain.
    pub request_to_granted: Duration,
    /// From the last approval that was needed to the summary at the hospital.
    pub last_approval_to_readable: Duration,
    /// The summary, opened by kin.
    pub summary: Opened,
    /// The chart, opened by kin.
    pub chart: Opened,
    /// The report about the case, as the patient's own device draws it.
    pub page: Page,
    /// Everything, opened by the patient's own device.
    pub own: Vec<OpenedRecord>,
    /// Where the case stands at the end.
    pub phase: Phase,
    /// Approvals on chain.
    pub approved: usize,
    /// Height at the end.
    pub height: Height,
}

impl Roles {
    /// Draws the roles.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut kin = [0, 1, 2, 3, 4];
        for place in (1..kin.len()).rev() {
            let other = rng.next_u64() % (place as u64 + 1);
            kin.swap(place, usize::try_from(other).unwrap_or(place));
        }
        let [forger, panicking, first, second, away] = kin;
        Self {
            forger,
            panicking,
            honest: [first, second],
            away,
        }
    }
}

/// Plays it.
///
/// # Errors
/// The first step that fails.
pub async fn play(
    stage: &Stage,
    timeline: &mut Timeline,
    bundle: Arc<Vec<u8>>,
    roles: &Roles,
) -> Result<Facts, StageError> {
    timeline.heading("A patient chooses kin, and a hospital writes the record");
    let enrolled = enrol(stage, timeline).await?;
    let written = write(stage, timeline, bundle).await?;

    timeline.heading("An emergency at another hospital, while three things go wrong");
    let asked = Instant::now();
    let requested = request(stage, timeline).await?;
    let case = requested.case;
    let stopped = go_wrong(stage, timeline, roles).await?;
    let (summary, readable) = approve_and_read(stage, timeline, roles, case).await?;
    let chart = read(stage, timeline, case, Tier::Chart).await?;

    timeline.heading("The emergency is over");
    let name = ActorName::Validator(stopped.0);
    stage.release(name).await?;
    timeline.tell(
        Mood::Plain,
        stage.board().height(),
        name,
        "is started again",
        None,
    );
    let approved = close(stage, timeline, case).await?;
    let page = Page::of(stage, PATIENT, case).await?;
    let own = restore(stage, timeline, &written).await?;
    caught_up(stage, timeline, stopped).await?;
    let phase = stage
        .case(case)
        .await?
        .map_or(Phase::Requested, |case| case.phase);
    timeline.news(stage.board());

    let last = last_approval(stage, case, roles).unwrap_or(asked);
    let granted = moment(stage, case, |step| *step == CaseEvent::Granted).unwrap_or(readable);
    Ok(Facts {
        enrolled,
        written,
        case,
        stopped,
        request_to_granted: granted.saturating_duration_since(asked),
        last_approval_to_readable: readable.saturating_duration_since(last),
        summary,
        chart,
        page,
        own,
        phase,
        approved,
        height: stage.board().height(),
    })
}

async fn enrol(stage: &Stage, timeline: &mut Timeline) -> Result<Enrolled, StageError> {
    let step = stage.enrol(PATIENT, WRITER, None, Vec::new(), RosterRules::default());
    let (enrolled, took) = timeline.while_waiting("enrolling the patient", step).await;
    let enrolled = enrolled?;
    let what = format!(
        "deals key shares to {} kin; any {} of them can open",
        enrolled.kin, enrolled.threshold
    );
    let who = ActorName::Patient(PATIENT);
    timeline.tell(Mood::Plain, enrolled.height, who, what, Some(took));
    Ok(enrolled)
}

async fn write(
    stage: &Stage,
    timeline: &mut Timeline,
    bundle: Arc<Vec<u8>>,
) -> Result<Written, StageError> {
    let step = stage.write(WRITER, PATIENT, bundle, PATIENCE);
    let (written, took) = timeline
        .while_waiting("sealing and storing the record", step)
        .await;
    let written = written?;
    let who = ActorName::Hospital(WRITER);
    let what = format!(
        "seals {} bytes and hands the shards to the kin",
        written.bytes
    );
    let height = stage.board().height();
    timeline.tell(Mood::Plain, height, who, what, Some(took));
    for batch in &written.batches {
        let what = format!(
            "{}: {} record{} {}, {} bytes on chain",
            batch.tier,
            batch.records,
            if batch.records == 1 { "" } else { "s" },
            batch.status.as_str(),
            batch.on_chain_bytes
        );
        timeline.tell(Mood::Plain, batch.height, who, what, None);
    }
    Ok(written)
}

async fn request(stage: &Stage, timeline: &mut Timeline) -> Result<Requested, StageError> {
    let step = stage.request(READER, PATIENT, Ask::default());
    let (requested, took) = timeline.while_waiting("asking for the records", step).await;
    let requested = requested?;
    let what = "a clinician asks for summary and chart: patient unconscious";
    let who = ActorName::Hospital(READER);
    timeline.tell(Mood::Plain, requested.height, who, what, Some(took));
    Ok(requested)
}

/// One kin turns forger, one panics, and the validator whose turn it is to be master is stopped.
async fn go_wrong(
    stage: &Stage,
    timeline: &mut Timeline,
    roles: &Roles,
) -> Result<ValidatorId, StageError> {
    let height = stage.board().height();
    stage.conduct(PATIENT, roles.forger, Conduct::Forge).await?;
    let who = ActorName::Kin(PATIENT, roles.forger);
    let what = "fault: will approve, and send a forged partial opening";
    timeline.tell(Mood::Harm, height, who, what, None);

    let who = ActorName::Kin(PATIENT, roles.panicking);
    timeline.tell(Mood::Harm, height, who, "fault: panics", None);
    stage.inject(who, Fault::Panic).await?;

    let stopped = stop_the_master(stage).await?;
    let who = ActorName::Validator(stopped.0);
    let what = format!(
        "fault: stopped, it would be master of height {}",
        height.0 + 1
    );
    timeline.tell(Mood::Harm, height, who, what, None);
    Ok(stopped)
}

/// The forger approves first and shows itself; the last approval that is needed runs beside the clinician's
/// reading, as it would. Returns the summary and when it could be read.
async fn approve_and_read(
    stage: &Stage,
    timeline: &mut Timeline,
    roles: &Roles,
    case: CaseId,
) -> Result<(Opened, Instant), StageError> {
    let [first, last] = roles.honest;
    for kin in [roles.forger, roles.panicking, first] {
        approve(stage, timeline, case, kin).await?;
    }
    let forger = kin_id(stage, roles.forger)?;
    let released = |step: &CaseEvent| matches!(step, CaseEvent::Released(kin, _) if *kin == forger);
    let shown = until(stage.board(), "the forger's release", FORGER_WITHIN, |_| {
        moment(stage, case, released)
    });
    let (shown, _) = timeline
        .while_waiting("kin release partial openings", shown)
        .await;
    if let Err(error) = shown {
        tracing::warn!(%error, "going on without the forger");
    }
    let reading = async {
        let opened = stage.read(READER, case, Some(Tier::Summary), WITHIN).await;
        (opened, Instant::now())
    };
    let approving = approve(stage, timeline, case, last);
    let ((opened, readable), approved) = tokio::join!(reading, approving);
    approved?;
    let opened = opened?;
    timeline.news(stage.board());
    let took =
        last_approval(stage, case, roles).map(|last| readable.saturating_duration_since(last));
    tell_opened(stage, timeline, &opened, Tier::Summary, took);
    Ok((opened, readable))
}

async fn approve(
    stage: &Stage,
    timeline: &mut Timeline,
    case: CaseId,
    kin: u8,
) -> Result<(), StageError> {
    let step = stage.decide(PATIENT, kin, case, Decision::Approve);
    let (decided, took) = timeline.while_waiting("kin decide", step).await;
    let decided = decided?;
    timeline.news(stage.board());
    let (what, mood) = if decided.phase.opens() {
        (
            format!("approves: the case is {}", decided.phase.as_str()),
            Mood::Good,
        )
    } else {
        ("approves".to_owned(), Mood::Plain)
    };
    let who = ActorName::Kin(PATIENT, kin);
    timeline.tell(mood, decided.height, who, what, Some(took));
    Ok(())
}

async fn read(
    stage: &Stage,
    timeline: &mut Timeline,
    case: CaseId,
    tier: Tier,
) -> Result<Opened, StageError> {
    let step = stage.read(READER, case, Some(tier), WITHIN);
    let (opened, took) = timeline.while_waiting("opening the records", step).await;
    let opened = opened?;
    tell_opened(stage, timeline, &opened, tier, Some(took));
    Ok(opened)
}

fn tell_opened(
    stage: &Stage,
    timeline: &mut Timeline,
    opened: &Opened,
    tier: Tier,
    took: Option<Duration>,
) {
    let who = ActorName::Hospital(READER);
    for kin in &opened.forged {
        let name = name_of(stage, *kin);
        let what = format!("names {name}: its partial opening is forged, and left out");
        timeline.tell(Mood::Harm, opened.height, who, what, None);
    }
    let what = format!(
        "reads the {tier}: {} record{}, opened with {} kin",
        opened.records.len(),
        if opened.records.len() == 1 { "" } else { "s" },
        opened.good.len(),
    );
    timeline.tell(Mood::Good, opened.height, who, what, took);
}

/// Ends the case; returns how many kin approved on chain.
async fn close(stage: &Stage, timeline: &mut Timeline, case: CaseId) -> Result<usize, StageError> {
    let (closed, took) = timeline
        .while_waiting("closing the case", stage.close(READER, case))
        .await;
    let who = ActorName::Hospital(READER);
    timeline.tell(
        Mood::Plain,
        closed?,
        who,
        "closes the case; a review falls due",
        Some(took),
    );
    let case = stage
        .case_in(case, &[Phase::Closed, Phase::Reviewed], WITHIN)
        .await?;
    Ok(case.approvals.len())
}

/// The validator that was stopped has what the others have.
async fn caught_up(
    stage: &Stage,
    timeline: &mut Timeline,
    stopped: ValidatorId,
) -> Result<(), StageError> {
    let name = ActorName::Validator(stopped.0);
    let goal = stage.board().height();
    let what = format!("{name} catching up to height {goal}");
    let caught_up = until(stage.board(), &what, WITHIN, |board| {
        let height = board.glance().heights.get(&stopped).copied();
        height.filter(|height| *height >= goal)
    });
    let (height, took) = timeline
        .while_waiting("the stopped validator catches up", caught_up)
        .await;
    let what = "has every block that it missed";
    timeline.tell(Mood::Good, height?, name, what, Some(took));
    Ok(())
}

/// The patient's own keys open everything, from the shards that the kin keep.
async fn restore(
    stage: &Stage,
    timeline: &mut Timeline,
    written: &Written,
) -> Result<Vec<OpenedRecord>, StageError> {
    let roots = written.batches.iter().map(|batch| batch.root).collect();
    let step = stage.read_all(PATIENT, Tier::ALL.to_vec(), roots, Source::Kin);
    let (own, took) = timeline
        .while_waiting("the patient's own device opens all tiers", step)
        .await;
    let own = own?;
    let what = format!(
        "opens all {} records with its own keys, from the kin's shards",
        own.len()
    );
    let height = stage.board().height();
    timeline.tell(
        Mood::Plain,
        height,
        ActorName::Patient(PATIENT),
        what,
        Some(took),
    );
    Ok(own)
}

/// When the approval became final with which enough honest kin had approved.
fn last_approval(stage: &Stage, case: CaseId, roles: &Roles) -> Option<Instant> {
    let [_, last] = roles.honest;
    let last = kin_id(stage, last).ok()?;
    moment(stage, case, |step| *step == CaseEvent::Approved(last))
}

/// When a step of the case was first seen on chain.
fn moment(stage: &Stage, case: CaseId, is: impl Fn(&CaseEvent) -> bool) -> Option<Instant> {
    let events = stage.board().events();
    let mut events = events.iter();
    let found = events.find(|(_, event)| {
        matches!(&event.what, What::Case { case: of, step, .. } if *of == case && is(step))
    });
    found.map(|(at, _)| *at)
}

fn kin_id(stage: &Stage, kin: u8) -> Result<KinId, StageError> {
    let name = ActorName::Kin(PATIENT, kin);
    let id = stage.cluster().kin(PATIENT, kin);
    id.ok_or(StageError::NoSuchActor { name })
}

/// The name of a kin, for people.
#[must_use]
pub fn name_of(stage: &Stage, kin: KinId) -> String {
    let name = stage.cluster().setting().directory.name(kin);
    name.map_or_else(|| kin.to_string(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_every_kin_one_role() {
        for seed in 0..100 {
            let roles = Roles::draw(seed);
            let [a, b] = roles.honest;
            let mut kin = [roles.forger, roles.panicking, a, b, roles.away];
            kin.sort_unstable();
            assert_eq!(kin, [0, 1, 2, 3, 4]);
            assert_eq!(roles, Roles::draw(seed));
        }
        assert_ne!(Roles::draw(1), Roles::draw(2));
    }
}
