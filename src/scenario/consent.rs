//! Consents in a script: what people do about them, and looking whether what was expected of them holds.

use super::acts::{Outcome, by_tier, counts, done};
use super::expect::list;
use super::judge::{Verdict, holds};
use super::player::{Done, Player};
use super::script::{
    Ender, GrantConsent, OfConsent, ReadWithConsent, RenewConsent, RevokeConsent, StandingWord,
    TakeConsents, WaitConsent,
};
use crate::stage::{Consent, StageError};
use crate::timeline::Mood;
use kithkin_actors::hospital::consent::messages::Misused;
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::upload::OpenedRecord;
use kithkin_protocol::consent::Grant;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::GrantId;
use kithkin_protocol::units::Tier;
use std::collections::BTreeMap;

/// A consent by the script's name for it.
pub(super) struct PlayedConsent {
    id: GrantId,
    patient: u16,
    hospital: u16,
    /// Uploads that were on chain when it was given, and how many records each tier had in them.
    roots: Vec<(Tier, Digest)>,
    sealed: BTreeMap<Tier, usize>,
    /// What was read under it, the newest read of each tier.
    opened: BTreeMap<Tier, Vec<OpenedRecord>>,
    /// What kin said when the hospital misused it.
    misused: Vec<Misused>,
}

