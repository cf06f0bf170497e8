//! What a script says: a title, a story, a cast, steps in their order, expectations. Every key is documented in
//! docs/cli.md and in config/scenarios/quiet-day.toml.
//!
//! Not here: whether the names and references fit together ([`super::check`]).

mod consent;
mod devices;
mod erasures;
mod reviews;
mod rosters;
mod rules;

pub(super) use consent::{
    Ender, GrantConsent, OfConsent, ReadWithConsent, RenewConsent, RevokeConsent, StandingWord,
    TakeConsents, WaitConsent,
};
pub(super) use devices::{NewPhone, Rebuild, Vouch, WaitDevice, WaitErased};
pub(super) use erasures::Erase;
pub(super) use reviews::{Disclose, Review, WaitOverdue};
pub(super) use rosters::{
    ChangeRoster, InvitationWord, NameSecond, OfKin, OnInvitations, Roster, RosterWord, WaitDrill,
    WaitEpoch, WaitPieces, WaitReadiness, WaitRoster, WaitSecond, WaitSecondCircle, WithdrawSecond,
};
pub(super) use rules::{ChangeRules, WaitRules};

use super::words::{AnyName, HospitalName, KinName, PatientName, Span, Target, ValidatorName};
use kithkin_protocol::emergency::{Phase, Purpose, Reason, RefusalReason};
use kithkin_protocol::ledger::Profile;
use kithkin_protocol::units::Tier;
use serde::Deserialize;

/// A scripted emergency.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// One line.
    pub title: String,
    /// What happens and what it shows, for people; the first line stands for it in lists.
    pub story: String,
    /// Who takes part.
    #[serde(default)]
    pub cast: Cast,
    /// What happens, one after the other.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
    /// What must hold at the end.
    #[serde(default, rename = "expect")]
    pub expectations: Vec<super::expect::Expect>,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cast {
    /// Validators.
    pub validators: u16,
    /// Hospitals.
    pub hospitals: u16,
    /// Patients.
    pub patients: u16,
    /// Friends and relatives of each patient.
    pub relatives: u8,
    /// How credit becomes a leader order.
    pub profile: Profile,
    /// Added to `--seed`; drives losses and delays of links, never keys.
    pub seed: u64,
    /// How long an idle chain waits before an empty block: block time, and with it every expiry, moves only with blocks.
    pub heartbeat: Span,
    /// How long after the end of a case its review may take.
    pub review_within: Span,
}

impl Default for Cast {
    fn default() -> Self {
        Self {
            validators: 4,
            hospitals: 2,
            patients: 1,
            relatives: 5,
            profile: Profile::Balanced,
            seed: 0,
            heartbeat: Span::seconds(10),
            review_within: Span::seconds(7 * 24 * 3_600),
        }
    }
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Not before so long after the beginning.
    pub at: Option<Span>,
    /// So long after the step before has ended.
    pub after: Option<Span>,
    /// Told before the step.
    pub say: Option<String>,
    /// The step is to be refused with an error that contains this.
    pub fails: Option<String>,
    /// What happens.
    #[serde(rename = "do")]
    pub act: Act,
}

