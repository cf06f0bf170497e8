//! The harm that a script does: crashes, links, Byzantine kin and validators.

use super::acts::done;
use super::expect::list;
use super::player::{Done, Player, StepError};
use super::script::{Byzantine, ConductKind, Crash, CrashKind, Hold, Links, Lose, Release, Slow};
use super::words::{AnyName, Target};
use crate::faults::stop_the_master;
use crate::timeline::Mood;
use kithkin_actors::cluster::Lie;
use kithkin_actors::friend_relative::messages::Conduct;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::network::{LinkRule, Network};
use kithkin_actors::supervisor::Fault;
use kithkin_protocol::ids::ValidatorId;

type Outcome = Result<Done, StepError>;

impl Player<'_> {
    pub(super) async fn crash(&self, crash: &Crash) -> Outcome {
        let name = crash.actor.0;
        let (fault, what) = match crash.how {
            CrashKind::Panic => (Fault::Panic, "fault: panics".to_owned()),
            CrashKind::Stop => (Fault::Stop, "fault: stops".to_owned()),
            CrashKind::Stall => {
                let what = format!("fault: blocks its thread for {}", crash.stall);
                (Fault::Stall(crash.stall.0), what)
            }
        };
        self.stage.inject(name, fault).await?;
        Ok(harm(name, what))
    }

    pub(super) async fn hold(&mut self, hold: &Hold) -> Outcome {
        let (name, what) = match hold.actor {
            Target::Actor(name) => {
                self.stage.hold(name).await?;
                (name, "fault: stopped")
            }
            Target::NextMaster => {
                let master = stop_the_master(self.stage).await?;
                (
                    ActorName::Validator(master.0),
                    "fault: stopped; it was to be the next master",
                )
            }
        };
        self.held.insert(name);
        Ok(harm(name, what))
    }

    pub(super) async fn release(&mut self, release: &Release) -> Outcome {
        let names: Vec<ActorName> = match release.actor {
            Some(name) => vec![name.0],
            None => self.held.iter().copied().collect(),
        };
        for name in &names {
            self.stage.release(*name).await?;
            self.held.remove(name);
        }
        Ok(done(
            "supervisor",
            format!("starts {} again", list(&names)),
            None,
        ))
    }

    pub(super) fn cut(&self, links: &Links) -> Done {
        self.rule(&links.of, links.between, Some(&LinkRule::severed()));
        harm(
            "network",
            format!("fault: {} cut off", which(&links.of, links.between)),
        )
    }

    pub(super) fn slow(&self, slow: &Slow) -> Done {
        let least = super::report::millis(slow.delay.0);
        let most = least.saturating_add(super::report::millis(slow.jitter.0));
        let rule = LinkRule {
            delay_ms: least..=most,
            ..LinkRule::default()
        };
        self.rule(&slow.of, slow.between, Some(&rule));
        let which = which(&slow.of, slow.between);
        harm(
            "network",
            format!("fault: every message of {which} takes {least} to {most} ms"),
        )
    }

    pub(super) fn lose(&self, lose: &Lose) -> Done {
        self.rule(&lose.of, lose.between, Some(&LinkRule::lossy(lose.share)));
        let which = which(&lose.of, lose.between);
        let percent = lose.share * 100.0;
        harm(
            "network",
            format!("fault: {which} loses {percent} % of the messages"),
        )
    }

    pub(super) fn heal(&self, links: &Links) -> Done {
        if links.of.is_empty() && links.between.is_none() {
            self.stage.cluster().network().clear_links();
            return done("network", "is whole again", None);
        }
        self.rule(&links.of, links.between, None);
        let which = which(&links.of, links.between);
        done("network", format!("{which} can be reached again"), None)
    }

    pub(super) async fn byzantine(&self, byzantine: &Byzantine) -> Outcome {
        let name = byzantine.actor.0;
        // Silence needs no code in the actor: nothing that it says arrives anywhere.
        let silent = (byzantine.conduct == ConductKind::Silent).then(LinkRule::severed);
        self.rule(&[byzantine.actor], None, silent.as_ref());
        if let ActorName::Kin(patient, kin) = name {
            let conduct = match byzantine.conduct {
                ConductKind::Forge => Conduct::Forge,
                ConductKind::Withhold => Conduct::Withhold,
                ConductKind::DealWrong => Conduct::DealWrong,
                ConductKind::Silent
                | ConductKind::Equivocate
                | ConductKind::DoubleVote
                | ConductKind::Honest => Conduct::Honest,
            };
            self.stage.conduct(patient, kin, conduct).await?;
        }
        if let ActorName::Validator(n) = name {
            let lie = match byzantine.conduct {
                ConductKind::Equivocate => Some(Lie::Equivocate),
                ConductKind::DoubleVote => Some(Lie::DoubleVote),
                ConductKind::Forge
                | ConductKind::Withhold
                | ConductKind::DealWrong
                | ConductKind::Silent
                | ConductKind::Honest => None,
            };
            self.lies.set(ValidatorId(n), lie);
        }
        let what = format!("is {} from now on", byzantine.conduct.as_str());
        Ok(harm(name, what))
    }

    /// Sets a rule on links, or takes it back.
    fn rule(&self, of: &[AnyName], between: Option<(AnyName, AnyName)>, rule: Option<&LinkRule>) {
        let network = self.stage.cluster().network();
        for name in of {
            match rule {
                Some(rule) => network.set_node(name.0, rule.clone()),
                None => network.clear_node(name.0),
            }
            keep_screen(network, name.0);
        }
        if let Some((AnyName(a), AnyName(b))) = between {
            match rule {
                Some(rule) => network.set_link_both(a, b, rule.clone()),
                None => {
                    network.clear_link(a, b);
                    network.clear_link(b, a);
                }
            }
        }
    }
}

/// A person's own screen sits on the person's own machine: no network comes between them.
fn keep_screen(network: &Network, name: ActorName) {
    if !matches!(name, ActorName::Validator(_) | ActorName::Leader(_)) {
        network.set_link_both(ActorName::Driver, name, LinkRule::default());
    }
}

fn harm(who: impl ToString, what: impl Into<String>) -> Done {
    Done {
        mood: Mood::Harm,
        ..done(who, what, None)
    }
}

/// The links, for people.
fn which(of: &[AnyName], between: Option<(AnyName, AnyName)>) -> String {
    match between {
        Some((a, b)) => format!("{} - {}", a.0, b.0),
        None => list(of.iter().map(|name| name.0)),
    }
}
