//! A client's side of permessage-deflate (RFC 7692), on top of zlib and not of the engine's own code. Owns both
//! contexts and what was agreed about them.

use dormouse::object::DeflateSettings;
use dormouse::wire::DeflateTerms;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::support::random::Random;

/// RFC 7692 7.2.1: these end a message, and are left out.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

pub struct Squeeze {
    deflater: Compress,
    inflater: Decompress,
    client_forgets: bool,
    server_forgets: bool,
}

/// What an engine offers in one run.
pub fn settings(random: &mut Random) -> DeflateSettings {
    DeflateSettings {
        is_enabled: random.percent(25),
        terms: DeflateTerms {
            context_takeover: random.percent(70),
            window_bits: *random.pick(&[9, 12, 15, 15]),
        },
        message_bytes_min: *random.pick(&[0, 12, 256]),
        context_bytes_max: *random.pick(&[0, 400_000, 64 << 20]),
        ..DeflateSettings::default()
    }
}

/// A header of a request that offers it, or none.
pub fn offer(random: &mut Random) -> &'static str {
    const OFFERS: [&str; 4] = [
        "",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10; client_max_window_bits=11\r\n",
    ];
    OFFERS[random.below(OFFERS.len())]
}

impl Squeeze {
    /// What the response's header has agreed on.
    pub fn agreed(header: &str) -> Squeeze {
        let bits = header
            .split("client_max_window_bits=")
            .nth(1)
            .and_then(|rest| rest.split([';', ' ']).next()?.trim_matches('"').parse().ok());
        Squeeze {
            deflater: Compress::new_with_window_bits(Compression::fast(), false, bits.unwrap_or(15)),
            inflater: Decompress::new(false),
            client_forgets: header.contains("client_no_context_takeover"),
            server_forgets: header.contains("server_no_context_takeover"),
        }
    }

    pub fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.client_forgets {
            self.deflater.reset();
        }
        let mut deflated = Vec::with_capacity(payload.len() + 64);
        let done = self.deflater.compress_vec(payload, &mut deflated, FlushCompress::Sync);
        assert!(done.is_ok() && deflated.len() < deflated.capacity(), "the room is enough");
        assert_eq!(deflated.split_off(deflated.len() - TAIL.len()), TAIL);
        deflated
    }

    /// The message, unless it is none.
    pub fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.server_forgets {
            self.inflater.reset(false);
        }
        let input = [payload, &TAIL].concat();
        let before = self.inflater.total_in();
        let mut inflated = Vec::with_capacity(50_000);
        let done = self.inflater.decompress_vec(&input, &mut inflated, FlushDecompress::Sync);
        let is_whole = self.inflater.total_in() - before == input.len() as u64;
        (done.is_ok() && is_whole).then_some(inflated)
    }
}
