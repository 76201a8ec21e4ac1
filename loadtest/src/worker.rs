//! The event loop of one generator thread: its sockets, its epoll instance, one read buffer for all of them.
//!
//! A worker is made and dropped on its own thread and never leaves it: its descriptors belong to that
//! thread's table. Sockets live in *slots*; slot `s` of thread `t` of `n` is socket number `s * n + t` of the
//! run.

use crate::client::{Client, ClientError, Event};
use crate::clock::Clock;
use crate::frame::{self, Opcode};
use crate::handshake::{self, Keys};
use crate::kernel::epoll::{Epoll, Readiness};
use crate::kernel::socket;
use crate::kernel::wakeup::Wakeup;
use crate::random::Random;
use crate::script::{Delivery, Ending, Next, Script};
use crate::target::{Room, Target};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read in one call: sixteen broadcasts of 4 KiB at once, and small enough for the second-level cache.
const READ_BYTES: usize = 64 << 10;

/// The longest wait, so that flags set by other threads and time limits are noticed without a wake for each.
const WAIT_MAX_NS: u64 = 100_000_000;

/// A write that falls short leaves its end here; above this much the connection is given up, because a server
/// that takes nothing in would otherwise fill the generator's memory.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// The wakeup's number among the events; slots are 32-bit.
const WAKEUP_TOKEN: u64 = u64::MAX;

/// What all workers share.
#[derive(Debug)]
pub struct Common {
    /// Where to connect.
    pub target: Target,
    /// The addresses to connect from; empty leaves it to the system.
    pub sources: Vec<Ipv4Addr>,
    /// Handshake keys.
    pub keys: Keys,
    /// The run's clock.
    pub clock: Clock,
    /// One per thread, by which others wake it.
    pub wakeups: Vec<Wakeup>,
    /// One per thread: how far it is in the present phase, for the progress bar.
    pub progress: Vec<AtomicU64>,
}

/// One socket.
#[derive(Debug, Default)]
struct Slot {
    stream: Option<TcpStream>,
    client: Client,
    /// The number its key was made from; changes each time the slot is used again.
    connection: u32,
    room: u32,
    stage: Stage,
    /// What the socket did not take; empty almost always.
    unsent: Vec<u8>,
}

/// How far a socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The connect is under way.
    #[default]
    Connecting,
    /// The handshake is under way.
    Requested,
    /// Messages may be sent.
    Open,
    /// We have sent a Close.
    Closing,
    /// The server has sent a Close with this code.
    Closed(u16),
}

/// The sockets of one thread.
pub struct Worker {
    common: Arc<Common>,
    thread: usize,
    epoll: Epoll,
    slots: Vec<Slot>,
    buffer: Vec<u8>,
    random: Random,
}

