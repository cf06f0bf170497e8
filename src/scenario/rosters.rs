//! What people do about rosters in a script: propose changes, have their say, wait for new shares and drills.

use super::acts::{Outcome, done};
use super::expect::list;
use super::player::{Done, Player};
use super::report::millis;
use super::script::{
    ChangeRoster, Enrol, InvitationWord, OnInvitations, Roster, RosterWord, WaitDrill, WaitEpoch,
    WaitPieces, WaitRoster,
};
use super::words::{KinName, Span};
use crate::stage::StageError;
use crate::timeline::Mood;
use kithkin_actors::friend_relative::messages::{OnInvitation, RosterWish};
use kithkin_actors::patient::messages::AboutRoster;
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ledger::{self, Member};
use kithkin_protocol::roster::{Plan, RosterRules};
use kithkin_protocol::sharing::majority;
use kithkin_protocol::units::{Epoch, Millis};
use std::time::Instant;

/// The delays of a script, and the usual ones where it says nothing.
pub(super) fn rules(enrol: &Enrol) -> RosterRules {
    let usual = RosterRules::default();
    let or = |span: Option<Span>, usual: Millis| span.map_or(usual, |s| Millis(millis(s.0)));
    RosterRules {
        objection_ms: or(enrol.objection, usual.objection_ms),
        veto_ms: or(enrol.veto, usual.veto_ms),
        step_ms: or(enrol.step, usual.step_ms),
        answer_ms: or(enrol.answer, usual.answer_ms),
        refresh_every_ms: or(enrol.refresh, usual.refresh_every_ms),
        drill_every_ms: or(enrol.drill, usual.drill_every_ms),
    }
}

/// How many kin proved their shares in the newest drill.
pub(super) fn proved(entry: &ledger::Patient) -> usize {
    let Some((begun, _)) = entry.drill.round else {
        return 0;
    };
    let proved = entry.drill.proved.values();
    proved.filter(|(height, _)| *height >= begun).count()
}

