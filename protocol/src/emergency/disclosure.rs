//! The report to the patient about one case: who asked for what, who of the kin said what, what was read, how it ended, and
//! what can be done now. Pure data, drawn from entries of the ledger that were proved.
//!
//! Not here: the words. Who reads the chain names people by pseudonyms; the patient's own device knows their names.

use super::{
    Case, CaseError, ClinicalRole, ClosedBy, Phase, Purpose, Reading, Reason, RefusalReason,
    Review, Verdict,
};
use crate::credit::ValidatorSet;
use crate::crypto::VerifyingKey;
use crate::ids::{CaseId, HospitalId, KinId, PatientId};
use crate::ledger::{Accredited, Hospital, Member, Revoked, SUSPENSION_MS};
use crate::record::BatchHeader;
use crate::roster::Relation;
use crate::units::{CircleKind, Height, Millis, Tier};
use serde::Serialize;

/// What a report is drawn from. Whoever hands it in has had each part proved.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The case.
    pub case: &'a Case,
    /// Height and time of the block after which the case stood so.
    pub as_of: (Height, Millis),
    /// The circle that was asked, as it was in the case's epoch.
    pub roster: &'a [Member],
    /// The hospital that asked, as it stands now.
    pub hospital: HospitalFacts<'a>,
    /// The patient's batches with their heights; those that the case does not reach are left out.
    pub batches: &'a [(Height, BatchHeader)],
}

/// What the ledger has of the hospital that asked, each entry proved.
#[derive(Clone, Copy, Debug)]
pub struct HospitalFacts<'a> {
    name: &'a str,
    standing: Standing,
}

/// Where the hospital stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is accredited.
    Accredited {
        /// Whether a validator of it has credit to lose.
        runs_validator: bool,
        /// May not ask before this time.
        suspended_until_ms: Millis,
    },
    /// It is no more.
    Revoked {
        /// Since when.
        since_ms: Millis,
    },
}

impl<'a> HospitalFacts<'a> {
    /// Reads what the ledger has under the three keys: the hospital as accredited, as revoked, and the validators of the next
    /// height. None when `id` is neither accredited nor was, or an entry is another's.
    #[must_use]
    pub fn of(
        id: HospitalId,
        accredited: Option<&'a Hospital>,
        revoked: Option<&'a Revoked>,
        validators: &ValidatorSet,
    ) -> Option<Self> {
        if let Some(hospital) = accredited.filter(|hospital| hospital.info.id() == id) {
            let mut validators = validators.iter();
            let standing = Standing::Accredited {
                runs_validator: validators.any(|info| info.hospital == Some(id)),
                suspended_until_ms: hospital.suspended_until_ms,
            };
            let name = &hospital.info.name;
            return Some(Self { name, standing });
        }
        let revoked = revoked?;
        match &revoked.was {
            Accredited::Hospital(info) if info.id() == id => Some(Self {
                name: &info.name,
                standing: Standing::Revoked {
                    since_ms: revoked.time_ms,
                },
            }),
            Accredited::Hospital(_) | Accredited::Issuer(_) | Accredited::Reviewer(_) => None,
        }
    }

    fn revoked_ms(&self) -> Option<Millis> {
        match self.standing {
            Standing::Accredited { .. } => None,
            Standing::Revoked { since_ms } => Some(since_ms),
        }
    }

    /// What an overdue review, or a verdict against the hospital, costs it.
    fn price(&self, review: ReviewState) -> Option<Price> {
        let judged_ms = match review {
            ReviewState::Given(review) if review.verdict == Verdict::Unjustified => {
                Some(review.at_ms)
            }
            ReviewState::Overdue { .. } => None,
            ReviewState::None | ReviewState::Due { .. } | ReviewState::Given(_) => return None,
        };
        Some(match (self.standing, judged_ms) {
            (Standing::Revoked { .. }, _) => Price::Accreditation,
            (
                Standing::Accredited {
                    suspended_until_ms: until_ms,
                    ..
                },
                Some(at_ms),
            ) if until_ms >= at_ms.plus(SUSPENSION_MS.0) => Price::RightToAsk { until_ms },
            // Whoever was not suspended had credit to lose.
            (Standing::Accredited { .. }, Some(_)) => Price::Credit,
            (Standing::Accredited { runs_validator, .. }, None) if runs_validator => Price::Credit,
            (Standing::Accredited { .. }, None) => Price::Nothing,
        })
    }
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disclosure {
    /// The case.
    pub case: CaseId,
    /// Whose records.
    pub patient: PatientId,
    /// Height of the block after which the case stood so.
    pub as_of_height: Height,
    /// Its time.
    pub as_of_ms: Millis,
    /// Who asked, and why.
    pub asked: Asked,
    /// For what, and what was read of it, by tier.
    pub tiers: Vec<TierLine>,
    /// How many of the kin had to agree.
    pub needed: u16,
    /// What each of them did, in the order of the roster.
    pub kin: Vec<KinLine>,
    /// When enough of them had agreed.
    pub granted_ms: Option<Millis>,
    /// How it ended.
    pub outcome: Outcome,
    /// What became of the review.
    pub review: ReviewState,
    /// What it costs the hospital; none unless it is overdue or has found against it.
    pub price: Option<Price>,
    /// What the patient can do now, the most pressing first.
    pub advice: Vec<Advice>,
    /// How many transactions the case consists of; none can be left out of it later.
    pub transactions: u32,
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The hospital.
    pub hospital: HospitalId,
    /// Its name, as accredited.
    pub hospital_name: String,
    /// Since when it is accredited no more; none while it is.
    pub revoked_ms: Option<Millis>,
    /// The clinician's key, who has signed as well. The hospital knows whose it is.
    pub clinician: VerifyingKey,
    /// What the clinician is, as an issuer has vouched; none for an attempt without a credential.
    pub role: Option<ClinicalRole>,
    /// What for.
    pub purpose: Purpose,
    /// What was said to have happened.
    pub reason: Reason,
    /// Which of the patient's circles was asked.
    pub circle: CircleKind,
    /// When.
    pub at_ms: Millis,
    /// Height of the block of the request.
    pub height: Height,
    /// Until when the kin could agree.
    pub expires_ms: Millis,
}

/// One tier of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierLine {
    /// The tier.
    pub tier: Tier,
    /// How many records of it were asked for.
    pub records: u64,
    /// Whether single records were named, and not all that there were.
    pub is_selection: bool,
    /// What the hospital has reported as read; none if nothing.
    pub read: Option<Reading>,
}

