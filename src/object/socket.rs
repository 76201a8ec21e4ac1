//! The record of one accepted socket on its object's shard: what stays when the object hibernates. Owns tags by
//! number, the attachment and the state of the handle; the connection itself is a [`Connection`](super::connection).

use super::driver::Place;
use super::kept::Kept;
use super::remote::FarConnection;
use super::slab::Key;

/// State of a socket (the WebSocket API's readyState).
///
/// ```
/// use dormouse::ReadyState;
///
/// assert_eq!(dormouse::WebSocketPair::new().client.ready_state(), ReadyState::Open);
/// assert_eq!(ReadyState::Closing as u8, 2);
/// assert!(ReadyState::Open < ReadyState::Closing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReadyState {
    /// 0: never seen on a server's sockets; here because the API numbers it.
    Connecting = 0,
    /// 1: messages can be sent.
    Open = 1,
    /// 2: a Close frame was sent or received, the other is awaited or the handler still runs.
    Closing = 2,
    /// 3: gone.
    Closed = 3,
}

/// Where the frames of a socket go.
#[derive(Debug)]
pub(crate) enum Link {
    /// The 101 has not been written. Most objects say nothing before it.
    Pending(Option<Box<Early>>),
    /// To the connection at this place of the same shard.
    Bound(Place),
    /// To a connection that stays on the shard that accepted it.
    Far(Box<FarLink>),
    /// Nowhere: the peer is gone.
    Gone,
}

/// What was sent before the 101 was written.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Frames, encoded; perhaps with a Close.
    pub(crate) frames: Vec<u8>,
    /// What waits behind them because they are too many.
    pub(crate) kept: Kept,
}

impl Early {
    /// Nothing comes behind a Close; so what waits goes before it.
    pub(crate) fn close(&mut self, frame: &[u8]) {
        while let Some((_, kept)) = self.kept.pop() {
            self.frames.extend_from_slice(&kept);
        }
        self.frames.extend_from_slice(frame);
    }
}

/// What the home shard of a socket knows of its far connection.
#[derive(Debug)]
pub(crate) struct FarLink {
    pub(crate) connection: FarConnection,
    /// What waits for the kernel there, as last reported.
    pub(crate) buffered_bytes: u32,
    /// It was told to pause.
    pub(crate) is_paused: bool,
}

impl FarLink {
    pub(crate) fn new(connection: FarConnection) -> FarLink {
        FarLink { connection, buffered_bytes: 0, is_paused: false }
    }
}

/// A tag of one socket: its number in the roster, and where the socket stands in that tag's list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagMembership {
    pub(crate) tag: u32,
    pub(crate) at: u32,
}

/// Most sockets have at most one tag; they pay no allocation for it.
#[derive(Debug, Default)]
pub(crate) enum TagSet {
    #[default]
    None,
    One(TagMembership),
    #[expect(clippy::box_collection, reason = "every socket pays for the largest variant")]
    Many(Box<Vec<TagMembership>>),
}

impl TagSet {
    pub(crate) fn as_slice(&self) -> &[TagMembership] {
        match self {
            TagSet::None => &[],
            TagSet::One(one) => std::slice::from_ref(one),
            TagSet::Many(many) => many,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [TagMembership] {
        match self {
            TagSet::None => &mut [],
            TagSet::One(one) => std::slice::from_mut(one),
            TagSet::Many(many) => many,
        }
    }

    pub(crate) fn push(&mut self, membership: TagMembership) {
        *self = match std::mem::take(self) {
            TagSet::None => TagSet::One(membership),
            TagSet::One(one) => TagSet::Many(Box::new(vec![one, membership])),
            TagSet::Many(mut many) => {
                many.push(membership);
                TagSet::Many(many)
            }
        };
    }

    pub(crate) fn remove(&mut self, tag: u32) -> Option<TagMembership> {
        let at = self.as_slice().iter().position(|membership| membership.tag == tag)?;
        let removed = self.as_slice()[at];
        match self {
            TagSet::Many(many) => {
                many.remove(at);
                if let [one] = many[..] {
                    *self = TagSet::One(one);
                }
            }
            _ => *self = TagSet::None,
        }
        Some(removed)
    }
}

/// How far the closing handshake has come (RFC 6455 7.1).
///
/// ```text
///            close()                 peer's Close
///   Neither ---------> Sent -----------------------> Both
///      |                                              ^
///      +------------> Received ---- close() or reply -+
///       peer's Close
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CloseProgress {
    pub(crate) sent: bool,
    pub(crate) received: bool,
}

/// Where a socket stands that is on no roster.
pub(crate) const NO_ROSTER: u32 = u32::MAX;

/// One accepted socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// What handles of this socket hash, before it is accepted and after. Comes round after 2^31 sockets of a shard;
    /// handles that are accepted compare their keys as well.
    pub(crate) identity: u32,
    pub(crate) object: Key,
    pub(crate) link: Link,
    pub(crate) close: CloseProgress,
    /// The application called `close()`; `send` is an error from then on. A Close that the engine sends is none of the
    /// application's doing: what it sends to a client that was too slow is ignored like what it sends to one that is
    /// gone.
    pub(crate) closed_by_application: bool,
    /// A message of it made its object fail; the object hears no more of them, or each would fail a new instance.
    pub(crate) is_muted: bool,
    /// Where it stands on the roster of its object, or [`NO_ROSTER`].
    pub(crate) roster_at: u32,
    pub(crate) tags: TagSet,
    pub(crate) attachment: Option<Box<[u8]>>,
    /// Wall clock of the last auto-response, milliseconds; 0 is never.
    pub(crate) auto_response_ms: u64,
    /// Events of this socket that wait or run.
    pub(crate) pending_events: u32,
}

impl Socket {
    pub(crate) fn new(identity: u32, object: Key) -> Socket {
        Socket {
            identity,
            object,
            link: Link::Pending(None),
            close: CloseProgress::default(),
            closed_by_application: false,
            is_muted: false,
            roster_at: NO_ROSTER,
            tags: TagSet::None,
            attachment: None,
            auto_response_ms: 0,
            pending_events: 0,
        }
    }

    /// Accepted with the standard API: its events have a reader of their own, it has no tags and is on no roster.
    pub(crate) fn is_standard(&self) -> bool {
        self.roster_at == NO_ROSTER
    }

    pub(crate) fn ready_state(&self) -> ReadyState {
        match self.link {
            Link::Gone => ReadyState::Closed,
            _ if self.close.sent && self.close.received => ReadyState::Closed,
            _ if self.close.sent || self.close.received || self.closed_by_application => ReadyState::Closing,
            _ => ReadyState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slab;
    use super::*;

    /// PERFORMANCE: what a socket costs beside its connection. tuning.md adds it up.
    #[test]
    fn a_socket_is_small() {
        // With its generation, in the shard's table.
        const { assert!(Slab::<Socket>::ENTRY_BYTES <= 88) }
    }
}