impl Player<'_> {
    pub(super) async fn change_roster(&self, change: &ChangeRoster) -> Outcome {
        let patient = change.patient.0;
        let plan = self.plan(change).await?;
        self.propose_roster(change.who.0, patient, plan).await?;
        let what = format!(
            "proposes a roster of {} with {} instead of {}",
            change.patient,
            list(&change.into),
            list(&change.out)
        );
        Ok(done(change.who.0, what, None))
    }

    /// A kin of the patient, or the patient, proposes.
    pub(super) async fn propose_roster(
        &self,
        who: ActorName,
        patient: u16,
        plan: Plan,
    ) -> Result<(), StageError> {
        match who {
            ActorName::Kin(of, n) => {
                let wish = RosterWish::Propose(Box::new(plan));
                self.stage.kin_about_roster((of, n), patient, wish).await
            }
            _ => {
                let about = AboutRoster::Propose(Box::new(plan));
                self.stage.patient_about_roster(patient, about).await?;
                Ok(())
            }
        }
    }

    /// The present roster with newcomers in the places of those who leave.
    async fn plan(&self, change: &ChangeRoster) -> Result<Plan, StageError> {
        let none = || StageError::NoSuchActor {
            name: change.patient.into(),
        };
        let entry = self
            .stage
            .patient(change.patient.0)
            .await?
            .ok_or_else(none)?;
        let member = |kin: &KinName| self.member(*kin);
        let out = change
            .out
            .iter()
            .map(member)
            .collect::<Result<Vec<_>, _>>()?;
        let mut into = change
            .into
            .iter()
            .map(member)
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let mut roster = Vec::new();
        for old in entry.enrolment.roster {
            if !out.iter().any(|one| one.key == old.key) {
                roster.push(old);
            } else if let Some(new) = into.next() {
                roster.push(new);
            }
        }
        roster.extend(into);
        let threshold = u8::try_from(majority(roster.len())).unwrap_or(u8::MAX);
        Ok(Plan::Reshare {
            roster,
            thresholds: [threshold; 3],
        })
    }

    pub(super) fn member(&self, kin: KinName) -> Result<Member, StageError> {
        let name = ActorName::from(kin);
        let roster = self.stage.cluster().roster(kin.0);
        let member = roster.into_iter().nth(usize::from(kin.1));
        member.ok_or(StageError::NoSuchActor { name })
    }

    pub(super) async fn roster(&self, roster: &Roster) -> Outcome {
        let patient = roster.patient.0;
        for who in &roster.who {
            let wish = match roster.say {
                RosterWord::Join => RosterWish::Join,
                RosterWord::Decline => RosterWish::Decline,
                RosterWord::Resign => RosterWish::Resign,
                RosterWord::Support => RosterWish::Support,
                RosterWord::Object => RosterWish::Object,
                RosterWord::Veto => {
                    let veto = AboutRoster::Veto;
                    self.stage.patient_about_roster(patient, veto).await?;
                    continue;
                }
            };
            if let ActorName::Kin(of, n) = who.0 {
                self.stage.kin_about_roster((of, n), patient, wish).await?;
            }
        }
        let word = match roster.say {
            RosterWord::Join => "accept the invitation to",
            RosterWord::Decline => "decline the invitation to",
            RosterWord::Resign => "resign from",
            RosterWord::Support => "support the change of",
            RosterWord::Object => "object to the change of",
            RosterWord::Veto => "veto the change of",
        };
        let names = list(roster.who.iter().map(|who| who.0));
        let what = format!("{names} {word} the roster of {}", roster.patient);
        Ok(done("kin", what, None))
    }

    pub(super) async fn invitations(&self, on: &OnInvitations) -> Outcome {
        let (conduct, word) = match on.conduct {
            InvitationWord::Ask => (OnInvitation::Ask, "ask the person"),
            InvitationWord::Accept => (OnInvitation::Accept, "accept"),
            InvitationWord::Decline => (OnInvitation::Decline, "decline"),
        };
        for kin in &on.kin {
            self.stage.on_invitation((kin.0, kin.1), conduct).await?;
        }
        let what = format!("the devices of {} {word} when invited", list(&on.kin));
        Ok(done("kin", what, None))
    }

    pub(super) async fn wait_epoch(&self, wait: &WaitEpoch) -> Outcome {
        let what = format!("epoch {} of {}", wait.epoch, wait.patient);
        let wanted = Epoch(wait.epoch);
        let is = |entry: &ledger::Patient| entry.epoch >= wanted;
        let entry = self
            .stage
            .patient_when(wait.patient.0, wait.within.0, &what, is)
            .await?;
        let kin = entry.enrolment.roster.len();
        let what = format!("{kin} kin hold shares of epoch {}", entry.epoch);
        Ok(done(wait.patient, what, None))
    }

    pub(super) async fn wait_drill(&self, wait: &WaitDrill) -> Outcome {
        let what = format!("{} shares of {} proved", wait.proved, wait.patient);
        let is = |entry: &ledger::Patient| proved(entry) == wait.proved;
        let entry = self
            .stage
            .patient_when(wait.patient.0, wait.within.0, &what, is)
            .await?;
        let kin = entry.enrolment.roster.len();
        let what = format!("{} of {kin} shares proved alive", proved(&entry));
        Ok(done(wait.patient, what, None))
    }

    pub(super) async fn wait_roster(&self, wait: &WaitRoster) -> Outcome {
        let what = format!("the change of the roster of {} being over", wait.patient);
        self.stage
            .roster_at_rest(wait.patient.0, wait.within.0, &what)
            .await?;
        Ok(done(
            wait.patient,
            "no change of the roster is under way",
            None,
        ))
    }

    pub(super) async fn wipe(&self, kin: KinName) -> Outcome {
        self.stage.wipe(kin.0, kin.1).await?;
        let what = "loses everything it kept: shares, pieces of records, all";
        Ok(Done {
            mood: Mood::Harm,
            ..done(kin, what, None)
        })
    }

    pub(super) async fn wait_pieces(&self, wait: &WaitPieces) -> Outcome {
        let KinName(patient, n) = wait.kin;
        let deadline = Instant::now() + wait.within.0;
        loop {
            let mut changed = self.stage.board().changes();
            let held = self.stage.inventory(patient, n).await?;
            if held.shards >= wait.at_least {
                let what = format!("keeps {} pieces of records", held.shards);
                return Ok(done(wait.kin, what, None));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                return Err(StageError::TooSlow {
                    what: format!("{} keeping {} pieces", wait.kin, wait.at_least),
                    seconds: wait.within.0.as_secs(),
                }
                .into());
            }
        }
    }
}
