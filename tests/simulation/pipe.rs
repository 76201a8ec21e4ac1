//! One connection as the network has it: what each side has sent and the other has not yet taken. Owns the bytes on
//! their way; decides nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Both directions.
#[derive(Debug)]
pub struct Pipe {
    /// The client's number.
    pub number: usize,
    /// Sent by the client, not yet received by the world.
    pub up: VecDeque<u8>,
    /// The client's FIN stands behind them.
    pub client_fin: bool,
    pub client_reset: bool,
    /// Taken by the server's kernel, not yet read by the client.
    pub down: Vec<u8>,
    /// How many bytes more the kernel takes; `None` is any number.
    pub room: Option<usize>,
    pub server_fin: bool,
    pub server_closed: bool,
    pub closed_ms: u64,
    pub begun_ms: u64,
    /// When the world last got bytes.
    pub last_up_ms: u64,
    /// When the world last sent bytes.
    pub last_down_ms: u64,
}

pub type Shared = Rc<RefCell<Pipe>>;

impl Pipe {
    pub fn new(number: usize, now_ms: u64) -> Shared {
        Rc::new(RefCell::new(Pipe {
            number,
            up: VecDeque::new(),
            client_fin: false,
            client_reset: false,
            down: Vec::new(),
            room: None,
            server_fin: false,
            server_closed: false,
            closed_ms: 0,
            begun_ms: now_ms,
            last_up_ms: now_ms,
            last_down_ms: now_ms,
        }))
    }

    pub fn is_receivable(&self) -> bool {
        !self.up.is_empty() || self.client_fin || self.client_reset
    }

    pub fn is_writable(&self) -> bool {
        self.client_reset || self.room != Some(0)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        if !self.client_fin && !self.client_reset {
            self.up.extend(bytes);
        }
    }

    /// What is on its way is lost, in both directions.
    pub fn reset(&mut self) {
        self.client_reset = true;
        self.up.clear();
        self.down.clear();
    }
}
