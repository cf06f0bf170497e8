//! What a ledger says of an issuer and a hospital now, proved from its genesis.

use super::judge::{OnLedger, Standing};
use crate::commands::Failure;
use crate::commands::governance::{ANSWER_WITHIN, connect, unproved};
use kithkin_actors::node::NodeClient;
use kithkin_actors::node::light::{LightClient, LightFailure};
use kithkin_protocol::emergency::Credential;
use kithkin_protocol::ids::AccountId;
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::ledger::{Genesis, Hospital, IssuerInfo, Register, Revoked, State};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;

/// The newest of what the nodes prove; none without nodes. One that is silent is told of and passed over, as long as another answers;
/// one that lies ends it.
pub(super) async fn ask(
    nodes: &[SocketAddr],
    genesis: &Genesis,
    credential: &Credential,
) -> Result<Option<OnLedger>, Failure> {
    let mut newest: Option<OnLedger> = None;
    let mut silent = Vec::new();
    for &node in nodes {
        match ask_one(node, genesis, credential).await {
            Ok(found) => {
                let newer = newest
                    .as_ref()
                    .is_none_or(|newest| newest.as_of.height < found.as_of.height);
                if newer {
                    newest = Some(found);
                }
            }
            Err(Failure::Cluster(error)) => silent.push((node, error)),
            Err(other) => return Err(other),
        }
    }
    if newest.is_none()
        && let Some((node, error)) = silent.pop()
    {
        return Err(Failure::Cluster(
            error.context(format!("the node {node} gives no proof")),
        ));
    }
    for (node, error) in silent {
        eprintln!("kithkin: the node {node} gives no proof: {error:#}");
    }
    Ok(newest)
}

/// A node under questions. All it says is proved by some block; the oldest of these counts for all.
struct Asked {
    light: LightClient,
    client: NodeClient,
    as_of: Option<Proved>,
}

impl Asked {
    async fn entry<T: DeserializeOwned>(&mut self, key: Vec<u8>) -> Result<Option<T>, Failure> {
        let entry = self.light.entry(&self.client, key, ANSWER_WITHIN);
        let (found, proved) = entry.await.map_err(unproved)?;
        self.as_of = Some(older(self.as_of, proved));
        Ok(found)
    }

    async fn absent(&mut self, account: AccountId) -> Result<Standing, Failure> {
        let revoked: Option<Revoked> = self.entry(State::revoked_key(account)).await?;
        Ok(match revoked {
            Some(revoked) => Standing::Revoked {
                was: revoked.was.role(),
                height: revoked.height,
                time_ms: revoked.time_ms,
            },
            None => Standing::Never,
        })
    }
}

/// A node may prove one entry by a new block and another by an old one, which conceals what came between.
pub(super) fn older(before: Option<Proved>, proved: Proved) -> Proved {
    let before = before.filter(|before| before.height < proved.height);
    before.unwrap_or(proved)
}

async fn ask_one(
    node: SocketAddr,
    genesis: &Genesis,
    credential: &Credential,
) -> Result<OnLedger, Failure> {
    let mut asked = Asked {
        light: LightClient::new(genesis).map_err(unproved)?,
        client: connect(node).await?,
        as_of: None,
    };
    let key = State::hospital_key(credential.hospital);
    let hospital = match asked.entry::<Hospital>(key).await? {
        Some(found) => Standing::Accredited(found.info.name),
        None => asked.absent(credential.hospital.into()).await?,
    };
    let key = State::issuer_key(credential.issuer);
    let (issuer, has_issuers) = match asked.entry::<IssuerInfo>(key).await? {
        Some(found) => (Standing::Accredited(found.name), true),
        None => {
            let register: Option<Register> = asked.entry(State::register_key()).await?;
            let since = register.and_then(|register| register.issuers_since);
            (asked.absent(credential.issuer).await?, since.is_some())
        }
    };
    let as_of = asked.as_of;
    let as_of = as_of.ok_or_else(|| unproved(LightFailure::Other))?;
    Ok(OnLedger {
        hospital,
        issuer,
        has_issuers,
        as_of,
    })
}
