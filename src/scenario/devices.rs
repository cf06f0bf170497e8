//! Lost devices in a script: kin vouch for the patient's new one, it rebuilds the keys; a kin gets a new one.

use super::acts::{Outcome, done};
use super::expect::list;
use super::player::Player;
use super::script::{NewPhone, Rebuild, Vouch, WaitDevice, WaitErased};
use super::words::KinName;
use crate::stage::StageError;
use kithkin_actors::friend_relative::messages::RosterWish;
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ledger::Member;
use kithkin_protocol::roster::Plan;
use std::collections::BTreeSet;

impl Player<'_> {
    /// The actor that speaks for a patient: the own device, or the one that has taken over in this script.
    pub(super) fn device_of(&self, patient: u16) -> u16 {
        self.devices.get(&patient).copied().unwrap_or(patient)
    }

    pub(super) async fn vouch(&self, vouch: &Vouch) -> Outcome {
        let kin: Vec<(u16, u8)> = vouch.who.iter().map(|kin| (kin.0, kin.1)).collect();
        let (patient, device) = (vouch.patient.0, vouch.device.0);
        self.stage.vouch(&kin, patient, device).await?;
        let what = format!(
            "{} vouch for {} as the new device of {}",
            list(&vouch.who),
            vouch.device,
            vouch.patient
        );
        Ok(done("kin", what, None))
    }

    pub(super) async fn wait_device(&self, wait: &WaitDevice) -> Outcome {
        let (patient, device) = (wait.patient.0, wait.device.0);
        self.stage
            .device_speaks(patient, device, wait.within.0)
            .await?;
        let what = format!("{} speaks for {} now", wait.device, wait.patient);
        Ok(done("ledger", what, None))
    }

    pub(super) async fn rebuild(&mut self, rebuild: &Rebuild) -> Outcome {
        let (patient, device) = (rebuild.patient.0, rebuild.device.0);
        let rebuilt = self.stage.rebuild(patient, device).await?;
        self.devices.insert(patient, device);
        let directory = &self.stage.cluster().setting().directory;
        let wrong: BTreeSet<ActorName> = (rebuilt.wrong.iter())
            .filter_map(|kin| directory.name(*kin))
            .collect();
        let mut what = format!(
            "rebuilds the keys of {}, deals others and wraps the keys of {} records anew",
            rebuild.patient, rebuilt.records
        );
        if !wrong.is_empty() {
            what = format!("{what}; a wrong share came from {}", list(&wrong));
        }
        let height = Some(rebuilt.height);
        self.wrong_shares.extend(wrong);
        Ok(done(rebuild.device, what, height))
    }

    pub(super) async fn wait_erased(&self, wait: &WaitErased) -> Outcome {
        let KinName(patient, n) = wait.kin;
        let what = format!("{} keeping no shares", wait.kin);
        self.stage
            .shares_erased(patient, n, wait.within.0, &what)
            .await?;
        Ok(done(wait.kin, "keeps no shares any more", None))
    }

    /// The roster with a kin's new keys in the place of the old ones.
    pub(super) async fn new_phone(&self, phone: &NewPhone) -> Outcome {
        let patient = phone.patient.0;
        let (lost, new) = (self.member(phone.lost)?, self.member(phone.new)?);
        let none = || StageError::NoSuchActor {
            name: phone.patient.into(),
        };
        let entry = self.stage.patient(patient).await?.ok_or_else(none)?;
        let (mut roster, tiers) = (entry.enrolment.roster, entry.enrolment.tiers);
        for member in roster.iter_mut().filter(|member| member.key == lost.key) {
            // The same person: what it is to the patient stays.
            *member = Member {
                relation: member.relation,
                ..new.clone()
            };
        }
        let mut thresholds = [0; 3];
        for (threshold, tier) in thresholds.iter_mut().zip(&tiers) {
            *threshold = u8::try_from(tier.commitments.threshold()).unwrap_or(u8::MAX);
        }
        let plan = Plan::Reshare { roster, thresholds };
        let KinName(of, n) = phone.new;
        self.stage
            .kin_about_roster((of, n), patient, RosterWish::Join)
            .await?;
        self.propose_roster(phone.who.0, patient, plan).await?;
        let what = format!(
            "proposes {} as the new device of {}, among the kin of {}",
            phone.new, phone.lost, phone.patient
        );
        Ok(done(phone.who.0, what, None))
    }
}
