//! Free TCP and UDP ports of this machine, for nodes that are about to start.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports below those that the operating system gives out by itself: what it gives to a listener that is closed at once, it may
/// give to somebody's outgoing connection before the node starts.
const PORTS: Range<u16> = 10_240..32_704;

/// Every port of the range is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port between 10240 and 32703 is free on 127.0.0.1")]
pub struct NoPort;

/// A port on which nobody listens at 127.0.0.1. Each process has its own sixteen to begin with, and goes on from there, so that
/// programs that run side by side hardly ever get the same.
///
/// # Errors
/// [`NoPort`].
pub fn free_port() -> Result<u16, NoPort> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = u32::from(PORTS.end - PORTS.start);
    let own = std::process::id().wrapping_mul(16);
    for _ in PORTS {
        let place = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % width;
        let port = u16::try_from(place).map_or(PORTS.start, |place| PORTS.start + place);
        let address = ("127.0.0.1", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(NoPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_keeps_the_port() {
        let first = free_port().expect("a port");
        let _listener = TcpListener::bind(("127.0.0.1", first)).expect("it is free");
        assert!((0..64).all(|_| free_port() != Ok(first)));
        assert!(PORTS.contains(&first));
    }
}