/// What happens in a step.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A patient chooses kin.
    Enrol(Enrol),
    /// A hospital seals and stores a record.
    Write(Write),
    /// An actor crashes and is started again by the supervisor.
    Crash(Crash),
    /// A kin loses everything that it keeps but its identity.
    Wipe(OfKin),
    /// An actor is stopped and stays stopped.
    Hold(Hold),
    /// An actor that was held is started again.
    Release(Release),
    /// Nothing passes on these links.
    Cut(Links),
    /// These links become slow.
    Slow(Slow),
    /// These links lose messages.
    Lose(Lose),
    /// These links are as they should be again.
    Heal(Links),
    /// A kin or a validator misbehaves from now on.
    Byzantine(Byzantine),
    /// A clinician asks to open records.
    Request(Request),
    /// A patient lets a hospital read, outside emergencies.
    GrantConsent(GrantConsent),
    /// A consent is ended before its time.
    RevokeConsent(RevokeConsent),
    /// A consent is to end later.
    RenewConsent(RenewConsent),
    /// A hospital says which consents it signs.
    TakeConsents(TakeConsents),
    /// A clinician reads with a consent.
    ReadWithConsent(ReadWithConsent),
    /// A hospital asks kin for pieces with a consent, whether or not it has ended.
    MisuseConsent(OfConsent),
    /// Waits until a consent stands like this.
    WaitConsent(WaitConsent),
    /// A change of a patient's roster is proposed.
    ChangeRoster(ChangeRoster),
    /// What kin's devices do with invitations from now on.
    Invitations(OnInvitations),
    /// A patient's device lays down other rules.
    ChangeRules(ChangeRules),
    /// Waits until rules of a patient are in force.
    WaitRules(WaitRules),
    /// Somebody has something to say about a patient's roster.
    Roster(Roster),
    /// Kin vouch for a patient's new device.
    Vouch(Vouch),
    /// Waits until another device speaks for a patient.
    WaitDevice(WaitDevice),
    /// A new device rebuilds the patient's keys and has others dealt.
    Rebuild(Rebuild),
    /// Waits until a kin keeps no shares any more.
    WaitErased(WaitErased),
    /// A kin's new device is proposed in the place of a lost one.
    NewPhone(NewPhone),
    /// Waits until a patient's shares have come to an epoch.
    WaitEpoch(WaitEpoch),
    /// Waits until so many kin have proved their shares alive.
    WaitDrill(WaitDrill),
    /// Waits until a patient's device names exactly these kin as silent.
    WaitReadiness(WaitReadiness),
    /// Waits until no change of a patient's roster is under way.
    WaitRoster(WaitRoster),
    /// Waits until a kin keeps so many pieces of records.
    WaitPieces(WaitPieces),
    /// The patient's device names a second circle, another one, or the same with other shares.
    NameSecond(NameSecond),
    /// The patient's device withdraws it.
    WithdrawSecond(WithdrawSecond),
    /// Waits until the ledger has a second circle of so many.
    WaitSecond(WaitSecond),
    /// Waits until a hospital may turn to the second circle.
    WaitSecondCircle(WaitSecondCircle),
    /// Kin approve.
    Approve(Approve),
    /// Kin refuse.
    Refuse(Refuse),
    /// The patient stops a case.
    Veto(OfCase),
    /// A hospital is accredited no more.
    Revoke(Revoke),
    /// A kin misuses an approval that it gave before.
    Replay(Replay),
    /// The clinician reads.
    Read(Read),
    /// The hospital ends a case.
    Close(OfCase),
    /// The patient has a record erased by everybody who holds anything of it.
    Erase(Erase),
    /// The reviewer judges a case.
    Review(Review),
    /// Waits until the review of a case is overdue.
    WaitOverdue(WaitOverdue),
    /// The patient's own device draws the report about a case.
    Disclose(Disclose),
    /// Waits until a case has come to a phase.
    WaitPhase(WaitPhase),
    /// Waits until the chain has come to a height.
    WaitHeight(WaitHeight),
    /// Waits until kin have announced a release in a case.
    WaitRelease(WaitRelease),
    /// Waits until an actor that crashed has been noticed.
    WaitRestart(WaitRestart),
    /// Waits until a validator has every block that the others have.
    WaitCatchUp(WaitCatchUp),
    /// Waits until a validator is convicted on chain.
    WaitConvicted(WaitConvicted),
    /// The patient's own device opens everything and puts the file together again.
    Restore(Restore),
}

