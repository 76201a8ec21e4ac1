//! The driver against real rings on the loopback interface, with a small world of its own.
//!
//! `hand` turns one driver by hand, so that each event is asserted where it happens; `served` starts whole shards
//! with threads and executors, and talks to them from outside.

mod hand;
mod served;
mod world;
