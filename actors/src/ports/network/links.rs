//! What the way between two names does to a message: nothing, delay, loss, a cut.

use super::book::code;
use crate::ports::names::ActorName;
use core::ops::RangeInclusive;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a link does to each message.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRule {
    /// Delay in milliseconds, drawn evenly from this range. A range of one value keeps the order of
    /// the messages of the link; a wider one may not.
    pub delay_ms: RangeInclusive<u64>,
    /// Share of the messages that are lost, 0 to 1.
    pub loss: f64,
    /// Nothing passes at all.
    pub cut: bool,
}

impl Default for LinkRule {
    fn default() -> Self {
        Self {
            delay_ms: 0..=0,
            loss: 0.0,
            cut: false,
        }
    }
}

impl LinkRule {
    /// Every message takes `ms` milliseconds.
    #[must_use]
    pub fn delayed(ms: u64) -> Self {
        Self {
            delay_ms: ms..=ms,
            ..Self::default()
        }
    }

    /// The share `loss` of the messages is lost.
    #[must_use]
    pub fn lossy(loss: f64) -> Self {
        Self {
            loss,
            ..Self::default()
        }
    }

    /// Nothing passes.
    #[must_use]
    pub fn severed() -> Self {
        Self {
            cut: true,
            ..Self::default()
        }
    }

    /// Both, one after the other.
    fn and(&self, other: &Self) -> Self {
        let sum = |a: u64, b: u64| a.saturating_add(b);
        Self {
            delay_ms: sum(*self.delay_ms.start(), *other.delay_ms.start())
                ..=sum(*self.delay_ms.end(), *other.delay_ms.end()),
            loss: 1.0 - (1.0 - self.loss) * (1.0 - other.loss),
            cut: self.cut || other.cut,
        }
    }
}

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Now,
    After(Duration),
    Lost,
}

#[derive(Default)]
struct Rules {
    links: HashMap<(ActorName, ActorName), LinkRule>,
    nodes: HashMap<ActorName, LinkRule>,
    default: LinkRule,
    /// One stream of randomness for each link: what happens on one does not depend on how busy
    /// the others are.
    draws: HashMap<(ActorName, ActorName), ChaCha8Rng>,
}

/// All rules of a network.
pub(super) struct Links {
    seed: u64,
    /// Whether there is any rule: the usual case costs one load.
    any: AtomicBool,
    rules: Mutex<Rules>,
}

impl Links {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            any: AtomicBool::new(false),
            rules: Mutex::default(),
        }
    }

    pub(super) fn set_link(&self, from: ActorName, to: ActorName, rule: LinkRule) {
        self.change(|rules| {
            rules.links.insert((from, to), rule);
        });
    }

    pub(super) fn set_node(&self, node: ActorName, rule: LinkRule) {
        self.change(|rules| {
            rules.nodes.insert(node, rule);
        });
    }

    pub(super) fn set_default(&self, rule: LinkRule) {
        self.change(|rules| rules.default = rule);
    }

    pub(super) fn clear_link(&self, from: ActorName, to: ActorName) {
        self.change(|rules| {
            rules.links.remove(&(from, to));
        });
    }

    pub(super) fn clear_node(&self, node: ActorName) {
        self.change(|rules| {
            rules.nodes.remove(&node);
        });
    }

    pub(super) fn clear(&self) {
        self.change(|rules| {
            rules.links.clear();
            rules.nodes.clear();
            rules.default = LinkRule::default();
        });
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut rules);
        let plain = rules.links.is_empty()
            && rules.nodes.is_empty()
            && rules.default == LinkRule::default();
        self.any.store(!plain, Ordering::Release);
    }

    /// Decides over one message.
    pub(super) fn passage(&self, from: ActorName, to: ActorName) -> Passage {
        if from == to || !self.any.load(Ordering::Acquire) {
            return Passage::Now;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.of(from, to);
        if rule.cut {
            return Passage::Lost;
        }
        let (low, high) = (*rule.delay_ms.start(), *rule.delay_ms.end());
        if rule.loss <= 0.0 && low >= high {
            return after(low);
        }
        let rng = rules
            .draws
            .entry((from, to))
            .or_insert_with(|| stream(self.seed, from, to));
        // Both draws for every message: the losses do not move when only the delays change.
        let (chance, delay) = (rng.next_u64(), rng.next_u64());
        // 53 bits make every value of [0, 1) that an f64 can tell apart.
        if (chance >> 11) as f64 / (1_u64 << 53) as f64 >= rule.loss {
            let width = high.saturating_sub(low).saturating_add(1);
            after(low + delay % width)
        } else {
            Passage::Lost
        }
    }
}

impl Rules {
    fn of(&self, from: ActorName, to: ActorName) -> LinkRule {
        if let Some(rule) = self.links.get(&(from, to)) {
            return rule.clone();
        }
        if same_machine(from, to) {
            return LinkRule::default();
        }
        match (self.nodes.get(&from), self.nodes.get(&to)) {
            (Some(a), Some(b)) => a.and(b),
            (Some(rule), None) | (None, Some(rule)) => rule.clone(),
            (None, None) => self.default.clone(),
        }
    }
}

/// A validator and its leader: a slow or cut network does not come between them.
fn same_machine(a: ActorName, b: ActorName) -> bool {
    match (a, b) {
        (ActorName::Validator(v), ActorName::Leader(l))
        | (ActorName::Leader(l), ActorName::Validator(v)) => v == l,
        _ => false,
    }
}

fn after(ms: u64) -> Passage {
    if ms == 0 {
        Passage::Now
    } else {
        Passage::After(Duration::from_millis(ms))
    }
}

fn stream(seed: u64, from: ActorName, to: ActorName) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, word) in key.chunks_exact_mut(8).zip([seed, code(from), code(to)]) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
