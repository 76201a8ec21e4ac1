//! The listener of one shard: which ring accepts, and when none does.
//!
//! Owns the listening socket, the choice of ring, and the back-off. Submits nothing itself.
//!
//! A multishot accept takes everything that waits in one go, and what finds no slot is lost. So it is armed only on
//! a ring with more free slots than can wait; the last slots of each ring are filled one by one. That is all the reserve
//! there has to be: an accepted socket takes a slot, and none of the process's descriptors.
//!
//! At the end no further handshake may begin, those that have begun get a moment, and who waits is accepted like
//! everybody before; only then does the socket close. Closed before, the kernel would reset them all.
//!
//! ```text
//!             arm (room, and not backing off)
//!    Quiet --------------------------------------> Armed(ring, many or one)
//!      ^                                              |               | many, and the ring has few slots left
//!      |   last completion, or error                  |               v
//!      +----------------------------------------------+---------- Cancelling
//! ```

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};

use super::sys::{self, LISTEN_BACKLOG};

/// The first wait after an accept found some resource exhausted; each further one doubles it.
const BACK_OFF_MIN_MS: u64 = 5;
/// The longest such wait.
const BACK_OFF_MAX_MS: u64 = 1_000;
/// At most one line of log for so long.
const LOG_EVERY_MS: u64 = 1_000;
/// How long handshakes that have begun may take to end when no other may begin: a round trip of a client far away.
const HANDSHAKES_END_MS: u64 = 100;
/// Free slots that a ring must have for an accept of many: all that wait, and as many that come meanwhile.
const ACCEPT_MANY_MIN: u32 = 2 * LISTEN_BACKLOG as u32;

/// What to submit for the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerStep {
    /// Arm an accept of many on this ring.
    AcceptMany(usize),
    /// Arm an accept of one on this ring.
    AcceptOne(usize),
    /// Cancel the accept in flight on this ring.
    Cancel(usize),
}

/// What an accept that brought no connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptFailure {
    /// The accept was cancelled, or interrupted; nothing is wrong.
    Ended,
    /// That one connection was gone before we took it.
    Connection,
    /// Nothing can be accepted for now.
    Exhausted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    Quiet,
    Armed { ring: usize, many: bool },
    Cancelling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// No handshake begins any more; from this time on nobody is waited for who has not arrived.
    Emptying {
        until_ms: u64,
    },
    /// Nothing is accepted any more.
    Closing,
}

/// One shard's listener.
pub(super) struct Listener {
    socket: Option<TcpListener>,
    life: Life,
    accepting: Accepting,
    back_off_ms: u64,
    retry_ms: Option<u64>,
    logged_ms: Option<u64>,
    unlogged: u64,
}

impl Listener {
    /// A listener that has not accepted yet.
    pub(super) fn new(socket: TcpListener) -> Self {
        Self {
            socket: Some(socket),
            life: Life::Open,
            accepting: Accepting::Quiet,
            back_off_ms: BACK_OFF_MIN_MS,
            retry_ms: None,
            logged_ms: None,
            unlogged: 0,
        }
    }

    /// The socket, as long as it is open.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// What to do next, given the free slots of each ring.
    pub(super) fn next(
        &mut self,
        now_ms: u64,
        free_slots: impl Fn(usize) -> u32,
        rings: usize,
    ) -> Option<ListenerStep> {
        if self.life == Life::Closing || self.socket.is_none() {
            return None;
        }
        match self.accepting {
            Accepting::Cancelling => None,
            Accepting::Armed { ring, many } => {
                if !many || free_slots(ring) >= ACCEPT_MANY_MIN {
                    return None;
                }
                self.accepting = Accepting::Cancelling;
                Some(ListenerStep::Cancel(ring))
            }
            Accepting::Quiet => {
                if self.retry_ms.is_some_and(|retry_ms| now_ms < retry_ms) {
                    return None;
                }
                self.retry_ms = None;
                let many = (0..rings).find(|&ring| free_slots(ring) >= ACCEPT_MANY_MIN);
                let ring = many.or_else(|| (0..rings).find(|&ring| free_slots(ring) > 0))?;
                self.accepting = Accepting::Armed { ring, many: many.is_some() };
                Some(if many.is_some() {
                    ListenerStep::AcceptMany(ring)
                } else {
                    ListenerStep::AcceptOne(ring)
                })
            }
        }
    }

