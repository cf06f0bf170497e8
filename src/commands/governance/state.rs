//! The state of a ledger as far as amendments need it: from a node's door, or from the genesis file.

use super::{Failure, failure, genesis};
use crate::cli::StateArgs;
use anyhow::anyhow;
use kithkin_actors::node::amendment::{AmendmentError, Draft};
use kithkin_actors::node::{ClientFailure, NodeClient, file};
use kithkin_actors::ports::clock::{Clock as _, SystemClock};
use kithkin_protocol::credit::Standings;
use kithkin_protocol::ids::{ChainId, HospitalId};
use kithkin_protocol::ledger::{Change, GovernanceError, Hospital, State};
use kithkin_protocol::units::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a node may take to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is known of a ledger.
pub(super) struct LedgerView {
    pub(super) chain: ChainId,
    pub(super) time_ms: Millis,
    pub(super) standings: Standings,
    /// Hospitals by name: those that run validators, and with a genesis all.
    pub(super) names: BTreeMap<HospitalId, String>,
    /// Whether there can be accredited hospitals without a name here.
    partial: Option<SocketAddr>,
}

impl LedgerView {
    /// Asks the node, or reads the genesis; none when neither is given.
    pub(super) async fn of(args: &StateArgs) -> Result<Option<Self>, Failure> {
        match (args.node, &args.genesis) {
            (Some(address), _) => {
                let client = connect(address).await?;
                Self::ask(&client, address).await.map(Some)
            }
            (None, Some(path)) => {
                let genesis = file::read(path).map_err(genesis::failure)?;
                let hospitals = genesis.hospitals.iter();
                Ok(Some(Self {
                    chain: genesis.chain_id(),
                    time_ms: genesis.time_ms,
                    standings: Standings::genesis(&genesis),
                    names: hospitals
                        .map(|info| (info.id(), info.name.clone()))
                        .collect(),
                    partial: None,
                }))
            }
            (None, None) => Ok(None),
        }
    }

    /// Asks a node.
    pub(super) async fn ask(client: &NodeClient, address: SocketAddr) -> Result<Self, Failure> {
        let standings = client.standings(ANSWER_WITHIN).await.map_err(silent)?;
        let status = client.status(ANSWER_WITHIN).await.map_err(silent)?;
        let mut view = Self {
            chain: client.welcome().chain,
            time_ms: status.time_ms,
            standings,
            names: BTreeMap::new(),
            partial: Some(address),
        };
        let infos = view.standings.newest_validators().iter();
        let hospitals: BTreeSet<HospitalId> = infos.filter_map(|info| info.hospital).collect();
        for id in hospitals {
            if let Some(name) = hospital(client, id).await? {
                view.names.insert(id, name);
            }
        }
        Ok(view)
    }

    /// Whether the ledger could adopt an amendment next.
    pub(super) fn check(&self, draft: &Draft) -> Result<(), Failure> {
        let checked = draft.check_on(self.chain, &self.standings, self.time_ms);
        checked.map_err(failure)
    }

    /// Whether the hospitals of new validators are accredited.
    pub(super) async fn check_hospitals(&self, changes: &[Change]) -> Result<(), Failure> {
        for change in changes {
            let (Change::Admit(info) | Change::Rekey(info)) = change else {
                continue;
            };
            let Some(id) = info.hospital.filter(|id| !self.names.contains_key(id)) else {
                continue;
            };
            let known = match self.partial {
                Some(address) => hospital(&connect(address).await?, id).await?.is_some(),
                None => false,
            };
            if !known {
                let error = GovernanceError::Hospital { hospital: id };
                return Err(failure(AmendmentError::Refused(error)));
            }
        }
        Ok(())
    }
}

/// The name of an accredited hospital.
async fn hospital(client: &NodeClient, id: HospitalId) -> Result<Option<String>, Failure> {
    let entry = client.entry::<Hospital>(State::hospital_key(id), ANSWER_WITHIN);
    let hospital = entry.await.map_err(silent)?;
    Ok(hospital.map(|hospital| hospital.info.name))
}

/// A connection to a node's door.
pub(super) async fn connect(address: SocketAddr) -> Result<NodeClient, Failure> {
    NodeClient::connect(address).await.map_err(silent)
}

/// A node that cannot be asked.
pub(super) fn silent(error: ClientFailure) -> Failure {
    Failure::Cluster(anyhow!(error))
}

/// Now, by this machine's clock.
pub(super) fn now() -> Millis {
    SystemClock.now()
}
