//! Owns the table of keys: for each its name, kind, range and place, what it is, and why its default is what it is.
//! Reading, checking, printing and error messages all go through it; a key that is not here does not exist.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::kind::Kind::{self, *};
use super::{KIB, MIB};

/// One key of the config.
pub(super) struct Key {
    /// The full name, `limits.message_bytes`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is: a sentence without its final full stop.
    pub(super) what: &'static str,
    /// Why the default is what it is, likewise.
    pub(super) why: &'static str,
}

/// Before the names of all variables that are ours.
pub(super) const ENVIRONMENT_PREFIX: &str = "DORMOUSE_";

/// Before the names of the entries of `[vars]`, the only table whose keys are the operator's.
pub(super) const VARS_PREFIX: &str = "vars.";

impl Key {
    /// The section and the name within it; the section of a top-level key is empty.
    pub(super) fn split(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// `DORMOUSE_LIMITS_MESSAGE_BYTES`.
    pub(super) fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// The key of that full name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// What each section is, in the order in which sections are printed.
pub(super) const SECTIONS: [(&str, &str); 10] = [
    ("buffers", "Buffers and queues of the rings. Reserved per ring, so these multiply"),
    ("limits", "The bound of every queue and buffer that a peer or an object can fill"),
    ("hibernation", "When an object without work leaves memory"),
    ("timeouts", "How long the engine waits for a peer or an object"),
    ("security", "Who may connect"),
    ("pacing", "How a busy shard gathers work"),
    ("crowd", "When an object's sockets spread over the shards"),
    ("deflate", "Compression of messages, permessage-deflate (RFC 7692), for clients that offer it"),
    ("metrics", "Where metrics and health are served"),
    ("vars", "Text handed to objects as environment variables: NAME = \"text\""),
];

const GIB: usize = 1 << 30;
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// The range of most deadlines: short enough for tests, and none so long that it is as good as none.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);

/// All keys, sections together and in the order of [`SECTIONS`], top-level keys first.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "listen",
        kind: Address(|config| &mut config.listen),
        what: "Address on which every shard accepts clients; port 0 lets the kernel choose",
        why: "this machine only, until somebody decides to open it",
    },
    Key {
        name: "cores",
        kind: Cores(|config| &mut config.cores),
        what: "CPUs that get a shard each: a count (lowest numbers first), a list of CPU numbers, or \"all\"",
        why: "a machine that runs Dormouse usually runs nothing else",
    },
    Key {
        name: "log",
        kind: LogFilter(|config| &mut config.log),
        what: "What is logged: a level, or levels by module",
        why: "starts, stops and refusals are logged, and nothing per connection",
    },
    Key {
        name: "buffers.receive_bytes",
        kind: Size(64..=64 * KIB, |config| &mut config.buffers.receive_bytes),
        what: "Size of one receive buffer",
        why: "game messages fit in one, and a longer one continues in the next",
    },
    Key {
        name: "buffers.receive_count",
        kind: PowerOfTwo(16..=32_768, |config| &mut config.buffers.receive_count),
        what: "Receive buffers of one ring",
        why: "1 MiB a ring; each goes back once parsed, so this covers a burst of 2,048 messages (tuning.md)",
    },
    Key {
        name: "buffers.send_batch",
        kind: Count(1..=1_024, |config| &mut config.buffers.send_batch),
        what: "Sends handed to the kernel in one submission",
        why: "1,024 measured a tenth cheaper than 128, and a batch of a shard holds no more (tuning.md)",
    },
    Key {
        name: "buffers.submission_entries",
        kind: PowerOfTwo(16..=32_768, |config| &mut config.buffers.submission_entries),
        what: "Entries of a ring's submission queue",
        why: "one batch of sends and as much other work",
    },
    Key {
        name: "buffers.completion_entries",
        kind: PowerOfTwo(64..=65_536, |config| &mut config.buffers.completion_entries),
        what: "Entries of a ring's completion queue",
        why: "one for each socket of a full ring, so that a broadcast does not overflow it",
    },
    Key {
        name: "limits.head_bytes",
        kind: Size(KIB..=MIB, |config| &mut config.limits.head_bytes),
        what: "Request line and header fields together; above: 431",
        why: "browsers and proxies stay below 8 KiB, large cookies included",
    },
    Key {
        name: "limits.headers",
        kind: Count(8..=1_000, |config| &mut config.limits.headers),
        what: "Header fields of a request; above: 431",
        why: "browsers send about 20, proxies add a dozen",
    },
    Key {
        name: "limits.target_bytes",
        kind: Size(64..=64 * KIB, |config| &mut config.limits.target_bytes),
        what: "Request target; above: 414",
        why: "RFC 9110 4.1 asks for 8,000 at least",
    },
    Key {
        name: "limits.body_bytes",
        kind: Size(0..=GIB, |config| &mut config.limits.body_bytes),
        what: "Body of an ordinary HTTP request; above: 413",
        why: "calls carry commands; files belong elsewhere",
    },
    Key {
        name: "limits.message_bytes",
        kind: Size(125..=GIB, |config| &mut config.limits.message_bytes),
        what: "One received message over all its fragments; above: close 1009",
        why: "what the hosted Durable Objects take, so that objects move here unchanged",
    },
    Key {
        name: "limits.frames_per_message",
        kind: Count(1..=16_777_216, |config| &mut config.limits.frames_per_message),
        what: "Frames of one received message, empty ones included; above: close 1008",
        why: "a 32 MiB message in pieces of 256 B; bounds the work that empty fragments cause",
    },
    Key {
        name: "limits.reassembly_bytes_per_shard",
        kind: Size(64 * KIB..=64 * GIB, |config| &mut config.limits.reassembly_bytes_per_shard),
        what: "Half-received messages of one shard together; above: the message that asks is closed with 1009",
        why: "eight of the largest messages at once, whatever the number of sockets",
    },
    Key {
        name: "limits.output_bytes_per_socket",
        kind: Size(4 * KIB..=GIB, |config| &mut config.limits.output_bytes_per_socket),
        what: "Queued output of one socket; above: the class's policy for slow readers",
        why: "seconds of a busy game for one client; who is further behind will not catch up",
    },
    Key {
        name: "limits.kept_messages_per_socket",
        kind: Count(1..=1_048_576, |config| &mut config.limits.kept_messages_per_socket),
        what: "Messages that wait under keys for one socket at its bound, in as many bytes again; above: close 1013",
        why: "one about each of a thousand players; the class asks for it (KeepLatest)",
    },
    Key {
        name: "limits.output_bytes_per_shard",
        kind: Size(64 * KIB..=64 * GIB, |config| &mut config.limits.output_bytes_per_shard),
        what: "Queued output of one shard; above: the slowest sockets go first",
        why: "room for 256 sockets at their own limit; a stalled network cannot take all memory",
    },
    Key {
        name: "limits.control_frames_per_second",
        kind: Count(1..=1_000_000, |config| &mut config.limits.control_frames_per_second),
        what: "Control frames that one socket may send in a second; above: its reading pauses",
        why: "honest clients ping once in some seconds",
    },
    Key {
        name: "limits.mailbox_events_per_object",
        kind: Count(1..=16_777_216, |config| &mut config.limits.mailbox_events_per_object),
        what: "Events waiting for one object; above: its sockets' reading pauses",
        why: "two messages from each of 32,768 sockets",
    },
    Key {
        name: "limits.mailbox_bytes_per_object",
        kind: Size(64 * KIB..=64 * GIB, |config| &mut config.limits.mailbox_bytes_per_object),
        what: "Bytes of the events waiting for one object; above: its sockets' reading pauses",
        why: "two of the largest messages, or 1 KiB for each event",
    },
    Key {
        name: "limits.attachment_bytes",
        kind: Size(1..=16 * KIB, |config| &mut config.limits.attachment_bytes),
        what: "A socket's serialized attachment; above: the handler gets an error",
        why: "the published limit of Durable Objects; 64 MiB for 32,768 sockets",
    },
    Key {
        name: "limits.connections",
        kind: Count(1..=10_000_000, |config| &mut config.limits.connections),
        what: "Connections of the whole process; above: new ones are closed",
        why: "measured with 8 rings; each idle connection costs about a quarter KiB here, and more in the kernel",
    },
    Key {
        name: "limits.connections_per_address",
        kind: Count(0..=10_000_000, |config| &mut config.limits.connections_per_address),
        what: "Connections of one client address (IPv6: its /64); above: new ones are closed; 0 is any number",
        why: "behind a proxy all clients have one address; set it where clients connect by themselves",
    },
    Key {
        name: "limits.handshakes_per_address",
        kind: Count(0..=10_000_000, |config| &mut config.limits.handshakes_per_address),
        what: "Of these, those whose first request is not whole yet; above: new ones are closed; 0 is any number",
        why: "as above; a half-sent request holds 2 KiB for timeouts.handshake",
    },
    Key {
        name: "limits.connections_per_object",
        kind: Count(1..=32_768, |config| &mut config.limits.connections_per_object),
        what: "Sockets of one object; above: the handler gets an error",
        why: "the limit of the hosted Durable Objects; objects may rely on it, so it can only be lowered",
    },
    Key {
        name: "limits.connections_per_ring",
        kind: Count(16..=1_048_576, |config| &mut config.limits.connections_per_ring),
        what: "Slots in a ring's file table, not above RLIMIT_NOFILE; a shard opens as many rings as it needs",
        why: "measured with; not above the completion queue, nor the hard limit that most systems give",
    },
    Key {
        name: "hibernation.idle",
        kind: TimeOrOff(Duration::ZERO..=Duration::from_secs(86_400), |config| &mut config.hibernation.idle),
        what: "Quiet time after which an object hibernates and its sockets stay; 0 is at once, \"off\" never",
        why: "what the hosted Durable Objects do",
    },
    Key {
        name: "hibernation.evict",
        kind: Time(Duration::from_secs(70)..=Duration::from_secs(140), |config| {
            &mut config.hibernation.evict
        }),
        what: "Quiet time after which an object that cannot hibernate is evicted",
        why: "within the 70 to 140 s that the hosted Durable Objects promise",
    },
    Key {
        name: "timeouts.handshake",
        kind: Time(DEADLINE, |config| &mut config.timeouts.handshake),
        what: "From accept to the end of the request head; then the connection is closed",
        why: "several retransmissions of a slow network; a client that drips bytes holds its slot no longer",
    },
    Key {
        name: "timeouts.keep_alive",
        kind: Time(MS..=HOUR, |config| &mut config.timeouts.keep_alive),
        what: "An HTTP connection without a request; then it is closed",
        why: "above the 60 s of common proxies, so that they close first and no request meets a closing socket",
    },
    Key {
        name: "timeouts.write_progress",
        kind: Time(DEADLINE, |config| &mut config.timeouts.write_progress),
        what: "A socket with queued output of which the kernel takes nothing; then the connection is lost",
        why: "a phone that changes cells is back within seconds",
    },
    Key {
        name: "timeouts.ping",
        kind: TimeOrOff(MS..=HOUR, |config| &mut config.timeouts.ping),
        what: "Silence after which the engine pings; \"off\" or 0 sends none",
        why: "below the 30 s after which the least patient gateways forget a connection",
    },
    Key {
        name: "timeouts.pong",
        kind: Time(DEADLINE, |config| &mut config.timeouts.pong),
        what: "From the ping to any byte of the peer; then the connection is lost",
        why: "a retransmission or two; with `ping`, a dead peer is found within 35 s",
    },
    Key {
        name: "timeouts.close",
        kind: Time(DEADLINE, |config| &mut config.timeouts.close),
        what: "From the engine's Close to the peer's; then the connection is dropped",
        why: "a living peer answers within a round trip",
    },
    Key {
        name: "timeouts.drain",
        kind: Time(Duration::ZERO..=HOUR, |config| &mut config.timeouts.drain),
        what: "From the request to stop to the end of the process; sockets are closed with 1001 meanwhile",
        why: "within the 30 s after which orchestrators kill, close handshakes included",
    },
    Key {
        name: "timeouts.fetch",
        kind: Time(DEADLINE, |config| &mut config.timeouts.fetch),
        what: "An object's answer to an HTTP request or an upgrade, then 504; its constructor, which then has failed",
        why: "below the 60 s of common proxies, so that the client sees our answer and not theirs",
    },
    Key {
        name: "security.origins",
        kind: Origins(|config| &mut config.security.origins),
        what: "Values of Origin that may upgrade, compared byte for byte (others: 403); empty allows any",
        why: "clients that are not browsers send none; list yours if sessions are in cookies",
    },
    Key {
        name: "pacing.wait",
        kind: Time(Duration::ZERO..=Duration::from_millis(10), |config| &mut config.pacing.wait),
        what: "How long a shard waits, after a turn that found work, before it looks again",
        why: "lowest latency; \"500us\" gathers 150 messages a turn instead of 2 under load (tuning.md)",
    },
    Key {
        name: "crowd.sockets",
        kind: Count(0..=32_768, |config| &mut config.crowd.sockets),
        what: "Sockets of one object beyond which further ones stay on the shards that accepted them",
        why: "two cores broadcast to 1,000 sockets twice as often as one, to 100 less often; far messages cross twice",
    },
    Key {
        name: "deflate.enabled",
        kind: Switch(|config| &mut config.deflate.enabled),
        what: "Whether offers are accepted",
        why: "browsers always offer, text shrinks to less than half, and without takeover no connection holds memory",
    },
    Key {
        name: "deflate.context_takeover",
        kind: Switch(|config| &mut config.deflate.context_takeover),
        what: "Whether a message may refer to those before it, which needs contexts for each connection",
        why: "contexts are 48 KiB to inflate and up to 376 KiB to compress, a thousand times an idle connection",
    },
    Key {
        name: "deflate.window_bits",
        kind: Count(9..=15, |config| &mut config.deflate.window_bits),
        what: "Largest window in either direction, as a power of two; the client's only if it lets the server say",
        why: "the whole 32 KiB; a smaller window saves up to a third of a context to compress, and memory of clients",
    },
    Key {
        name: "deflate.level",
        kind: Count(1..=9, |config| &mut config.deflate.level),
        what: "How hard compression tries, from 1 (fast) to 9 (small)",
        why: "1 KiB in 6 us, about what a send costs; level 2 takes three times that for a third less (tuning.md)",
    },
    Key {
        name: "deflate.min_bytes",
        kind: Size(0..=MIB, |config| &mut config.deflate.min_bytes),
        what: "Shorter messages are sent as they are",
        why: "below it a message shrinks by less than a third, and is one packet either way",
    },
    Key {
        name: "deflate.context_bytes_per_shard",
        kind: Size(0..=64 * GIB, |config| &mut config.deflate.context_bytes_per_shard),
        what: "Contexts of one shard's connections together; above: idle ones are given back, and none granted",
        why: "with takeover, 682 clients that compress and 87 that are compressed for; nothing without it",
    },
    Key {
        name: "metrics.listen",
        kind: OptionalAddress(|config| &mut config.metrics.listen),
        what: "Address of the listener for metrics and health; \"\" opens none",
        why: "metrics tell much about a service; open them where only you can look",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_variables_are_unique() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }

    #[test]
    fn each_key_stands_in_the_order_of_its_section() {
        let place =
            |key: &Key| SECTIONS.iter().position(|(name, _)| *name == key.split().0).map_or(0, |at| at + 1);
        let places: Vec<_> = KEYS.iter().map(place).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(KEYS.iter().all(|key| key.split().0.is_empty() || place(key) > 0));
    }

    #[test]
    fn what_and_why_are_there_and_leave_the_full_stop_to_the_printer() {
        for key in KEYS {
            assert!(!key.what.is_empty() && !key.why.is_empty(), "{}", key.name);
            assert!(!key.what.ends_with('.') && !key.why.ends_with('.'), "{}", key.name);
        }
    }
}