    /// An accept has completed; `more` if it goes on. Whether it failed.
    pub(super) fn completed(&mut self, result: i32, more: bool, now_ms: u64) -> bool {
        if !more {
            self.accepting = Accepting::Quiet;
            if self.life == Life::Closing {
                self.socket = None;
            }
        }
        if result >= 0 {
            self.back_off_ms = BACK_OFF_MIN_MS;
            return false;
        }
        match classify(-result) {
            AcceptFailure::Ended => return false,
            AcceptFailure::Connection => {}
            AcceptFailure::Exhausted if self.life == Life::Closing => return false,
            AcceptFailure::Exhausted => {
                self.retry_ms = Some(now_ms + self.back_off_ms);
                self.log(&std::io::Error::from_raw_os_error(-result), now_ms);
                self.back_off_ms = (self.back_off_ms * 2).min(BACK_OFF_MAX_MS);
            }
        }
        true
    }

    /// When [`Self::next`] should be asked again, whatever else happens.
    pub(super) fn deadline_ms(&self, now_ms: u64) -> Option<u64> {
        let until_ms = match self.life {
            Life::Open => None,
            Life::Emptying { until_ms } => Some(until_ms).filter(|until_ms| now_ms < *until_ms),
            Life::Closing => return None,
        };
        self.retry_ms.into_iter().chain(until_ms).min()
    }

    /// Begins the end: who waits is still accepted, and whose handshake has begun.
    pub(super) fn begin_to_close(&mut self, now_ms: u64) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = sys::drop_new_handshakes(socket) {
            // Then the last of those who come may be reset.
            tracing::debug!(%error, "handshakes go on while the listener closes");
        }
        self.life = Life::Emptying { until_ms: now_ms + HANDSHAKES_END_MS };
    }

    /// Goes on with the end, once it has begun. Whether the socket is closed.
    pub(super) fn close_if_empty(&mut self, now_ms: u64) -> bool {
        if let Life::Emptying { until_ms } = self.life
            && now_ms >= until_ms
            && !self.socket.as_ref().is_some_and(|socket| sys::has_waiting(socket).unwrap_or(false))
        {
            self.close();
        }
        self.socket.is_none()
    }

    fn close(&mut self) {
        self.life = Life::Closing;
        match &self.socket {
            // The accept in flight ends by itself when the socket no longer listens.
            Some(socket) if self.accepting != Accepting::Quiet => sys::stop_listening(socket),
            _ => self.socket = None,
        }
    }

    /// Says that something is in the way of new connections, once a second at most.
    pub(super) fn log(&mut self, error: &std::io::Error, now_ms: u64) {
        if self.logged_ms.is_some_and(|logged_ms| now_ms - logged_ms < LOG_EVERY_MS) {
            self.unlogged += 1;
            return;
        }
        let (wait_ms, unlogged) = (self.back_off_ms, std::mem::take(&mut self.unlogged));
        tracing::warn!(%error, wait_ms, unlogged, "cannot accept connections for now");
        self.logged_ms = Some(now_ms);
    }
}

