//! One shard's part of the driver: its world, its table of places, and what its kernel has yet to say. Owns the
//! contract about places: none is named before it is given out or after it was closed.

use std::fmt;
use std::sync::Arc;

use dormouse::object::driver::{Place, Receive, ShardId};
use dormouse::object::{ShardCounters, World, WorldPlan};

use super::pipe;

/// What the world may do with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Its descriptor is on the way to another shard.
    Leaving,
    Closing,
}

/// A connection, as the driver sees it.
pub struct Held {
    pub pipe: pipe::Shared,
    pub armed: Option<Receive>,
    /// It was paused, and bytes may be there that the kernel had already.
    pub is_late: bool,
    /// The end of its stream was told.
    pub is_lost: bool,
    pub awaits_writable: bool,
    pub state: State,
}

/// What the kernel has to say.
pub enum Completion {
    Accepted(pipe::Shared),
    Closed(Place),
    HandedOff(u32, Place),
    HandOffFailed(u32, Place),
    HandedOver(ShardId, u32, pipe::Shared),
    Receive(Place),
    Writable(Place),
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Completion::Accepted(pipe) => write!(f, "accepted client {}", pipe.borrow().number),
            Completion::Closed(place) => write!(f, "closed {}", place.0),
            Completion::HandedOff(token, place) => write!(f, "handed off {token} from {}", place.0),
            Completion::HandOffFailed(token, place) => write!(f, "kept {token} at {}", place.0),
            Completion::HandedOver(from, token, pipe) => {
                write!(f, "client {} comes from {} as {token}", pipe.borrow().number, from.0)
            }
            Completion::Receive(place) => write!(f, "receives at {}", place.0),
            Completion::Writable(place) => write!(f, "may write at {}", place.0),
        }
    }
}

pub struct Shard {
    pub world: World,
    pub counters: Arc<ShardCounters>,
    pub places: Vec<Option<Held>>,
    vacant: Vec<u32>,
    /// Completions that need no look at the places.
    pub waiting: Vec<Completion>,
}

impl Shard {
    pub fn new(plan: &WorldPlan, number: u16) -> Shard {
        Shard {
            world: plan.world(ShardId(number), 0x5EED + u64::from(number)),
            counters: plan.counters()[usize::from(number)].clone(),
            places: Vec::new(),
            vacant: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// All that could complete now.
    pub fn completions(&mut self, late_bytes_come: bool) -> Vec<Completion> {
        let mut completions = std::mem::take(&mut self.waiting);
        for (at, held) in self.places.iter_mut().enumerate() {
            let Some(held) = held.as_mut().filter(|held| held.state == State::Open) else { continue };
            if !late_bytes_come {
                held.is_late = false;
            }
            let pipe = held.pipe.borrow();
            if (held.armed.is_some() || held.is_late) && pipe.is_receivable() {
                completions.push(Completion::Receive(Place(at as u32)));
            }
            if held.awaits_writable && pipe.is_writable() {
                completions.push(Completion::Writable(Place(at as u32)));
            }
        }
        completions
    }

    pub fn has_completions(&self) -> bool {
        let has = |held: &Held| {
            let pipe = held.pipe.borrow();
            held.state == State::Open
                && (held.armed.is_some() && pipe.is_receivable()
                    || held.awaits_writable && pipe.is_writable())
        };
        !self.waiting.is_empty() || self.places.iter().flatten().any(has)
    }

    /// The place that was free last is taken first: who still names it is found out.
    pub fn occupy(&mut self, pipe: pipe::Shared) -> Place {
        let held = Held {
            pipe,
            armed: None,
            is_late: false,
            is_lost: false,
            awaits_writable: false,
            state: State::Open,
        };
        match self.vacant.pop() {
            Some(at) => {
                self.places[at as usize] = Some(held);
                Place(at)
            }
            None => {
                self.places.push(Some(held));
                Place((self.places.len() - 1) as u32)
            }
        }
    }

    pub fn free(&mut self, place: Place) {
        let freed = self.places[place.0 as usize].take();
        assert!(freed.is_some(), "a place is freed once");
        self.vacant.push(place.0);
    }

    /// The place that an effect names.
    pub fn held(&mut self, place: Place) -> &mut Held {
        let held = self.places.get_mut(place.0 as usize).and_then(Option::as_mut);
        let held = held.expect("an effect names a place in use");
        assert_eq!(held.state, State::Open, "nothing is asked of a place that is not the world's any more");
        held
    }

    /// Connections that this shard's kernel knows of.
    pub fn held_places(&self) -> usize {
        self.places.iter().flatten().count()
    }
}
