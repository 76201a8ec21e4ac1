//! A client that has agreed on permessage-deflate. Owns both of its contexts, which are flate2's alone: a fault of
//! `wire` must not hide itself.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::client::Client;
use super::fake::Fake;
use super::frames::{BINARY, Heard, TEXT, meaning, raw_frame};
use super::http::upgrade;

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

/// The client.
pub struct Deflating {
    pub client: Client,
    pub agreement: Agreement,
    deflate: Deflate,
    inflate: Inflate,
    /// Messages heard that were compressed, and those that were not.
    pub compressed: usize,
    pub plain: usize,
    /// Bytes of payload of the last message, as they were sent.
    pub last_bytes: usize,
}

impl Deflating {
    /// A client that has got its 101 with an agreement.
    pub fn open(fake: &mut Fake, target: &str) -> Deflating {
        Deflating::open_at(fake, 0, target, OFFER)
    }

    pub fn open_at(fake: &mut Fake, shard: usize, target: &str, offer: &str) -> Deflating {
        let client = fake.connect_to(shard);
        client.bytes(upgrade(target, &offering(offer)));
        fake.settle();
        Deflating::opened(client)
    }

    /// Takes the 101 of a client that has offered.
    pub fn opened(client: Client) -> Deflating {
        let reply = client.reply();
        assert_eq!(reply.status, 101, "{}{}", reply.head, reply.body);
        let agreement = Agreement::read(reply.header("Sec-WebSocket-Extensions").expect("an agreement"));
        Deflating {
            client,
            deflate: Deflate::new(agreement.client_bits.unwrap_or(15), agreement.client_forgets),
            inflate: Inflate::new(agreement.server_bits.unwrap_or(15), agreement.server_forgets),
            agreement,
            compressed: 0,
            plain: 0,
            last_bytes: 0,
        }
    }

    /// The payload of a message, compressed.
    pub fn payload(&mut self, message: impl AsRef<[u8]>) -> Vec<u8> {
        self.deflate.deflate(message.as_ref())
    }

    /// Sends a text, compressed.
    pub fn text(&mut self, text: impl AsRef<str>) -> &mut Deflating {
        let payload = self.payload(text.as_ref());
        self.client.frame(FIN | RSV1 | TEXT, payload);
        self
    }

    /// Sends bytes, compressed.
    pub fn binary(&mut self, bytes: impl AsRef<[u8]>) -> &mut Deflating {
        let payload = self.payload(bytes);
        self.client.frame(FIN | RSV1 | BINARY, payload);
        self
    }

    /// What was heard since the last time, inflated.
    pub fn heard(&mut self) -> Vec<Heard> {
        let Deflating { client, inflate, compressed, plain, last_bytes, .. } = self;
        client.heard_by(|bytes| {
            let (first, mut payload, length) = raw_frame(bytes)?;
            assert_eq!(first & 0x30, 0, "RSV2 and RSV3 mean nothing");
            let is_message = first & 0x0F < 8;
            // RFC 7692 6.1: control frames MUST NOT have it
            assert!(is_message || first & RSV1 == 0);
            if is_message {
                *last_bytes = payload.len();
                *(if first & RSV1 == 0 { &mut *plain } else { &mut *compressed }) += 1;
            }
            if first & RSV1 != 0 {
                payload = inflate.inflate(&payload);
            }
            Some((meaning(first, payload), length))
        })
    }

    /// The texts among what was heard.
    pub fn texts(&mut self) -> Vec<String> {
        let texts = self.heard().into_iter().filter_map(|heard| match heard {
            Heard::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// Messages heard that were compressed, and those that were not, since the last time.
    pub fn forms(&mut self) -> (usize, usize) {
        (std::mem::take(&mut self.compressed), std::mem::take(&mut self.plain))
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
