//! Batch envelopes as a client writes and reads them, coded anew: JSON, as docs/batching.md has it.

use super::client::Client;
use super::fake::Fake;
use super::frames::{Heard, text};
use super::room::inside;

/// How long a batch of a room waits: what `Batching::json` says by itself.
pub const DELAY_MS: u64 = 50;

pub fn envelope(messages: &[&str]) -> String {
    let all: Vec<&str> = ["batch/1"].into_iter().chain(messages.iter().copied()).collect();
    serde_json::to_string(&all).expect("texts are JSON")
}

/// A text message with an envelope.
pub fn batch(messages: &[&str]) -> Heard {
    text(envelope(messages))
}

/// Has the room of a client put these into the batch for everybody.
pub fn push(fake: &mut Fake, client: &Client, messages: &'static [&'static str]) {
    inside(fake, client, |ctx, _| {
        messages.iter().for_each(|message| ctx.batch(None).push(message).unwrap());
    });
}
