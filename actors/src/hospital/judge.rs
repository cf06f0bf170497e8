//! Which partial openings are good (opening.md section 3).
//!
//! One counts when its kin signed it, announced it on chain before, and its
//! proof holds. One that is signed and does not hold names its author; whatever
//! could have come from anybody accuses nobody.

use crate::hospital::books::{Delivery, Forgery};
use crate::hospital::capsules::TierScope;
use crate::hospital::case::{CaseWork, SessionKeys};
use crate::hospital::desk::{Desk, off_thread};
use crate::hospital::messages::HospitalError;
use crate::hospital::partials::{Slot, Unsealed, Verdict};
use futures_util::future::join_all;
use kithkin_protocol::crypto::{OpeningKey, VerifyingKey};
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{ChainId, KinId};
use kithkin_protocol::ledger::release_digest;
use kithkin_protocol::sharing::{CheckedPartial, Opening, ReleaseError, SignedPartial};
use kithkin_protocol::units::Tier;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most capsules of a scope in which the kin's partial openings are judged in one sum.
const TOGETHER_CAPSULES_MAX: usize = 64;

/// Looks at everything that has come and was not looked at. True when something still waits for its announcement
/// to show on chain.
pub(super) async fn judge(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    keys: &SessionKeys,
    scopes: &[Arc<TierScope>],
) -> Result<bool, HospitalError> {
    unseal_new(desk, work, case, keys).await?;
    let (todo, waiting) = not_judged(work, case, scopes);
    let judged = join_all(todo.into_iter().map(|task| off_thread(move || task.run()))).await;
    for judgements in judged {
        for judgement in judgements? {
            let Judged {
                slot,
                tier,
                outcome,
            } = judgement;
            let verdict = match outcome {
                Outcome::Good(partial) => Verdict::Good(partial),
                Outcome::Unsigned => Verdict::Bad,
                Outcome::Forged(forgery) => {
                    desk.accuse(work, *forgery).await?;
                    Verdict::Bad
                }
            };
            work.pile().set(slot, |item| {
                item.verdicts.insert(tier, verdict);
            });
        }
    }
    Ok(waiting)
}

async fn unseal_new(
    desk: &Desk,
    work: &CaseWork,
    case: &Case,
    keys: &SessionKeys,
) -> Result<(), HospitalError> {
    let slots = work.pile().sealed();
    if slots.is_empty() {
        return Ok(());
    }
    let (books, case, key) = (desk.books.clone(), case.clone(), keys.opening.clone());
    let chain = desk.client.chain();
    let opened = off_thread(move || {
        let opened = slots.into_iter().map(|slot| {
            let delivery = books.delivery(case.id, slot)?;
            let unsealed = delivery.map(|delivery| unseal(&delivery, &case, chain, &key));
            Ok((slot, unsealed))
        });
        opened.collect::<Result<Vec<_>, HospitalError>>()
    })
    .await??;
    let mut pile = work.pile();
    for (slot, unsealed) in opened {
        if let Some(unsealed) = unsealed {
            pile.set(slot, |item| item.unsealed = Some(unsealed));
        }
    }
    Ok(())
}

fn unseal(delivery: &Delivery, case: &Case, chain: ChainId, key: &OpeningKey) -> Unsealed {
    let (rho, mut signed, mut digests) = (case.rho(chain), Vec::new(), Vec::new());
    for (tier, sealed) in delivery {
        let context = case.opening_context(chain, *tier);
        match SignedPartial::unseal(sealed, &context, key) {
            Ok(partial) => {
                digests.push(partial.partial.digest(&rho));
                signed.push((*tier, partial));
            }
            // HPKE's base mode does not say who sealed it, so nobody is accused.
            Err(error) => {
                tracing::warn!(case = %case.id, %tier, %error, "a delivery cannot be used");
                return Unsealed::Unusable;
            }
        }
    }
    Unsealed::Signed(Arc::new(signed), release_digest(&digests))
}

/// Partial openings of one tier to be judged together.
struct Task {
    tier: Tier,
    opening: Arc<Opening>,
    answers: Vec<Answer>,
}

