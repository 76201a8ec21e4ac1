//! How many connections each client address has, over all shards of the process. Owns the counts and their limits;
//! where an address comes from is the driver's to know (`core::net` has addresses and no sockets). Absent while neither
//! limit is set, so that it costs nothing.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::directory::ConnectionId;

/// Leading bits of an IPv6 address that count as one client: what one site is given (RFC 4291 2.5.4).
const IPV6_PREFIX_BITS: u32 = 64;

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Client(Ipv6Addr);

impl Client {
    fn of(address: IpAddr) -> Client {
        match address.to_canonical() {
            IpAddr::V4(address) => Client(address.to_ipv6_mapped()),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS);
                Client(Ipv6Addr::from(network))
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    connections: usize,
    handshakes: usize,
}

struct Known {
    client: Client,
    /// Its first request has not arrived whole.
    is_handshaking: bool,
}

#[derive(Default)]
struct Table {
    counts: HashMap<Client, Count>,
    known: HashMap<ConnectionId, Known>,
}

/// The counts of a process.
pub(crate) struct Addresses {
    connections_max: usize,
    handshakes_max: usize,
    table: Mutex<Table>,
}

impl Addresses {
    /// Counts, if there is a limit to hold; 0 is none.
    pub(crate) fn new(connections_max: usize, handshakes_max: usize) -> Option<Addresses> {
        let limit = |max: usize| if max == 0 { usize::MAX } else { max };
        (connections_max > 0 || handshakes_max > 0).then(|| Addresses {
            connections_max: limit(connections_max),
            handshakes_max: limit(handshakes_max),
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection; `false`, and it does not count, when its client has as many as it may.
    pub(crate) fn admit(&self, connection: ConnectionId, address: IpAddr) -> bool {
        let client = Client::of(address);
        let mut table = self.table();
        let Count { connections, handshakes } = table.counts.get(&client).copied().unwrap_or_default();
        if connections >= self.connections_max || handshakes >= self.handshakes_max {
            return false;
        }
        *table.counts.entry(client).or_default() =
            Count { connections: connections + 1, handshakes: handshakes + 1 };
        table.known.insert(connection, Known { client, is_handshaking: true });
        true
    }

    /// The first request of a connection has arrived.
    pub(crate) fn introduced(&self, connection: ConnectionId) {
        let table = &mut *self.table();
        let Some(known) = table.known.get_mut(&connection) else { return };
        if std::mem::take(&mut known.is_handshaking)
            && let Some(count) = table.counts.get_mut(&known.client)
        {
            count.handshakes -= 1;
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(&self, connection: ConnectionId) {
        let mut table = self.table();
        let Some(known) = table.known.remove(&connection) else { return };
        let Some(count) = table.counts.get_mut(&known.client) else { return };
        count.connections -= 1;
        count.handshakes -= usize::from(known.is_handshaking);
        if count.connections == 0 {
            table.counts.remove(&known.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_too_many_is_refused_and_others_are_not() {
        let addresses = Addresses::new(2, 0).unwrap();
        let ids = [1, 2, 3, 4].map(ConnectionId);
        assert!(addresses.admit(ids[0], address("192.0.2.1")));
        assert!(addresses.admit(ids[1], address("::ffff:192.0.2.1")), "the same client, written otherwise");
        assert!(!addresses.admit(ids[2], address("192.0.2.1")));
        assert!(addresses.admit(ids[3], address("192.0.2.2")));
        addresses.forget(ids[2]);
        addresses.forget(ids[0]);
        addresses.forget(ids[0]);
        assert!(addresses.admit(ids[2], address("192.0.2.1")));
        assert!(!addresses.admit(ids[0], address("192.0.2.1")));
    }

    #[test]
    fn a_handshake_counts_until_its_request_is_there_or_it_is_gone() {
        let addresses = Addresses::new(0, 1).unwrap();
        let ids = [1, 2, 3].map(ConnectionId);
        let client = address("192.0.2.1");
        assert!(addresses.admit(ids[0], client));
        assert!(!addresses.admit(ids[1], client));
        addresses.introduced(ids[0]);
        addresses.introduced(ids[0]);
        assert!(addresses.admit(ids[1], client));
        assert!(!addresses.admit(ids[2], client));
        addresses.forget(ids[1]);
        assert!(addresses.admit(ids[2], client));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let addresses = Addresses::new(1, 0).unwrap();
        let ids = [1, 2, 3].map(ConnectionId);
        assert!(addresses.admit(ids[0], address("2001:db8:0:1::1")));
        assert!(!addresses.admit(ids[1], address("2001:db8:0:1:ffff::2")));
        assert!(addresses.admit(ids[2], address("2001:db8:0:2::1")));
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone_and_without_limits_of_nobody() {
        let addresses = Addresses::new(9, 9).unwrap();
        for number in 0..100 {
            assert!(
                addresses
                    .admit(ConnectionId(number), IpAddr::V4(core::net::Ipv4Addr::from_bits(number as u32)))
            );
            addresses.forget(ConnectionId(number));
        }
        let table = addresses.table();
        assert_eq!((table.counts.len(), table.known.len()), (0, 0));
        assert!(Addresses::new(0, 0).is_none());
    }
}
