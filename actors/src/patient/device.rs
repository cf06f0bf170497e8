//! What every flow of a patient's device works with.

use super::draft::Draft;
use super::erase::Collected;
use super::messages::PatientError;
use crate::clients::{ClientError, LedgerClient};
use crate::identity::{Identity, Setting};
use crate::ports::network::Port;
use crate::ports::store::{Batch, Space, StoreError};
use crate::ports::vault::{KeySpace, VaultError};
use crate::scope::prove_at;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{self, State};
use kithkin_protocol::record::RewrapTree;
use kithkin_protocol::sharing::{SharingError, TierKey, TierPublicKey};
use kithkin_protocol::units::{Height, Tier};
use kithkin_protocol::wire;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a transaction of this device may take to become final.
pub(super) const FINAL_WITHIN: Duration = Duration::from_secs(30);
/// For how long a submitted transaction whose end is not known may still become final: longer than the client's transactions are
/// valid, by what clocks may differ.
pub(super) const MAY_STAND_MS: u64 = FINAL_WITHIN.as_millis() as u64 + 180_000;
/// Keys in the key space: an enrolment on its way, and receipts of deletion by manifest root.
const DRAFT: &[u8] = b"draft";
const ERASED: &[u8] = b"erased-";

/// Handles. Cloned as an `Arc` into every flow.
pub(super) struct Device {
    pub(super) me: PatientId,
    pub(super) setting: Setting,
    pub(super) identity: Identity,
    pub(super) keys: KeySpace,
    pub(super) port: Port,
    pub(super) client: LedgerClient,
    /// Enrolments go one after the other.
    pub(super) enrolling: tokio::sync::Mutex<()>,
    /// Keys of grants are handed over by one flow at a time.
    pub(super) delivering: tokio::sync::Mutex<()>,
    pub(super) space: Space,
    /// The tree over what was dealt, once somebody has asked for a path in it.
    pub(super) tree: Mutex<Option<Arc<RewrapTree>>>,
}

impl Device {
    pub(super) fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, PatientError> {
        let client = LedgerClient::new(
            &setting.genesis,
            port.clone(),
            identity.signing.clone(),
            setting.clock.clone(),
        );
        let device = Self {
            me: identity.account().into(),
            setting,
            identity,
            keys,
            port,
            client,
            enrolling: tokio::sync::Mutex::new(()),
            delivering: tokio::sync::Mutex::new(()),
            space,
            tree: Mutex::default(),
        };
        Ok(match device.stands_in_for()? {
            Some(patient) => device.speaking_for(patient),
            None => device,
        })
    }

    /// The same device, speaking for a patient whose kin have vouched for it, or shall.
    pub(super) fn speaking_for(&self, patient: PatientId) -> Self {
        Self {
            me: patient,
            setting: self.setting.clone(),
            identity: self.identity.clone(),
            keys: self.keys.clone(),
            port: self.port.clone(),
            client: self.client.clone(),
            enrolling: tokio::sync::Mutex::new(()),
            delivering: tokio::sync::Mutex::new(()),
            space: self.space.clone(),
            tree: Mutex::default(),
        }
    }

    /// Destroys the tier keys of every round but `keep`. For whoever has proved that nothing was ever sealed to them.
    pub(super) fn forget_keys_but(&self, keep: u32) -> Result<(), PatientError> {
        for name in self.keys.names()? {
            if name.starts_with(TIER_KEY) && !name.ends_with(&format!("-{keep}")) {
                self.keys.destroy(&name)?;
            }
        }
        Ok(())
    }

    /// The enrolment that was begun last.
    pub(super) fn draft(&self) -> Result<Option<Draft>, PatientError> {
        let value = self.space.get(DRAFT)?;
        value
            .map(|value| wire::decode(&value))
            .transpose()
            .map_err(|error| PatientError::Store {
                reason: format!("the stored enrolment cannot be read: {error}"),
            })
    }

