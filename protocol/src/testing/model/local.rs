//! States of single nodes: interned, and what an event makes of them, computed once by the real core.

use super::Rule;
use super::bits::Bits;
use super::world::{Fact, HEIGHT, World};
use crate::consensus::{
    Consensus, Essence, Input, Message, Mutant, Note, Output, Timer, TimerKind, VoteKind, Wal,
    WalEntry,
};
use crate::ids::{BlockId, ValidatorId};
use crate::units::{Height, Millis, View};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How often a restarted node's clock is told apart: once a master's proposal is durable it does not matter.
const LIVES: u64 = 2;

/// Number of a local state.
pub(super) type LocalId = u16;

/// A rule that a node broke by itself.
pub(super) type Broken = (Rule, String);

/// What may happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// The timer of its view runs out.
    Timeout,
    /// The votes of this group arrive.
    Learn(usize),
    /// This proposal arrives.
    Propose(usize),
    /// It crashes while it is at rest.
    Restart,
}

/// What one event can lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Everything was carried out.
    pub(super) done: Option<LocalId>,
    /// It crashed in the middle and was restarted.
    pub(super) crashed: Vec<LocalId>,
}

/// One node at rest: everything that follows from what it knows has been done.
pub(super) struct Local {
    pub(super) player: usize,
    pub(super) core: Consensus,
    wal: Vec<WalEntry>,
    /// The timers that run.
    pub(super) timers: BTreeMap<TimerKind, (Timer, Millis)>,
    pub(super) life: u64,
    /// All that it ever sent.
    pub(super) sent: Bits,
    pub(super) view: u64,
    /// Whether it notarized something in its view.
    pub(super) notarized: bool,
    /// Views that it nullified, finalized, and knows a notarization of: one bit for each.
    pub(super) nullified: u64,
    pub(super) finalized: u64,
    pub(super) known: u64,
    /// Whether it leads a view after the present one.
    pub(super) leads_later: bool,
}

/// What tells local states apart.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    player: usize,
    life: u64,
    sent: Bits,
    volatile: Essence,
    durable: Option<Essence>,
}

/// All local states that were met.
#[derive(Default)]
pub(super) struct Locals {
    pub(super) all: Vec<Local>,
    numbers: HashMap<Key, LocalId>,
    moves: HashMap<(LocalId, Event), Outcome>,
    commits: HashMap<(LocalId, usize), BlockId>,
    pub(super) core_steps: usize,
}

/// What was carried out of a node's orders.
#[derive(Clone)]
struct Trail {
    wal: Vec<WalEntry>,
    sent: Bits,
    timers: BTreeMap<TimerKind, (Timer, Millis)>,
}

impl Locals {
    pub(super) fn get(&self, id: LocalId) -> &Local {
        &self.all[usize::from(id)]
    }

    /// A node's first state, and those that it can come to by crashing on the way.
    pub(super) fn start(&mut self, world: &mut World, player: usize) -> Result<Outcome, Broken> {
        let trail = Trail {
            wal: Vec::new(),
            sent: Bits::default(),
            timers: BTreeMap::new(),
        };
        self.boot(world, player, trail, 0)
    }

    /// Starts from what is durable; in a scenario with crashes also every crash while starting.
    fn boot(
        &mut self,
        world: &mut World,
        player: usize,
        trail: Trail,
        life: u64,
    ) -> Result<Outcome, Broken> {
        let (mut outcome, mut waiting) = (Outcome::default(), vec![(trail, life)]);
        let mut seen = Vec::new();
        while let Some((mut trail, life)) = waiting.pop() {
            trail.timers.clear();
            let wal = Wal::load(Height(0), None, trail.wal.clone())
                .map_err(|error| (Rule::I20, format!("its log is refused: {error}")))?;
            let config = world.config(player);
            let now = world.clock(player, life);
            let (mut core, outputs) = Consensus::start(config, world.ledger.clone(), wal, now);
            let outputs = self.follow(world, player, &mut core, now, outputs);
            let (at_rest, crashes) = self.carry_out(world, player, &trail, &outputs)?;
            let local = self.intern(world, player, core, at_rest, life)?;
            if outcome.done.is_none() {
                outcome.done = Some(local);
            } else if !outcome.crashed.contains(&local) {
                outcome.crashed.push(local);
            }
            for crash in crashes {
                let mark = (crash.wal.len(), crash.sent);
                if !seen.contains(&mark) {
                    seen.push(mark);
                    waiting.push((crash, (life + 1).min(LIVES)));
                }
            }
        }
        Ok(outcome)
    }

