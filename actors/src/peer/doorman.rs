//! Inbound connections that have not proved who they are: so many from one address, and no more.
//!
//! libp2p's own limit counts all of them together. Without this one a single machine could take all places with
//! connections that say nothing, and no validator that comes back would get in.

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::ListenFailure;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};

/// The behaviour.
pub(super) struct Doorman {
    per_address_max: u32,
    pending: HashMap<ConnectionId, IpAddr>,
    by_address: HashMap<IpAddr, u32>,
}

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{address} has {most} connections already that have not proved who they are")]
struct TooMany {
    address: IpAddr,
    most: u32,
}

impl Doorman {
    pub(super) fn new(per_address_max: u32) -> Self {
        Self {
            per_address_max,
            pending: HashMap::new(),
            by_address: HashMap::new(),
        }
    }

    fn enter(&mut self, connection: ConnectionId, address: IpAddr) -> Result<(), TooMany> {
        let count = self.by_address.entry(address).or_default();
        if *count >= self.per_address_max {
            let most = self.per_address_max;
            return Err(TooMany { address, most });
        }
        *count += 1;
        self.pending.insert(connection, address);
        Ok(())
    }

    fn leave(&mut self, connection: ConnectionId) {
        let Some(address) = self.pending.remove(&connection) else {
            return;
        };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// The address at the other end of a connection.
fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(address) => Some(address.into()),
        Protocol::Ip6(address) => Some(address.into()),
        _ => None,
    })
}

impl NetworkBehaviour for Doorman {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        match ip(remote) {
            Some(address) => self
                .enter(connection, address)
                .map_err(ConnectionDenied::new),
            None => Ok(()),
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.leave(connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) = event {
            self.leave(connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let mut doorman = Doorman::new(2);
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let id = ConnectionId::new_unchecked;
        assert!(doorman.enter(id(1), a).is_ok());
        assert!(doorman.enter(id(2), a).is_ok());
        assert!(doorman.enter(id(3), a).is_err());
        assert!(doorman.enter(id(4), b).is_ok());
        // One that never had a place leaves none.
        doorman.leave(id(3));
        assert!(doorman.enter(id(5), a).is_err());
        doorman.leave(id(1));
        assert!(doorman.enter(id(6), a).is_ok());
        for n in [2, 4, 6] {
            doorman.leave(id(n));
        }
        assert!(doorman.by_address.is_empty() && doorman.pending.is_empty());
    }
}
