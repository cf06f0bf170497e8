//! The state of a ledger as far as amendments need it: from a node's door, from the genesis file, or from the door with proofs
//! that lead there from the genesis.

use super::words::Names;
use super::{Failure, failure, genesis};
use crate::cli::StateArgs;
use anyhow::anyhow;
use kithkin_actors::node::amendment::{AmendmentError, Draft, Ground};
use kithkin_actors::node::light::{LightClient, LightFailure};
use kithkin_actors::node::{ClientFailure, NodeClient, file};
use kithkin_actors::ports::clock::{Clock as _, SystemClock};
use kithkin_protocol::credit::Standings;
use kithkin_protocol::ids::{AccountId, ChainId, HospitalId};
use kithkin_protocol::ledger::light::Proved;
use kithkin_protocol::ledger::{
    Accredited, Amendment, Change, Clause, Genesis, GovernanceError, Hospital, IssuerInfo, Ledger,
    Register, ReviewerInfo, Revoked, Role, State, TxProof,
};
use kithkin_protocol::units::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a node may take to answer.
pub(in crate::commands) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is known of a ledger.
pub(super) struct LedgerView {
    pub(super) chain: ChainId,
    pub(super) time_ms: Millis,
    pub(super) standings: Standings,
    /// What is kept about accreditation as a whole.
    pub(super) register: Register,
    /// Hospitals and issuers by name: hospitals that run validators, with a genesis all of its own, and who was looked up.
    pub(super) names: Names,
    /// The block that proves all this; none when it is a node's word, or the genesis itself.
    pub(super) proved: Option<Proved>,
    /// Where the rest of the state is.
    rest: Rest,
}

/// The rest of a state: who is accredited.
enum Rest {
    /// The ledger that the genesis founds.
    Founded(Box<Ledger>),
    /// At a node's door.
    Door(SocketAddr),
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
                let founded = Ledger::genesis(&genesis);
                let (ledger, _) = founded.map_err(|error| Failure::Usage(error.into()))?;
                Ok(Some(Self {
                    chain: ledger.chain(),
                    time_ms: genesis.time_ms,
                    standings: ledger.standings().clone(),
                    register: ledger.state().register(),
                    names: names(&genesis),
                    proved: None,
                    rest: Rest::Founded(Box::new(ledger)),
                }))
            }
            (None, None) => Ok(None),
        }
    }

    /// What an amendment is compared with.
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground {
            chain: self.chain,
            standings: &self.standings,
            register: self.register,
            time_ms: self.time_ms,
        }
    }

    /// Whether the ledger could adopt an amendment next, as far as its validators go.
    pub(super) fn check(&self, draft: &Draft) -> Result<(), Failure> {
        draft.check_on(&self.ground()).map_err(failure)
    }

    /// Learns the names of the hospitals and issuers that an amendment is about.
    pub(super) async fn learn_names(&mut self, amendment: &Amendment) -> Result<(), Failure> {
        for clause in &amendment.changes {
            let (role, account) = match clause {
                Clause::Validators(Change::Admit(info) | Change::Rekey(info)) => {
                    (Role::Hospital, info.hospital.map(AccountId::from))
                }
                Clause::Accredit(Accredited::Reviewer(info)) => {
                    (Role::Hospital, info.hospital.map(AccountId::from))
                }
                Clause::Revoke { role, account } => (*role, Some(*account)),
                Clause::Validators(_) | Clause::Accredit(_) => continue,
            };
            let Some(account) = account.filter(|account| !self.names.contains_key(account)) else {
                continue;
            };
            if let Some(party) = self.rest.accredited(role, account).await? {
                let name = party.name().map(|name| (account, name.to_owned()));
                self.names.extend(name);
            }
        }
        Ok(())
    }

    /// Whether those can be accredited and revoked whom an amendment accredits and revokes, and whether hospitals that it names
    /// otherwise are accredited then.
    pub(super) async fn check_parties(&self, amendment: &Amendment) -> Result<(), Failure> {
        let refused = |error| Err(failure(AmendmentError::Refused(error)));
        let mut after: BTreeMap<(Role, AccountId), bool> = BTreeMap::new();
        for clause in &amendment.changes {
            match clause {
                Clause::Validators(_) => {}
                Clause::Accredit(party) => {
                    let (role, account) = (party.role(), party.account());
                    if self.is_accredited(&after, role, account).await? {
                        return refused(GovernanceError::Accredited { account, role });
                    }
                    let before = self.rest.revoked(account).await?;
                    let again = (Role::Reviewer, Role::Reviewer);
                    if before.is_some_and(|before| (before.was.role(), role) != again) {
                        return refused(GovernanceError::WasRevoked { account });
                    }
                    if let Accredited::Reviewer(info) = party {
                        self.check_hospital(&after, info.hospital).await?;
                    }
                    after.insert((role, account), true);
                }
                Clause::Revoke { role, account } => {
                    let (role, account) = (*role, *account);
                    if !self.is_accredited(&after, role, account).await? {
                        return refused(GovernanceError::NotAccredited { account, role });
                    }
                    after.insert((role, account), false);
                }
            }
        }
        for change in amendment.validator_changes() {
            if let Change::Admit(info) | Change::Rekey(info) = change {
                self.check_hospital(&after, info.hospital).await?;
            }
        }
        Ok(())
    }

    async fn check_hospital(
        &self,
        after: &BTreeMap<(Role, AccountId), bool>,
        hospital: Option<HospitalId>,
    ) -> Result<(), Failure> {
        let Some(hospital) = hospital else {
            return Ok(());
        };
        match self
            .is_accredited(after, Role::Hospital, hospital.into())
            .await?
        {
            true => Ok(()),
            false => Err(failure(AmendmentError::Refused(
                GovernanceError::Hospital { hospital },
            ))),
        }
    }

    async fn is_accredited(
        &self,
        after: &BTreeMap<(Role, AccountId), bool>,
        role: Role,
        account: AccountId,
    ) -> Result<bool, Failure> {
        match after.get(&(role, account)) {
            Some(accredited) => Ok(*accredited),
            None => Ok(self.rest.accredited(role, account).await?.is_some()),
        }
    }
}

