//! Amendments in a cluster that is one process: every validator signs at once, and the first hands in.
//!
//! Not here: validators of operators of their own, who pass a file around ([`crate::node::amendment`]).

use crate::clients::{ClientError, LedgerClient};
use crate::cluster::launch::Cluster;
use crate::validator::messages::Finalized;
use kithkin_protocol::credit::Standings;
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{AccountId, HospitalId};
use kithkin_protocol::ledger::{
    Amendment, Change, Clause, Register, Role, State, TxBody, ValidatorInfo,
};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Instant;

/// How long an amendment may take to be adopted.
const VALID_MS: u64 = 60_000;

impl Cluster {
    /// Adopts an amendment; on return it is final and in force, as far as it is about accreditations.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] and [`ClientError::NotFinal`] at `deadline`, [`ClientError::Rejected`] when the ledger
    /// refuses it.
    pub async fn amend(
        &self,
        changes: Vec<Clause>,
        deadline: Instant,
    ) -> Result<Finalized, ClientError> {
        let client = self.governor();
        let register: Option<Register> = entry(&client, State::register_key(), deadline).await?;
        let standings = standings(&client, deadline).await?;
        let amendment = Amendment {
            number: register.unwrap_or_default().amendments_after(&standings),
            valid_until_ms: client.now().plus(VALID_MS),
            changes,
        };
        let signatures: Vec<_> = self
            .validators
            .iter()
            .map(|validator| {
                let signature = amendment.sign(client.chain(), &validator.vote_key);
                (validator.id, signature)
            })
            .collect();
        let whole = amendment.combine(signatures);
        client
            .submit(TxBody::Governance(Box::new(whole)), deadline)
            .await
    }

    /// Takes an accreditation away. Validators that a revoked hospital runs go on, run by nobody.
    ///
    /// # Errors
    /// As [`Cluster::amend`].
    pub async fn revoke(
        &self,
        role: Role,
        account: AccountId,
        deadline: Instant,
    ) -> Result<Finalized, ClientError> {
        let mut changes = vec![Clause::Revoke { role, account }];
        if role == Role::Hospital {
            let standings = standings(&self.client(), deadline).await?;
            let members = standings.newest_validators();
            let hospital = Some(HospitalId::from(account));
            let theirs = members.iter().filter(|info| info.hospital == hospital);
            let mut given_away: Vec<Clause> = theirs.map(run_by_nobody).collect();
            // No block may change more members; the last of them go together with their hospital.
            let most = members.f().max(1);
            while given_away.len() > most {
                let rest = given_away.split_off(most);
                self.amend(std::mem::replace(&mut given_away, rest), deadline)
                    .await?;
            }
            changes.append(&mut given_away);
        }
        self.amend(changes, deadline).await
    }

    /// A client that speaks for the first validator.
    fn governor(&self) -> LedgerClient {
        let first = self.validators.first();
        let key = first.map_or_else(
            || SigningKey::random(&mut crate::ports::random::SystemRng),
            |validator| SigningKey::from_seed(validator.vote_key.seed().clone()),
        );
        let setting = self.setting();
        let clock = setting.clock.clone();
        LedgerClient::new(&setting.genesis, self.driver(), Arc::new(key), clock)
    }
}

fn run_by_nobody(info: &ValidatorInfo) -> Clause {
    let info = ValidatorInfo {
        hospital: None,
        ..info.clone()
    };
    Change::Rekey(info).into()
}

async fn standings(client: &LedgerClient, deadline: Instant) -> Result<Standings, ClientError> {
    let standings = entry(client, State::standings_key(), deadline).await?;
    standings.ok_or_else(|| unreadable(&"there are no standings"))
}

async fn entry<T: DeserializeOwned>(
    client: &LedgerClient,
    key: Vec<u8>,
    deadline: Instant,
) -> Result<Option<T>, ClientError> {
    let (value, _) = client.prove(key, deadline).await?;
    let value = value.map(|value| State::decode_value(&value)).transpose();
    value.map_err(|error| unreadable(&error))
}

fn unreadable(last: &dyn std::fmt::Display) -> ClientError {
    ClientError::NotProved {
        needed: 1,
        last: last.to_string(),
    }
}
