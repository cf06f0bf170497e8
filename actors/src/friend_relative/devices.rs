//! Which device speaks for a patient, as it was last proved: for who fetches many things in a row.

use super::desk::lock;
use kithkin_protocol::ids::{AccountId, PatientId};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// For how long a proof counts: a device that was lost is to get nothing for long after another has taken its place.
const FRESH: Duration = Duration::from_secs(30);

/// Devices by patient.
#[derive(Default)]
pub(super) struct Devices(Mutex<BTreeMap<PatientId, (Instant, AccountId)>>);

impl Devices {
    /// Takes over what was proved at that moment.
    pub(super) fn put(&self, patient: PatientId, device: AccountId, proved: Instant) {
        lock(&self.0).insert(patient, (proved, device));
    }

    /// Whether this device was proved to speak for the patient a moment before `now`.
    pub(super) fn know(&self, patient: PatientId, device: AccountId, now: Instant) -> bool {
        let known = lock(&self.0).get(&patient).copied();
        known.is_some_and(|(proved, known)| {
            known == device && now.saturating_duration_since(proved) < FRESH
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_proved_anew_after_a_while() {
        let (patient, device) = (PatientId([1; 32]), AccountId([2; 32]));
        let devices = Devices::default();
        let now = Instant::now();
        assert!(!devices.know(patient, device, now));
        devices.put(patient, device, now);
        assert!(devices.know(patient, device, now));
        assert!(!devices.know(patient, AccountId([3; 32]), now));
        assert!(!devices.know(PatientId([2; 32]), device, now));
        let just = FRESH.checked_sub(Duration::from_millis(1)).expect("long");
        assert!(devices.know(patient, device, now + just));
        assert!(!devices.know(patient, device, now + FRESH));
    }
}
