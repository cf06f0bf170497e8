//! How often a hospital may ask.
//!
//! What keeps records shut is the kin's quorum; these limits keep kin from being worn down, and the state from being
//! filled with cases, by a hospital that asks out of curiosity or whose keys were stolen. So they are set well above what a
//! large trauma centre needs and well below what going through a register would take. A request that is turned away stands
//! on chain all the same, as an attempt that anybody can count; against one that floods the chain with them helps its revocation.
//!
//! Every attempt counts, also one that is refused, expires or names nobody; one that is turned away here does not, or a
//! hospital that goes on asking would never get its turn. Threats to life are counted apart and have larger bounds, so that no
//! number of other requests can stand in their way.

use crate::emergency::Purpose;
use crate::ids::{HospitalId, PatientId};
use crate::ledger::event::Rejection;
use crate::ledger::state::State;
use crate::units::Millis;
use serde::{Deserialize, Serialize};

/// Requests without threat to life that a hospital may make about one patient within a day: one for each tier, and once
/// more because of an error or for the second circle.
pub const REQUESTS_PER_PATIENT_MAX: u32 = 6;
/// Requests without threat to life that a hospital may make within a day.
pub const REQUESTS_PER_HOSPITAL_MAX: u32 = 128;
/// Requests in a threat to life that a hospital may make about one patient within a day: ambulance, emergency room and ward
/// ask anew, sessions end, devices break.
pub const URGENT_PER_PATIENT_MAX: u32 = 16;
/// Requests in a threat to life that a hospital may make within a day: a mass accident, with several requests for each of
/// a hundred patients.
pub const URGENT_PER_HOSPITAL_MAX: u32 = 512;

const HOUR_MS: u64 = 3_600_000;
/// How many past hours count beside the present one: the span is never shorter than a day.
const HOURS: u64 = 24;

/// Hour of block time, and who asked about whom.
pub(crate) type AttemptKey = (u64, HospitalId, PatientId);

/// How often one hospital asked about one patient within one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    urgent: u32,
    other: u32,
}

/// Which of a hospital's limits is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLimit {
    /// Requests about one patient.
    Patient,
    /// Requests in all.
    Hospital,
}

impl core::fmt::Display for RequestLimit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Patient => "about this patient",
            Self::Hospital => "in all",
        })
    }
}

impl Attempts {
    fn of(self, purpose: Purpose) -> u32 {
        match purpose {
            Purpose::BreakGlass => self.urgent,
            Purpose::EmergencyTreatment => self.other,
        }
    }

    fn plus_one(mut self, purpose: Purpose) -> Self {
        let count = match purpose {
            Purpose::BreakGlass => &mut self.urgent,
            Purpose::EmergencyTreatment => &mut self.other,
        };
        *count = count.saturating_add(1);
        self
    }
}

impl State {
    /// Counts an attempt, if the hospital has not made too many within a day.
    pub(super) fn count_attempt(
        &mut self,
        now: Millis,
        hospital: HospitalId,
        patient: PatientId,
        purpose: Purpose,
    ) -> Result<(), Rejection> {
        let hour = now.0 / HOUR_MS;
        let (mut about, mut all) = (Vec::new(), Vec::new());
        for past in hour.saturating_sub(HOURS)..=hour {
            let (mut here, mut sum) = (0, 0);
            let range =
                (past, hospital, PatientId([0; 32]))..=(past, hospital, PatientId([0xff; 32]));
            // At most as many as the limits together allow.
            for ((_, _, whom), attempts) in self.attempts.range(range) {
                let count = attempts.of(purpose);
                sum += count;
                if *whom == patient {
                    here = count;
                }
            }
            about.push((past, here));
            all.push((past, sum));
        }
        let (per_patient, per_hospital) = match purpose {
            Purpose::BreakGlass => (URGENT_PER_PATIENT_MAX, URGENT_PER_HOSPITAL_MAX),
            Purpose::EmergencyTreatment => (REQUESTS_PER_PATIENT_MAX, REQUESTS_PER_HOSPITAL_MAX),
        };
        let reached = [
            (RequestLimit::Patient, free_again(&about, per_patient)),
            (RequestLimit::Hospital, free_again(&all, per_hospital)),
        ];
        let latest = reached
            .into_iter()
            .filter_map(|(limit, until)| Some((limit, until?)))
            .max_by_key(|(_, until)| *until);
        if let Some((limit, until)) = latest {
            return Err(Rejection::TooOften {
                hospital,
                limit,
                until,
            });
        }
        let key = (hour, hospital, patient);
        let attempts = self.attempts.get(&key).copied().unwrap_or_default();
        self.attempts.put(key, attempts.plus_one(purpose));
        Ok(())
    }

    /// Forgets attempts that no limit counts any more.
    pub(super) fn forget_attempts(&mut self, now: Millis) {
        let oldest = (now.0 / HOUR_MS).saturating_sub(HOURS);
        let start = (oldest, HospitalId([0; 32]), PatientId([0; 32]));
        let old: Vec<AttemptKey> = self.attempts.range(..start).map(|(key, _)| *key).collect();
        for key in &old {
            self.attempts.remove(key);
        }
    }
}

/// When fewer than `max` attempts count again; none when they are fewer now. Counts by hour, the oldest first.
fn free_again(by_hour: &[(u64, u32)], max: u32) -> Option<Millis> {
    let mut counted: u32 = by_hour.iter().map(|(_, count)| count).sum();
    if counted < max {
        return None;
    }
    let last = by_hour.iter().find(|(_, count)| {
        counted = counted.saturating_sub(*count);
        counted < max
    });
    last.map(|(hour, _)| Millis((hour + HOURS + 1).saturating_mul(HOUR_MS)))
}
