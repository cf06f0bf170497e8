//! Enrolling the patients that are not enrolled yet, hospitals as sponsors in turn.

use super::progress;
use crate::commands::stop::Stop;
use crate::stage::{Stage, StageError};
use anyhow::Context as _;
use kithkin_actors::validator::messages::{Answer, Look};
use kithkin_protocol::roster::RosterRules;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Enrolments under way at a time: each deals shares to all kin of a patient.
const AT_A_TIME: usize = 8;
/// How long a validator may take to say whether a patient is enrolled.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Enrols whoever is not; returns how many were. Ends early, without an error, when somebody asks to stop.
///
/// # Errors
/// When a patient cannot be enrolled.
pub(super) async fn all(stage: &Rc<Stage>, stop: &Stop) -> anyhow::Result<usize> {
    let mut waiting = Vec::new();
    for patient in 0..stage.cluster().shape().patients {
        if !is_enrolled(stage, patient).await? {
            waiting.push(patient);
        }
    }
    let total = waiting.len();
    let bar = progress::bar("enrolling patients", total as u64);
    let mut waiting = waiting.into_iter();
    let mut enrolments = JoinSet::new();
    loop {
        while enrolments.len() < AT_A_TIME && !stop.asked() {
            let Some(patient) = waiting.next() else { break };
            let stage = Rc::clone(stage);
            enrolments.spawn_local(async move { (patient, enrol(&stage, patient).await) });
        }
        match enrolments.join_next().await {
            None => break,
            Some(done) => {
                let (patient, enrolled) = done.context("an enrolment ended badly")?;
                enrolled.with_context(|| format!("patient-{patient} cannot be enrolled"))?;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(total - waiting.len())
}

async fn is_enrolled(stage: &Stage, patient: u16) -> anyhow::Result<bool> {
    let look = Look::Patient(stage.patient_id(patient)?);
    let answer = stage
        .client()
        .look(look, Instant::now() + LOOK_WITHIN)
        .await?;
    Ok(matches!(answer, Answer::Patient(Some(_))))
}

async fn enrol(stage: &Stage, patient: u16) -> Result<(), StageError> {
    let sponsor = patient % stage.cluster().shape().hospitals;
    stage
        .enrol(patient, sponsor, None, Vec::new(), RosterRules::default())
        .await?;
    Ok(())
}
