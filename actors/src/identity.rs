//! Who an actor is and where it lives: its keys and what all actors of a cluster know.

use crate::friend_relative::messages::OnInvitation;
use crate::ports::clock::SharedClock;
use crate::ports::directory::Directory;
use crate::ports::random::SystemRng;
use crate::ports::vault::{KeySpace, VaultError};
use kithkin_protocol::crypto::{OpeningKey, Secret32, SigningKey};
use kithkin_protocol::ids::AccountId;
use kithkin_protocol::ledger::{Genesis, Member};
use kithkin_protocol::record::Quota;
use kithkin_protocol::roster::Relation;
use std::sync::Arc;

/// What every actor of a cluster knows.
#[derive(Clone)]
pub struct Setting {
    /// What the ledger starts from.
    pub genesis: Arc<Genesis>,
    /// Which identity lives under which name.
    pub directory: Directory,
    /// The clock.
    pub clock: SharedClock,
    /// How much a friend or relative keeps for each patient.
    pub quota: Quota,
    /// What a friend's or relative's device does with invitations as long as the person has not said otherwise.
    pub invitations: OnInvitation,
}

/// Keys of a person or an institution. Cloning shares the signing key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Signs its transactions and statements.
    pub signing: Arc<SigningKey>,
    /// Opens what others seal to it.
    pub opening: OpeningKey,
}

impl Identity {
    /// Reads the keys, or makes them at the first start.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot be read or written.
    pub fn load_or_create(keys: &KeySpace) -> Result<Self, VaultError> {
        let fresh = || Secret32::random(&mut SystemRng);
        Ok(Self {
            signing: Arc::new(SigningKey::from_seed(
                keys.load_or_create("signing", fresh)?,
            )),
            opening: OpeningKey::from_seed(keys.load_or_create("opening", fresh)?),
        })
    }

    /// The account that the signing key signs for.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::of(&self.signing.verifying_key())
    }

    /// This identity as a member of a roster; what it is to the patient is for the patient to say.
    #[must_use]
    pub fn member(&self) -> Member {
        Member {
            key: self.signing.verifying_key(),
            sealing: self.opening.sealing_key(),
            relation: Relation::default(),
        }
    }
}