    /// What `event` makes of a local state.
    pub(super) fn step(
        &mut self,
        world: &mut World,
        from: LocalId,
        event: Event,
        sent: &Bits,
    ) -> Result<Outcome, Broken> {
        if let Some(known) = self.moves.get(&(from, event)) {
            return Ok(known.clone());
        }
        let local = self.get(from);
        let (player, life) = (local.player, local.life);
        let trail = Trail {
            wal: local.wal.clone(),
            sent: local.sent,
            timers: local.timers.clone(),
        };
        let mut core = local.core.clone();
        let now = world.clock(player, life);
        let inputs = match event {
            Event::Restart => {
                let outcome = self.boot(world, player, trail, (life + 1).min(LIVES))?;
                self.moves.insert((from, event), outcome.clone());
                return Ok(outcome);
            }
            Event::Timeout => {
                let running = local.timers.get(&TimerKind::View);
                let &(timer, _) =
                    running.ok_or_else(|| (Rule::I20, "no timer runs in its view".to_owned()))?;
                vec![Input::TimerFired(timer)]
            }
            Event::Learn(group) => votes_for(world, local, group, sent),
            Event::Propose(offer) => {
                vec![Input::Message {
                    from: world.offers[offer].leader,
                    message: world.offer_message(offer, sent),
                }]
            }
        };
        let last = inputs.len() - 1;
        let mut outputs = Vec::new();
        for (place, input) in inputs.into_iter().enumerate() {
            let before = core.essence();
            self.core_steps += 1;
            let ordered = core.step(now, input);
            let visible = ordered.iter().any(is_visible) || core.essence() != before;
            // Rule 1 of the module documentation.
            assert!(
                place == last || !visible,
                "votes below a quorum had an effect: {ordered:?}"
            );
            outputs.extend(ordered);
        }
        let outputs = self.follow(world, player, &mut core, now, outputs);
        let (at_rest, crashes) = self.carry_out(world, player, &trail, &outputs)?;
        let mut outcome = Outcome {
            done: Some(self.intern(world, player, core, at_rest, life)?),
            crashed: Vec::new(),
        };
        for crash in crashes {
            let restarted = self.boot(world, player, crash, (life + 1).min(LIVES))?;
            for id in restarted.done.into_iter().chain(restarted.crashed) {
                if !outcome.crashed.contains(&id) {
                    outcome.crashed.push(id);
                }
            }
        }
        self.moves.insert((from, event), outcome.clone());
        Ok(outcome)
    }

    /// Gives a node the finalize votes of a group and says which block it commits.
    pub(super) fn commit(
        &mut self,
        world: &mut World,
        at: LocalId,
        group: usize,
        sent: &Bits,
    ) -> Result<BlockId, Broken> {
        if let Some(&id) = self.commits.get(&(at, group)) {
            return Ok(id);
        }
        let local = self.get(at);
        let (player, now) = (local.player, world.clock(local.player, local.life));
        let mut core = local.core.clone();
        let mut outputs = Vec::new();
        for input in votes_for(world, local, group, sent) {
            self.core_steps += 1;
            outputs.extend(core.step(now, input));
        }
        let outputs = self.follow(world, player, &mut core, now, outputs);
        let id = outputs.iter().find_map(|output| match output {
            Output::Commit { id, .. } => Some(*id),
            _ => None,
        });
        let name = world.group_name(group);
        let by = &world.players[player].name;
        let id = id.ok_or_else(|| (Rule::I2, format!("{by} does not execute the {name}")))?;
        if id != world.groups[group].id {
            return Err((Rule::I2, format!("the {name} executes another block")));
        }
        self.commits.insert((at, group), id);
        Ok(id)
    }

    /// Does what the shell does at once, and appends what follows from it (rule 4).
    fn follow(
        &mut self,
        world: &World,
        player: usize,
        core: &mut Consensus,
        now: Millis,
        first: Vec<Output>,
    ) -> Vec<Output> {
        let within = |view: View| view.0 <= world.scenario.views;
        let (mut waiting, mut done) = (VecDeque::from(first), Vec::new());
        while let Some(output) = waiting.pop_front() {
            let answer = match &output {
                Output::Build { height, view, .. } if *height == HEIGHT && within(*view) => {
                    Some(Input::Built {
                        height: *height,
                        view: *view,
                        transactions: Vec::new(),
                    })
                }
                Output::Send {
                    to,
                    message: Message::GetBody { id, .. },
                } => world.blocks.get(id).map(|block| Input::Message {
                    from: *to,
                    message: Message::Body(block.clone()),
                }),
                Output::SetTimer { timer, .. } => {
                    let leads = core.leader() == Some(world.players[player].id);
                    let due = match timer.kind {
                        TimerKind::Rouse => core.height() == HEIGHT,
                        TimerKind::Repropose => leads && within(core.view()),
                        TimerKind::View
                        | TimerKind::Rebroadcast
                        | TimerKind::Recheck
                        | TimerKind::Fetch
                        | TimerKind::CatchUp
                        | TimerKind::Recall => false,
                    };
                    due.then_some(Input::TimerFired(*timer))
                }
                _ => None,
            };
            done.push(output);
            if let Some(input) = answer {
                self.core_steps += 1;
                waiting.extend(core.step(now, input));
            }
        }
        done
    }

