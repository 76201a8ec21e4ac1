//! A model client: asks for an upgrade, sends, reads frames with a parser of its own, and holds what it hears
//! against what may be said to it. Owns the rules about the wire: order, nothing lost in between, nothing twice,
//! answers in the order of the questions, nothing behind a Close.

use std::collections::VecDeque;
use std::rc::Rc;

use dormouse::BatchFormat;

use super::envelope;
use super::latest::Latest;
use super::pipe;
use super::rules::Rules;
use super::squeeze::Squeeze;
use super::trace;
use super::verbs::AUTO_RESPONSE;
use super::witness::{self, Said};
use crate::support::frames::{BINARY, Heard, PONG, TEXT, client_frame, server_frame};
use crate::support::http::{ACCEPT, take_reply};

/// An answer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// To the message with this number.
    Message(u32),
    Auto,
}

/// Close codes that only objects choose, those that only clients choose, and what a close handler answers.
pub const OBJECT_CODES_FIRST: u16 = 3_000;
pub const OBJECT_CODES_END: u16 = 3_100;
pub const CLIENT_CODE: u16 = 4_000;
pub const ANSWER_CODE: u16 = 4_999;

/// RFC 6455 7.4.1: what a broken envelope is answered with.
const INVALID_PAYLOAD: u16 = 1_007;

/// Verbs whose answer goes to the sender.
const ANSWERED: [&str; 7] = ["echo", "large", "all", "each", "sleep", "get", "call"];

pub struct Client {
    pub number: u32,
    pub room: String,
    pub pipe: pipe::Shared,
    pub is_open: bool,
    /// Status of the answer that refused the upgrade.
    pub refused: Option<u16>,
    /// Plain requests before the upgrade that are not yet answered.
    pub requests_due: u32,
    /// Frames of messages that are not on the wire yet.
    pub unsent: VecDeque<Vec<u8>>,
    /// What was agreed about compression.
    pub squeeze: Option<Squeeze>,
    /// Messages sent so far.
    pub sent: u32,
    pub due: VecDeque<Due>,
    pub pings_sent: u32,
    /// Number of the last pong that came.
    pub last_pong: u32,
    /// How much of what the object said has been heard.
    pub said_heard: usize,
    /// How much of it was dropped.
    pub missed: usize,
    /// The same, where newer messages may replace older ones.
    pub latest: Latest,
    pub sent_close: Option<u16>,
    pub heard_close: Option<u16>,
    /// It answers a Close.
    pub is_polite: bool,
    /// It did something that a server may end it for.
    pub is_rude: bool,
    pub has_vanished: bool,
    pub has_stalled: bool,
    /// Its last word was an envelope that is none.
    pub has_broken_envelope: bool,
    pub rules: Rc<Rules>,
    /// The server has ended the connection.
    pub is_over: bool,
    /// Everything heard, for comparing runs.
    pub transcript: Vec<String>,
}

impl Client {
    pub fn new(number: u32, room: String, pipe: pipe::Shared, rules: Rc<Rules>) -> Client {
        Client {
            number,
            room,
            pipe,
            is_open: false,
            refused: None,
            requests_due: 0,
            unsent: VecDeque::new(),
            squeeze: None,
            sent: 0,
            due: VecDeque::new(),
            pings_sent: 0,
            last_pong: 0,
            said_heard: 0,
            missed: 0,
            latest: Latest::default(),
            sent_close: None,
            heard_close: None,
            is_polite: true,
            is_rude: false,
            has_vanished: false,
            has_stalled: false,
            has_broken_envelope: false,
            rules,
            is_over: false,
            transcript: Vec::new(),
        }
    }

    pub fn expects(verb: &str) -> bool {
        ANSWERED.contains(&verb)
    }

    /// It may still speak.
    pub fn is_speaking(&self) -> bool {
        let pipe = self.pipe.borrow();
        let is_gone = pipe.client_fin || pipe.client_reset || pipe.server_closed || self.has_vanished;
        self.refused.is_none() && self.sent_close.is_none() && !is_gone && !self.is_over
    }

    /// It has sent a broken envelope, and nothing explains that it has not been told so.
    pub fn waits_for_1007(&self) -> bool {
        let is_gone = self.is_over || self.has_vanished || self.pipe.borrow().client_reset;
        self.has_broken_envelope && self.is_open && self.heard_close.is_none() && !is_gone
    }

