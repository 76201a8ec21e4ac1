//! Owns the few lines printed at start: where it listens, on which cores, within which limits. A pure function from
//! what was started to text.

use std::net::SocketAddr;
use std::path::Path;

use super::config::{Config, size_text, time_text};

/// What was started.
///
/// ```
/// use dormouse::server::{banner::Started, config::Config};
///
/// let config = Config::default();
/// let started = Started {
///     config: &config,
///     file: None,
///     listen: "127.0.0.1:40123".parse()?, // the config left the port open
///     metrics: None,
///     cores: &[0, 1],
///     rings_per_shard: 4,
/// };
/// assert_ne!(started.listen, started.config.listen);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// The config it runs with.
    pub config: &'a Config,
    /// The file that the config came from.
    pub file: Option<&'a Path>,
    /// The address that the kernel gave, which differs from the config's where its port is 0.
    pub listen: SocketAddr,
    /// Likewise, of the listener for metrics and health.
    pub metrics: Option<SocketAddr>,
    /// The CPUs of the shards, in the order of the shards.
    pub cores: &'a [usize],
    /// Rings of each shard.
    pub rings_per_shard: usize,
}

/// The lines, each with its line break.
///
/// ```
/// # use dormouse::server::{banner::{Started, render}, config::Config};
/// let config = Config::default();
/// let (listen, cores) = (config.listen, [0, 1]);
/// let started = Started {
///     config: &config, file: None, listen, metrics: None, cores: &cores, rings_per_shard: 4,
/// };
/// assert!(render(&started).contains("ws://127.0.0.1:8787"));
/// ```
pub fn render(started: &Started<'_>) -> String {
    let Started { config, cores, rings_per_shard, .. } = started;
    let mut lines = vec![("listening", format!("ws://{}", started.listen))];
    lines.extend(started.metrics.map(|address| ("metrics", format!("http://{address}"))));
    let numbers: Vec<_> = cores.iter().map(usize::to_string).collect();
    lines
        .push(("cores", format!("{}: a shard each, {}", numbers.join(","), count(*rings_per_shard, "ring"))));
    lines.push(("connections", connections(config)));
    lines.push(("messages", messages(config)));
    lines.push(("hibernation", hibernation(config)));
    lines.push(("config", started.file.map_or("defaults".to_owned(), |path| path.display().to_string())));
    let mut text = format!("dormouse {}\n", env!("CARGO_PKG_VERSION"));
    for (name, value) in lines {
        text.push_str(&format!("  {name:<12} {value}\n"));
    }
    text
}

fn connections(config: &Config) -> String {
    let limits = &config.limits;
    let (all, object, ring) =
        (limits.connections, limits.connections_per_object, limits.connections_per_ring);
    format!("at most {all}, {object} an object, {ring} a ring")
}

fn messages(config: &Config) -> String {
    let limits = &config.limits;
    let (message, output) = (limits.message_bytes, limits.output_bytes_per_socket);
    format!("at most {}, {} queued for a socket", size_text(message, " "), size_text(output, " "))
}

fn hibernation(config: &Config) -> String {
    match config.hibernation.idle {
        Some(idle) if idle.is_zero() => "at once".to_owned(),
        Some(idle) => format!("after {} of silence", time_text(idle)),
        None => "off".to_owned(),
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_on_what_and_within_which_limits() {
        let config = Config::default();
        let text = render(&Started {
            config: &config,
            file: Some(Path::new("dormouse.toml")),
            listen: "0.0.0.0:80".parse().unwrap(),
            metrics: Some("127.0.0.1:9100".parse().unwrap()),
            cores: &[0, 3],
            rings_per_shard: 4,
        });
        let expected = "
  listening    ws://0.0.0.0:80
  metrics      http://127.0.0.1:9100
  cores        0,3: a shard each, 4 rings
  connections  at most 131072, 32768 an object, 16384 a ring
  messages     at most 32 MiB, 1 MiB queued for a socket
  hibernation  after 10s of silence
  config       dormouse.toml
";
        assert_eq!(text, format!("dormouse {}{expected}", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_is_not_there_is_not_said() {
        let mut config = Config::default();
        config.hibernation.idle = None;
        let listen = config.listen;
        let started =
            Started { config: &config, file: None, listen, metrics: None, cores: &[0], rings_per_shard: 1 };
        let text = render(&started);
        assert!(!text.contains("metrics") && text.contains("0: a shard each, 1 ring\n"), "{text}");
        assert!(text.contains("hibernation  off\n") && text.ends_with("config       defaults\n"), "{text}");
    }
}
