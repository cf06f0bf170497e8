//! Who is accredited on a ledger: hospitals, issuers of clinicians' credentials, reviewers; and who was.
//!
//! The genesis accredits the first ones, amendments all others ([`super::governance`]). Whoever is revoked leaves the table of
//! its role, so that nothing finds it there any more, and is kept in another: its name, and that its key never comes back.

use crate::crypto::VerifyingKey;
use crate::emergency::{CredentialError, Request};
use crate::ids::{AccountId, HospitalId};
use crate::ledger::genesis::HospitalInfo;
use crate::ledger::state::{Hospital, State};
use crate::ledger::table::Table;
use crate::units::{Height, Millis};
use serde::{Deserialize, Serialize};

/// Longest name of a hospital or an issuer, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// As what somebody is accredited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It uploads records and requests openings.
    Hospital,
    /// It vouches for clinicians.
    Issuer,
    /// It judges closed cases.
    Reviewer,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hospital => "hospital",
            Self::Issuer => "issuer",
            Self::Reviewer => "reviewer",
        })
    }
}

/// An issuer of clinicians' credentials: a chamber of physicians, a state's register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerInfo {
    /// Signs credentials.
    pub key: VerifyingKey,
    /// A name for people, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
}

/// Somebody who judges closed cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewerInfo {
    /// Signs verdicts.
    pub key: VerifyingKey,
    /// Where the reviewer works, and so judges nothing.
    #[serde(default)]
    pub hospital: Option<HospitalId>,
}

/// Somebody who is accredited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accredited {
    /// A hospital.
    Hospital(HospitalInfo),
    /// An issuer of clinicians' credentials. With the first one hospitals no longer vouch for their own.
    Issuer(IssuerInfo),
    /// A reviewer.
    Reviewer(ReviewerInfo),
}

/// Somebody who was accredited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The block that revoked it.
    pub height: Height,
    /// Its block time.
    pub time_ms: Millis,
    /// What it was.
    pub was: Accredited,
}

/// What is kept about accreditation as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Adopted amendments without a change of the validators; those with one are counted in the standings.
    pub amendments: u64,
    /// Where the first issuer was accredited. From then on no hospital vouches for its own clinicians, also when all
    /// issuers are gone: a revocation never widens who can vouch.
    pub issuers_since: Option<Height>,
}

impl IssuerInfo {
    /// The account of its key.
    #[must_use]
    pub fn id(&self) -> AccountId {
        AccountId::of(&self.key)
    }
}

impl ReviewerInfo {
    /// The account of its key.
    #[must_use]
    pub fn id(&self) -> AccountId {
        AccountId::of(&self.key)
    }
}

impl Accredited {
    /// As what.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Hospital(_) => Role::Hospital,
            Self::Issuer(_) => Role::Issuer,
            Self::Reviewer(_) => Role::Reviewer,
        }
    }

    /// What it signs with.
    #[must_use]
    pub fn key(&self) -> VerifyingKey {
        match self {
            Self::Hospital(info) => info.key,
            Self::Issuer(info) => info.key,
            Self::Reviewer(info) => info.key,
        }
    }

    /// The account of its key.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::of(&self.key())
    }

    /// Its name for people; reviewers have none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Hospital(info) => Some(&info.name),
            Self::Issuer(info) => Some(&info.name),
            Self::Reviewer(_) => None,
        }
    }
}

/// Whether a name can stand on chain.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
}

impl State {
    /// How many amendments were adopted: the number of the next one.
    #[must_use]
    pub fn amendments(&self) -> u64 {
        self.register().amendments_after(self.standings())
    }

    /// What is kept about accreditation as a whole.
    #[must_use]
    pub fn register(&self) -> Register {
        self.register.get(&()).copied().unwrap_or_default()
    }

    /// An accredited issuer of clinicians' credentials.
    #[must_use]
    pub fn issuer(&self, account: AccountId) -> Option<&IssuerInfo> {
        self.issuers.get(&account)
    }

