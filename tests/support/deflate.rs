//! permessage-deflate from a client's side (RFC 7692): what was agreed, and both contexts. They are flate2's alone: a
//! fault of `wire` must not hide itself.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What browsers offer.
pub const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// The end of a flush, which is not sent (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;

/// The header field that offers this.
pub fn offering(offer: &str) -> String {
    format!("Sec-WebSocket-Extensions: {offer}\r\n")
}

/// What a server agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    pub server_forgets: bool,
    pub client_forgets: bool,
    pub server_bits: Option<u8>,
    pub client_bits: Option<u8>,
}

impl Agreement {
    /// # Panics
    /// When it is not one that RFC 7692 7.1 knows.
    pub fn read(header: &str) -> Agreement {
        let mut agreement = Agreement::default();
        let mut parts = header.split("; ");
        assert_eq!(parts.next(), Some("permessage-deflate"));
        for part in parts {
            match part.split_once('=') {
                None if part == "server_no_context_takeover" => agreement.server_forgets = true,
                None if part == "client_no_context_takeover" => agreement.client_forgets = true,
                Some(("server_max_window_bits", bits)) => agreement.server_bits = bits.parse().ok(),
                Some(("client_max_window_bits", bits)) => agreement.client_bits = bits.parse().ok(),
                _ => panic!("{part} in {header}"),
            }
        }
        agreement
    }
}

/// A client's compressor.
pub struct Deflate {
    stream: Compress,
    forgets: bool,
}

impl Deflate {
    pub fn new(window_bits: u8, forgets: bool) -> Deflate {
        Deflate { stream: Compress::new_with_window_bits(Compression::new(6), false, window_bits), forgets }
    }

    /// The payload of a message (RFC 7692 7.2.1).
    pub fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        if message.is_empty() {
            return vec![0];
        }
        let mut deflated = Vec::with_capacity(message.len() + message.len() / 8 + 64);
        self.stream
            .compress_vec(message, &mut deflated, FlushCompress::Sync)
            .expect("a compressor compresses");
        assert!(deflated.ends_with(&TAIL));
        deflated.truncate(deflated.len() - TAIL.len());
        if self.forgets {
            self.stream.reset();
        }
        deflated
    }
}

/// A client's decompressor.
pub struct Inflate {
    stream: Decompress,
    window_bits: u8,
    forgets: bool,
}

impl Inflate {
    pub fn new(window_bits: u8, forgets: bool) -> Inflate {
        Inflate { stream: Decompress::new_with_window_bits(false, window_bits), window_bits, forgets }
    }

    /// The message of a payload (RFC 7692 7.2.2). In steps smaller than any window, because within one step the library
    /// would find what a window of the agreed size has lost.
    pub fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let (mut taken, mut message) = (0, Vec::new());
        loop {
            let mut step = [0; 100];
            let (taken_before, given_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(&input[taken..], &mut step, FlushDecompress::Sync);
            status.unwrap_or_else(|error| panic!("{error} in {payload:02x?}"));
            taken += (self.stream.total_in() - taken_before) as usize;
            let given = (self.stream.total_out() - given_before) as usize;
            message.extend_from_slice(&step[..given]);
            if given < step.len() {
                assert_eq!(taken, input.len());
                break;
            }
        }
        if self.forgets {
            self.stream = Decompress::new_with_window_bits(false, self.window_bits);
        }
        message
    }
}

/// Text of a list of things, as applications send them: compressible, and another for each seed.
pub fn listing(seed: u64, length: usize) -> String {
    let mut state = seed;
    let mut text = String::new();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text += &format!("{{\"id\":{},\"x\":{}}},", state >> 50, (state >> 30) & 0x3FF);
    }
    text.truncate(length);
    text
}

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