fn classify(error: i32) -> AcceptFailure {
    match error {
        libc::ECANCELED | libc::EINTR | libc::EAGAIN => AcceptFailure::Ended,
        // accept(2): Linux passes pending network errors of the new socket; treat them like EAGAIN.
        libc::ECONNABORTED
        | libc::EPROTO
        | libc::EPERM
        | libc::ENETDOWN
        | libc::ENOPROTOOPT
        | libc::EHOSTDOWN
        | libc::ENONET
        | libc::EHOSTUNREACH
        | libc::EOPNOTSUPP
        | libc::ENETUNREACH => AcceptFailure::Connection,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else would come back at once.
        _ => AcceptFailure::Exhausted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Listener {
        Listener::new(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    const PLENTY: u32 = ACCEPT_MANY_MIN;

    #[test]
    fn a_roomy_ring_accepts_many_and_the_last_slots_fill_one_by_one() {
        let mut listener = listener();
        let next = |listener: &mut Listener, free: [u32; 2]| listener.next(0, |ring| free[ring], 2);
        assert_eq!(next(&mut listener, [PLENTY, PLENTY]), Some(ListenerStep::AcceptMany(0)));
        assert_eq!(next(&mut listener, [PLENTY, PLENTY]), None);
        assert_eq!(next(&mut listener, [PLENTY - 1, PLENTY]), Some(ListenerStep::Cancel(0)));
        assert_eq!(next(&mut listener, [PLENTY - 1, PLENTY]), None);
        assert!(!listener.completed(-libc::ECANCELED, false, 0));
        assert_eq!(next(&mut listener, [PLENTY - 1, PLENTY]), Some(ListenerStep::AcceptMany(1)));
        assert!(!listener.completed(-libc::ECANCELED, false, 0));
        assert_eq!(next(&mut listener, [0, 3]), Some(ListenerStep::AcceptOne(1)));
        assert!(!listener.completed(7, false, 0));
        assert_eq!(next(&mut listener, [0, 0]), None);
        assert_eq!(next(&mut listener, [1, 0]), Some(ListenerStep::AcceptOne(0)));
    }

    #[test]
    fn exhaustion_backs_off_from_5_ms_to_1_s_and_success_forgets_it() {
        let mut listener = listener();
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert!(listener.next(now_ms, |_| 1, 1).is_some());
            assert!(listener.completed(-libc::EMFILE, false, now_ms));
            let deadline_ms = listener.deadline_ms(now_ms).unwrap();
            assert_eq!(listener.next(deadline_ms - 1, |_| 1, 1), None);
            waits.push(deadline_ms - now_ms);
            now_ms = deadline_ms;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert!(listener.next(now_ms, |_| 1, 1).is_some());
        assert!(!listener.completed(3, false, now_ms));
        assert!(listener.next(now_ms, |_| 1, 1).is_some());
        assert!(listener.completed(-libc::ENOBUFS, false, now_ms));
        assert_eq!(listener.deadline_ms(now_ms), Some(now_ms + 5));
    }

    #[test]
    fn a_connection_that_died_in_the_queue_delays_nobody() {
        let mut listener = listener();
        assert!(listener.next(0, |_| 1, 1).is_some());
        assert!(listener.completed(-libc::ECONNABORTED, false, 0));
        assert!(listener.next(0, |_| 1, 1).is_some());
    }

    #[test]
    fn closing_lets_the_accept_in_flight_end_first() {
        let mut listener = listener();
        assert!(listener.next(0, |_| PLENTY, 1).is_some());
        listener.begin_to_close(0);
        assert_eq!(listener.deadline_ms(0), Some(HANDSHAKES_END_MS));
        assert!(!listener.close_if_empty(HANDSHAKES_END_MS - 1));
        assert!(!listener.close_if_empty(HANDSHAKES_END_MS));
        assert!(listener.socket().is_some());
        assert_eq!(listener.next(0, |_| PLENTY, 1), None);
        assert!(!listener.completed(4, true, 0));
        assert!(!listener.completed(-libc::EINVAL, false, 0));
        assert!(listener.close_if_empty(HANDSHAKES_END_MS));
        assert_eq!(listener.next(0, |_| PLENTY, 1), None);
        assert_eq!(listener.deadline_ms(0), None);
    }

    #[test]
    fn who_waits_when_the_end_begins_is_accepted_before_the_socket_closes() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::new(socket.try_clone().unwrap());
        let _waits = std::net::TcpStream::connect(address).unwrap();
        // No slot is free, and then one is.
        assert_eq!(listener.next(0, |_| 0, 1), None);
        listener.begin_to_close(0);
        for now_ms in [0, HANDSHAKES_END_MS, 10_000] {
            assert!(!listener.close_if_empty(now_ms));
        }
        assert_eq!(listener.deadline_ms(10_000), None, "a slot that becomes free wakes the shard");
        assert_eq!(listener.next(10_000, |_| 1, 1), Some(ListenerStep::AcceptOne(0)));
        socket.accept().unwrap();
        assert!(!listener.completed(4, false, 10_000));
        assert!(listener.close_if_empty(10_000));
    }

    /// RELIABILITY: a log that is written 5 million times in 4 seconds is no help.
    #[test]
    fn what_is_in_the_way_is_logged_once_a_second_with_the_number_of_those_that_were_not() {
        let lines = Lines::default();
        let mut listener = listener();
        tracing::subscriber::with_default(lines.clone(), || {
            for now_ms in (0..2_500).step_by(10) {
                listener.log(&std::io::Error::from_raw_os_error(libc::ENFILE), now_ms);
            }
        });
        assert_eq!(*lines.0.lock().unwrap(), [0, 99, 99]);
    }

    /// Keeps the field `unlogged` of each event.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u64>>>);

    impl tracing::field::Visit for Lines {
        fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
            if field.name() == "unlogged" {
                self.0.lock().unwrap().push(value);
            }
        }

        fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
    }

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }
}
