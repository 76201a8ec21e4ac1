//! What arrived: completions of the rings and messages of other shards become the world's events.
//!
//! Owns the meaning of each completion. Bytes are given to the world where the kernel put them, and the buffer goes
//! back to the ring at once.

use std::io;

use super::driven::Driven;
use super::request::Request;
use super::ring::Completion;
use super::sys;
use super::turn::Driver;
use super::user_data::Operation;

impl<W: Driven> Driver<W> {
    /// Handles the completions of all rings, and those that deferred work adds meanwhile, but no more rounds than
    /// it takes to fill each queue about once. Returns how many events the world saw.
    pub(super) fn reap(&mut self) -> io::Result<usize> {
        let mut found = 0;
        for ring in 0..self.rings.len() {
            let mut handled = 0;
            while handled < self.rings[ring].ring.completion_entries() {
                let count = self.reap_once(ring)?;
                if count == 0 {
                    break;
                }
                handled += count;
            }
            found += handled;
        }
        Ok(found)
    }

    fn reap_once(&mut self, ring: usize) -> io::Result<usize> {
        let source = &mut self.rings[ring].ring;
        if source.is_unreaped() {
            source.submit_and_reap()?;
        }
        let mut completions = std::mem::take(&mut self.completions);
        source.take_completions(&mut completions);
        let count = completions.len();
        for completion in completions.drain(..) {
            self.complete(ring, completion)?;
        }
        self.completions = completions;
        self.rings[ring].refill()?;
        Ok(count)
    }

    fn complete(&mut self, ring: usize, completion: Completion) -> io::Result<()> {
        match completion.operation {
            Operation::Bell => {
                self.hears_bell = completion.has_more();
                self.port().bell.silence();
                Ok(())
            }
            Operation::Receive { slot } => self.complete_receive(ring, slot, completion),
            Operation::Accept => self.complete_accept(ring, completion),
            Operation::Installed { slot } => {
                self.complete_install(ring, slot, completion.result);
                Ok(())
            }
            Operation::Writable { slot } => self.complete_writable(ring, slot, completion),
            Operation::Shutdown { slot } => {
                // Whether or not it worked: a connection that is gone needs no FIN.
                let step = self.rings[ring].slot(slot).shutdown_ended();
                self.rings[ring].step(slot, step)
            }
            Operation::Close { slot } => {
                self.complete_close(ring, slot);
                Ok(())
            }
            Operation::HandOffSent { slot, token } => {
                self.complete_hand_off(ring, slot, token, completion.result)
            }
            Operation::HandOffClosed { slot, token } => {
                self.complete_departure(ring, slot, token);
                Ok(())
            }
            Operation::HandOffArrived { from, token } => {
                self.complete_arrival(ring, from, token, completion.result);
                Ok(())
            }
            Operation::Timer => {
                self.timer.fired();
                Ok(())
            }
            Operation::Cancel | Operation::TimerMoved => Ok(()),
            Operation::Send { index } => unreachable!("the answer of send {index} outlived its batch"),
        }
    }

    fn complete_accept(&mut self, ring: usize, completion: Completion) -> io::Result<()> {
        if let Ok(slot) = u32::try_from(completion.result) {
            self.stats.accepts.add(1);
            self.ring_port(ring).take();
            self.rings[ring].slot(slot).occupy();
            if self.peer_addresses {
                self.rings[ring].queue(Request::install(slot))?;
            } else {
                self.world.handle_accepted(self.places.join(ring, slot));
            }
        }
        let now_ms = self.now.monotonic_ms;
        let failed = self.listener.completed(completion.result, completion.has_more(), now_ms);
        self.stats.accept_errors.add(u64::from(failed));
        Ok(())
    }

    /// Until now the world does not know of the connection.
    fn complete_install(&mut self, ring: usize, slot: u32, result: i32) {
        // It fails when there is no descriptor left; then nobody can say whose connection it is.
        let address = sys::own_installed(result).and_then(|socket| sys::peer_address(&socket));
        if let Err(error) = &address
            && error.raw_os_error() != Some(libc::ENOTCONN)
        {
            self.stats.accept_errors.add(1);
            self.listener.log(error, self.now.monotonic_ms);
        }
        self.world.handle_accepted_from(self.places.join(ring, slot), address.ok());
    }

    fn complete_receive(&mut self, ring: usize, slot: u32, completion: Completion) -> io::Result<()> {
        let place = self.places.join(ring, slot);
        let source = &mut self.rings[ring];
        match completion.result {
            length if length > 0 => {
                let Some(buffer) = completion.buffer() else {
                    unreachable!("bytes without a buffer: {completion:?}")
                };
                self.stats.receives.add(1);
                self.stats.receive_bytes.add(length as u64);
                if source.slot(slot).bytes_arrived() {
                    self.world.handle_received(place, source.buffers.bytes(buffer, length as usize));
                }
                source.buffers.give_back(buffer);
            }
            error if error == -libc::ENOBUFS => {
                self.stats.receives_starved.add(1);
                debug_assert!(!completion.has_more());
                let (wanted, step) = source.slot(slot).receive_starved();
                if wanted {
                    source.starve(slot);
                }
                return source.step(slot, step);
            }
            // Cancelled on our request, or interrupted: settled below.
            error if [libc::ECANCELED, libc::EINTR, libc::EAGAIN].contains(&-error) => {}
            // End of stream, or an error that ends it.
            _ => {
                if source.slot(slot).end_arrived() {
                    self.world.handle_lost(place);
                }
                // The kernel may have picked a buffer for the end of a stream.
                if let Some(buffer) = completion.buffer() {
                    source.buffers.give_back(buffer);
                }
            }
        }
        if completion.has_more() {
            return Ok(());
        }
        let step = source.slot(slot).receive_ended();
        source.step(slot, step)
    }

    fn complete_writable(&mut self, ring: usize, slot: u32, completion: Completion) -> io::Result<()> {
        let source = &mut self.rings[ring];
        if source.slot(slot).is_heard() && completion.result != -libc::ECANCELED {
            // An error too: the send that follows will say what is wrong.
            self.world.handle_writable(self.places.join(ring, slot));
        }
        let step = source.slot(slot).poll_ended();
        source.step(slot, step)
    }

    fn complete_close(&mut self, ring: usize, slot: u32) {
        self.ring_port(ring).give_back();
        self.rings[ring].slot(slot).closed();
        self.stats.closes.add(1);
        self.world.handle_closed(self.places.join(ring, slot));
    }

    /// Gives the world what other shards have for it. Returns how many messages.
    pub(super) fn take_messages(&mut self) -> usize {
        let mut messages = std::mem::take(&mut self.messages);
        let mut refused = Vec::new();
        self.port().inbox.take(&mut messages, &mut refused);
        let count = messages.len();
        for message in messages.drain(..) {
            self.world.handle_mesh(message);
        }
        self.messages = messages;
        self.stats.mesh_received.add(count as u64);
        for sender in refused {
            self.shared.ports[usize::from(sender.0)].bell.ring();
        }
        count
    }
}
