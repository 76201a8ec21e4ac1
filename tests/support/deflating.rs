//! A client that has agreed on permessage-deflate. Owns its two contexts, and counts in which form messages came.

use super::client::Client;
use super::deflate::{Agreement, Deflate, FIN, Inflate, OFFER, RSV1, offering};
use super::fake::Fake;
use super::frames::{BINARY, Heard, TEXT, meaning, raw_frame};
use super::http::upgrade;

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
