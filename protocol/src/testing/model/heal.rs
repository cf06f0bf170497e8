//! From a state of the search onwards: a good network, a silent adversary. Everybody must commit, and the same block.

use super::Rule;
use super::local::{Broken, Local};
use super::world::{HEIGHT, World};
use crate::consensus::{Consensus, Finalized, Input, Message, Output};
use crate::ids::ValidatorId;
use crate::units::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// How many events healing may take.
const EVENTS_MAX: usize = 20_000;
/// Milliseconds from sending to arrival.
const DELAY_MS: u64 = 1;

#[derive(Default)]
struct Healing {
    nodes: Vec<(ValidatorId, Consensus, Option<Finalized>)>,
    /// By time and order of scheduling.
    queue: BTreeMap<(u64, u64), (usize, Input)>,
    scheduled: u64,
}

/// Runs the cluster on from these nodes, with all their timers running.
pub(super) fn heal(world: &World, locals: &[&Local]) -> Result<(), Broken> {
    let mut healing = Healing::default();
    let mut start = 0;
    for local in locals {
        let id = world.players[local.player].id;
        healing.nodes.push((id, local.core.clone(), None));
        start = start.max(world.clock(local.player, local.life).0);
    }
    for (place, local) in locals.iter().enumerate() {
        for &(timer, after) in local.timers.values() {
            healing.schedule(start + after.0, place, Input::TimerFired(timer));
        }
    }
    for _ in 0..EVENTS_MAX {
        let Some(((now, _), (place, input))) = healing.queue.pop_first() else {
            break;
        };
        let (_, core, _) = &mut healing.nodes[place];
        let outputs = core.step(Millis(now), input);
        for output in outputs {
            healing.carry_out(now, place, output);
        }
        if healing.nodes.iter().all(|(_, _, done)| done.is_some()) {
            let blocks: BTreeSet<_> = healing
                .nodes
                .iter()
                .filter_map(|(_, _, done)| done.as_ref())
                .map(|done| done.certificate.id)
                .collect();
            return match blocks.len() {
                1 => Ok(()),
                _ => Err((Rule::I1, "two blocks after healing".to_owned())),
            };
        }
    }
    let views: Vec<_> = healing
        .nodes
        .iter()
        .map(|(id, core, _)| format!("{id} in height {} view {}", core.height(), core.view()))
        .collect();
    Err((
        Rule::I20,
        format!("healing does not end: {}", views.join(", ")),
    ))
}

impl Healing {
    fn schedule(&mut self, at: u64, place: usize, input: Input) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), (place, input));
    }

    fn send(&mut self, now: u64, from: usize, to: usize, message: Message) {
        let from = self.nodes[from].0;
        self.schedule(now + DELAY_MS, to, Input::Message { from, message });
    }

    fn carry_out(&mut self, now: u64, me: usize, output: Output) {
        match output {
            Output::Broadcast(message) => {
                for to in 0..self.nodes.len() {
                    if to != me {
                        self.send(now, me, to, message.clone());
                    }
                }
            }
            Output::Send { to, message } => {
                if let Some(to) = self.nodes.iter().position(|(id, ..)| *id == to) {
                    self.send(now, me, to, message);
                }
            }
            Output::SendCommitted { to, from, .. } => {
                let to = self.nodes.iter().position(|(id, ..)| *id == to);
                let block = self.nodes[me].2.clone().filter(|_| from <= HEIGHT);
                if let (Some(to), Some(block)) = (to, block) {
                    self.send(now, me, to, Message::Committed(vec![block]));
                }
            }
            Output::SetTimer { timer, after } => {
                self.schedule(now + after.0, me, Input::TimerFired(timer));
            }
            Output::Build { height, view, .. } => {
                let transactions = Vec::new();
                let built = Input::Built {
                    height,
                    view,
                    transactions,
                };
                self.schedule(now, me, built);
            }
            Output::Commit {
                block, certificate, ..
            } => {
                if block.header.height == HEIGHT {
                    self.nodes[me].2 = Some(Finalized { block, certificate });
                }
            }
            Output::Persist(_) | Output::Accuse(_) | Output::Note(_) => {}
        }
    }
}
