//! Where to connect: a `ws://` URL taken apart, its host resolved.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// The port of `ws://` (RFC 6455 3).
const DEFAULT_PORT: u16 = 80;

/// Where the sockets of each room connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The rooms, by their numbers.
    pub rooms: Vec<Room>,
}

/// A server and a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Where the server's socket listens.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path.
    pub path: String,
}

/// What is wrong with `--url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Only `ws://` is spoken.
    Scheme,
    /// The host or its port cannot be understood, or the name has no address.
    Host(String),
    /// A path with characters that cannot stand in a request line.
    Path,
}

impl fmt::Display for TargetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => formatter.write_str("the URL must begin with ws:// (TLS is not spoken here)"),
            Self::Host(host) => {
                write!(formatter, "{host:?} is not a host with an address, or its port is no number")
            }
            Self::Path => formatter.write_str("the path must be visible ASCII without '#'"),
        }
    }
}

impl Target {
    /// Takes `url` apart. One room is the path itself, several are `path/0`, `path/1` and so on.
    pub fn parse(url: &str, rooms: u32) -> Result<Self, TargetError> {
        let rest = url.strip_prefix("ws://").ok_or(TargetError::Scheme)?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(TargetError::Path);
        }
        let address = resolve(host).ok_or_else(|| TargetError::Host(host.to_owned()))?;
        let room = |path: String| Room { address, host: host.to_owned(), path };
        let rooms = if rooms == 1 {
            vec![room(path.to_owned())]
        } else {
            (0..rooms).map(|number| room(format!("{}/{number}", path.trim_end_matches('/')))).collect()
        };
        Ok(Self { rooms })
    }

    /// The rooms of this one, then those of `other`.
    pub fn and(mut self, other: Self) -> Self {
        self.rooms.extend(other.rooms);
        self
    }

    /// Where the servers of all rooms listen.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.rooms.iter().map(|room| room.address)
    }
}

/// The first address of `host`, an IPv4 one if there is one: the source addresses are.
fn resolve(host: &str) -> Option<SocketAddr> {
    let has_port =
        host.rsplit_once(':').is_some_and(|(name, _)| !name.starts_with('[') || name.ends_with(']'));
    let addresses = if has_port {
        host.to_socket_addrs().ok()?
    } else {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        (name, DEFAULT_PORT).to_socket_addrs().ok()?
    };
    addresses.min_by_key(|address| !address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str, rooms: u32) -> Vec<Room> {
        Target::parse(url, rooms).unwrap().rooms
    }

    fn paths(url: &str, rooms: u32) -> Vec<String> {
        parsed(url, rooms).into_iter().map(|room| room.path).collect()
    }

    #[test]
    fn one_room_is_the_path_and_several_are_below_it() {
        assert_eq!(paths("ws://127.0.0.1:8787/room", 1), ["/room"]);
        assert_eq!(paths("ws://127.0.0.1:8787/room/", 2), ["/room/0", "/room/1"]);
        assert_eq!(paths("ws://127.0.0.1:8787", 1), ["/"]);
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(parsed("ws://127.0.0.1/x", 1)[0].address.to_string(), "127.0.0.1:80");
        assert_eq!(parsed("ws://127.0.0.1:8787/x", 1)[0].host, "127.0.0.1:8787");
        assert_eq!(parsed("ws://[::1]:9/x", 1)[0].address.to_string(), "[::1]:9");
        assert_eq!(parsed("ws://[::1]/x", 1)[0].address.to_string(), "[::1]:80");
    }

    #[test]
    fn rooms_may_be_on_several_servers() {
        let both = Target::parse("ws://127.0.0.1:1/a", 1)
            .unwrap()
            .and(Target::parse("ws://127.0.0.2:2/b", 1).unwrap());
        let addresses: Vec<_> = both.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "127.0.0.2:2"]);
        assert_eq!(both.rooms[1].path, "/b");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Target::parse("wss://127.0.0.1/", 1), Err(TargetError::Scheme));
        assert_eq!(
            Target::parse("ws://127.0.0.1:port/", 1),
            Err(TargetError::Host("127.0.0.1:port".to_owned()))
        );
        assert_eq!(Target::parse("ws://127.0.0.1/a b", 1), Err(TargetError::Path));
    }
}
