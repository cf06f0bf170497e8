//! Places for clients: so many in all, so many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places of a door. Cloning shares them.
#[derive(Clone)]
pub(super) struct Seats {
    most: u32,
    per_address_max: u32,
    taken: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A place that is taken; free again when dropped.
pub(super) struct Seat {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Seats {
    pub(super) fn new(most: u32, per_address_max: u32) -> Self {
        Self {
            most,
            per_address_max,
            taken: Arc::default(),
        }
    }

    /// A place for somebody at this address; none when all are taken, or as many as one address may have.
    pub(super) fn take(&self, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let mut taken = lock(&self.taken);
        let all: u32 = taken.values().sum();
        let mine = taken.get(&address).copied().unwrap_or(0);
        if all >= self.most || mine >= self.per_address_max {
            return None;
        }
        taken.insert(address, mine + 1);
        Some(Seat {
            address,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// A count is whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let seats = Seats::new(3, 2);
        let [a, b, mapped]: [IpAddr; 3] =
            ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"].map(|text| text.parse().unwrap());
        let first = seats.take(a).unwrap();
        let _second = seats.take(mapped).unwrap();
        assert!(seats.take(a).is_none(), "two of one address");
        let _third = seats.take(b).unwrap();
        assert!(seats.take(b).is_none(), "three in all");
        drop(first);
        assert!(seats.take(b).is_some());
        assert_eq!(lock(&seats.taken).len(), 2);
    }
}
