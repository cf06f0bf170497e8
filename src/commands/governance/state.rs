//! The state of a ledger as far as amendments need it: from a node's door, from the genesis file, or from the door with proofs
//! that lead there from the genesis.

use super::{Failure, failure, genesis};
use crate::cli::StateArgs;
use anyhow::anyhow;
use kithkin_actors::node::amendment::{AmendmentError, Draft};
use kithkin_actors::node::light::{LightClient, LightFailure};
use kithkin_actors::node::{ClientFailure, NodeClient, file};
use kithkin_actors::ports::clock::{Clock as _, SystemClock};
use kithkin_protocol::credit::Standings;
use kithkin_protocol::ids::{ChainId, HospitalId};
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::ledger::{Change, Genesis, GovernanceError, Hospital, State, TxProof};
use kithkin_protocol::units::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
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
    /// The block that proves all this; none when it is a node's word, or the genesis itself.
    pub(super) proved: Option<Proved>,
    /// Whether there can be accredited hospitals without a name here.
    partial: Option<SocketAddr>,
}

/// A node, and the genesis that its word is compared with, if there is one.
pub(super) struct Source {
    pub(super) client: NodeClient,
    address: SocketAddr,
    genesis: Option<(Genesis, LightClient)>,
}

impl LedgerView {
    /// Asks the node, or reads the genesis; none when neither is given.
    pub(super) async fn of(args: &StateArgs) -> Result<Option<Self>, Failure> {
        match (args.node, &args.genesis) {
            (Some(address), path) => {
                let mut source = Source::open(address, path.as_deref()).await?;
                source.view().await.map(Some)
            }
            (None, Some(path)) => {
                let genesis = file::read(path).map_err(genesis::failure)?;
                Ok(Some(Self {
                    chain: genesis.chain_id(),
                    time_ms: genesis.time_ms,
                    standings: Standings::genesis(&genesis),
                    names: names(&genesis),
                    proved: None,
                    partial: None,
                }))
            }
            (None, None) => Ok(None),
        }
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

impl Source {
    /// Connects to a node.
    pub(super) async fn open(address: SocketAddr, genesis: Option<&Path>) -> Result<Self, Failure> {
        let genesis = match genesis {
            Some(path) => {
                let genesis = file::read(path).map_err(genesis::failure)?;
                let light = LightClient::new(&genesis).map_err(unproved)?;
                Some((genesis, light))
            }
            None => None,
        };
        Ok(Self {
            client: connect(address).await?,
            address,
            genesis,
        })
    }

    /// The state now. With a genesis it waits for the block that proves it.
    pub(super) async fn view(&mut self) -> Result<LedgerView, Failure> {
        let client = &self.client;
        let mut view = match &mut self.genesis {
            None => LedgerView {
                chain: client.welcome().chain,
                standings: client.standings(ANSWER_WITHIN).await.map_err(silent)?,
                time_ms: client.status(ANSWER_WITHIN).await.map_err(silent)?.time_ms,
                names: BTreeMap::new(),
                proved: None,
                partial: Some(self.address),
            },
            Some((genesis, light)) => {
                let entry = light.entry(client, State::standings_key(), ANSWER_WITHIN);
                let (standings, proved) = entry.await.map_err(unproved)?;
                let standings: Option<Standings> = standings;
                LedgerView {
                    chain: genesis.chain_id(),
                    standings: standings.ok_or_else(|| unproved(LightFailure::Other))?,
                    time_ms: proved.time_ms,
                    names: names(genesis),
                    proved: Some(proved),
                    partial: Some(self.address),
                }
            }
        };
        let infos = view.standings.newest_validators().iter();
        let hospitals: BTreeSet<HospitalId> = infos.filter_map(|info| info.hospital).collect();
        for id in hospitals {
            if view.names.contains_key(&id) {
                continue;
            }
            let name = match &mut self.genesis {
                None => hospital(client, id).await?,
                Some((_, light)) => {
                    let entry = light.entry(client, State::hospital_key(id), ANSWER_WITHIN);
                    let (found, _) = entry.await.map_err(unproved)?;
                    found.map(|found: Hospital| found.info.name)
                }
            };
            view.names.extend(name.map(|name| (id, name)));
        }
        Ok(view)
    }

    /// Checks that a transaction is final, where there is a genesis to check it by. [`Self::view`] must have come to its
    /// block.
    pub(super) fn check_final(&self, proof: TxProof) -> Result<(), Failure> {
        if let Some((_, light)) = &self.genesis {
            light.transaction(proof).map_err(unproved)?;
        }
        Ok(())
    }
}

fn names(genesis: &Genesis) -> BTreeMap<HospitalId, String> {
    let hospitals = genesis.hospitals.iter();
    hospitals
        .map(|info| (info.id(), info.name.clone()))
        .collect()
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

/// A node that is silent, or says what does not follow from the genesis.
fn unproved(error: LightFailure) -> Failure {
    match error {
        LightFailure::Client(error) => silent(error),
        error @ LightFailure::Ledger { .. } => Failure::Usage(error.into()),
        error @ (LightFailure::Proof(_) | LightFailure::Other) => Failure::NotHeld(error.into()),
    }
}

/// Now, by this machine's clock.
pub(super) fn now() -> Millis {
    SystemClock.now()
}
