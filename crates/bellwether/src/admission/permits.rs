//! Who may connect: a permit for each connection, given back when its socket is dropped.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::metrics::ConnectionMetrics;

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has all the connections that it may have.
    Full,
    /// The client's address has.
    Address,
}

impl Refusal {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
        }
    }
}

/// What is done with a connection that was just accepted.
#[derive(Debug)]
pub(crate) enum Admission {
    Serve(Permit),
    /// It gets one answer that says why.
    Refuse(Permit, Refusal),
    /// There is no permit for a response now: it waits until there is one.
    Hold,
    /// It is closed without an answer: its address has all the refusals that it may have at once.
    Close(Refusal),
}

/// How many connections a server admits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: usize,
    /// For connections that get one answer, which says why they are not served.
    pub(crate) refusals: usize,
    pub(crate) per_address: Option<usize>,
}

/// The permits of one server.
#[derive(Debug)]
pub(crate) struct Permits {
    connections: Arc<PermitPool>,
    /// For clients of a full server.
    refusals: Arc<PermitPool>,
    /// For addresses at their own limit. They are separate, so that one address takes no responses away from others.
    address_refusals: Arc<PermitPool>,
    addresses: Option<Arc<Addresses>>,
    metrics: ConnectionMetrics,
    #[cfg(test)]
    total: usize,
}

impl Permits {
    pub(crate) fn new(limits: ConnectionLimits, metrics: ConnectionMetrics) -> Self {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        let refusals = limits.refusals.min(Semaphore::MAX_PERMITS);
        Self {
            connections: PermitPool::new(connections, Some(metrics.clone())),
            refusals: PermitPool::new(refusals, None),
            address_refusals: PermitPool::new(refusals, None),
            addresses: limits.per_address.map(|limit| {
                Arc::new(Addresses {
                    limit,
                    connected: Mutex::new(HashMap::new()),
                })
            }),
            metrics,
            #[cfg(test)]
            total: connections,
        }
    }

    /// Decides about a connection from `peer`, which has no address on a Unix socket.
    pub(crate) fn admit(&self, peer: Option<IpAddr>) -> Admission {
        let address = match (&self.addresses, peer) {
            (Some(addresses), Some(peer)) => match addresses.enter(peer) {
                Some(permit) => Some(Box::new(permit)),
                None => return self.refuse(Refusal::Address),
            },
            _ => None,
        };
        match self.connections.take(address) {
            Some(permit) => {
                self.metrics.accepted();
                Admission::Serve(permit)
            }
            None => self.refuse(Refusal::Full),
        }
    }

    fn refuse(&self, why: Refusal) -> Admission {
        let (pool, otherwise) = match why {
            Refusal::Full => (&self.refusals, Admission::Hold),
            Refusal::Address => (&self.address_refusals, Admission::Close(why)),
        };
        let admission = match pool.take(None) {
            Some(permit) => Admission::Refuse(permit, why),
            None => otherwise,
        };
        if !matches!(admission, Admission::Hold) {
            self.metrics.refused(why);
        }
        admission
    }

    /// Waits until a connection that was held may be admitted: for a permit, or for one to be refused with.
    pub(crate) async fn room(&self) {
        tokio::select! {
            _ = self.connections.slots.acquire() => {}
            _ = self.refusals.slots.acquire() => {}
        }
    }

    /// Permits that are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.connections.slots.available_permits()
    }

    /// All permits.
    #[cfg(test)]
    pub(crate) fn total(&self) -> usize {
        self.total
    }
}

/// Permits of one kind.
#[derive(Debug)]
struct PermitPool {
    slots: Semaphore,
    /// Present if a connection with such a permit counts as open.
    metrics: Option<ConnectionMetrics>,
}

impl PermitPool {
    fn new(permits: usize, metrics: Option<ConnectionMetrics>) -> Arc<Self> {
        Arc::new(Self {
            slots: Semaphore::new(permits),
            metrics,
        })
    }

    fn take(self: &Arc<Self>, address: Option<Box<AddressPermit>>) -> Option<Permit> {
        self.slots.try_acquire().ok()?.forget();
        Some(Permit {
            pool: Arc::clone(self),
            _address: address,
        })
    }
}

/// The permit of one connection. It moves with the socket, so that an upgraded connection keeps it too, and is small,
/// because each idle stream has one.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<PermitPool>,
    /// Boxed: most servers do not count addresses.
    _address: Option<Box<AddressPermit>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pool.slots.add_permits(1);
        if let Some(metrics) = &self.pool.metrics {
            metrics.closed();
        }
    }
}

/// How many connections each address has.
#[derive(Debug)]
struct Addresses {
    limit: usize,
    /// Guards the counts; an address without connections has no entry.
    connected: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<AddressPermit> {
        let address = group(peer);
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = connected.get(&address).copied().unwrap_or(0);
        if count >= self.limit {
            return None;
        }
        connected.insert(address, count + 1);
        Some(AddressPermit {
            addresses: Arc::clone(self),
            address,
        })
    }
}

/// One connection of one address.
#[derive(Debug)]
struct AddressPermit {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut connected = self
            .addresses
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connected.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connected.remove(&self.address);
            }
        }
    }
}

/// The address that counts: one client usually has a whole IPv6 /64.
fn group(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROOM: ConnectionLimits = ConnectionLimits {
        connections: 1000,
        refusals: 100,
        per_address: None,
    };

    fn permits(limits: ConnectionLimits) -> Permits {
        Permits::new(limits, ConnectionMetrics::new())
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_dropped_permit_is_free_again() {
        let permits = permits(ConnectionLimits {
            connections: 1,
            ..ROOM
        });
        let first = permits.admit(None);
        assert!(matches!(first, Admission::Serve(_)));
        assert!(matches!(
            permits.admit(None),
            Admission::Refuse(_, Refusal::Full)
        ));
        drop(first);
        assert!(matches!(permits.admit(None), Admission::Serve(_)));
    }

    #[test]
    fn refusals_are_bounded_too() {
        let permits = permits(ConnectionLimits {
            connections: 0,
            refusals: 1,
            ..ROOM
        });
        let first = permits.admit(None);
        assert!(matches!(first, Admission::Refuse(..)));
        assert!(matches!(permits.admit(None), Admission::Hold));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_others_apart() {
        let permits = permits(ConnectionLimits {
            per_address: Some(1),
            ..ROOM
        });
        let first = permits.admit(peer("2001:db8::1"));
        assert!(matches!(first, Admission::Serve(_)));
        let same = permits.admit(peer("2001:db8::ffff:1"));
        assert!(matches!(same, Admission::Refuse(_, Refusal::Address)));
        let other = permits.admit(peer("2001:db8:0:1::1"));
        assert!(matches!(other, Admission::Serve(_)));
        let v4 = permits.admit(peer("192.0.2.1"));
        assert!(matches!(v4, Admission::Serve(_)));
        let mapped = permits.admit(peer("::ffff:192.0.2.1"));
        assert!(matches!(mapped, Admission::Refuse(_, Refusal::Address)));
        drop(first);
        assert!(matches!(
            permits.admit(peer("2001:db8::2")),
            Admission::Serve(_)
        ));
    }

    #[test]
    fn addresses_without_connections_leave_no_entry() {
        let permits = permits(ConnectionLimits {
            per_address: Some(2),
            ..ROOM
        });
        drop((
            permits.admit(peer("192.0.2.1")),
            permits.admit(peer("192.0.2.1")),
        ));
        assert!(
            permits
                .addresses
                .unwrap()
                .connected
                .lock()
                .unwrap()
                .is_empty()
        );
    }
}
