//! Looks over a script before anything is started: is everybody in the cast, was every case and record named before?

use super::expect::Expect;
use super::script::{Act, Cast, ConductKind, RosterWord, Script, Step};
use super::words::{PatientName, Target};
use kithkin_actors::cluster::Shape;
use kithkin_actors::ports::names::ActorName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Records that are built in.
pub(super) const BUILT_IN: [&str; 3] = ["demo", "document", "collection"];

/// Something in a script that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Problem {
    /// Where: `cast`, `step 3 (approve)`, `expect 1`.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

/// Everything that does not fit, in the order of the script.
#[must_use]
pub(super) fn problems(script: &Script, path: &Path) -> Vec<Problem> {
    let mut check = Check {
        cast: script.cast,
        path: path.to_owned(),
        key: String::new(),
        cases: BTreeSet::new(),
        records: BTreeSet::new(),
        consents: BTreeSet::new(),
        replays: BTreeSet::new(),
        problems: Vec::new(),
    };
    check.whole(script);
    for (number, step) in (1..).zip(&script.steps) {
        check.key = format!("step {number} ({})", step.act.word());
        check.step(step);
    }
    for (number, expect) in (1..).zip(&script.expectations) {
        check.key = format!("expect {number}");
        check.expectation(expect);
    }
    check.problems
}

