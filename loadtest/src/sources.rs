//! The addresses connections come from. One address has about 28,000 ports to spend on one server; on
//! loopback all of 127.0.0.0/8 is ours, so more sockets than that only need more addresses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The file that names the ports the kernel gives out.
const PORT_RANGE_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What Linux has by default in that file.
const PORT_RANGE_DEFAULT: (u16, u16) = (32_768, 60_999);

/// Addresses 127.0.0.1 to 127.0.0.254.
pub const SOURCES_MAX: u32 = 254;

/// The source addresses for `sockets` sockets to `targets`: `asked` of them, or as many as keep each below
/// half of its ports (above that the kernel's search for a free one becomes slow, and ports of closed
/// connections rest a while). Empty, which leaves it to the system, when a target is not on IPv4 loopback.
pub fn choose(
    mut targets: impl Iterator<Item = SocketAddr>,
    sockets: u32,
    asked: Option<u32>,
) -> Vec<Ipv4Addr> {
    let is_here = |target: SocketAddr| matches!(target.ip(), IpAddr::V4(address) if address.is_loopback());
    if !targets.all(is_here) {
        return Vec::new();
    }
    let (low, high) = port_range();
    let ports_each = (u32::from(high.saturating_sub(low)) / 2).max(1);
    let count = asked.unwrap_or_else(|| sockets.div_ceil(ports_each)).clamp(1, SOURCES_MAX);
    (1..=count).map(|last| Ipv4Addr::new(127, 0, 0, last as u8)).collect()
}

fn port_range() -> (u16, u16) {
    fs::read_to_string(PORT_RANGE_FILE).ok().and_then(|text| parse_range(&text)).unwrap_or(PORT_RANGE_DEFAULT)
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_sockets_come_from_more_addresses() {
        let choose = |sockets, asked| choose(["127.0.0.1:8787".parse().unwrap()].into_iter(), sockets, asked);
        assert_eq!(choose(100, None), [Ipv4Addr::LOCALHOST]);
        assert!(choose(131_072, None).len() >= 3);
        assert_eq!(choose(100, Some(3)).last(), Some(&Ipv4Addr::new(127, 0, 0, 3)));
        assert_eq!(choose(u32::MAX, None).len(), SOURCES_MAX as usize);
    }

    #[test]
    fn elsewhere_the_system_chooses() {
        for target in ["192.0.2.1:80", "[::1]:80"] {
            let targets = ["127.0.0.1:80", target].map(|target| target.parse().unwrap());
            assert!(choose(targets.into_iter(), 100_000, None).is_empty(), "{target}");
        }
    }

    #[test]
    fn the_range_file() {
        assert_eq!(parse_range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(parse_range("none"), None);
    }
}