/// What one of the kin did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KinLine {
    /// Who.
    pub kin: KinId,
    /// What this person is to the patient.
    pub relation: Relation,
    /// The answer.
    pub said: Said,
    /// When this person's device announced the help to open; none if it did not.
    pub released_ms: Option<Millis>,
}

/// A kin's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Yes.
    Yes {
        /// When.
        at_ms: Millis,
    },
    /// No.
    No {
        /// When.
        at_ms: Millis,
        /// Why.
        reason: RefusalReason,
    },
    /// Nothing.
    Nothing,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It has not.
    UnderWay {
        /// Where it stands.
        phase: Phase,
    },
    /// Too many of the kin said no.
    Refused {
        /// When.
        at_ms: Millis,
    },
    /// The patient stopped it before anything could be opened.
    Vetoed {
        /// When.
        at_ms: Millis,
    },
    /// The hospital, or whoever vouched for the clinician, lost its accreditation before enough of the kin had agreed.
    Revoked {
        /// When.
        at_ms: Millis,
    },
    /// Too few of the kin answered in time.
    Expired {
        /// When.
        at_ms: Millis,
    },
    /// It was granted, and is over.
    Closed {
        /// When.
        at_ms: Millis,
        /// By what.
        by: ClosedBy,
    },
}

/// Where the review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewState {
    /// There is none: nothing was granted, or the case is not over.
    None,
    /// A reviewer has until then.
    Due {
        /// The deadline.
        by_ms: Millis,
    },
    /// The deadline has passed; [`Price`] says whether that costs the hospital something.
    Overdue {
        /// Since when.
        since_ms: Millis,
    },
    /// Judged.
    Given(Review),
}

/// What a hospital pays for a review that is overdue, or that has found against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Price {
    /// Credit of the validators that it runs; for an overdue review again every day.
    Credit,
    /// It runs no validator: a verdict takes its right to ask for a time.
    RightToAsk {
        /// It may ask again from then on.
        until_ms: Millis,
    },
    /// It runs no validator, and a review that is overdue takes nothing else.
    Nothing,
    /// It is accredited no more, and can ask for nothing.
    Accreditation,
}

/// Something that the patient can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Stop the case from the own device: it can still open records.
    Veto,
    /// Nothing has to be done: nothing was opened.
    NothingToDo,
    /// Ask the hospital why it asked: the reviewer found no emergency.
    AskForReasons,
    /// Remind the hospital of the review that is overdue.
    PressForReview,
    /// Tell the reviewer, before the deadline, what one knows of it.
    TellTheReviewer,
    /// Talk with those who agreed, if one would not have.
    TalkWithKin,
    /// Replace those who do not answer or who should not decide.
    ChangeKin,
    /// Lay down which hospitals may ask, how long they have to wait, and whether the sensitive part may be opened at all.
    ChangeRules,
}

impl Disclosure {
    /// Draws the report.
    ///
    /// # Errors
    /// [`CaseError::NotKin`] when the roster is not that of the case.
    pub fn of(facts: &Facts<'_>) -> Result<Self, CaseError> {
        let Facts { case, roster, .. } = *facts;
        let request = &case.request;
        let kin: Vec<KinLine> = roster
            .iter()
            .map(|member| kin_line(case, member))
            .collect::<Result<_, _>>()?;
        if let Some(kin) = case.roster.get(kin.len()).copied() {
            let epoch = request.epoch;
            return Err(CaseError::NotKin { kin, epoch });
        }
        let outcome = outcome(case);
        let review = review_state(case);
        Ok(Self {
            case: case.id,
            patient: case.patient(),
            as_of_height: facts.as_of.0,
            as_of_ms: facts.as_of.1,
            asked: Asked {
                hospital: case.hospital,
                hospital_name: facts.hospital.name.to_owned(),
                revoked_ms: facts.hospital.revoked_ms(),
                clinician: request.clinician,
                role: request
                    .credential
                    .as_ref()
                    .map(|credential| credential.role),
                purpose: request.purpose,
                reason: request.reason,
                circle: case.circle(),
                at_ms: case.requested_ms,
                height: case.height,
                expires_ms: request.expires_ms,
            },
            tiers: tier_lines(facts),
            needed: case.threshold,
            advice: advice(case, &kin, review),
            kin,
            granted_ms: case.granted_ms,
            outcome,
            review,
            price: facts.hospital.price(review),
            transactions: case.log.1,
        })
    }