struct Check {
    cast: Cast,
    path: PathBuf,
    key: String,
    cases: BTreeSet<String>,
    records: BTreeSet<String>,
    consents: BTreeSet<String>,
    /// Kin that replay.
    replays: BTreeSet<ActorName>,
    problems: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(Problem {
            key: self.key.clone(),
            what: what.into(),
        });
    }

    fn whole(&mut self, script: &Script) {
        self.key = "title".to_owned();
        if script.title.trim().is_empty() || script.story.trim().is_empty() {
            self.problem(
                "a scenario needs a title and a story; say what happens and what it shows",
            );
        }
        self.key = "cast".to_owned();
        if let Err(error) = self.cast.shape().validate() {
            self.problem(error.to_string());
        }
        self.key = "expect".to_owned();
        if script.expectations.is_empty() {
            self.problem(
                "nothing is expected; add at least one [[expect]], or the scenario shows nothing",
            );
        }
    }

    fn step(&mut self, step: &Step) {
        if step.at.is_some() && step.after.is_some() {
            self.problem(
                "give either at (since the beginning) or after (since the step before), not both",
            );
        }
        match &step.act {
            Act::Enrol(enrol) => {
                self.actor(enrol.patient.into());
                self.actor(enrol.sponsor.into());
                for kin in &enrol.second {
                    self.actor((*kin).into());
                    if kin.0 != enrol.patient.0 {
                        self.problem(format!("{kin} is no kin of {}", enrol.patient));
                    }
                }
            }
            Act::Write(write) => {
                self.actor(write.hospital.into());
                self.actor(write.patient.into());
                self.bundle(&write.bundle);
                if !self.records.insert(write.record.clone()) {
                    self.problem(format!(
                        "there is a record '{}' already; give each its own name",
                        write.record
                    ));
                }
            }
            Act::Crash(crash) => self.actor(crash.actor.0),
            Act::Hold(hold) => {
                if let Target::Actor(name) = hold.actor {
                    self.actor(name);
                }
            }
            Act::Release(release) => {
                if let Some(name) = release.actor {
                    self.actor(name.0);
                }
            }
            Act::Cut(links) => self.links(&links.of, links.between, true),
            Act::Slow(slow) => self.links(&slow.of, slow.between, true),
            Act::Lose(lose) => {
                self.links(&lose.of, lose.between, true);
                if !(0.0..=1.0).contains(&lose.share) {
                    self.problem(format!(
                        "share = {} is no share; give a number from 0 to 1",
                        lose.share
                    ));
                }
            }
            Act::Heal(links) => self.links(&links.of, links.between, false),
            Act::Byzantine(byzantine) => self.conduct(byzantine.actor.0, byzantine.conduct),
            Act::Request(request) => {
                self.actor(request.hospital.into());
                self.actor(request.patient.into());
                if request.tiers.is_empty() {
                    self.problem("tiers is empty; name at least one of summary, chart, sensitive");
                }
                if let Some(after) = &request.after {
                    self.case(after);
                }
                if !self.cases.insert(request.case.clone()) {
                    self.problem(format!(
                        "there is a case '{}' already; give each its own name",
                        request.case
                    ));
                }
            }
            Act::GrantConsent(grant) => {
                self.actor(grant.patient.into());
                self.actor(grant.hospital.into());
                self.some(grant.tiers.is_empty(), "tiers");
                if !self.consents.insert(grant.consent.clone()) {
                    self.problem(format!(
                        "there is a consent '{}' already; give each its own name",
                        grant.consent
                    ));
                }
            }
            Act::TakeConsents(take) => self.actor(take.hospital.into()),
            Act::RevokeConsent(revoke) => self.consent(&revoke.consent),
            Act::RenewConsent(renew) => self.consent(&renew.consent),
            Act::ReadWithConsent(read) => self.consent(&read.consent),
            Act::MisuseConsent(of) => self.consent(&of.consent),
            Act::WaitConsent(wait) => self.consent(&wait.consent),
            Act::ChangeRoster(change) => {
                self.actor(change.who.0);
                self.actor(change.patient.into());
                for kin in change.out.iter().chain(&change.into) {
                    self.actor((*kin).into());
                }
                if !matches!(change.who.0, ActorName::Patient(_) | ActorName::Kin(..)) {
                    self.problem("only the patient or a kin can propose a change of the roster");
                }
            }
            Act::Roster(roster) => {
                self.some(roster.who.is_empty(), "who");
                self.actor(roster.patient.into());
                for who in &roster.who {
                    self.actor(who.0);
                    let is_patient = matches!(who.0, ActorName::Patient(_));
                    let is_kin = matches!(who.0, ActorName::Kin(..));
                    if !(is_kin && roster.say != RosterWord::Veto
                        || is_patient && roster.say == RosterWord::Veto)
                    {
                        self.problem(
                            "kin join, decline, resign, support and object; the patient vetoes",
                        );
                    }
                }
            }
            Act::Vouch(vouch) => {
                self.some(vouch.who.is_empty(), "who");
                self.device(vouch.patient, vouch.device);
                for kin in &vouch.who {
                    self.actor((*kin).into());
                }
            }
            Act::WaitDevice(wait) => self.device(wait.patient, wait.device),
            Act::Rebuild(rebuild) => self.device(rebuild.patient, rebuild.device),
            Act::WaitErased(wait) => self.actor(wait.kin.into()),
            Act::NewPhone(phone) => {
                for name in [phone.who.0, phone.lost.into(), phone.new.into()] {
                    self.actor(name);
                }
                self.actor(phone.patient.into());
                if !matches!(phone.who.0, ActorName::Patient(_) | ActorName::Kin(..)) {
                    self.problem("only the patient or a kin can propose a kin's new device");
                }
            }
            Act::Invitations(on) => {
                self.some(on.kin.is_empty(), "kin");
                for kin in &on.kin {
                    self.actor((*kin).into());
                }
            }
            Act::ChangeRules(change) => {
                self.actor(change.patient.into());
                self.some(change.tiers.is_empty(), "tiers");
                for hospital in change.only.iter().flatten() {
                    self.actor((*hospital).into());
                }
                if change.only.is_some() && change.any_hospital {
                    self.problem("say only = [hospitals] or any_hospital = true, not both");
                }
            }
            Act::WaitRules(wait) => self.actor(wait.patient.into()),
            Act::WaitEpoch(wait) => self.actor(wait.patient.into()),
            Act::WaitDrill(wait) => self.actor(wait.patient.into()),
            Act::WaitReadiness(wait) => self.kin_of(wait.patient, &wait.silent),
            Act::WaitRoster(wait) => self.actor(wait.patient.into()),
            Act::WaitPieces(wait) => self.actor(wait.kin.into()),
            Act::Wipe(of) => self.actor(of.kin.into()),
            Act::NameSecond(name) => {
                self.actor(name.patient.into());
                for kin in &name.kin {
                    self.actor((*kin).into());
                }
            }
            Act::WithdrawSecond(of) => self.actor(of.patient.into()),
            Act::WaitSecond(wait) => self.actor(wait.patient.into()),
            Act::WaitSecondCircle(wait) => self.case(&wait.case),
            Act::Approve(approve) => self.decision(&approve.case, &approve.kin),
            Act::Refuse(refuse) => self.decision(&refuse.case, &refuse.kin),
            Act::Veto(of) | Act::Close(of) => self.case(&of.case),
            Act::Revoke(revoke) => self.actor(revoke.hospital.into()),
            Act::Replay(replay) => {
                self.actor(replay.kin.into());
                self.case(&replay.from);
                self.case(&replay.into);
                self.replays.insert(replay.kin.into());
            }
            Act::Read(read) => self.case(&read.case),
            Act::Erase(erase) => self.record(&erase.record),
            Act::Review(review) => self.case(&review.case),
            Act::WaitOverdue(wait) => self.case(&wait.case),
            Act::Disclose(disclose) => self.case(&disclose.case),
            Act::WaitPhase(wait) => {
                self.case(&wait.case);
                self.some(wait.is.is_empty(), "is");
            }
            Act::WaitHeight(_) => {}
            Act::WaitRelease(wait) => self.decision(&wait.case, &wait.kin),
            Act::WaitRestart(wait) => self.actor(wait.actor.0),
            Act::WaitCatchUp(wait) => {
                if let Some(validator) = wait.validator {
                    self.actor(validator.into());
                }
            }
            Act::WaitConvicted(wait) => self.actor(wait.validator.into()),
            Act::Restore(restore) => self.record(&restore.record),
        }
    }

    fn expectation(&mut self, expect: &Expect) {
        match expect {
            Expect::Phase { case, is } => {
                self.case(case);
                self.some(is.is_empty(), "is");
            }
            Expect::Readable { case, tiers } => {
                self.case(case);
                self.some(tiers.is_empty(), "tiers");
            }
            Expect::ClosedBy { case, .. }
            | Expect::Approvals { case, .. }
            | Expect::Shut { case }
            | Expect::Verdict { case, .. }
            | Expect::ReadsOnChain { case, .. } => self.case(case),
            Expect::Forged { case, kin } => {
                self.case(case);
                for kin in kin {
                    self.actor((*kin).into());
                }
            }
            Expect::Consent { consent, .. }
            | Expect::ConsentRead { consent, .. }
            | Expect::ConsentReadsOnChain { consent, .. }
            | Expect::ConsentMisuseRefused { consent, .. } => self.consent(consent),
            Expect::Erased { record, kin } => {
                self.record(record);
                self.some(kin.is_empty(), "kin");
                for kin in kin {
                    self.actor((*kin).into());
                }
            }
            Expect::Penalised { hospital, .. } => self.actor((*hospital).into()),
            Expect::Restarts { actor, .. } => self.actor(actor.0),
            Expect::ReplayRefused { kin, .. } => {
                if !self.replays.contains(&(*kin).into()) {
                    self.problem(format!("no step lets {kin} replay; add a step do.replay"));
                }
            }
            Expect::Restored { record } | Expect::Status { record, .. } => self.record(record),
            Expect::Convicted { validators } => {
                for validator in validators {
                    self.actor((*validator).into());
                }
            }
            Expect::Epoch { patient, .. }
            | Expect::Proved { patient, .. }
            | Expect::Rules { patient, .. } => {
                self.actor((*patient).into());
            }
            Expect::Device { patient, is } => {
                self.actor((*patient).into());
                self.actor((*is).into());
            }
            Expect::WrongShares { kin } => {
                for kin in kin {
                    self.actor((*kin).into());
                }
            }
            Expect::Roster { patient, kin } => self.kin_of(*patient, kin),
            Expect::NothingLeft {} | Expect::ViewChanges { .. } | Expect::Height { .. } => {}
        }
    }

    fn actor(&mut self, name: ActorName) {
        let cast = self.cast;
        let (there, most) = match name {
            ActorName::Validator(n) | ActorName::Leader(n) => (
                n < cast.validators,
                format!("validators = {}", cast.validators),
            ),
            ActorName::Hospital(n) => (
                n < cast.hospitals,
                format!("hospitals = {}", cast.hospitals),
            ),
            ActorName::Patient(n) => (n < cast.patients, format!("patients = {}", cast.patients)),
            ActorName::Kin(patient, n) => (
                patient < cast.patients && n < cast.relatives,
                format!(
                    "patients = {}, relatives = {}",
                    cast.patients, cast.relatives
                ),
            ),
            ActorName::Driver => (false, "the driver is the script itself".to_owned()),
        };
        if !there {
            self.problem(format!(
                "there is no {name} in this cast ({most}, numbers start at 0)"
            ));
        }
    }

    fn links(
        &mut self,
        of: &[super::words::AnyName],
        between: Option<(super::words::AnyName, super::words::AnyName)>,
        needed: bool,
    ) {
        let both = !of.is_empty() && between.is_some();
        let none = of.is_empty() && between.is_none();
        if both || (none && needed) {
            self.problem("say which links: of = [actors] for all links of these, or between = [a, b] for one");
        }
        let pair = between.into_iter().flat_map(|(a, b)| [a, b]);
        for name in of.iter().copied().chain(pair) {
            self.actor(name.0);
        }
    }

    fn conduct(&mut self, name: ActorName, conduct: ConductKind) {
        self.actor(name);
        match (name, conduct) {
            (ActorName::Kin(..), ConductKind::Equivocate | ConductKind::DoubleVote) => {
                self.problem(
                    "a kin can 'forge', 'withhold', 'deal_wrong', be 'silent' or 'honest'; only validators vote",
                );
            }
            (ActorName::Kin(..), _)
            | (
                ActorName::Validator(_),
                ConductKind::Silent
                | ConductKind::Equivocate
                | ConductKind::DoubleVote
                | ConductKind::Honest,
            ) => {}
            (
                ActorName::Validator(_),
                ConductKind::Forge | ConductKind::Withhold | ConductKind::DealWrong,
            ) => {
                self.problem("a validator can be 'silent', 'equivocate', 'double_vote' or 'honest'")
            }
            _ => self.problem("only a kin or a validator can be Byzantine"),
        }
    }

    fn device(&mut self, patient: PatientName, device: PatientName) {
        self.actor(patient.into());
        self.actor(device.into());
        if patient == device {
            self.problem(format!("{device} is the patient's old device; name another patient of the cast as the new one"));
        }
    }

    fn kin_of(&mut self, patient: PatientName, kin: &[super::words::KinName]) {
        self.actor(patient.into());
        for kin in kin {
            self.actor((*kin).into());
        }
    }

    fn decision(&mut self, case: &str, kin: &[super::words::KinName]) {
        self.case(case);
        self.some(kin.is_empty(), "kin");
        for kin in kin {
            self.actor((*kin).into());
        }
    }

    fn some(&mut self, empty: bool, what: &str) {
        if empty {
            self.problem(format!("{what} is empty; name at least one"));
        }
    }

    fn case(&mut self, case: &str) {
        if !self.cases.contains(case) {
            self.problem(format!("no step before this requests a case '{case}'; add case = \"{case}\" to a do.request"));
        }
    }

    fn consent(&mut self, consent: &str) {
        if !self.consents.contains(consent) {
            self.problem(format!("no step before this gives a consent '{consent}'; add consent = \"{consent}\" to a do.grant_consent"));
        }
    }

    fn record(&mut self, record: &str) {
        if !self.records.contains(record) {
            self.problem(format!("no step before this writes a record '{record}'; add record = \"{record}\" to a do.write"));
        }
    }

    fn bundle(&mut self, bundle: &str) {
        if !BUILT_IN.contains(&bundle) && !bundle_path(&self.path, bundle).is_file() {
            self.problem(format!(
                "bundle = \"{bundle}\" is neither built in ({}) nor a file beside the script",
                BUILT_IN.join(", ")
            ));
        }
    }
}