impl Player<'_> {
    pub(super) async fn grant_consent(&mut self, grant: &GrantConsent) -> Outcome {
        let (patient, hospital) = (grant.patient.0, grant.hospital.0);
        let (roots, sealed) = self.on_chain(patient);
        let consent = Consent {
            tiers: grant.tiers.clone(),
            purpose: grant.purpose,
            begins_in: grant.begins.0,
            ends_in: grant.lasts.0,
        };
        let granted = self.stage.grant(patient, hospital, consent).await?;
        let what = format!(
            "lets {} read {} for {} (consent {}, {}): {} keys sealed to it",
            grant.hospital,
            list(&grant.tiers),
            grant.lasts,
            grant.consent,
            grant.purpose.code(),
            granted.keys
        );
        let consent = PlayedConsent {
            id: granted.grant,
            patient,
            hospital,
            roots,
            sealed,
            opened: BTreeMap::new(),
            misused: Vec::new(),
        };
        self.consents.insert(grant.consent.clone(), consent);
        Ok(done(grant.patient, what, Some(granted.height)))
    }

    pub(super) async fn revoke_consent(&self, revoke: &RevokeConsent) -> Outcome {
        let consent = self.consent(&revoke.consent)?;
        let (patient, hospital, id) = (consent.patient, consent.hospital, consent.id);
        let (who, word, height) = match revoke.by {
            Ender::Patient => {
                let height = self.stage.revoke_grant(patient, id).await?;
                (ActorName::Patient(patient), "takes back", height)
            }
            Ender::Hospital => {
                let height = self.stage.give_back(hospital, id).await?;
                (ActorName::Hospital(hospital), "gives back", height)
            }
        };
        let what = format!("{word} consent {}", revoke.consent);
        Ok(done(who, what, Some(height)))
    }

    pub(super) async fn renew_consent(&self, renew: &RenewConsent) -> Outcome {
        let consent = self.consent(&renew.consent)?;
        let renewed = self
            .stage
            .renew_grant(consent.patient, consent.id, renew.lasts.0)
            .await?;
        let what = format!(
            "renews consent {} for {}, and hospital-{} agrees",
            renew.consent, renew.lasts, consent.hospital
        );
        let who = ActorName::Patient(consent.patient);
        Ok(done(who, what, Some(renewed.height)))
    }

    pub(super) async fn take_consents(&self, take: &TakeConsents) -> Outcome {
        let purposes = take.purposes.clone();
        self.stage.take_grants(take.hospital.0, purposes).await?;
        let codes = take.purposes.iter().map(|purpose| purpose.code());
        let what = format!("signs consents for {} only", list(codes));
        Ok(done(take.hospital, what, None))
    }

    pub(super) async fn read_with_consent(&mut self, read: &ReadWithConsent) -> Outcome {
        let consent = self.consent(&read.consent)?;
        let (id, hospital) = (consent.id, consent.hospital);
        let opened = self
            .stage
            .read_granted(hospital, id, read.tiers.clone(), read.within.0)
            .await?;
        let mut tiers = by_tier(opened.records);
        let counts = counts(&tiers);
        let mut what = format!("reads with consent {}: {counts}", read.consent);
        for (tier, reason) in &opened.shut {
            what = format!("{what}; {tier} stays shut: {reason}");
        }
        if let Some(consent) = self.consents.get_mut(&read.consent) {
            consent.opened.append(&mut tiers);
        }
        let who = ActorName::Hospital(hospital);
        Ok(done(who, what, opened.height))
    }

    pub(super) async fn misuse_consent(&mut self, of: &OfConsent) -> Outcome {
        let consent = self.consent(&of.consent)?;
        let (id, hospital) = (consent.id, consent.hospital);
        let misused = self.stage.misuse_grant(hospital, id).await?;
        let refused = misused.iter().filter_map(|one| one.refused.as_deref());
        let reason = refused.clone().next().unwrap_or("nobody refuses");
        let what = format!(
            "asks {} kin for pieces with consent {}: {} refuse ({reason})",
            misused.len(),
            of.consent,
            refused.clone().count()
        );
        if let Some(consent) = self.consents.get_mut(&of.consent) {
            consent.misused = misused;
        }
        Ok(Done {
            mood: Mood::Harm,
            ..done(ActorName::Hospital(hospital), what, None)
        })
    }

    pub(super) async fn wait_consent(&self, wait: &WaitConsent) -> Outcome {
        let id = self.consent(&wait.consent)?.id;
        let what = format!("consent {} being {}", wait.consent, wait.is.as_str());
        let is = |grant: &Grant| StandingWord::of(grant.standing) == wait.is;
        self.stage.grant_when(id, wait.within.0, &what, is).await?;
        let what = format!("consent {} is {}", wait.consent, wait.is.as_str());
        Ok(done("ledger", what, None))
    }

    /// Uploads of a patient that are on chain, and how many records each tier has in them.
    pub(super) fn on_chain(&self, patient: u16) -> (Vec<(Tier, Digest)>, BTreeMap<Tier, usize>) {
        let (mut roots, mut sealed) = (Vec::new(), BTreeMap::new());
        let there = self.records.values().filter(|one| one.erased.is_empty());
        for record in there.filter(|one| one.patient == patient) {
            for batch in &record.written.batches {
                roots.push((batch.tier, batch.root));
                *sealed.entry(batch.tier).or_default() += batch.records as usize;
            }
        }
        (roots, sealed)
    }

    /// Exactly these tiers were read under it, and every record is the one that the patient's own keys open.
    pub(super) async fn consent_read(&self, name: &str, tiers: &[Tier]) -> Verdict {
        let consent = self.named(name)?;
        if let Some(tier) = consent.opened.keys().find(|tier| !tiers.contains(tier)) {
            return Err(format!("{tier} was read too"));
        }
        let on_chain = (&consent.roots[..], &consent.sealed);
        self.equal_own(consent.patient, on_chain, &consent.opened, tiers)
            .await
    }

    /// Every kin refused what the hospital tried after the end.
    pub(super) fn consent_misuse_refused(&self, name: &str, because: &str) -> Verdict {
        let misused = &self.named(name)?.misused;
        if misused.is_empty() {
            return Err("nobody misused it".to_owned());
        }
        let fits = |one: &&Misused| {
            let refused = one.refused.as_deref();
            refused.is_some_and(|reason| reason.contains(because))
        };
        let refused = misused.iter().filter(fits).count();
        holds(
            refused == misused.len(),
            format!("{refused} of {} kin refused", misused.len()),
        )
    }

    /// The consent as the ledger has it.
    pub(super) async fn proved_consent(&self, name: &str) -> Result<Grant, String> {
        let id = self.named(name)?.id;
        let grant = self.stage.grant_on_chain(id).await;
        let grant = grant.map_err(|error| error.to_string())?;
        grant.ok_or_else(|| format!("the ledger has no consent {name}"))
    }

    fn named(&self, name: &str) -> Result<&PlayedConsent, String> {
        self.consent(name).map_err(|error| error.to_string())
    }

    fn consent(&self, name: &str) -> Result<&PlayedConsent, StageError> {
        let consent = self.consents.get(name);
        consent.ok_or_else(|| super::acts::unknown(name))
    }
}