    /// An accredited reviewer.
    #[must_use]
    pub fn reviewer(&self, account: AccountId) -> Option<&ReviewerInfo> {
        self.reviewers.get(&account)
    }

    /// Somebody who was accredited and is no more.
    #[must_use]
    pub fn revoked(&self, account: AccountId) -> Option<&Revoked> {
        self.revoked.get(&account)
    }

    /// The key of an accredited issuer in the authenticated state.
    #[must_use]
    pub fn issuer_key(account: AccountId) -> Vec<u8> {
        Table::<AccountId, IssuerInfo>::new(23).state_key(&account)
    }

    /// The key of an accredited reviewer in the authenticated state.
    #[must_use]
    pub fn reviewer_key(account: AccountId) -> Vec<u8> {
        Table::<AccountId, ReviewerInfo>::new(4).state_key(&account)
    }

    /// The key of somebody who was revoked, in the authenticated state.
    #[must_use]
    pub fn revoked_key(account: AccountId) -> Vec<u8> {
        Table::<AccountId, Revoked>::new(24).state_key(&account)
    }

    /// The key of the [`Register`] in the authenticated state; there is no entry before the first accreditation.
    #[must_use]
    pub fn register_key() -> Vec<u8> {
        Table::<(), Register>::new(25).state_key(&())
    }

    /// What somebody is accredited as, and how.
    #[must_use]
    pub fn accredited(&self, role: Role, account: AccountId) -> Option<Accredited> {
        match role {
            Role::Hospital => {
                let hospital = self.hospitals.get(&account.into());
                hospital.map(|hospital| Accredited::Hospital(hospital.info.clone()))
            }
            Role::Issuer => self.issuers.get(&account).cloned().map(Accredited::Issuer),
            Role::Reviewer => {
                let reviewer = self.reviewers.get(&account);
                reviewer.cloned().map(Accredited::Reviewer)
            }
        }
    }

    /// The key of `issuer` if it can vouch for clinicians of `hospital`.
    #[must_use]
    pub fn voucher(&self, hospital: HospitalId, issuer: AccountId) -> Option<&VerifyingKey> {
        match self.register().issuers_since {
            Some(_) => self.issuers.get(&issuer).map(|info| &info.key),
            None => self
                .hospitals
                .get(&hospital)
                .filter(|_| AccountId::from(hospital) == issuer)
                .map(|entry| &entry.info.key),
        }
    }

    /// Whether somebody vouches for the clinician of a request, at block time `now`.
    pub(super) fn check_credential(
        &self,
        now: Millis,
        hospital: HospitalId,
        request: &Request,
    ) -> Result<(), CredentialError> {
        let credential = request.credential.as_ref();
        let credential = credential.ok_or(CredentialError::Missing)?;
        let issuer = self.voucher(hospital, credential.issuer);
        let chain = self.meta().chain;
        credential.check(chain, &request.clinician, hospital, issuer, now)
    }

    /// Writes somebody into the table of its role.
    pub(super) fn enter(&mut self, party: Accredited) {
        let account = party.account();
        match party {
            Accredited::Hospital(info) => {
                let suspended_until_ms = Millis(0);
                let hospital = Hospital {
                    info,
                    suspended_until_ms,
                };
                self.hospitals.put(account.into(), hospital);
            }
            Accredited::Issuer(info) => self.issuers.put(account, info),
            Accredited::Reviewer(info) => self.reviewers.put(account, info),
        }
    }

    /// Takes somebody out of the table of its role.
    pub(super) fn strike(&mut self, role: Role, account: AccountId) {
        match role {
            Role::Hospital => self.hospitals.remove(&account.into()),
            Role::Issuer => self.issuers.remove(&account),
            Role::Reviewer => self.reviewers.remove(&account),
        }
    }
}

impl Register {
    /// How many amendments were adopted, together with those that `standings` counts.
    #[must_use]
    pub fn amendments_after(&self, standings: &crate::credit::Standings) -> u64 {
        self.amendments.saturating_add(standings.amendments())
    }
}
