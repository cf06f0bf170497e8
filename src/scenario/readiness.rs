//! What the patient's own device says of the drills.

use super::acts::{Outcome, done};
use super::expect::list;
use super::player::Player;
use super::script::WaitReadiness;
use super::words::KinName;
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::roster::Readiness;
use std::collections::BTreeSet;

impl Player<'_> {
    pub(super) async fn wait_readiness(&self, wait: &WaitReadiness) -> Outcome {
        let what = format!(
            "the device of {} naming {} as silent",
            wait.patient,
            list(&wait.silent)
        );
        let wanted = names(&wait.silent);
        let is = |readiness: &Readiness| {
            let alive = wait.alive.is_none_or(|alive| alive == readiness.alive);
            alive && self.unheard(readiness) == wanted
        };
        let readiness = self
            .stage
            .readiness_when(wait.patient.0, wait.within.0, &what, is)
            .await?;
        let what = format!("its device says: {}", self.in_words(&readiness));
        Ok(done(wait.patient, what, None))
    }

    fn unheard(&self, readiness: &Readiness) -> BTreeSet<ActorName> {
        let directory = &self.stage.cluster().setting().directory;
        let silent = readiness.silent.iter();
        silent
            .filter_map(|silence| directory.name(silence.kin))
            .collect()
    }

    fn in_words(&self, readiness: &Readiness) -> String {
        let directory = &self.stage.cluster().setting().directory;
        readiness.sentence(|kin: KinId| {
            let name = directory.name(kin);
            name.map_or_else(|| kin.to_string(), |name| name.to_string())
        })
    }
}

fn names(kin: &[KinName]) -> BTreeSet<ActorName> {
    kin.iter().map(|kin| (*kin).into()).collect()
}