    /// Durable on return.
    pub(super) async fn put_draft(&self, draft: &Draft) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(DRAFT, wire::encode(draft));
        Ok(self.space.write(batch).await?)
    }

    /// Receipts of deletion for an upload that have come so far.
    pub(super) fn collected(&self, root: Digest) -> Result<Option<Collected>, PatientError> {
        let value = self.space.get(&[ERASED, root.as_ref()].concat())?;
        let value = value.map(|value| wire::decode(&value)).transpose();
        value.map_err(|error| PatientError::Store {
            reason: format!("stored receipts of deletion cannot be read: {error}"),
        })
    }

    /// Durable on return.
    pub(super) async fn put_collected(
        &self,
        root: Digest,
        collected: &Collected,
    ) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put([ERASED, root.as_ref()].concat(), wire::encode(collected));
        Ok(self.space.write(batch).await?)
    }

    /// Whether a write was refused: then this incarnation can write nothing any more.
    pub(super) fn has_gap(&self) -> bool {
        self.space.has_gap()
    }

    /// The key of a tier: the one in the vault that has this public key.
    pub(super) fn tier_key(
        &self,
        tier: Tier,
        public: &TierPublicKey,
    ) -> Result<TierKey, PatientError> {
        let prefix = format!("{TIER_KEY}{tier}-");
        for name in self.keys.names()? {
            if name.starts_with(&prefix)
                && let Some(secret) = self.keys.load(&name)?
                && let Ok(key) = TierKey::from_secret(&secret)
                && key.public() == *public
            {
                return Ok(key);
            }
        }
        Err(PatientError::Store {
            reason: format!("the key of tier {tier} is not in the vault of this device"),
        })
    }

    /// The own enrolment as it stands on chain, proved, with the height of the proof.
    pub(super) async fn enrolled(
        &self,
        deadline: Instant,
    ) -> Result<Option<(ledger::Patient, Height)>, PatientError> {
        self.enrolled_at(Height(0), deadline).await
    }

    /// As [`Self::enrolled`], at a height if validators get there in time.
    pub(super) async fn enrolled_at(
        &self,
        height: Height,
        deadline: Instant,
    ) -> Result<Option<(ledger::Patient, Height)>, PatientError> {
        let key = State::patient_key(self.me);
        let patience = deadline.saturating_duration_since(Instant::now());
        let (value, head) = prove_at(&self.client, key, height, patience, deadline).await?;
        let Some(value) = value else {
            return Ok(None);
        };
        let patient = State::decode_value(&value).map_err(|error| PatientError::Ledger {
            reason: format!("a proved entry cannot be read: {error}"),
        })?;
        Ok(Some((patient, head.height)))
    }

    /// Runs work that takes a thread for longer than a few milliseconds, or that waits for the disk.
    pub(super) async fn heavy<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, PatientError> + Send + 'static,
    ) -> Result<T, PatientError> {
        let device = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&device));
        done.await.unwrap_or_else(|error| {
            Err(PatientError::Store {
                reason: format!("a computation did not come to its end: {error}"),
            })
        })
    }
}

/// What names of tier keys in the vault start with.
pub(super) const TIER_KEY: &str = "tier-";

pub(super) fn tier_key_name(tier: Tier, round: u32) -> String {
    format!("{TIER_KEY}{tier}-{round}")
}

pub(super) fn lost(root: Digest, reason: impl core::fmt::Display) -> PatientError {
    PatientError::Upload {
        root,
        reason: reason.to_string(),
    }
}

impl From<StoreError> for PatientError {
    fn from(error: StoreError) -> Self {
        Self::Store {
            reason: error.to_string(),
        }
    }
}

impl From<VaultError> for PatientError {
    fn from(error: VaultError) -> Self {
        Self::Store {
            reason: error.to_string(),
        }
    }
}

impl From<SharingError> for PatientError {
    fn from(error: SharingError) -> Self {
        Self::Roster {
            reason: error.to_string(),
        }
    }
}

impl From<ClientError> for PatientError {
    fn from(error: ClientError) -> Self {
        Self::Ledger {
            reason: error.to_string(),
        }
    }
}