impl Rest {
    async fn accredited(
        &self,
        role: Role,
        account: AccountId,
    ) -> Result<Option<Accredited>, Failure> {
        let address = match self {
            Self::Founded(ledger) => return Ok(ledger.state().accredited(role, account)),
            Self::Door(address) => *address,
        };
        let client = connect(address).await?;
        let found = match role {
            Role::Hospital => client
                .entry(State::hospital_key(account.into()), ANSWER_WITHIN)
                .await
                .map(|found| found.map(|found: Hospital| Accredited::Hospital(found.info))),
            Role::Issuer => client
                .entry::<IssuerInfo>(State::issuer_key(account), ANSWER_WITHIN)
                .await
                .map(|found| found.map(Accredited::Issuer)),
            Role::Reviewer => client
                .entry::<ReviewerInfo>(State::reviewer_key(account), ANSWER_WITHIN)
                .await
                .map(|found| found.map(Accredited::Reviewer)),
        };
        found.map_err(silent)
    }

    async fn revoked(&self, account: AccountId) -> Result<Option<Revoked>, Failure> {
        match self {
            Self::Founded(ledger) => Ok(ledger.state().revoked(account).cloned()),
            Self::Door(address) => {
                let client = connect(*address).await?;
                let entry = client.entry(State::revoked_key(account), ANSWER_WITHIN);
                entry.await.map_err(silent)
            }
        }
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
                register: client
                    .entry(State::register_key(), ANSWER_WITHIN)
                    .await
                    .map_err(silent)?
                    .unwrap_or_default(),
                standings: client.standings(ANSWER_WITHIN).await.map_err(silent)?,
                time_ms: client.status(ANSWER_WITHIN).await.map_err(silent)?.time_ms,
                names: BTreeMap::new(),
                proved: None,
                rest: Rest::Door(self.address),
            },
            Some((genesis, light)) => {
                let entry = light.entry(client, State::register_key(), ANSWER_WITHIN);
                let (register, _) = entry.await.map_err(unproved)?;
                let register: Option<Register> = register;
                let entry = light.entry(client, State::standings_key(), ANSWER_WITHIN);
                let (standings, proved) = entry.await.map_err(unproved)?;
                let standings: Option<Standings> = standings;
                LedgerView {
                    chain: genesis.chain_id(),
                    standings: standings.ok_or_else(|| unproved(LightFailure::Other))?,
                    time_ms: proved.time_ms,
                    names: names(genesis),
                    proved: Some(proved),
                    register: register.unwrap_or_default(),
                    rest: Rest::Door(self.address),
                }
            }
        };
        let infos = view.standings.newest_validators().iter();
        let hospitals: BTreeSet<HospitalId> = infos.filter_map(|info| info.hospital).collect();
        for id in hospitals {
            let account = AccountId::from(id);
            if view.names.contains_key(&account) {
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
            view.names.extend(name.map(|name| (account, name)));
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

fn names(genesis: &Genesis) -> Names {
    let hospitals = genesis.hospitals.iter();
    hospitals
        .map(|info| (info.id().into(), info.name.clone()))
        .collect()
}

/// The name of an accredited hospital.
async fn hospital(client: &NodeClient, id: HospitalId) -> Result<Option<String>, Failure> {
    let entry = client.entry::<Hospital>(State::hospital_key(id), ANSWER_WITHIN);
    let hospital = entry.await.map_err(silent)?;
    Ok(hospital.map(|hospital| hospital.info.name))
}

/// A connection to a node's door.
pub(in crate::commands) async fn connect(address: SocketAddr) -> Result<NodeClient, Failure> {
    NodeClient::connect(address).await.map_err(silent)
}

/// A node that cannot be asked.
pub(super) fn silent(error: ClientFailure) -> Failure {
    Failure::Cluster(anyhow!(error))
}

/// A node that is silent, or says what does not follow from the genesis.
pub(in crate::commands) fn unproved(error: LightFailure) -> Failure {
    match error {
        LightFailure::Client(error) => silent(error),
        error @ LightFailure::Ledger { .. } => Failure::Usage(error.into()),
        error @ (LightFailure::Proof(_) | LightFailure::Other) => Failure::NotHeld(error.into()),
    }
}

/// Now, by this machine's clock.
pub(in crate::commands) fn now() -> Millis {
    SystemClock.now()
}