impl Worker {
    /// Worker number `thread` with empty slots. Must be called on the thread that will use it, after it took
    /// a descriptor table of its own.
    pub fn new(common: Arc<Common>, thread: usize, slots: usize, seed: u64) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&common.wakeups[thread], WAKEUP_TOKEN)?;
        let mut all = Vec::new();
        all.resize_with(slots, Slot::default);
        Ok(Self { common, thread, epoll, slots: all, buffer: vec![0; READ_BYTES], random: Random::new(seed) })
    }

    /// The number of this thread.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.common.wakeups.len()
    }

    /// How many slots this worker has.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The number in the whole run of the socket in `slot`.
    pub fn socket(&self, slot: u32) -> u32 {
        slot * self.threads() as u32 + self.thread as u32
    }

    /// Which slot of which thread a socket lives in.
    pub fn place(&self, socket: u32) -> (usize, u32) {
        let threads = self.threads() as u32;
        ((socket % threads) as usize, socket / threads)
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.common.clock
    }

    /// Whether `slot` has passed the handshake and is not closing.
    pub fn is_open(&self, slot: u32) -> bool {
        let slot = &self.slots[slot as usize];
        slot.stream.is_some() && slot.stage == Stage::Open
    }

    /// Whether `slot` has a socket.
    pub fn is_used(&self, slot: u32) -> bool {
        self.slots[slot as usize].stream.is_some()
    }

    /// Wakes another thread's loop.
    pub fn wake(&self, thread: usize) {
        self.common.wakeups[thread].wake();
    }

    /// Shows progress.
    pub fn set_progress(&self, position: u64) {
        self.common.progress[self.thread].store(position, Ordering::Relaxed);
    }

    /// A masking key for the next frame.
    pub fn mask(&mut self) -> [u8; 4] {
        self.random.mask()
    }

    /// Starts connection number `connection` of the run in `slot`, to join `room`.
    pub fn connect(&mut self, slot: u32, connection: u32, room: u32) -> io::Result<()> {
        let sources = &self.common.sources;
        let source = connection.checked_rem(sources.len() as u32).map(|at| sources[at as usize]);
        let address = self.common.target.rooms[room as usize].address;
        let stream = socket::connect(address, source)?;
        self.epoll.add(&stream, u64::from(slot))?;
        self.slots[slot as usize] = Slot { stream: Some(stream), connection, room, ..Slot::default() };
        Ok(())
    }

    /// Sends `bytes` (whole frames) on `slot`. What the socket does not take now goes out when it does.
    /// Errors are not reported here: the reading side finds the connection ended and says so once.
    pub fn send(&mut self, slot: u32, bytes: &[u8]) {
        let slot = &mut self.slots[slot as usize];
        let Some(stream) = slot.stream.as_mut() else { return };
        if !slot.unsent.is_empty() {
            if slot.unsent.len() + bytes.len() > UNSENT_BYTES_MAX {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            } else {
                slot.unsent.extend_from_slice(bytes);
            }
            return;
        }
        let written = match stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return,
        };
        slot.unsent.extend_from_slice(&bytes[written..]);
    }

    fn send_control(&mut self, slot: u32, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(6 + payload.len());
        frame::encode(&mut bytes, opcode, payload, self.mask());
        self.send(slot, &bytes);
    }

    /// Starts the closing handshake on `slot`. The server is to answer and to close the connection, which the
    /// script is told as [`Ending::Closed`].
    pub fn send_close(&mut self, slot: u32, code: u16) {
        if self.is_open(slot) {
            self.slots[slot as usize].stage = Stage::Closing;
            self.send_control(slot, Opcode::Close, &code.to_be_bytes());
        }
    }

    /// Closes the socket of `slot` without a word; the script is not told.
    pub fn close(&mut self, slot: u32) {
        self.slots[slot as usize] = Slot::default();
    }

    /// Runs `script` until it is done.
    pub fn run(&mut self, script: &mut impl Script) -> io::Result<()> {
        loop {
            let now_ns = self.common.clock.now_ns();
            let Next::WaitUntil(due_ns) = script.poll(self, now_ns) else { return Ok(()) };
            let count =
                self.epoll.wait(due_ns.saturating_sub(self.common.clock.now_ns()).min(WAIT_MAX_NS))?;
            for position in 0..count {
                let event = self.epoll.event(position);
                if event.token == WAKEUP_TOKEN {
                    self.common.wakeups[self.thread].clear();
                } else {
                    self.handle_readiness(event, script);
                }
            }
        }
    }

    fn handle_readiness(&mut self, event: Readiness, script: &mut impl Script) {
        let slot = event.token as u32;
        // An event may be left over from a socket that was closed since the wait.
        if self.slots[slot as usize].stream.is_none() {
            return;
        }
        if event.writable
            && let Err(error) = self.handle_writable(slot)
        {
            return self.end(slot, Ending::System(error), script);
        }
        if event.readable
            && let Err(ending) = self.handle_readable(slot, event.ended, script)
        {
            self.end(slot, ending, script);
        }
    }

    /// The socket takes bytes: the first time that means it is connected.
    fn handle_writable(&mut self, at: u32) -> io::Result<()> {
        let slot = &mut self.slots[at as usize];
        let Some(stream) = slot.stream.as_mut() else { return Ok(()) };
        if slot.stage == Stage::Connecting {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            slot.stage = Stage::Requested;
            let key = self.common.keys.key(u64::from(slot.connection));
            let Room { host, path, .. } = &self.common.target.rooms[slot.room as usize];
            let request = handshake::request(host, path, &key);
            self.send(at, request.as_bytes());
        } else if !slot.unsent.is_empty() {
            let unsent = std::mem::take(&mut slot.unsent);
            self.send(at, &unsent);
        }
        Ok(())
    }

    /// Reads until the socket is empty. An edge is told once, so a read that fills the buffer, or an end that
    /// was announced, needs another; a short read does not (epoll(7)).
    fn handle_readable(&mut self, slot: u32, ended: bool, script: &mut impl Script) -> Result<(), Ending> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = loop {
            let Some(stream) = self.slots[slot as usize].stream.as_mut() else { break Ok(()) };
            match stream.read(&mut buffer) {
                Ok(0) => break Err(self.end_of_stream(slot)),
                Ok(length) => {
                    if let Err(error) = self.handle_bytes(slot, &buffer[..length], script) {
                        break Err(Ending::Protocol(error));
                    }
                    if length < buffer.len() && !ended {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(Ending::System(error)),
            }
        };
        self.buffer = buffer;
        outcome
    }

    fn end_of_stream(&self, slot: u32) -> Ending {
        match self.slots[slot as usize].stage {
            Stage::Closed(code) => Ending::Closed(code),
            _ => Ending::Vanished,
        }
    }

    fn end(&mut self, slot: u32, ending: Ending, script: &mut impl Script) {
        self.close(slot);
        script.handle_end(self, slot, ending, self.common.clock.now_ns());
    }

    /// RFC 6455 5.5.1: a Close is answered with a Close, unless it is itself the answer.
    fn answer_close(&mut self, slot: u32, code: u16) {
        let stage = std::mem::replace(&mut self.slots[slot as usize].stage, Stage::Closed(code));
        if stage == Stage::Open {
            // 1005 means that there was no code, and must not be sent (RFC 6455 7.4.1).
            let payload = code.to_be_bytes();
            self.send_control(slot, Opcode::Close, if code == 1005 { &[] } else { &payload });
        }
    }

    fn handle_bytes(&mut self, slot: u32, bytes: &[u8], script: &mut impl Script) -> Result<(), ClientError> {
        let now_ns = self.common.clock.now_ns();
        let keys = self.common.keys;
        let connection = u64::from(self.slots[slot as usize].connection);
        // Taken out while the script may use the worker; put back unless the script has closed the slot.
        let mut client = std::mem::take(&mut self.slots[slot as usize].client);
        let outcome = client.handle_bytes(bytes, keys, connection, |event| match event {
            Event::Opened => {
                self.slots[slot as usize].stage = Stage::Open;
                script.handle_open(self, slot, now_ns);
            }
            Event::Message(kind, payload) => {
                script.handle_delivery(self, Delivery { slot, kind, payload, now_ns });
            }
            Event::Ping(payload) => self.send_control(slot, Opcode::Pong, payload),
            Event::Closed(code) => self.answer_close(slot, code),
        });
        if self.slots[slot as usize].stream.is_some() {
            self.slots[slot as usize].client = client;
        }
        outcome
    }
}