    /// Carries outputs out in order. Returns what is left at the end, and at every crash on the way.
    fn carry_out(
        &mut self,
        world: &mut World,
        player: usize,
        before: &Trail,
        outputs: &[Output],
    ) -> Result<(Trail, Vec<Trail>), Broken> {
        let (mut trail, mut crashes) = (before.clone(), Vec::new());
        for output in outputs {
            // A crash before an output that changes nothing is a crash before the next one that does.
            if world.crashes() && is_visible(output) {
                crashes.push(trail.clone());
            }
            match output {
                Output::Persist(entry) => {
                    check_record(world, entry)?;
                    trail.wal.push(entry.clone());
                }
                Output::Broadcast(message) => note_sent(world, message, &mut trail.sent),
                Output::SetTimer { timer, after } => {
                    trail.timers.insert(timer.kind, (*timer, *after));
                }
                Output::Accuse(evidence) if is_honest(world, evidence.accused()) => {
                    return Err((Rule::I9, format!("{evidence:?}")));
                }
                Output::Note(note) => check_note(world, note)?,
                Output::Accuse(_)
                | Output::Send { .. }
                | Output::SendCommitted { .. }
                | Output::Build { .. }
                | Output::Commit { .. } => {}
            }
        }
        if world.players[player].honest {
            check_own_votes(world, &trail.sent)?;
        }
        Ok((trail, crashes))
    }

    fn intern(
        &mut self,
        world: &World,
        player: usize,
        core: Consensus,
        trail: Trail,
        life: u64,
    ) -> Result<LocalId, Broken> {
        let whole = core.essence();
        let (views, leads) = (world.scenario.views, world.players[player].leads);
        let view = whole.view.0;
        let leads_later = leads.is_some_and(|led| led > view);
        let durable = if world.crashes() {
            let wal = Wal::load(Height(0), None, trail.wal.clone())
                .map_err(|error| (Rule::I20, format!("its log is refused: {error}")))?;
            Some(essential(wal.essence(), leads, views))
        } else {
            None
        };
        let key = Key {
            player,
            // A node that builds no more block does not look at its clock.
            life: if leads
                .is_some_and(|led| led >= view && !whole.proposals.contains_key(&View(led)))
            {
                life
            } else {
                0
            },
            sent: trail.sent,
            volatile: essential(whole.clone(), leads, views),
            durable,
        };
        if let Some(&id) = self.numbers.get(&key) {
            return Ok(id);
        }
        let votes = |kind| {
            let of_kind = whole.votes.keys().filter(move |(_, of)| *of == kind);
            of_kind.fold(0, |mask, (view, _)| mask | 1 << view.0)
        };
        let id = LocalId::try_from(self.all.len()).expect("fewer than 65,536 local states");
        self.all.push(Local {
            player,
            life,
            sent: trail.sent,
            wal: trail.wal,
            timers: trail.timers,
            view,
            notarized: whole.votes.contains_key(&(whole.view, VoteKind::Notarize)),
            nullified: votes(VoteKind::Nullify),
            finalized: votes(VoteKind::Finalize),
            known: whole
                .notarizations
                .keys()
                .fold(0, |mask, view| mask | 1 << view.0),
            leads_later,
            core,
        });
        self.numbers.insert(key, id);
        Ok(id)
    }
}

/// Leaves out what cannot matter any more (rule 3).
fn essential(mut essence: Essence, leads: Option<u64>, views: u64) -> Essence {
    let view = essence.view;
    if leads != Some(view.0) || essence.proposals.contains_key(&view) {
        essence.base = None;
    }
    essence.votes.retain(|(view, _), _| view.0 <= views);
    essence
}

/// Whether an output leaves something behind, on disk or at others.
fn is_visible(output: &Output) -> bool {
    match output {
        Output::Persist(_) | Output::Commit { .. } => true,
        Output::Broadcast(message) => matches!(message, Message::Ballots(_) | Message::Proposal(_)),
        Output::Send { .. }
        | Output::SendCommitted { .. }
        | Output::SetTimer { .. }
        | Output::Build { .. }
        | Output::Accuse(_)
        | Output::Note(_) => false,
    }
}

