//! A message on its way to outboxes, in each form that some recipient wants. Owns when a form is made: with the first
//! recipient that wants it, and once.

use std::sync::Arc;

use super::compression::{Agreed, Compressor};
use super::driver::Place;
use super::message::Message;
use super::output::{Output, Segment};
use crate::wire::{self, OpCode};

/// Sizes of windows: 9 to 15 bits.
pub(crate) const WINDOWS: usize = 7;

/// One message as frames.
pub(crate) struct Forms<'m> {
    source: Source<'m>,
    /// One recipient at most, which may have it compressed with the connection's own context.
    is_for_one: bool,
    /// Under what it may wait for a socket at its bound, until a newer one with the same key replaces it.
    key: Option<u64>,
    plain: Option<Segment>,
    /// Compressed, so that it stands alone, by size of the window.
    alone: [Form; WINDOWS],
    /// The plain one again, for those who have to wait.
    kept: Option<Arc<[u8]>>,
}

#[derive(Clone, Copy)]
enum Source<'m> {
    Message(OpCode, &'m [u8]),
    /// Encoded already; nobody gets it in another form.
    Frame(&'m [u8]),
}

#[derive(Clone, Copy)]
enum Form {
    /// Nobody has wanted it yet.
    Unknown,
    /// It is not smaller than the plain one.
    Useless,
    Made(Segment),
}

impl<'m> Forms<'m> {
    fn new(source: Source<'m>, is_for_one: bool) -> Forms<'m> {
        Forms { source, is_for_one, key: None, plain: None, alone: [Form::Unknown; WINDOWS], kept: None }
    }

    /// A message for one socket.
    pub(crate) fn for_one(message: Message<'m>) -> Forms<'m> {
        Forms::new(Source::Message(message.opcode(), message.as_bytes()), true)
    }

    /// A message for any number of sockets.
    pub(crate) fn for_many(message: Message<'m>) -> Forms<'m> {
        Forms::new(Source::Message(message.opcode(), message.as_bytes()), false)
    }

    /// A frame that leaves as it is. Control frames always do (RFC 7692 6.1).
    pub(crate) fn of_frame(frame: &'m [u8]) -> Forms<'m> {
        Forms::new(Source::Frame(frame), true)
    }

    /// A message that another shard has encoded; `plain` is the frame.
    pub(crate) fn of_message_frame(frame: &'m [u8], plain: Segment, is_for_one: bool) -> Forms<'m> {
        let source = match wire::split_frame(frame) {
            Some((opcode, payload)) => Source::Message(opcode, payload),
            None => Source::Frame(frame),
        };
        Forms { plain: Some(plain), ..Forms::new(source, is_for_one) }
    }

    /// The same under a key.
    pub(crate) fn keyed(self, key: Option<u64>) -> Forms<'m> {
        Forms { key, ..self }
    }

    pub(crate) fn key(&self) -> Option<u64> {
        self.key
    }

    /// The form that everybody can read.
    pub(crate) fn plain(&mut self, output: &mut Output) -> Segment {
        *self.plain.get_or_insert_with(|| match self.source {
            Source::Message(opcode, payload) => {
                output.frame(wire::frame_head(opcode, payload.len()), payload)
            }
            Source::Frame(frame) => output.encoded(frame),
        })
    }

    /// The form for a connection that is about to take it: what was compressed with its own context has to be sent.
    #[inline]
    pub(crate) fn for_connection(
        &mut self,
        place: Place,
        agreed: Agreed,
        compressor: &mut Compressor,
        output: &mut Output,
    ) -> Segment {
        match self.source {
            Source::Message(opcode, payload) if compressor.is_worth_it(agreed, payload) => {
                self.compressed(opcode, payload, place, agreed, compressor, output)
            }
            _ => self.plain(output),
        }
    }

    fn compressed(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        place: Place,
        agreed: Agreed,
        compressor: &mut Compressor,
        output: &mut Output,
    ) -> Segment {
        if self.is_for_one
            && let Some(deflated) = compressor.with_own_context(place, agreed, payload)
        {
            // RFC 7692 7.2.1: the context has it as sent, so that it has to be, even if it did not shrink
            return output.frame(wire::compressed_frame_head(opcode, deflated.len()), deflated);
        }
        let form = &mut self.alone[agreed.window_index()];
        if let Form::Unknown = form {
            let deflated = compressor.alone(agreed, payload);
            *form = if deflated.len() < payload.len() {
                Form::Made(output.frame(wire::compressed_frame_head(opcode, deflated.len()), deflated))
            } else {
                Form::Useless
            };
        }
        match *form {
            Form::Made(segment) => {
                compressor.another_was_sent(place, agreed);
                segment
            }
            Form::Unknown | Form::Useless => self.plain(output),
        }
    }

    /// The plain form apart from the arena, where it would be in the way for as long as somebody waits.
    pub(crate) fn kept(&mut self, output: &mut Output) -> Arc<[u8]> {
        let plain = self.plain(output);
        self.kept.get_or_insert_with(|| output.apart(plain)).clone()
    }

    /// Gives back what nobody took.
    pub(crate) fn discard_unused(self, output: &mut Output) {
        let made = self.alone.into_iter().filter_map(|form| match form {
            Form::Made(segment) => Some(segment),
            Form::Unknown | Form::Useless => None,
        });
        for segment in self.plain.into_iter().chain(made) {
            output.discard_unused(segment);
        }
    }
}
