//! What people do in a script: enrol, write, ask, decide, read, close, wait.
//!
//! Not here: the harm that is done ([`super::harm`]).

use super::check::bundle_path;
use super::expect::list;
use super::player::{Done, PlayedCase, PlayedRecord, Player, StepError};
use super::script::{
    Act, Approve, Enrol, Read, Refuse, Replay, Request, Restore, Revoke, SourceKind, WaitCatchUp,
    WaitConvicted, WaitHeight, WaitPhase, WaitRelease, WaitRestart, Write,
};
use super::words::KinName;
use crate::compare::file_is_back;
use crate::stage::{Ask, StageError};
use crate::timeline::Mood;
use crate::waiting::until;
use kithkin_actors::friend_relative::messages::Decision;
use kithkin_actors::patient::messages::Source;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::upload::OpenedRecord;
use kithkin_fhir::fixture;
use kithkin_protocol::emergency::{CaseEvent, TierPolicy};
use kithkin_protocol::ids::KinId;
use kithkin_protocol::ledger::What;
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) type Outcome = Result<Done, StepError>;

impl Player<'_> {
    /// Does what a step says.
    pub(super) async fn act(&mut self, act: &Act) -> Outcome {
        match act {
            Act::Enrol(enrol) => self.enrol(enrol).await,
            Act::Write(write) => self.write(write).await,
            Act::Crash(crash) => self.crash(crash).await,
            Act::Hold(hold) => self.hold(hold).await,
            Act::Release(release) => self.release(release).await,
            Act::Cut(links) => Ok(self.cut(links)),
            Act::Slow(slow) => Ok(self.slow(slow)),
            Act::Lose(lose) => Ok(self.lose(lose)),
            Act::Heal(links) => Ok(self.heal(links)),
            Act::Byzantine(byzantine) => self.byzantine(byzantine).await,
            Act::Request(request) => self.request(request).await,
            Act::GrantConsent(grant) => self.grant_consent(grant).await,
            Act::RevokeConsent(revoke) => self.revoke_consent(revoke).await,
            Act::RenewConsent(renew) => self.renew_consent(renew).await,
            Act::TakeConsents(take) => self.take_consents(take).await,
            Act::ReadWithConsent(read) => self.read_with_consent(read).await,
            Act::MisuseConsent(of) => self.misuse_consent(of).await,
            Act::WaitConsent(wait) => self.wait_consent(wait).await,
            Act::ChangeRoster(change) => self.change_roster(change).await,
            Act::Invitations(on) => self.invitations(on).await,
            Act::ChangeRules(change) => self.change_rules(change).await,
            Act::WaitRules(wait) => self.wait_rules(wait).await,
            Act::Roster(roster) => self.roster(roster).await,
            Act::Vouch(vouch) => self.vouch(vouch).await,
            Act::WaitDevice(wait) => self.wait_device(wait).await,
            Act::Rebuild(rebuild) => self.rebuild(rebuild).await,
            Act::WaitErased(wait) => self.wait_erased(wait).await,
            Act::NewPhone(phone) => self.new_phone(phone).await,
            Act::WaitEpoch(wait) => self.wait_epoch(wait).await,
            Act::WaitDrill(wait) => self.wait_drill(wait).await,
            Act::WaitReadiness(wait) => self.wait_readiness(wait).await,
            Act::WaitRoster(wait) => self.wait_roster(wait).await,
            Act::WaitPieces(wait) => self.wait_pieces(wait).await,
            Act::Wipe(of) => self.wipe(of.kin).await,
            Act::NameSecond(name) => self.name_second(name).await,
            Act::WithdrawSecond(of) => self.withdraw_second(of).await,
            Act::WaitSecond(wait) => self.wait_second(wait).await,
            Act::WaitSecondCircle(wait) => self.wait_second_circle(wait).await,
            Act::Approve(approve) => self.approve(approve).await,
            Act::Refuse(refuse) => self.refuse(refuse).await,
            Act::Veto(of) => self.veto(&of.case).await,
            Act::Revoke(revoke) => self.revoke(*revoke).await,
            Act::Replay(replay) => self.replay(replay).await,
            Act::Read(read) => self.read(read).await,
            Act::Close(of) => self.close(&of.case).await,
            Act::Erase(erase) => self.erase(erase).await,
            Act::Review(review) => self.review(review).await,
            Act::WaitOverdue(wait) => self.wait_overdue(wait).await,
            Act::Disclose(disclose) => self.disclose(disclose).await,
            Act::WaitPhase(wait) => self.wait_phase(wait).await,
            Act::WaitHeight(wait) => self.wait_height(wait).await,
            Act::WaitRelease(wait) => self.wait_release(wait).await,
            Act::WaitRestart(wait) => self.wait_restart(wait).await,
            Act::WaitCatchUp(wait) => self.wait_catch_up(wait).await,
            Act::WaitConvicted(wait) => self.wait_convicted(wait).await,
            Act::Restore(restore) => self.restore(restore).await,
        }
    }

    async fn enrol(&self, enrol: &Enrol) -> Outcome {
        let mut policies = Vec::new();
        for tier in Tier::ALL {
            let mut policy = TierPolicy::default_for(tier);
            if let Some(waiting) = enrol.waiting {
                policy.waiting_ms = Millis(super::report::millis(waiting.0));
            }
            policy.openable |= enrol.sensitive;
            if policy != TierPolicy::default_for(tier) {
                policies.push((tier, policy));
            }
        }
        let wish = self.wish(enrol, policies)?;
        let second = match &wish.second {
            Some(second) => format!(
                "; a second circle of {} holds a sharing of the summary key",
                second.roster.len()
            ),
            None => String::new(),
        };
        let enrolled = self.stage.enrol_so(enrol.patient.0, wish).await?;
        let what = format!(
            "enrols with {} kin; {} of them can open{second}",
            enrolled.kin, enrolled.threshold
        );
        Ok(done(enrol.patient, what, Some(enrolled.height)))
    }

    async fn write(&mut self, write: &Write) -> Outcome {
        let bytes = self.bundle(&write.bundle)?;
        let (hospital, patient) = (write.hospital.0, write.patient.0);
        let bundle = Arc::new(bytes.clone());
        let written = self
            .stage
            .write(hospital, patient, bundle, write.patience.0)
            .await?;
        let batches = written.batches.iter();
        let tiers = batches
            .map(|batch| format!("{} {} {}", batch.records, batch.tier, batch.status.as_str()));
        let what = format!(
            "seals record {} of {} bytes: {}",
            write.record,
            written.bytes,
            list(tiers)
        );
        let height = written.batches.iter().map(|batch| batch.height).max();
        let record = PlayedRecord {
            patient,
            bytes,
            written,
            restored: false,
            erased: Vec::new(),
        };
        self.records.insert(write.record.clone(), record);
        Ok(done(write.hospital, what, height))
    }

    fn bundle(&self, bundle: &str) -> Result<Vec<u8>, StepError> {
        match bundle {
            "demo" => Ok(fixture::demo_bundle().to_vec()),
            "document" => Ok(fixture::document_bundle().to_vec()),
            "collection" => Ok(fixture::collection_bundle().to_vec()),
            file => {
                let path = bundle_path(&self.loaded.path, file);
                std::fs::read(&path).map_err(|source| StepError::Bundle {
                    path: path.display().to_string(),
                    source,
                })
            }
        }
    }

    async fn request(&mut self, request: &Request) -> Outcome {
        let (hospital, patient) = (request.hospital.0, request.patient.0);
        let (roots, sealed) = self.on_chain(patient);
        let ask = Ask {
            tiers: request.tiers.clone(),
            purpose: request.purpose,
            reason: request.reason,
            expires_in: request.expires.0,
            session: request.session.0,
            after: match &request.after {
                Some(after) => Some(self.case(after)?.id),
                None => None,
            },
        };
        let requested = self.stage.request(hospital, patient, ask).await?;
        let what = format!(
            "asks for {} of {} (case {}, {})",
            list(&request.tiers),
            request.patient,
            request.case,
            request.purpose.code()
        );
        let case = PlayedCase {
            id: requested.case,
            hospital,
            patient,
            roots,
            sealed,
            opened: BTreeMap::new(),
            forged: BTreeSet::new(),
        };
        self.cases.insert(request.case.clone(), case);
        Ok(done(request.hospital, what, Some(requested.height)))
    }

    async fn approve(&self, approve: &Approve) -> Outcome {
        self.decide(&approve.kin, &approve.case, Decision::Approve, "approve")
            .await
    }

    async fn refuse(&self, refuse: &Refuse) -> Outcome {
        let decision = Decision::Refuse(refuse.reason);
        self.decide(&refuse.kin, &refuse.case, decision, "refuse")
            .await
    }

    async fn decide(&self, kin: &[KinName], case: &str, decision: Decision, word: &str) -> Outcome {
        let id = self.case(case)?.id;
        let mut last = None;
        for kin in kin {
            last = Some(self.stage.decide(kin.0, kin.1, id, decision).await?);
        }
        let phase = last.map_or("unchanged", |decided| decided.phase.as_str());
        let what = match kin {
            [_] => format!("{word}s case {case}: it is {phase}"),
            several => format!("{} {word} case {case}: it is {phase}", list(several)),
        };
        let who = match kin {
            [one] => one.to_string(),
            _ => "kin".to_owned(),
        };
        Ok(done(who, what, last.map(|decided| decided.height)))
    }

    async fn veto(&self, name: &str) -> Outcome {
        let case = self.case(name)?;
        let device = self.device_of(case.patient);
        let height = self.stage.veto(device, case.id).await?;
        let who = ActorName::Patient(device);
        Ok(done(who, format!("vetoes case {name}"), Some(height)))
    }

    async fn revoke(&self, revoke: Revoke) -> Outcome {
        let height = self.stage.revoke_hospital(revoke.hospital.0).await?;
        let what = format!("revoke the accreditation of {}", revoke.hospital);
        Ok(done("validators", what, Some(height)))
    }

    async fn replay(&mut self, replay: &Replay) -> Outcome {
        let (from, into) = (self.case(&replay.from)?.id, self.case(&replay.into)?.id);
        let KinName(patient, kin) = replay.kin;
        let replayed = self.stage.replay(patient, kin, from, into).await?;
        let word = |reason: &Option<String>| match reason {
            Some(reason) => format!("refused ({reason})"),
            None => "NOT refused".to_owned(),
        };
        let what = format!(
            "sends its approval of case {} again: {}; points it at case {}: {}",
            replay.from,
            word(&replayed.again),
            replay.into,
            word(&replayed.moved)
        );
        self.replays.insert(replay.kin.into(), replayed);
        Ok(Done {
            mood: Mood::Harm,
            ..done(replay.kin, what, None)
        })
    }

    async fn read(&mut self, read: &Read) -> Outcome {
        let case = self.case(&read.case)?;
        let (id, hospital) = (case.id, case.hospital);
        let opened = self
            .stage
            .read(hospital, id, read.tier, read.within.0)
            .await?;
        let directory = self.stage.cluster().setting().directory.clone();
        let forged: BTreeSet<ActorName> = opened
            .forged
            .iter()
            .filter_map(|kin| directory.name(*kin))
            .collect();
        let mut tiers = by_tier(opened.records);
        let mut what = format!("reads case {}: {}", read.case, counts(&tiers));
        if !forged.is_empty() {
            what = format!("{what}; forged by {}", list(&forged));
        }
        if let Some(case) = self.cases.get_mut(&read.case) {
            case.opened.append(&mut tiers);
            case.forged.extend(forged);
        }
        Ok(done(
            ActorName::Hospital(hospital),
            what,
            Some(opened.height),
        ))
    }

    async fn close(&self, name: &str) -> Outcome {
        let case = self.case(name)?;
        let height = self.stage.close(case.hospital, case.id).await?;
        let who = ActorName::Hospital(case.hospital);
        Ok(done(who, format!("closes case {name}"), Some(height)))
    }

    async fn wait_phase(&self, wait: &WaitPhase) -> Outcome {
        let id = self.case(&wait.case)?.id;
        let case = self.stage.case_in(id, &wait.is, wait.within.0).await?;
        let what = format!("case {} is {}", wait.case, case.phase.as_str());
        Ok(done("ledger", what, None))
    }

    async fn wait_height(&self, wait: &WaitHeight) -> Outcome {
        let what = format!("height {}", wait.height);
        until(self.stage.board(), &what, wait.within.0, |board| {
            (board.height() >= Height(wait.height)).then_some(())
        })
        .await?;
        Ok(done("ledger", format!("has come to {what}"), None))
    }

    async fn wait_release(&self, wait: &WaitRelease) -> Outcome {
        let id = self.case(&wait.case)?.id;
        let mut wanted = BTreeSet::new();
        for kin in &wait.kin {
            wanted.insert(self.kin_id(*kin)?);
        }
        let what = format!("the release of {}", list(&wait.kin));
        until(self.stage.board(), &what, wait.within.0, |board| {
            let events = board.events();
            let released = events.iter().filter_map(|(_, event)| match &event.what {
                What::Case {
                    case,
                    step: CaseEvent::Released(kin, _),
                    ..
                } if *case == id => Some(*kin),
                _ => None,
            });
            wanted.is_subset(&released.collect()).then_some(())
        })
        .await?;
        let what = format!(
            "{} released partial openings for case {}",
            list(&wait.kin),
            wait.case
        );
        Ok(done("kin", what, None))
    }

    async fn wait_restart(&self, wait: &WaitRestart) -> Outcome {
        let name = wait.actor.0;
        let what = format!("{name} dying");
        let reason = until(self.stage.board(), &what, wait.within.0, |board| {
            let mut restarts = board.restarts().into_iter();
            restarts
                .find(|restart| restart.name == name)
                .map(|restart| restart.reason)
        })
        .await?;
        Ok(done(
            "supervisor",
            format!("has noticed that {name} {reason}"),
            None,
        ))
    }

    async fn wait_catch_up(&self, wait: &WaitCatchUp) -> Outcome {
        let goal = self.stage.board().height();
        let all = self.stage.cluster().shape().validators;
        let who = wait.validator.map(|validator| validator.0);
        let what = format!(
            "every block up to height {goal} at {}",
            match who {
                Some(n) => ActorName::Validator(n).to_string(),
                None => "every validator".to_owned(),
            }
        );
        until(self.stage.board(), &what, wait.within.0, |board| {
            let glance = board.glance();
            let mut waited_for = (0..all).filter(|n| who.is_none_or(|who| who == *n));
            let there = waited_for.all(|n| {
                let height = glance.heights.get(&kithkin_protocol::ids::ValidatorId(n));
                height.is_some_and(|height| *height >= goal)
            });
            there.then_some(())
        })
        .await?;
        Ok(done("validators", format!("hold {what}"), None))
    }

    async fn wait_convicted(&self, wait: &WaitConvicted) -> Outcome {
        let name = wait.validator;
        let what = format!("conviction {} of {name}", wait.times);
        let convicted = until(self.stage.board(), &what, wait.within.0, |board| {
            let newest = board.glance().newest?;
            let row = newest.rows.into_iter().find(|row| row.id.0 == name.0)?;
            (row.offences >= wait.times).then_some((row, newest.height))
        });
        let (row, height) = convicted.await?;
        let jail = match row.jailed_until {
            Some(until) => format!(", jailed until height {until}"),
            None => String::new(),
        };
        let (times, credit) = (row.offences, row.credit);
        let what = format!("has convicted {name} ({times}){jail}; its credit is {credit}");
        Ok(done("ledger", what, Some(height)))
    }

    async fn restore(&mut self, restore: &Restore) -> Outcome {
        let Some(record) = self.records.get(&restore.record) else {
            return Err(unknown(&restore.record).into());
        };
        let device = self.device_of(record.patient);
        let source = match restore.source {
            SourceKind::Kin => Source::Kin,
            SourceKind::Hospital => Source::Hospital,
        };
        let roots = record
            .written
            .batches
            .iter()
            .map(|batch| batch.root)
            .collect();
        let tiers = Tier::ALL.to_vec();
        let own = self.stage.read_all(device, tiers, roots, source).await?;
        file_is_back(&own, &record.bytes)?;
        let what = format!(
            "has record {} back, {} bytes, byte for byte",
            restore.record,
            record.bytes.len()
        );
        if let Some(record) = self.records.get_mut(&restore.record) {
            record.restored = true;
        }
        Ok(done(ActorName::Patient(device), what, None))
    }

    /// A case by its name; the script was checked, so a missing one was not requested because its request was refused.
    pub(super) fn case(&self, name: &str) -> Result<&PlayedCase, StageError> {
        self.cases.get(name).ok_or_else(|| unknown(name))
    }

    pub(super) fn kin_id(&self, kin: KinName) -> Result<KinId, StageError> {
        let id = self.stage.cluster().kin(kin.0, kin.1);
        id.ok_or(StageError::NoSuchActor { name: kin.into() })
    }
}

/// What was opened, tier by tier.
pub(super) fn by_tier(records: Vec<OpenedRecord>) -> BTreeMap<Tier, Vec<OpenedRecord>> {
    let mut tiers: BTreeMap<Tier, Vec<OpenedRecord>> = BTreeMap::new();
    for record in records {
        tiers.entry(record.tier).or_default().push(record);
    }
    tiers
}

/// How many records of each tier, in words.
pub(super) fn counts(tiers: &BTreeMap<Tier, Vec<OpenedRecord>>) -> String {
    let counts = tiers.iter();
    list(counts.map(|(tier, records)| format!("{} {tier}", records.len())))
}

/// For a step that succeeded.
pub(super) fn done(who: impl ToString, what: impl Into<String>, height: Option<Height>) -> Done {
    Done {
        who: who.to_string(),
        what: what.into(),
        height,
        mood: Mood::Plain,
    }
}

pub(super) fn unknown(name: &str) -> StageError {
    StageError::TooSlow {
        what: format!("'{name}' was refused when it was asked for, so this"),
        seconds: 0,
    }
}
