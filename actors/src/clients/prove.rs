//! The present state, proved: what f+1 validators agree on.

use super::{ClientError, LedgerClient, PAUSE};
use crate::validator::messages::{Prove, Proved};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{CaseId, HospitalId};
use kithkin_protocol::ledger::{self, Confirmed, ProofError, State, confirm_head};
use serde::de::DeserializeOwned;
use std::time::Instant;

impl LedgerClient {
    /// The value of a state entry at a head that is at most 30 s old and that f+1 validators agree on.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove(
        &self,
        key: Vec<u8>,
        deadline: Instant,
    ) -> Result<(Option<Vec<u8>>, Confirmed), ClientError> {
        let needed = self.0.validators.f() + 1;
        let mut last = String::from("no validator was asked");
        while Instant::now() < deadline {
            match self.prove_once(&key, deadline).await {
                Ok(proved) => return Ok(proved),
                Err(error) => last = error,
            }
            tracing::debug!(me = %self.0.port.me(), last, "the validators do not agree yet; asking again");
            tokio::time::sleep(PAUSE).await;
        }
        Err(ClientError::NotProved { needed, last })
    }

    async fn prove_once(
        &self,
        key: &[u8],
        deadline: Instant,
    ) -> Result<(Option<Vec<u8>>, Confirmed), String> {
        let mut answers: FuturesUnordered<_> = self
            .names()
            .into_iter()
            .map(|name| self.ask(name, Prove(key.to_vec()), deadline))
            .collect();
        let mut proved: Vec<Proved> = Vec::new();
        let mut last = String::from("no validator answered");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Ok(answer)) if answer.proof.key == key => proved.push(answer),
                Ok(Ok(_)) => last = String::from("a proof of another entry"),
                Ok(Err(error)) => last = error.to_string(),
                Err(error) => last = error.to_string(),
            }
            match self.confirmed(&proved) {
                Ok(found) => return Ok(found),
                Err(ProofError::TooFew { agree: 0, .. }) => {}
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn confirmed(&self, proved: &[Proved]) -> Result<(Option<Vec<u8>>, Confirmed), ProofError> {
        let inner = &self.0;
        let statements: Vec<_> = proved
            .iter()
            .map(|answer| answer.statement.clone())
            .collect();
        let head = confirm_head(
            inner.chain,
            &inner.validators,
            &statements,
            inner.clock.now(),
        )?;
        proved
            .iter()
            .find(|answer| answer.proof.verify(&head.state_root).is_ok())
            .map(|answer| {
                let value = answer.proof.value.as_ref().map(|value| value.to_vec());
                (value, head)
            })
            .ok_or(ProofError::State)
    }

    /// A case as it stands now, proved. None when there is no such case.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove_case(
        &self,
        id: CaseId,
        deadline: Instant,
    ) -> Result<Option<Case>, ClientError> {
        self.prove_value(State::case_key(id), deadline).await
    }

    /// A hospital that is accredited now, proved. None for one that never was, or is not any more.
    ///
    /// # Errors
    /// [`ClientError::NotProved`] at `deadline`.
    pub async fn prove_hospital(
        &self,
        id: HospitalId,
        deadline: Instant,
    ) -> Result<Option<ledger::Hospital>, ClientError> {
        self.prove_value(State::hospital_key(id), deadline).await
    }

    async fn prove_value<T: DeserializeOwned>(
        &self,
        key: Vec<u8>,
        deadline: Instant,
    ) -> Result<Option<T>, ClientError> {
        let (value, _) = self.prove(key, deadline).await?;
        value
            .map(|value| State::decode_value(&value))
            .transpose()
            .map_err(|error| ClientError::NotProved {
                needed: self.0.validators.f() + 1,
                last: error.to_string(),
            })
    }
}
