//! What the ledger knows of grants. How a block changes them is in [`super::execute`].

use crate::consent::Grant;
use crate::ids::{GrantId, PatientId};
use crate::ledger::state::State;
use crate::ledger::table::Table;
use crate::units::Height;

impl State {
    /// A grant.
    #[must_use]
    pub fn grant(&self, id: GrantId) -> Option<&Grant> {
        self.grants.get(&id)
    }

    /// The grants of one patient: first those that are live, oldest first, then those that have ended.
    pub fn grants_of(&self, patient: PatientId) -> impl Iterator<Item = &Grant> {
        self.patient_grants
            .range((patient, false, Height(0), 0)..=(patient, true, Height(u64::MAX), u32::MAX))
            .filter_map(|(_, id)| self.grants.get(id))
    }

    /// The key of a grant in the authenticated state.
    #[must_use]
    pub fn grant_key(id: GrantId) -> Vec<u8> {
        Table::<GrantId, Grant>::new(17).state_key(&id)
    }
}
