//! Which identity lives under which name: what a network of many machines will learn from its peers' certificates.

use crate::ports::names::ActorName;
use kithkin_protocol::ids::{AccountId, HospitalId, KinId, PatientId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names by account and accounts by name. Fixed when a cluster is launched; cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Maps>);

#[derive(Debug, Default)]
struct Maps {
    names: BTreeMap<AccountId, ActorName>,
    accounts: BTreeMap<ActorName, AccountId>,
}

impl Directory {
    /// The directory of these identities.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (ActorName, AccountId)>) -> Self {
        let mut maps = Maps::default();
        for (name, account) in entries {
            maps.names.insert(account, name);
            maps.accounts.insert(name, account);
        }
        Self(Arc::new(maps))
    }

    /// Where an account lives.
    #[must_use]
    pub fn name(&self, account: impl Into<AccountId>) -> Option<ActorName> {
        self.0.names.get(&account.into()).copied()
    }

    /// Who lives under a name.
    #[must_use]
    pub fn account(&self, name: ActorName) -> Option<AccountId> {
        self.0.accounts.get(&name).copied()
    }

    /// The hospital under a name.
    #[must_use]
    pub fn hospital(&self, name: ActorName) -> Option<HospitalId> {
        matches!(name, ActorName::Hospital(_)).then(|| self.account(name).map(Into::into))?
    }

    /// The kin under a name.
    #[must_use]
    pub fn kin(&self, name: ActorName) -> Option<KinId> {
        matches!(name, ActorName::Kin(..)).then(|| self.account(name).map(Into::into))?
    }

    /// The patient under a name.
    #[must_use]
    pub fn patient(&self, name: ActorName) -> Option<PatientId> {
        matches!(name, ActorName::Patient(_)).then(|| self.account(name).map(Into::into))?
    }
}
