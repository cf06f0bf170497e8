//! What the drills say of a patient's kin: whose shares are alive, and who has not answered (design, opening section 7).
//!
//! How an answer is checked is in `ledger::execute::drill`.

use crate::ids::KinId;
use crate::ledger::{Member, Patient};
use crate::units::Millis;
use core::fmt::Write as _;
use serde::{Deserialize, Serialize};

/// How a kin has answered the drills that it was called to. It stays when shares change, and goes with the kin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// When it last proved its shares of all tiers, block time; none if it never has.
    pub proved_ms: Option<Millis>,
    /// Since when it has not answered, block time: its last proof, or the first drill that it was called to. None as long
    /// as it has let no drill pass since its last proof.
    pub silent_since_ms: Option<Millis>,
    /// Drills in a row that it has let pass.
    pub missed: u32,
}

impl Attendance {
    /// It has proved its shares.
    pub(crate) fn on_proof(&mut self, now: Millis) {
        *self = Self {
            proved_ms: Some(now),
            ..Self::default()
        };
    }

    /// A drill that began at `began_ms` is over. Whether the kin let it pass.
    pub(crate) fn on_end(&mut self, began_ms: Millis) -> bool {
        // With other shares it may have to prove them again; one proof since the drill began is an answer.
        if self.proved_ms.is_some_and(|proved| proved >= began_ms) {
            return false;
        }
        self.missed = self.missed.saturating_add(1);
        let since = self.silent_since_ms.or(self.proved_ms);
        self.silent_since_ms = Some(since.unwrap_or(began_ms));
        true
    }
}

/// How ready a patient's first circle is, by its drills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Kin on the roster.
    pub kin: usize,
    /// How many of them are needed to open every tier.
    pub needed: usize,
    /// How many have proved their shares and let no drill pass since.
    pub alive: usize,
    /// The newest of their proofs, block time; none before the first.
    pub last_ms: Option<Millis>,
    /// Who has let drills pass, in the roster's order.
    pub silent: Vec<Silence>,
}

/// A kin that has let drills pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The kin.
    pub kin: KinId,
    /// Since when it has not answered, block time.
    pub since_ms: Millis,
    /// Drills in a row.
    pub drills: u32,
    /// Whether it has ever proved its shares.
    pub ever: bool,
}

impl Readiness {
    /// Draws together what the ledger has of a patient's drills.
    #[must_use]
    pub fn of(entry: &Patient) -> Self {
        let roster = &entry.enrolment.roster;
        let of = |member: &Member| {
            let kin = member.id();
            let attendance = entry.drill.attendance.get(&kin).copied();
            (kin, attendance.unwrap_or_default())
        };
        let all: Vec<(KinId, Attendance)> = roster.iter().map(of).collect();
        let silent = all.iter().filter_map(|(kin, attendance)| {
            Some(Silence {
                kin: *kin,
                since_ms: attendance.silent_since_ms?,
                drills: attendance.missed,
                ever: attendance.proved_ms.is_some(),
            })
        });
        let proofs = all.iter().filter_map(|(_, attendance)| {
            let proved = attendance.proved_ms?;
            attendance.silent_since_ms.is_none().then_some(proved)
        });
        let tiers = entry.enrolment.tiers.iter();
        let thresholds = tiers.map(|tier| tier.commitments.threshold());
        Self {
            kin: roster.len(),
            needed: thresholds.max().unwrap_or(usize::MAX),
            alive: proofs.clone().count(),
            last_ms: proofs.max(),
            silent: silent.collect(),
        }
    }

    /// Whether the patient has to do something: somebody does not answer.
    #[must_use]
    pub fn is_wanting(&self) -> bool {
        !self.silent.is_empty()
    }

    /// What it says, in words. `name`: what the patient calls a kin.
    #[must_use]
    pub fn sentence(&self, name: impl Fn(KinId) -> String) -> String {
        let Self {
            kin, needed, alive, ..
        } = self;
        let mut text = match self.last_ms {
            Some(last) => format!(
                "{alive} of {kin} shares proved alive, last on {}",
                last.moment()
            ),
            None => format!("none of {kin} shares has been proved alive yet"),
        };
        for silence in &self.silent {
            let (who, since) = (name(silence.kin), silence.since_ms.moment());
            // Writing to a string cannot fail.
            let _ = if silence.ever {
                write!(text, "; {who} has not answered since {since}")
            } else {
                write!(text, "; {who} has never answered, first asked on {since}")
            };
        }
        if self.is_wanting() && alive < needed {
            let _ = write!(text, "; {needed} are needed to open everything");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(ever: bool) -> Silence {
        Silence {
            kin: KinId([7; 32]),
            since_ms: Millis(86_400_000),
            drills: 2,
            ever,
        }
    }

    #[test]
    fn a_drill_is_answered_or_let_pass() {
        let mut kin = Attendance::default();
        assert!(kin.on_end(Millis(10)));
        assert!(kin.on_end(Millis(20)));
        let never = Attendance {
            proved_ms: None,
            silent_since_ms: Some(Millis(10)),
            missed: 2,
        };
        assert_eq!(kin, never);
        kin.on_proof(Millis(25));
        assert!(!kin.on_end(Millis(25)));
        assert_eq!((kin.missed, kin.silent_since_ms), (0, None));
        assert!(kin.on_end(Millis(30)));
        assert!(kin.on_end(Millis(40)));
        assert_eq!((kin.missed, kin.silent_since_ms), (2, Some(Millis(25))));
    }

    #[test]
    fn it_is_told_in_words() {
        let name = |_: KinId| "your sister".to_owned();
        let mut ready = Readiness {
            kin: 5,
            needed: 3,
            alive: 0,
            last_ms: None,
            silent: Vec::new(),
        };
        assert_eq!(
            ready.sentence(name),
            "none of 5 shares has been proved alive yet"
        );
        (ready.alive, ready.last_ms) = (4, Some(Millis(1_000)));
        ready.silent = vec![silence(true)];
        assert_eq!(
            ready.sentence(name),
            "4 of 5 shares proved alive, last on 1970-01-01 00:00:01 UTC; \
             your sister has not answered since 1970-01-02 00:00:00 UTC"
        );
        (ready.alive, ready.silent) = (2, vec![silence(false)]);
        assert_eq!(
            ready.sentence(name),
            "2 of 5 shares proved alive, last on 1970-01-01 00:00:01 UTC; \
             your sister has never answered, first asked on 1970-01-02 00:00:00 UTC; 3 are needed to open everything"
        );
        ready.last_ms = Some(Millis(u64::MAX));
        assert!(ready.sentence(name).contains("9999-12-31 23:59:59 UTC"));
    }
}