    fn breaks(&self, rule: &str) {
        witness::with(|witness| witness.breaks(format!("client {}: {rule}", self.number)));
    }

    /// Reads what has come. Returns whether a Close came that wants an answer.
    pub fn hear(&mut self) -> bool {
        if self.is_over || self.has_vanished {
            return false;
        }
        let mut down = std::mem::take(&mut self.pipe.borrow_mut().down);
        while !self.is_open && self.refused.is_none() {
            let Some(reply) = take_reply(&mut down) else { break };
            self.note(format!("{} {}", reply.status, reply.body));
            let is_last = reply.header("Connection") == Some("close");
            if self.requests_due > 0 && !is_last {
                self.requests_due -= 1;
            } else if reply.status == 101 {
                self.is_open = true;
                self.squeeze = reply.header("Sec-WebSocket-Extensions").map(Squeeze::agreed);
                if reply.header("Sec-WebSocket-Accept") != Some(ACCEPT) {
                    self.breaks("the upgrade is accepted with another key");
                }
            } else {
                self.is_refused(reply.status);
            }
        }
        let had_close = self.heard_close.is_some();
        let mut at = 0;
        if self.is_open {
            while let Some((frame, length)) = self.next_frame(&mut down[at..]) {
                at += length;
                self.hears(frame);
            }
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.down = down.split_off(at);
        let is_over = pipe.server_fin || pipe.server_closed;
        drop(pipe);
        if is_over {
            self.is_over = true;
            self.ended();
        }
        !had_close && self.heard_close.is_some() && self.sent_close.is_none()
    }

    /// The first frame, if it is whole, its payload inflated.
    fn next_frame(&mut self, down: &mut [u8]) -> Option<(Heard, usize)> {
        const COMPRESSED: [u8; 2] = [0xC0 | TEXT, 0xC0 | BINARY];
        let first = down.first().copied().filter(|first| COMPRESSED.contains(first));
        let Some((first, squeeze)) = first.zip(self.squeeze.as_mut()) else { return server_frame(down) };
        // What is compressed is binary, until it is inflated.
        down[0] = 0x80 | BINARY;
        let frame = server_frame(down);
        down[0] = first;
        let (Heard::Binary(payload), length) = frame? else { unreachable!("its opcode says binary") };
        let plain = squeeze.inflate(&payload);
        let heard = match plain {
            Some(bytes) if first == COMPRESSED[1] => Some(Heard::Binary(bytes)),
            plain => plain.and_then(|text| String::from_utf8(text).ok()).map(Heard::Text),
        };
        if heard.is_none() {
            self.breaks("hears a compressed message that is none");
        }
        Some((heard.unwrap_or(Heard::Text(String::new())), length))
    }

    /// The server has ended the connection. Without a Close it may do so only for a reason.
    fn ended(&self) {
        if self.is_rude || self.refused.is_some() {
            return;
        }
        let (pipe, rules) = (self.pipe.borrow(), &self.rules);
        let is_slow = self.has_stalled || rules.sends_are_short;
        if self.heard_close.is_some() {
            // Only a pong may stand there, and the time for an answer to the Close may end within it.
            if !pipe.down.is_empty() && !is_slow {
                self.breaks("the stream ends within a frame behind a Close");
            }
            return;
        }
        // A connection that is only shut down is judged when it is closed; it has the same reasons.
        let now = if pipe.server_closed { pipe.closed_ms } else { witness::with(|w| w.now.monotonic_ms) };
        let (silent_ms, stuck_ms) = (now - pipe.last_up_ms, now - pipe.last_down_ms);
        let is_excused = rules.shard_output_is_tight
            || rules.silence_ms.is_some_and(|ms| silent_ms >= ms)
            || self.sent_close.is_some() && silent_ms >= rules.close_ms
            // Whoever is ended for want of memory is told so when its object comes to it, but waits no longer than that.
            || rules.waiting_is_tight && silent_ms >= rules.close_ms
            // A Close that waits behind other output has only so long to be answered.
            || self.closed_by_object_ms().is_some_and(|ms| now.saturating_sub(ms) >= rules.close_ms)
            || is_slow && (rules.objects_may_fail() || rules.output_is_tight)
            || (self.has_stalled || rules.blocks_readers) && stuck_ms >= rules.write_progress_ms
            || !self.is_open && (rules.is_draining.get() || rules.arrival_may_fail || stuck_ms >= rules.handshake_ms.min(rules.close_ms));
        if !is_excused {
            self.breaks(&format!(
                "dropped without a Close, {silent_ms} ms after its last word and {stuck_ms} ms after the last to it"
            ));
        }
    }

    fn closed_by_object_ms(&self) -> Option<u64> {
        witness::with(|witness| witness.sockets.get(&self.number)?.closed_by_object)
    }

    fn is_refused(&mut self, status: u16) {
        self.refused = Some(status);
        let waited_ms = witness::with(|witness| witness.now.monotonic_ms) - self.pipe.borrow().begun_ms;
        if !self.is_rude && !self.rules.may_refuse(status, waited_ms) {
            self.breaks(&format!("is refused with {status} after {waited_ms} ms for nothing"));
        }
    }

    fn note(&mut self, line: String) {
        self.transcript.push(line);
    }

    fn hears(&mut self, frame: Heard) {
        self.note(format!("{frame:?}"));
        // RFC 6455 5.5.1 forbids data behind a Close; a ping is answered there all the same.
        let is_control = matches!(frame, Heard::Ping(_) | Heard::Pong(_));
        if self.heard_close.is_some() && !is_control {
            self.breaks(&format!("{frame:?} comes behind a Close"));
        }
        match frame {
            Heard::Text(text)
                if self.rules.batching == Some(BatchFormat::Json) && envelope::is_json(&text) =>
            {
                self.hears_envelope(BatchFormat::Json, text.as_bytes());
            }
            Heard::Binary(bytes) if self.rules.batching == Some(BatchFormat::MessagePack) => {
                self.hears_envelope(BatchFormat::MessagePack, &bytes);
            }
            Heard::Text(text) => self.hears_text(&text),
            Heard::Pong(payload) => {
                let number: u32 = String::from_utf8_lossy(&payload).parse().unwrap_or(0);
                let last = std::mem::replace(&mut self.last_pong, number);
                // RFC 6455 5.5.3 lets pongs be left out; the engine does where there is no room for them.
                let is_next = number == last + 1 || number > last && self.rules.output_is_tight;
                if !is_next || number > self.pings_sent {
                    self.breaks(&format!("pong {number} comes behind {last}"));
                }
            }
            Heard::Close(code, _) => self.hears_close(code),
            // RFC 6455 5.5.3: the answer has the same payload.
            Heard::Ping(payload) if self.is_speaking() => {
                self.pipe.borrow_mut().send(&client_frame(0x80 | PONG, &payload));
            }
            Heard::Ping(_) => {}
            other => self.breaks(&format!("hears {other:?}, which nobody said")),
        }
    }

    /// Passes over what was dropped, up to `said`.
    fn skip_to(&mut self, said: &Said) {
        if !self.rules.may_drop() {
            return;
        }
        let ahead = witness::with(|witness| {
            let record = witness.sockets.get(&self.number)?;
            record.said.get(self.said_heard..)?.iter().position(|next| next == said)
        });
        if ahead > Some(0) {
            trace::note(format_args!("client {} misses {ahead:?} texts before {said:?}", self.number));
        }
        self.said_heard += ahead.unwrap_or(0);
        self.missed += ahead.unwrap_or(0);
    }

    fn hears_close(&mut self, code: u16) {
        self.heard_close = Some(code);
        if self.rules.may_replace() && (OBJECT_CODES_FIRST..OBJECT_CODES_END).contains(&code) {
            return self.hears_said(&Said::Close(code));
        }
        self.skip_to(&Said::Close(code));
        let next = self.next_said();
        match code {
            // A Close of the object stands in order with what it said.
            OBJECT_CODES_FIRST..OBJECT_CODES_END if next != Some(Said::Close(code)) => {
                let next = shorten(next.as_ref());
                self.breaks(&format!("lost: Close {code} comes before {next}"));
            }
            OBJECT_CODES_FIRST..OBJECT_CODES_END => {}
            // Its own code comes back, or what a close handler made of it.
            _ if self.sent_close.is_some_and(|sent| sent == code || code == ANSWER_CODE) => {
                self.hears_answer()
            }
            // A handler that is told of the error may choose another code.
            ANSWER_CODE | INVALID_PAYLOAD if self.has_broken_envelope => {}
            _ if self.rules.may_close(code) || self.is_rude && !self.has_broken_envelope => {}
            _ => self.breaks(&format!("is closed with {code} for nothing")),
        }
    }

    /// With the answer to its Close a client has heard all that was said before the object knew of it.
    fn hears_answer(&self) {
        let said = witness::with(|witness| witness.sockets.get(&self.number)?.end.map(|(_, said, _)| said));
        if self.rules.may_replace() {
            let missing = self.with_said(|all| self.latest.missing(&all[..said.unwrap_or(0)]).cloned());
            if let Some(missing) = missing.flatten().filter(|_| !self.is_rude) {
                self.breaks(&format!("lost: its Close is answered before {missing:?} has come"));
            }
        } else if let Some(said) = said
            && self.said_heard < said
            && !self.is_rude
            && !self.rules.may_drop()
        {
            self.breaks(&format!(
                "lost: its Close is answered when {} of {said} texts had come",
                self.said_heard
            ));
        }
    }

    fn with_said<R>(&self, f: impl FnOnce(&[Said]) -> R) -> Option<R> {
        witness::with(|witness| Some(f(&witness.sockets.get(&self.number)?.said)))
    }

    /// Hears what has its place among what was said, where messages may be replaced.
    fn hears_said(&mut self, next: &Said) {
        let said = self.with_said(<[Said]>::to_vec).unwrap_or_default();
        if let Err(wrong) = self.latest.hear(&said, next) {
            let next = shorten(Some(next));
            return self.breaks(&format!("{wrong}, and {next} is heard"));
        }
        self.said_heard = self.latest.count();
    }

    fn next_said(&self) -> Option<Said> {
        witness::with(|witness| witness.sockets.get(&self.number)?.said.get(self.said_heard).cloned())
    }

    fn hears_text(&mut self, text: &str) {
        if text == AUTO_RESPONSE {
            return self.is_answered(Due::Auto, text);
        }
        self.hears_in_order(&Said::Text(text.to_owned()));
        self.hears_label(text);
    }

    fn hears_envelope(&mut self, format: BatchFormat, payload: &[u8]) {
        match envelope::read(format, payload) {
            Some(texts) => self.hears_in_order(&Said::Batch(texts)),
            None => self.breaks(&format!("hears a broken envelope: {}", payload.escape_ascii())),
        }
    }

    fn hears_in_order(&mut self, said: &Said) {
        if self.rules.may_replace() {
            return self.hears_said(said);
        }
        self.skip_to(said);
        let next = self.next_said();
        if next.as_ref() != Some(said) {
            let (kind, shown) = (self.misplaced(said), shorten(Some(said)));
            return self.breaks(&format!("{kind}: hears {shown} where {} was said", shorten(next.as_ref())));
        }
        self.said_heard += 1;
    }

    /// Whether it is an answer, and the one that is due.
    fn hears_label(&mut self, text: &str) {
        let mut words = text.split(' ');
        let (verb, label) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let Some((author, number)) = label.split_once(':') else { return };
        if author.parse() != Ok(self.number) {
            return;
        }
        if verb == "unpaired" {
            self.is_answered(Due::Auto, text);
        } else if Client::expects(verb)
            && let Ok(number) = number.parse()
        {
            self.is_answered(Due::Message(number), text);
        }
    }

    fn is_answered(&mut self, answer: Due, text: &str) {
        let is_there = self.due.contains(&answer);
        let mut due = self.due.pop_front();
        while self.rules.may_drop() && is_there && due != Some(answer) {
            due = self.due.pop_front();
        }
        if due != Some(answer) {
            let shown: String = text.chars().take(40).collect();
            self.breaks(&format!("an answer overtakes: hears {shown:?} when {due:?} is due"));
        }
    }

    /// What is wrong with what does not come next.
    fn misplaced(&self, heard: &Said) -> &'static str {
        witness::with(|witness| {
            let Some(record) = witness.sockets.get(&self.number) else { return "invented" };
            let at = record.said.iter().position(|said| said == heard);
            match at {
                None => "invented",
                Some(at) if at < self.said_heard => "doubled",
                Some(_) => "lost or out of order",
            }
        })
    }
}

fn shorten(said: Option<&Said>) -> String {
    match said {
        Some(Said::Text(text)) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Some(Said::Batch(texts)) => format!("a batch of {texts:?}"),
        Some(Said::Close(code)) => format!("Close {code}"),
        None => "nothing".to_owned(),
    }
}
