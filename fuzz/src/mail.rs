//! What clients and objects say to each other in the operations target, numbered, so that a message lost, doubled or
//! overtaken is seen. Owns the numbers and what has been seen of them.

use std::collections::HashMap;

use super::support::client::Client;
use super::support::frames::{Heard, server_frame};
use super::support::http::take_reply;

/// SEMANTICS.md 8, "lost connection".
const LOST: &str = r#"1006 "WebSocket disconnected without sending Close frame." false"#;

/// A text that begins as an envelope may be what a client had its room say, of the few bytes that it has for that.
const ECHO_BYTES_MAX: usize = 100;

/// One client, and what it has heard.
pub struct Correspondent {
    pub client: Client,
    pub name: String,
    /// Its room batches in MessagePack, and not in JSON.
    pub is_packing: bool,
    is_open: bool,
    has_close: bool,
    /// The last number heard of each sender.
    heard: HashMap<String, u64>,
}

impl Correspondent {
    pub fn new(client: Client, name: String, is_packing: bool) -> Correspondent {
        Correspondent { client, name, is_packing, is_open: false, has_close: false, heard: HashMap::new() }
    }

    /// Sends texts in one envelope.
    pub fn send_batch(&self, texts: &[String]) {
        let elements: Vec<&str> = ["batch/1"].into_iter().chain(texts.iter().map(String::as_str)).collect();
        if self.is_packing {
            self.client.binary(rmp_serde::to_vec(&elements).expect("texts are MessagePack"));
        } else {
            self.client.text(serde_json::to_string(&elements).expect("texts are JSON"));
        }
    }

    /// Sends what begins as an envelope does.
    pub fn send_nearly_batch(&self, rest: &[u8]) {
        if self.is_packing {
            self.client.binary([b"\x92\xA7batch/1", rest].concat());
        } else {
            self.client.text(format!("[\"batch/1\"{}", String::from_utf8_lossy(rest)));
        }
    }

    /// Reads what has come.
    ///
    /// # Panics
    /// When it is not what a server may say, or not in order.
    pub fn hear(&mut self) {
        let peer = self.client.peer();
        let mut peer = peer.borrow_mut();
        while !self.is_open {
            let Some(reply) = take_reply(&mut peer.to_client) else { return };
            self.is_open = reply.status == 101;
        }
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some((frame, length)) = server_frame(&peer.to_client[at..]) {
            frames.push(frame);
            at += length;
        }
        peer.to_client.drain(..at);
        for frame in frames {
            // RFC 6455 5.5.2: a ping is answered also behind our own Close.
            let is_control = matches!(frame, Heard::Ping(_) | Heard::Pong(_));
            assert!(!self.has_close || is_control, "{} hears {frame:?} behind a Close", self.name);
            match frame {
                Heard::Text(text) if text.starts_with("[\"batch/") => {
                    let texts: Option<Vec<String>> = serde_json::from_str(&text).ok();
                    let texts = texts.filter(|texts| texts.len() > 1 && texts[0] == "batch/1");
                    assert!(texts.is_some() || text.len() <= ECHO_BYTES_MAX, "a broken envelope: {text}");
                    texts.iter().for_each(|texts| self.envelope(texts));
                }
                Heard::Binary(bytes) if bytes.get(3..11) == Some(b"\xA7batch/1") => {
                    let texts: Vec<String> = rmp_serde::from_slice(&bytes).expect("an envelope");
                    self.envelope(&texts);
                }
                Heard::Text(text) => self.text(&text),
                Heard::Close(..) => self.has_close = true,
                _ => {}
            }
        }
        // FIN is sent when everything is; a connection that is dropped may end anywhere.
        assert!(!peer.server_fin || peer.to_client.is_empty(), "FIN within a frame");
    }

    fn envelope(&mut self, texts: &[String]) {
        assert!(texts.len() > 1, "an envelope without a message");
        assert_eq!(texts[0], "batch/1");
        texts[1..].iter().for_each(|text| self.text(text));
    }

    fn text(&mut self, text: &str) {
        // What objects say by themselves is padded.
        if let Some((sender, number)) = text.split(' ').next().and_then(numbered) {
            let last = self.heard.insert(sender.to_owned(), number);
            assert!(last.is_none_or(|last| last < number), "{}: {text} behind {last:?}", self.name);
        }
    }
}

/// Sender and number of a text that has both.
fn numbered(text: &str) -> Option<(&str, u64)> {
    let (sender, number) = text.split_once(':')?;
    Some((sender, number.parse().ok()?))
}

/// What objects were told of each socket.
#[derive(Default)]
pub struct Ledger {
    sockets: HashMap<String, Account>,
}

#[derive(Default)]
struct Account {
    last: u64,
    is_over: bool,
}

impl Ledger {
    /// Takes the lines that the objects have logged.
    ///
    /// # Panics
    /// When a socket speaks after its end, ends twice, or speaks out of order.
    pub fn note(&mut self, lines: Vec<String>) {
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let (Some(name), Some(verb), Some(rest)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if !name.starts_with('c') || !matches!(verb, "says" | "sends" | "closes" | "errs") {
                continue;
            }
            let account = self.sockets.entry(name.to_owned()).or_default();
            assert!(!account.is_over, "an event behind the end: {line}");
            match verb {
                "closes" => {
                    account.is_over = true;
                    let was_clean = rest.ends_with("true");
                    assert!(was_clean || rest == LOST, "{line}");
                }
                "errs" => account.is_over = true,
                _ => {}
            }
            if let Some((_, number)) = rest.rsplit(' ').next().and_then(numbered) {
                assert!(number > account.last, "doubled or overtaken: {line}");
                account.last = number;
            }
        }
    }
}