/// The messages that bring a quorum of votes to a node: vote by vote where that is possible.
fn votes_for(world: &World, local: &Local, group: usize, sent: &Bits) -> Vec<Input> {
    let me = world.players[local.player].id;
    let signers = world.signers(group, Some(sent));
    let counted = &world.groups[group];
    let own = local
        .core
        .essence()
        .votes
        .get(&(View(counted.view), counted.kind))
        .is_some_and(|id| *id == counted.id);
    let needed = world.quorum - usize::from(own);
    let others: Vec<_> = signers.into_iter().filter(|&signer| signer != me).collect();
    if others.len() >= needed && needed > 0 {
        let chosen = others.into_iter().take(needed);
        return chosen
            .map(|signer| Input::Message {
                from: signer,
                message: world.ballot(group, signer),
            })
            .collect();
    }
    // A twin whose other half has voted learns of it by a certificate.
    let from = others.first().copied().unwrap_or(ValidatorId(u16::MAX));
    let message = if world.groups[group].kind == VoteKind::Finalize {
        let certificate = world.certificate(group, Some(sent));
        let block = world.blocks[&certificate.id].clone();
        Message::Committed(vec![crate::consensus::Finalized { block, certificate }])
    } else {
        world.page(group, sent)
    };
    vec![Input::Message { from, message }]
}

fn note_sent(world: &mut World, message: &Message, sent: &mut Bits) {
    match message {
        Message::Ballots(ballots) => {
            for ballot in ballots {
                let vote = &ballot.vote;
                if vote.height == HEIGHT && vote.view.0 <= world.scenario.views {
                    sent.insert(world.number_vote(vote));
                }
            }
        }
        Message::Proposal(proposal)
            if proposal.height == HEIGHT && proposal.view.0 <= world.scenario.views =>
        {
            sent.insert(world.number_proposal(proposal));
        }
        Message::Proposal(_)
        | Message::NewView(_)
        | Message::GetCommitted { .. }
        | Message::Committed(_)
        | Message::NoBlocks { .. }
        | Message::GetBody { .. }
        | Message::Body(_)
        | Message::Evidence(_)
        | Message::Recall(_)
        | Message::Hearsay(_) => {}
    }
}

fn is_honest(world: &World, id: ValidatorId) -> bool {
    world
        .players
        .iter()
        .any(|player| player.id == id && player.honest)
}

fn check_record(world: &World, entry: &WalEntry) -> Result<(), Broken> {
    let (WalEntry::Notarization(cert) | WalEntry::Nullification(cert)) = entry else {
        return Ok(());
    };
    if world.scenario.mutant == Some(Mutant::ShortQuorum) {
        // Its certificates are short; what follows from that is looked for.
        return Ok(());
    }
    cert.verify(world.chain, &world.set)
        .map_err(|error| (Rule::I7, error.to_string()))
}

fn check_note(world: &World, note: &Note) -> Result<(), Broken> {
    match note {
        Note::Misbehaved { peer, fault } if is_honest(world, *peer) => {
            Err((Rule::I9, format!("{peer} is blamed: {fault}")))
        }
        Note::Halted { error, .. } => Err((Rule::I2, error.to_string())),
        Note::OwnBlockRefused { error, .. } => Err((Rule::I20, error.to_string())),
        Note::Misbehaved { .. }
        | Note::ViewChanged { .. }
        | Note::Nullifying { .. }
        | Note::CatchingUp { .. }
        | Note::Quarantined { .. } => Ok(()),
    }
}

/// I3: nobody honest signs twice, across restarts.
fn check_own_votes(world: &World, sent: &Bits) -> Result<(), Broken> {
    let mut votes: HashMap<(ValidatorId, u64, VoteKind), BlockId> = HashMap::new();
    let mut proposals: HashMap<(ValidatorId, u64), BlockId> = HashMap::new();
    for (number, fact) in world.facts.iter().enumerate() {
        if !sent.contains(number) {
            continue;
        }
        let twice = match *fact {
            Fact::Vote(signer, group) => {
                let group = &world.groups[group];
                let before = votes.insert((signer, group.view, group.kind), group.id);
                let opposite = match group.kind {
                    VoteKind::Notarize => None,
                    VoteKind::Nullify => Some(VoteKind::Finalize),
                    VoteKind::Finalize => Some(VoteKind::Nullify),
                };
                let opposed = opposite
                    .is_some_and(|opposite| votes.contains_key(&(signer, group.view, opposite)));
                opposed || before.is_some_and(|before| before != group.id)
            }
            Fact::Proposed(offer) => {
                let offer = &world.offers[offer];
                let before = proposals.insert((offer.leader, offer.view), offer.id);
                before.is_some_and(|before| before != offer.id)
            }
        };
        if twice {
            return Err((
                Rule::I3,
                "two statements of one honest validator".to_owned(),
            ));
        }
    }
    Ok(())
}
