//! Free TCP and UDP ports of this machine, for nodes that are about to start.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports below those that Linux gives out by itself unless it is told otherwise: what it gives to a listener that is closed at
/// once, it may give to somebody's outgoing connection before the node starts.
const PORTS: Range<u16> = 10_240..32_704;

/// Every port of the range is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port between 10240 and 32703 is free on 127.0.0.1")]
pub struct NoPort;

/// A port on which nobody listens at 127.0.0.1. Processes begin at places of their own, and each goes on from there, so that
/// programs that run side by side hardly ever get the same.
///
/// # Errors
/// [`NoPort`].
pub fn free_port() -> Result<u16, NoPort> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = u32::from(PORTS.end - PORTS.start);
    let own = std::process::id().wrapping_mul(16);
    let places = PORTS.map(|_| {
        let place = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % width;
        u16::try_from(place).map_or(PORTS.start, |place| PORTS.start + place)
    });
    first_free(places)
}

fn first_free(mut ports: impl Iterator<Item = u16>) -> Result<u16, NoPort> {
    let is_free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    ports.find(is_free).ok_or(NoPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_use_are_passed_over() {
        let ports: Vec<u16> = (0..3).map(|_| free_port().expect("a port")).collect();
        let _tcp = TcpListener::bind(("127.0.0.1", ports[0])).expect("it is free");
        let _udp = UdpSocket::bind(("127.0.0.1", ports[1])).expect("it is free");
        assert_eq!(first_free(ports.iter().copied()), Ok(ports[2]));
        assert_eq!(first_free(ports[..2].iter().copied()), Err(NoPort));
    }
}
