//! Who watches the shards of a process that serves. Owns what follows from the end of one: its connections are gone and
//! nobody listens in its place, so that the others are shut down in good order, and the process ends to be started anew,
//! whole.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::engine::wait_for_all;
use crate::shard::Shards;

/// Waits until all shards have ended. `asked` says whether they were asked to; if one ends before, the others are, with
/// `drain` for their time.
///
/// # Errors
/// What ended the first shard that was not asked to.
pub(super) fn supervise(shards: &Shards, asked: &AtomicBool, drain: Duration) -> io::Result<()> {
    wait_for_all(shards, |end| {
        if !asked.swap(true, Ordering::Relaxed) {
            tracing::error!(shard = end.shard.0, result = ?end.result, "a shard ended; shutting down");
            shards.shutdown(drain);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::shard::tests::two_shards_that_echo;

    /// Long enough for a machine that is busy.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn echoed(stream: &mut TcpStream) -> bool {
        let mut heard = [0; 5];
        stream.write_all(b"hello").is_ok() && stream.read_exact(&mut heard).is_ok() && heard == *b"hello"
    }

    /// RELIABILITY: a dead shard ends the process cleanly.
    #[test]
    fn when_a_shard_dies_the_others_end_in_good_order_and_the_reason_is_told() {
        let shards = two_shards_that_echo();
        let connect = || {
            let stream = TcpStream::connect(shards.local_address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        };
        // On both shards, however the kernel spreads them.
        let mut streams: Vec<_> = (0..50).map(|_| connect()).collect();
        assert!(streams.iter_mut().all(echoed));
        connect().write_all(b"!panic").unwrap();
        let asked = AtomicBool::new(false);
        let error = supervise(&shards, &asked, PATIENCE).unwrap_err();
        assert!(error.to_string().ends_with("panicked: as told"), "{error}");
        assert!(asked.into_inner());
        assert!(TcpStream::connect(shards.local_address()).is_err(), "nobody listens");
        let ends = streams.iter_mut().map(|stream| stream.read(&mut [0]).is_ok_and(|length| length == 0));
        assert!(ends.filter(|is_in_order| *is_in_order).count() > 0, "the other shard said goodbye");
    }

    #[test]
    fn shards_that_were_asked_to_end_are_no_failure() {
        let shards = two_shards_that_echo();
        shards.shutdown(PATIENCE);
        supervise(&shards, &AtomicBool::new(true), PATIENCE).unwrap();
    }
}