/// One delivery, and the key of the kin that it came from.
struct Answer {
    slot: Slot,
    key: VerifyingKey,
    signed: Arc<Vec<(Tier, SignedPartial)>>,
}

struct Judged {
    slot: Slot,
    tier: Tier,
    outcome: Outcome,
}

enum Outcome {
    Good(Arc<CheckedPartial>),
    /// Not signed by the kin that it came from: says nothing about who is at fault.
    Unsigned,
    Forged(Box<Forgery>),
}

fn not_judged(work: &CaseWork, case: &Case, scopes: &[Arc<TierScope>]) -> (Vec<Task>, bool) {
    let mut waiting = false;
    let mut new: BTreeMap<Tier, Vec<Answer>> = BTreeMap::new();
    for (slot, item) in work.pile().items() {
        let (Some(member), Some(Unsealed::Signed(signed, announced))) =
            (work.member(slot.0), &item.unsealed)
        else {
            continue;
        };
        // The chain knows of a release before it is sent; what it does not know does not count.
        let releases = case.releases.get(&member.id());
        if !releases.is_some_and(|releases| releases.contains(announced)) {
            waiting = true;
            continue;
        }
        let inside: BTreeSet<Tier> = signed.iter().map(|(tier, _)| *tier).collect();
        for tier in inside {
            if !item.verdicts.contains_key(&tier) {
                new.entry(tier).or_default().push(Answer {
                    slot: *slot,
                    key: member.key,
                    signed: Arc::clone(signed),
                });
            }
        }
    }
    let tasks = scopes.iter().filter_map(|scope| {
        let opening = scope.opening.as_ref()?;
        Some(tasks(scope.tier, opening, new.remove(&scope.tier)?))
    });
    (tasks.flatten().collect(), waiting)
}

/// All together when the scope is small, where the proof is what costs; else each by itself, on as many cores as there are.
fn tasks(tier: Tier, opening: &Arc<Opening>, answers: Vec<Answer>) -> Vec<Task> {
    let together = if opening.capsules() <= TOGETHER_CAPSULES_MAX {
        vec![answers]
    } else {
        answers.into_iter().map(|answer| vec![answer]).collect()
    };
    let task = |answers| Task {
        tier,
        opening: Arc::clone(opening),
        answers,
    };
    together.into_iter().map(task).collect()
}

impl Task {
    fn run(self) -> Vec<Judged> {
        let tier = self.tier;
        let answers: Vec<(&Answer, &SignedPartial)> = self
            .answers
            .iter()
            .filter_map(|answer| {
                let (_, signed) = answer.signed.iter().find(|(inside, _)| *inside == tier)?;
                Some((answer, signed))
            })
            .collect();
        let signed: Vec<(&SignedPartial, VerifyingKey)> = answers
            .iter()
            .map(|(answer, signed)| (*signed, answer.key))
            .collect();
        let verdicts = SignedPartial::check_all(&self.opening, &signed);
        answers
            .into_iter()
            .zip(verdicts)
            .map(|((answer, signed), verdict)| Judged {
                slot: answer.slot,
                tier,
                outcome: answer.outcome(tier, signed, verdict),
            })
            .collect()
    }
}

impl Answer {
    fn outcome(
        &self,
        tier: Tier,
        signed: &SignedPartial,
        verdict: Result<CheckedPartial, ReleaseError>,
    ) -> Outcome {
        let kin = KinId::of(&self.key);
        let forged = |fault: String| {
            Outcome::Forged(Box::new(Forgery {
                kin,
                fault,
                partial: Some((tier, signed.clone())),
            }))
        };
        match verdict {
            Ok(checked) if checked.index() == self.slot.0 => Outcome::Good(Arc::new(checked)),
            Ok(checked) => forged(format!(
                "signed the partial opening of share {}",
                checked.index()
            )),
            Err(ReleaseError::Partial(bad)) => forged(bad.to_string()),
            Err(
                ReleaseError::Signature
                | ReleaseError::Recipient
                | ReleaseError::Unsealable
                | ReleaseError::Malformed,
            ) => Outcome::Unsigned,
        }
    }
}