    /// Whether any record was read, as the hospital reports.
    #[must_use]
    pub fn anything_read(&self) -> bool {
        self.tiers.iter().any(|line| line.read.is_some())
    }

    /// How many of the kin agreed.
    #[must_use]
    pub fn agreed(&self) -> usize {
        let yes = |line: &&KinLine| matches!(line.said, Said::Yes { .. });
        self.kin.iter().filter(yes).count()
    }
}

fn kin_line(case: &Case, member: &Member) -> Result<KinLine, CaseError> {
    let kin = member.id();
    if !case.roster.contains(&kin) {
        let epoch = case.request.epoch;
        return Err(CaseError::NotKin { kin, epoch });
    }
    let yes = case.approvals.get(&kin).map(|at| Said::Yes { at_ms: *at });
    let no = case.refusals.get(&kin).map(|refusal| Said::No {
        at_ms: refusal.at_ms,
        reason: refusal.reason,
    });
    Ok(KinLine {
        kin,
        relation: member.relation,
        said: yes.or(no).unwrap_or(Said::Nothing),
        released_ms: case.released_ms.get(&kin).copied(),
    })
}

fn tier_lines(facts: &Facts<'_>) -> Vec<TierLine> {
    let scopes = facts.case.request.scopes.iter();
    let lines = scopes.map(|scope| {
        let in_scope = facts.batches.iter().filter(|(height, header)| {
            (header.patient, header.tier) == (facts.case.patient(), scope.tier)
                && *height <= scope.up_to
        });
        let all: u64 = in_scope.map(|(_, header)| u64::from(header.records)).sum();
        let is_selection = !scope.only.is_empty();
        TierLine {
            tier: scope.tier,
            records: if is_selection {
                scope.only.len() as u64
            } else {
                all
            },
            is_selection,
            read: facts.case.reads.get(&scope.tier).copied(),
        }
    });
    lines.collect()
}

fn outcome(case: &Case) -> Outcome {
    let at_ms = case.ended_ms.unwrap_or(case.request.expires_ms);
    match case.phase {
        Phase::Refused => Outcome::Refused { at_ms },
        Phase::Vetoed => Outcome::Vetoed { at_ms },
        Phase::Expired => Outcome::Expired { at_ms },
        Phase::Revoked => Outcome::Revoked { at_ms },
        phase @ (Phase::Requested | Phase::Waiting | Phase::Granted | Phase::Open) => {
            Outcome::UnderWay { phase }
        }
        Phase::Closed | Phase::Reviewed => match case.closed {
            Some((at_ms, by)) => Outcome::Closed { at_ms, by },
            None => Outcome::UnderWay { phase: case.phase },
        },
    }
}

fn review_state(case: &Case) -> ReviewState {
    match (case.review, case.review_task()) {
        (Some(review), _) => ReviewState::Given(review),
        (None, Some(task)) if task.is_overdue => ReviewState::Overdue {
            since_ms: task.due_ms,
        },
        (None, Some(task)) => ReviewState::Due { by_ms: task.due_ms },
        (None, None) => ReviewState::None,
    }
}

/// What fits the case; each thing has one reason to stand there.
fn advice(case: &Case, kin: &[KinLine], review: ReviewState) -> Vec<Advice> {
    use Verdict::Unjustified;
    let (was_granted, is_live) = (case.granted_ms.is_some(), case.phase.is_live());
    let unjustified = matches!(review, ReviewState::Given(review) if review.verdict == Unjustified);
    let silent = kin.iter().any(|line| line.said == Said::Nothing);
    // Whether those who did not answer were needed, or would have been with one approval less.
    let thin = case.approvals.len() <= usize::from(case.threshold);
    let fits = [
        (Advice::Veto, is_live),
        (Advice::NothingToDo, !was_granted && !is_live),
        (Advice::AskForReasons, unjustified),
        (
            Advice::PressForReview,
            matches!(review, ReviewState::Overdue { .. }),
        ),
        (
            Advice::TellTheReviewer,
            matches!(
                review,
                ReviewState::Due { .. } | ReviewState::Overdue { .. }
            ),
        ),
        (Advice::TalkWithKin, was_granted),
        (
            Advice::ChangeKin,
            !is_live && case.phase != Phase::Vetoed && silent && thin,
        ),
        (Advice::ChangeRules, !is_live),
    ];
    let fitting = fits.into_iter().filter(|(_, fits)| *fits);
    fitting.map(|(advice, _)| advice).collect()
}
