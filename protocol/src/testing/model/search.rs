//! The walk through the global states, depth first, and the rules that concern more than one node.

use super::bits::Bits;
use super::heal;
use super::local::{Broken, Event, LocalId, Locals};
use super::world::{Fact, World};
use super::{Report, Rule, Scenario, Violation};
use crate::consensus::VoteKind;
use crate::ids::BlockId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Most instances of one check.
const PLAYERS_MAX: usize = 8;
/// Of how many states on the way one is healed.
const HEAL_ONE_OF: u64 = 1_009;

/// The local state of each player.
type State = [LocalId; PLAYERS_MAX];

/// One step of one player.
#[derive(Clone, Copy)]
struct Step {
    player: usize,
    event: Event,
    crashed: bool,
    to: State,
}

/// A state on the present path, and where to go from it.
struct Frame {
    steps: Vec<Step>,
    next: usize,
}

pub(super) struct Search {
    world: World,
    locals: Locals,
    visited: HashSet<State, BuildHasherDefault<Mixer>>,
    report: Report,
    /// Whether the rule that ends the search was broken.
    over: bool,
    /// Certificates that can be made of these votes; asked anew for each state.
    made: HashMap<Bits, Vec<usize>, BuildHasherDefault<Mixer>>,
}

impl Search {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self {
            world: World::new(scenario),
            locals: Locals::default(),
            visited: HashSet::default(),
            report: Report::default(),
            over: false,
            made: HashMap::default(),
        }
    }

    pub(super) fn run(mut self) -> Report {
        let mut path: Vec<Frame> = vec![Frame {
            steps: self.first_steps(),
            next: 0,
        }];
        let mut full = false;
        while let Some(frame) = path.last_mut() {
            let Some(&step) = frame.steps.get(frame.next) else {
                path.pop();
                continue;
            };
            frame.next += 1;
            self.report.steps += 1;
            if !self.visited.insert(step.to) {
                continue;
            }
            full = self.visited.len() >= self.world.scenario.states_max;
            let steps = self.visit(&step.to, &path);
            if full || self.over {
                break;
            }
            path.push(Frame { steps, next: 0 });
        }
        self.report.states = self.visited.len();
        self.report.local_states = self.locals.all.len();
        self.report.core_steps = self.locals.core_steps;
        self.report.exhaustive = !full && !self.over;
        self.report
    }

    /// Into the first states: everybody has started, some after crashes.
    fn first_steps(&mut self) -> Vec<Step> {
        let mut states = vec![[0; PLAYERS_MAX]];
        for player in 0..self.world.players.len() {
            let started = match self.locals.start(&mut self.world, player) {
                Ok(started) => started,
                Err(broken) => {
                    self.broken(broken, &[]);
                    return Vec::new();
                }
            };
            let choices: Vec<_> = started.done.into_iter().chain(started.crashed).collect();
            states = states
                .iter()
                .flat_map(|state| {
                    choices.iter().map(move |&choice| {
                        let mut state = *state;
                        state[player] = choice;
                        state
                    })
                })
                .collect();
        }
        let step = |to| Step {
            player: 0,
            event: Event::Restart,
            crashed: false,
            to,
        };
        states.into_iter().map(step).collect()
    }

    /// Checks a new state and finds all steps out of it.
    fn visit(&mut self, state: &State, path: &[Frame]) -> Vec<Step> {
        let players = self.world.players.len();
        let mut sent = Bits::default();
        for &local in &state[..players] {
            sent.add(&self.locals.get(local).sent);
        }
        let certs = self.certificates(&sent);
        if let Err(broken) = self.check(state, &sent, &certs) {
            self.broken(broken, path);
        }
        let steps = match self.steps(state, &sent, &certs) {
            Ok(steps) => steps,
            Err(broken) => {
                self.broken(broken, path);
                return Vec::new();
            }
        };
        let last = steps.iter().all(|step| step.to == *state);
        if last {
            self.report.last_states += 1;
            let views = self.world.scenario.views;
            let stuck = state[..players]
                .iter()
                .map(|&local| self.locals.get(local))
                .find(|local| local.view <= views);
            if let Some(stuck) = stuck {
                let what = format!(
                    "{} stays in view {}",
                    self.world.players[stuck.player].name, stuck.view
                );
                self.broken((Rule::I20, what), path);
            }
        }
        let wanted = last || mix(state).is_multiple_of(HEAL_ONE_OF);
        if wanted && self.report.healed < self.world.scenario.heals_max {
            let locals: Vec<_> = state[..players]
                .iter()
                .map(|&local| self.locals.get(local))
                .filter(|local| self.world.players[local.player].honest)
                .collect();
            match heal::heal(&self.world, &locals) {
                Ok(()) => self.report.healed += 1,
                Err(broken) => self.broken(broken, path),
            }
        }
        steps
    }

    /// The groups in which a quorum has voted.
    fn certificates(&mut self, sent: &Bits) -> Vec<usize> {
        // Forgotten when there is too much of it; groups that come later have votes that are not in `sent`.
        if self.made.len() > 200_000 {
            self.made.clear();
        }
        if let Some(known) = self.made.get(sent) {
            return known.clone();
        }
        let (world, quorum) = (&self.world, self.world.quorum);
        let groups = world.groups.iter().enumerate();
        let certs: Vec<_> = groups
            .filter(|(_, group)| world.votes(group, sent) >= quorum)
            .map(|(number, _)| number)
            .collect();
        self.made.insert(*sent, certs.clone());
        certs
    }

    /// The rules over everything that was sent.
    fn check(&mut self, state: &State, sent: &Bits, certs: &[usize]) -> Result<(), Broken> {
        let mut notarized: BTreeMap<u64, usize> = BTreeMap::new();
        let mut nullified: BTreeMap<u64, usize> = BTreeMap::new();
        let mut finalized: Vec<usize> = Vec::new();
        let mut found: Result<(), Broken> = Ok(());
        let mut note = |rule, what: String| {
            if found.is_ok() {
                found = Err((rule, what));
            }
        };
        for &number in certs {
            let group = &self.world.groups[number];
            match group.kind {
                VoteKind::Notarize => {
                    if notarized.insert(group.view, number).is_some() {
                        note(Rule::I5, format!("two blocks in view {}", group.view));
                    }
                    let authored = self.world.blocks[&group.id].header.view.0;
                    if authored < group.view {
                        self.report.re_proposed_views.insert(group.view);
                    }
                }
                VoteKind::Nullify => {
                    nullified.insert(group.view, number);
                }
                VoteKind::Finalize => finalized.push(number),
            }
        }
        let (mut fork, mut first): (Option<String>, Option<(usize, BlockId)>) = (None, None);
        for &number in &finalized {
            let group = &self.world.groups[number];
            let (view, id) = (group.view, group.id);
            self.report.finalized_views.insert(view);
            if self.world.blocks[&id].header.view.0 < view {
                self.report.re_proposed_finalized_views.insert(view);
            }
            if nullified.contains_key(&view) {
                note(Rule::I4, format!("view {view}"));
            }
            if notarized
                .get(&view)
                .is_none_or(|&of| self.world.groups[of].id != id)
            {
                note(Rule::I6, format!("view {view}"));
            }
            // Rule 5 of the module documentation: it is executed, and it is that block.
            for &local in &state[..self.world.players.len()] {
                self.locals.commit(&mut self.world, local, number, sent)?;
            }
            match first {
                None => first = Some((number, id)),
                Some((other, before)) if before != id => {
                    let (one, two) = (self.world.group_name(other), self.world.group_name(number));
                    fork = Some(format!("{one}; {two}"));
                }
                Some(_) => {}
            }
        }
        match fork {
            Some(what) => Err((Rule::I1, what)),
            None => found,
        }
    }

    /// All steps out of a state; of steps that take nothing away (rule 5) one alone.
    fn steps(&mut self, state: &State, sent: &Bits, certs: &[usize]) -> Result<Vec<Step>, Broken> {
        let (mut steps, mut events) = (Vec::new(), Vec::new());
        for player in 0..self.world.players.len() {
            let free = self.events(state[player], sent, certs, &mut events);
            if let Some(event) = free {
                let mut only = Vec::new();
                self.take(state, player, event, sent, &mut only)?;
                only.retain(|step| step.to != *state);
                if !only.is_empty() {
                    return Ok(only);
                }
            }
        }
        for player in 0..self.world.players.len() {
            events.clear();
            self.events(state[player], sent, certs, &mut events);
            for &event in &events {
                self.take(state, player, event, sent, &mut steps)?;
            }
        }
        Ok(steps)
    }

    fn take(
        &mut self,
        state: &State,
        player: usize,
        event: Event,
        sent: &Bits,
        steps: &mut Vec<Step>,
    ) -> Result<(), Broken> {
        let outcome = self
            .locals
            .step(&mut self.world, state[player], event, sent)?;
        let done = outcome.done.into_iter().map(|to| (to, false));
        let crashed = outcome.crashed.into_iter().map(|to| (to, true));
        for (to, crashed) in done.chain(crashed) {
            let mut next = *state;
            next[player] = to;
            steps.push(Step {
                player,
                event,
                crashed,
                to: next,
            });
        }
        Ok(())
    }

    /// What may happen to one player; returned is an event that takes nothing away from what may happen later.
    fn events(
        &mut self,
        at: LocalId,
        sent: &Bits,
        certs: &[usize],
        events: &mut Vec<Event>,
    ) -> Option<Event> {
        let mut free = None;
        let local = self.locals.get(at);
        let (view, player) = (local.view, &self.world.players[local.player]);
        let within = view <= self.world.scenario.views;
        let bit = |view: u64| 1_u64 << view;
        for &number in certs {
            let group = &self.world.groups[number];
            let has = |mask: u64| mask & bit(group.view) != 0;
            match group.kind {
                VoteKind::Notarize if within && group.view == view => {
                    events.push(Event::Learn(number));
                }
                VoteKind::Nullify if within && group.view == view => {
                    events.push(Event::Learn(number));
                }
                VoteKind::Notarize if group.view < view && !has(local.known) => {
                    let may_finalize = !has(local.nullified) && !has(local.finalized);
                    if local.leads_later || may_finalize {
                        events.push(Event::Learn(number));
                    }
                    if !local.leads_later && may_finalize {
                        free = events.last().copied();
                    }
                }
                VoteKind::Notarize | VoteKind::Nullify | VoteKind::Finalize => {}
            }
        }
        if !within {
            if self.world.crashes() {
                events.push(Event::Restart);
            }
            return free;
        }
        if !local.notarized {
            let honest_master = self
                .world
                .players
                .iter()
                .any(|master| master.leads == Some(view) && master.honest);
            for (fact, number) in
                self.world
                    .facts
                    .iter()
                    .enumerate()
                    .filter_map(|(n, fact)| match fact {
                        Fact::Proposed(offer) => Some((n, *offer)),
                        Fact::Vote(..) => None,
                    })
            {
                let offer = &self.world.offers[number];
                if offer.view != view || offer.leader == player.id || !sent.contains(fact) {
                    continue;
                }
                let news = offer.base.is_some_and(|base| local.known & bit(base) == 0);
                events.push(Event::Propose(number));
                if honest_master && !(news && local.leads_later) {
                    free = events.last().copied();
                }
            }
            let forger = self.world.signs_everything;
            if forger.is_some() && forger == self.world.order.get(view as usize - 1).copied() {
                let forged = self.world.forge_offers(view, certs, sent);
                events.extend(forged.into_iter().map(Event::Propose));
            }
        }
        let local = self.locals.get(at);
        if local.nullified & bit(view) == 0 {
            events.push(Event::Timeout);
        }
        if self.world.crashes() {
            events.push(Event::Restart);
        }
        free
    }

    fn broken(&mut self, (rule, what): Broken, path: &[Frame]) {
        self.over |= self.world.scenario.until.is_none_or(|until| until == rule);
        let steps = path.iter().map(|frame| frame.steps[frame.next - 1]);
        let trace = steps.skip(1).map(|step| self.tell(step)).collect();
        self.report
            .violations
            .entry(rule)
            .or_insert(Violation { rule, what, trace });
    }

    fn tell(&self, step: Step) -> String {
        let name = &self.world.players[step.player].name;
        let what = match step.event {
            Event::Timeout => "times out".to_owned(),
            Event::Learn(group) => format!("learns the {}", self.world.group_name(group)),
            Event::Propose(offer) => {
                let offer = &self.world.offers[offer];
                let base = offer
                    .base
                    .map_or("none".to_owned(), |base| format!("view {base}"));
                let block = self.world.block_name(offer.id);
                format!(
                    "gets {block} proposed for view {}, base: {base}",
                    offer.view
                )
            }
            Event::Restart => "restarts".to_owned(),
        };
        let crashed = if step.crashed {
            ", crashes and restarts"
        } else {
            ""
        };
        format!("{name} {what}{crashed}")
    }
}

fn mix(state: &State) -> u64 {
    use std::hash::Hash as _;
    let mut mixer = Mixer::default();
    state.hash(&mut mixer);
    mixer.finish()
}

/// A fast hash for keys that nobody chooses.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