/// Where the file of a bundle is: relative to the script.
pub(super) fn bundle_path(script: &Path, bundle: &str) -> PathBuf {
    script.parent().unwrap_or(Path::new("")).join(bundle)
}

impl Cast {
    /// The cluster that this cast needs.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape {
            validators: self.validators,
            hospitals: self.hospitals,
            patients: self.patients,
            relatives: self.relatives,
            profile: self.profile,
        }
    }
}

impl Act {
    /// The word in a script.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Enrol(_) => "enrol",
            Self::Write(_) => "write",
            Self::Crash(_) => "crash",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Cut(_) => "cut",
            Self::Slow(_) => "slow",
            Self::Lose(_) => "lose",
            Self::Heal(_) => "heal",
            Self::Byzantine(_) => "byzantine",
            Self::Request(_) => "request",
            Self::GrantConsent(_) => "grant_consent",
            Self::RevokeConsent(_) => "revoke_consent",
            Self::RenewConsent(_) => "renew_consent",
            Self::TakeConsents(_) => "take_consents",
            Self::ReadWithConsent(_) => "read_with_consent",
            Self::MisuseConsent(_) => "misuse_consent",
            Self::WaitConsent(_) => "wait_consent",
            Self::ChangeRoster(_) => "change_roster",
            Self::Invitations(_) => "invitations",
            Self::ChangeRules(_) => "change_rules",
            Self::WaitRules(_) => "wait_rules",
            Self::Roster(_) => "roster",
            Self::Vouch(_) => "vouch",
            Self::WaitDevice(_) => "wait_device",
            Self::Rebuild(_) => "rebuild",
            Self::WaitErased(_) => "wait_erased",
            Self::NewPhone(_) => "new_phone",
            Self::WaitEpoch(_) => "wait_epoch",
            Self::WaitDrill(_) => "wait_drill",
            Self::WaitReadiness(_) => "wait_readiness",
            Self::WaitRoster(_) => "wait_roster",
            Self::WaitPieces(_) => "wait_pieces",
            Self::Wipe(_) => "wipe",
            Self::NameSecond(_) => "name_second",
            Self::WithdrawSecond(_) => "withdraw_second",
            Self::WaitSecond(_) => "wait_second",
            Self::WaitSecondCircle(_) => "wait_second_circle",
            Self::Approve(_) => "approve",
            Self::Refuse(_) => "refuse",
            Self::Veto(_) => "veto",
            Self::Revoke(_) => "revoke",
            Self::Replay(_) => "replay",
            Self::Read(_) => "read",
            Self::Close(_) => "close",
            Self::Erase(_) => "erase",
            Self::Review(_) => "review",
            Self::WaitOverdue(_) => "wait_overdue",
            Self::Disclose(_) => "disclose",
            Self::WaitPhase(_) => "wait_phase",
            Self::WaitHeight(_) => "wait_height",
            Self::WaitRelease(_) => "wait_release",
            Self::WaitRestart(_) => "wait_restart",
            Self::WaitCatchUp(_) => "wait_catch_up",
            Self::WaitConvicted(_) => "wait_convicted",
            Self::Restore(_) => "restore",
        }
    }
}