/// `do.enrol`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// Who.
    pub patient: PatientName,
    /// The hospital that vouches.
    #[serde(default = "first_hospital")]
    pub sponsor: HospitalName,
    /// Kin needed; more than half when left out.
    pub threshold: Option<usize>,
    /// How long a request without threat to life waits, whatever the kin say.
    pub waiting: Option<Span>,
    /// Whether kin may open the sensitive tier.
    #[serde(default)]
    pub sensitive: bool,
    /// How long kin may object to a change of the roster.
    pub objection: Option<Span>,
    /// How long the patient may veto what the kin have decided about the roster.
    pub veto: Option<Span>,
    /// How long dealing, and then accepting, new shares may take.
    pub step: Option<Span>,
    /// How long a dealer has to answer a complaint.
    pub answer: Option<Span>,
    /// How often shares are refreshed.
    pub refresh: Option<Span>,
    /// How often kin have to prove that their shares are alive.
    pub drill: Option<Span>,
    /// The roster, in this order; all the patient's own kin, but for a second circle, when left out.
    #[serde(default)]
    pub kin: Vec<KinName>,
    /// The patient's second circle: these of the kin are in it, and not on the roster.
    #[serde(default)]
    pub second: Vec<KinName>,
    /// After this time kin who have not decided are asked again.
    pub remind_after: Option<Span>,
    /// After this time the second circle may be asked.
    pub second_after: Option<Span>,
}

/// `do.write`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Who writes.
    pub hospital: HospitalName,
    /// Whose record.
    pub patient: PatientName,
    /// A name for the record, to be used by later steps and expectations.
    pub record: String,
    /// `demo`, `document`, `collection` (built in) or a file, relative to the script.
    #[serde(default = "demo_bundle")]
    pub bundle: String,
    /// How long the hospital waits for kin that do not take their shards.
    #[serde(default = "ten_seconds")]
    pub patience: Span,
}

/// `do.crash`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Who.
    pub actor: AnyName,
    /// In which way.
    pub how: CrashKind,
    /// For `stall`: how long it blocks its thread.
    #[serde(default = "ten_seconds")]
    pub stall: Span,
}

/// Ways to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashKind {
    /// A handler panics.
    Panic,
    /// It stops by itself.
    Stop,
    /// It blocks.
    Stall,
}

/// `do.hold`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Who, or `next-master`.
    pub actor: Target,
}

/// `do.release`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Who; everybody who is held when left out.
    pub actor: Option<AnyName>,
}

/// `do.cut`, `do.heal`: all links of some actors, or the link between two.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// All links of these actors.
    #[serde(default)]
    pub of: Vec<AnyName>,
    /// The link between these two.
    pub between: Option<(AnyName, AnyName)>,
}

/// `do.slow`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// All links of these actors.
    #[serde(default)]
    pub of: Vec<AnyName>,
    /// The link between these two.
    pub between: Option<(AnyName, AnyName)>,
    /// What every message takes, at least.
    pub delay: Span,
    /// What it may take more.
    #[serde(default = "no_time")]
    pub jitter: Span,
}

/// `do.lose`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lose {
    /// All links of these actors.
    #[serde(default)]
    pub of: Vec<AnyName>,
    /// The link between these two.
    pub between: Option<(AnyName, AnyName)>,
    /// The share of the messages that is lost, 0 to 1.
    pub share: f64,
}

/// `do.byzantine`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Byzantine {
    /// A kin or a validator.
    pub actor: AnyName,
    /// What it does from now on.
    pub conduct: ConductKind,
}

/// Ways to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConductKind {
    /// A kin sends forged partial openings.
    Forge,
    /// A kin approves and releases nothing.
    Withhold,
    /// A kin deals sub-shares that do not fit when a roster changes.
    DealWrong,
    /// A kin or validator says nothing to anybody: all its links are cut.
    Silent,
    /// A validator proposes two blocks whenever it is master.
    Equivocate,
    /// A validator votes one way to half of the others and another way to the rest.
    DoubleVote,
    /// As the protocol says.
    Honest,
}

