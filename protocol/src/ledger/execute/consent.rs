//! Grants: what gives one, what moves it on, and what is kept beside it.

use super::Run;
use crate::consent::{ConsentError, Grant, GrantDeed, GrantEvent, LIVE_GRANTS_MAX, Renewal};
use crate::crypto::VerifyingKey;
use crate::ids::{AccountId, GrantId, HospitalId, PatientId, TxId};
use crate::ledger::event::{Rejection, What};
use crate::ledger::state::State;
use crate::units::{Height, Millis, Tier};

impl State {
    /// Gives a grant: the patient has signed the transaction, the hospital the terms.
    pub(super) fn grant_access(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        deed: &GrantDeed,
    ) -> Result<(), Rejection> {
        let terms = &deed.terms;
        let patient = terms.patient;
        if !self.patients.contains(&patient) {
            return Err(Rejection::UnknownPatient { patient });
        }
        if !self.speaks_for(signer, patient) {
            return Err(ConsentError::NotAllowed { role: "patient" }.into());
        }
        let key = self.key_of_hospital(terms.hospital)?;
        terms.check(run.now, run.height)?;
        let chain = self.meta().chain;
        let given = Grant::new(deed, chain, (run.height, cause.1, cause.0), run.now);
        let grant = given.id;
        if self.grants.contains(&grant) {
            return Err(ConsentError::Known { grant }.into());
        }
        terms.verify(chain, &key, &deed.hospital_signature)?;
        if self.live_grants(patient) >= LIVE_GRANTS_MAX {
            return Err(ConsentError::TooMany { patient }.into());
        }
        self.put_grant(run, Some(cause), given, GrantEvent::Granted);
        Ok(())
    }

    /// Moves a grant's end: the patient has signed the transaction, the hospital the renewal.
    pub(super) fn renew_grant(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        renewal: &Renewal,
    ) -> Result<(), Rejection> {
        let terms = &self.known_grant(renewal.grant)?.terms;
        let (hospital, signer) = (terms.hospital, self.party(signer, terms.patient));
        let (now, chain) = (run.now, self.meta().chain);
        // A hospital that has lost its accreditation meanwhile gets no more time.
        let key = self.key_of_hospital(hospital)?;
        self.step_grant(run, cause, renewal.grant, |grant| {
            grant.on_renew(signer.into(), renewal, (chain, &key), now)
        })
    }

    /// Ends a grant: the patient or the hospital has signed.
    pub(super) fn revoke_grant(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        grant: GrantId,
    ) -> Result<(), Rejection> {
        let patient = self.known_grant(grant)?.patient();
        let (signer, now) = (self.party(signer, patient), run.now);
        self.step_grant(run, cause, grant, |grant| grant.on_revoke(signer, now))
    }

    /// Notes a read. A hospital that has lost its accreditation meanwhile reads no more.
    pub(super) fn read_grant(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        (grant, tier, records): (GrantId, Tier, u32),
    ) -> Result<(), Rejection> {
        let hospital = self.require_hospital(signer)?;
        let now = run.now;
        self.step_grant(run, cause, grant, |grant| {
            grant.on_read(hospital, tier, records, now)
        })
    }

    pub(super) fn step_grant(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        id: GrantId,
        step: impl FnOnce(&mut Grant) -> Result<GrantEvent, ConsentError>,
    ) -> Result<(), Rejection> {
        let mut grant = self.known_grant(id)?.clone();
        let event = step(&mut grant)?;
        grant.note(cause.0);
        self.put_grant(run, Some(cause), grant, event);
        Ok(())
    }

    /// Ends every grant whose time is over.
    pub(super) fn expire_grants(&mut self, run: &mut Run) {
        let due: Vec<(Millis, GrantId)> = self
            .grant_deadlines
            .range(..=(run.now, GrantId([0xff; 32])))
            .map(|(key, ())| *key)
            .collect();
        for (_, id) in due {
            if let Some(mut grant) = self.grants.get(&id).cloned()
                && let Some(event) = grant.on_time(run.now)
            {
                self.put_grant(run, None, grant, event);
            }
        }
    }

    /// Ends every live grant of a hospital that is accredited no more.
    pub(super) fn end_grants(&mut self, run: &mut Run, cause: (TxId, u32), hospital: HospitalId) {
        // Every live grant has a deadline.
        let live = self.grant_deadlines.iter();
        let theirs: Vec<Grant> = live
            .filter_map(|((_, id), ())| self.grants.get(id))
            .filter(|grant| grant.terms.hospital == hospital)
            .cloned()
            .collect();
        for mut grant in theirs {
            if let Some(event) = grant.on_hospital_revoked(run.now) {
                grant.note(cause.0);
                self.put_grant(run, Some(cause), grant, event);
            }
        }
    }

    /// Stores a grant after a step: keeps its deadline and its place among the patient's, tells who follows.
    fn put_grant(
        &mut self,
        run: &mut Run,
        cause: Option<(TxId, u32)>,
        grant: Grant,
        step: GrantEvent,
    ) {
        let (id, patient) = (grant.id, grant.patient());
        let place = |ended: bool| (patient, ended, grant.height, grant.index);
        if let Some(before) = self.grants.get(&id).and_then(Grant::deadline) {
            self.grant_deadlines.remove(&(before, id));
        }
        if let Some(deadline) = grant.deadline() {
            self.grant_deadlines.put((deadline, id), ());
        } else {
            self.patient_grants.remove(&place(false));
        }
        self.patient_grants.put(place(!grant.is_live()), id);
        run.emit(
            cause,
            What::Grant {
                grant: id,
                patient,
                hospital: grant.terms.hospital,
                step,
            },
        );
        self.grants.put(id, grant);
    }

    fn known_grant(&self, grant: GrantId) -> Result<&Grant, ConsentError> {
        let known = self.grants.get(&grant);
        known.ok_or(ConsentError::Unknown { grant })
    }

    /// How many grants of the patient are live; looks at no others.
    fn live_grants(&self, patient: PatientId) -> usize {
        let first = (patient, false, Height(0), 0);
        let last = (patient, false, Height(u64::MAX), u32::MAX);
        self.patient_grants.range(first..=last).count()
    }

    fn key_of_hospital(&self, hospital: HospitalId) -> Result<VerifyingKey, Rejection> {
        let hospital = self.require_hospital(hospital.into())?;
        let known = self.hospitals.get(&hospital);
        let signer = hospital.into();
        let known = known.ok_or(Rejection::NotHospital { signer })?;
        Ok(known.info.key)
    }
}
