//! The driver against real rings on the loopback interface, with a small world of its own.
//!
//! Most tests turn a driver by hand ([`bench`]), so that each event is asserted where it happens; `served` starts
//! whole shards with threads and executors, and talks to them from outside.

mod bench;
mod draining;
mod others;
mod receiving;
mod sending;
mod served;
mod sleeping;
mod stale;
mod table;
mod world;

pub(crate) use served::two_shards_that_echo;