impl ConductKind {
    /// In a word or two, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forge => "forge",
            Self::Withhold => "withhold",
            Self::DealWrong => "dealing wrongly",
            Self::Silent => "silent",
            Self::Equivocate => "equivocating",
            Self::DoubleVote => "voting twice",
            Self::Honest => "honest",
        }
    }
}

/// `do.request`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks.
    pub hospital: HospitalName,
    /// Whose records.
    pub patient: PatientName,
    /// A name for the case, to be used by later steps and expectations.
    pub case: String,
    /// Which tiers.
    #[serde(default = "summary_and_chart")]
    pub tiers: Vec<Tier>,
    /// `BTG` (threat to life) or `ETREAT`.
    #[serde(default = "break_glass")]
    pub purpose: Purpose,
    /// What happened.
    #[serde(default = "unconscious")]
    pub reason: Reason,
    /// How long the request waits for kin.
    #[serde(default = "ten_minutes")]
    pub expires: Span,
    /// How long the session is to last once granted.
    #[serde(default = "one_hour")]
    pub session: Span,
    /// The case in which the first circle could not be reached: this asks the second.
    pub after: Option<String>,
}

/// `do.approve`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Who, one after the other.
    pub kin: Vec<KinName>,
    /// What.
    pub case: String,
}

/// `do.refuse`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// Who, one after the other.
    pub kin: Vec<KinName>,
    /// What.
    pub case: String,
    /// Why.
    #[serde(default = "doubtful")]
    pub reason: RefusalReason,
}

/// `do.veto`, `do.close`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfCase {
    /// The case.
    pub case: String,
}

/// `do.revoke`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Whose accreditation ends.
    pub hospital: HospitalName,
}

/// `do.replay`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Who.
    pub kin: KinName,
    /// The case that it approved.
    pub from: String,
    /// The case that the approval is pointed at.
    pub into: String,
}

/// `do.read`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The case.
    pub case: String,
    /// Only this tier; all of the request when left out.
    pub tier: Option<Tier>,
    /// How long to wait for kin.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_phase`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitPhase {
    /// The case.
    pub case: String,
    /// One of these.
    pub is: Vec<Phase>,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_height`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitHeight {
    /// At least.
    pub height: u64,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_release`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRelease {
    /// The case.
    pub case: String,
    /// All of these.
    pub kin: Vec<KinName>,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_restart`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRestart {
    /// Who.
    pub actor: AnyName,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_catch_up`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitCatchUp {
    /// Who; every validator when left out.
    pub validator: Option<ValidatorName>,
    /// How long at most.
    #[serde(default = "ten_seconds")]
    pub within: Span,
}

/// `do.wait_convicted`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitConvicted {
    /// Who.
    pub validator: ValidatorName,
    /// How often, at least, since the beginning.
    #[serde(default = "once")]
    pub times: u32,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.restore`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The record.
    pub record: String,
    /// Where the ciphertexts come from.
    #[serde(default)]
    pub source: SourceKind,
}

/// Where ciphertexts come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The kin's shards only.
    #[default]
    Kin,
    /// The hospital that wrote them.
    Hospital,
}

fn first_hospital() -> HospitalName {
    HospitalName(0)
}

fn demo_bundle() -> String {
    "demo".to_owned()
}

fn summary_and_chart() -> Vec<Tier> {
    vec![Tier::Summary, Tier::Chart]
}

fn break_glass() -> Purpose {
    Purpose::BreakGlass
}

fn unconscious() -> Reason {
    Reason::Unconscious
}

fn doubtful() -> RefusalReason {
    RefusalReason::Doubtful
}

fn no_time() -> Span {
    Span::seconds(0)
}

fn once() -> u32 {
    1
}

fn one_minute() -> Span {
    Span::seconds(60)
}

fn ten_seconds() -> Span {
    Span::seconds(10)
}

fn ten_minutes() -> Span {
    Span::seconds(600)
}

fn one_hour() -> Span {
    Span::seconds(3_600)
}
