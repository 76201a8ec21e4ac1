//! What a client puts on the wire: messages in one frame or in many, pings between them, Close, and what is no frame
//! at all. Owns the coding of a message; whether it is answered is kept by the client.

use dormouse::BatchFormat;

use super::client::{CLIENT_CODE, Client, Due};
use super::envelope;
use super::plan::Plan;
use super::rules::Rules;
use super::town::weighted;
use super::verbs::AUTO_REQUEST;
use super::witness;
use crate::support::frames::{BINARY, CLOSE, CONTINUATION, PING, TEXT, client_close, client_frame};
use crate::support::http::post;
use crate::support::random::Random;

/// A request that has the object tell its sockets.
pub fn visit(room: &str, text: &str) -> String {
    post(room, text)
}

/// The next numbered message.
pub fn say(client: &mut Client, plan: &Plan, rules: &Rules, random: &mut Random) {
    let text = next_text(client, rules.message_bytes_max, plan, random);
    send(client, TEXT, text.as_bytes(), plan.fragmented, rules, random);
}

/// A message that asks for nothing but a batch.
pub fn push(client: &mut Client, plan: &Plan, rules: &Rules, random: &mut Random) {
    client.sent += 1;
    let text = format!("{}:{} push 2", client.number, client.sent);
    send(client, TEXT, text.as_bytes(), plan.fragmented, rules, random);
    finish(client);
}

/// What a message has at most that is not padded, as a part of an envelope.
const PART_BYTES_MAX: usize = 35;

/// As many of the next numbered messages: as many of them in one envelope as fit the limit surely, or each for itself.
pub fn say_all(count: usize, client: &mut Client, plan: &Plan, rules: &Rules, random: &mut Random) {
    let mut left = count;
    if let Some(format) = plan.batching.filter(|_| random.percent(plan.enveloped)) {
        let parts = count.min(rules.message_bytes_max / PART_BYTES_MAX - 1);
        // One that is padded is larger when its characters are escaped, three times at most.
        let bytes_max = (rules.message_bytes_max / parts).saturating_sub(PART_BYTES_MAX) / 3;
        let first = client.sent + 1;
        let texts: Vec<String> = (0..parts).map(|_| next_text(client, bytes_max, plan, random)).collect();
        let envelope = envelope::write(format, &texts, random);
        witness::with(|witness| witness.envelopes.insert((client.number, first), parts));
        send(client, opcode(format), &envelope, plan.fragmented, rules, random);
        left -= parts;
    }
    (0..left).for_each(|_| say(client, plan, rules, random));
}

fn opcode(format: BatchFormat) -> u8 {
    match format {
        BatchFormat::Json => TEXT,
        BatchFormat::MessagePack => BINARY,
    }
}

fn next_text(client: &mut Client, bytes_max: usize, plan: &Plan, random: &mut Random) -> String {
    let (verb, argument) = wish(plan, random);
    let number = client.sent + 1;
    let mut text = format!("{}:{number} {verb} {argument}", client.number);
    pad(&mut text, bytes_max, plan, random);
    client.sent = number;
    if Client::expects(verb) {
        client.due.push_back(Due::Message(number));
    }
    text
}

fn wish(plan: &Plan, random: &mut Random) -> (&'static str, String) {
    let wishes = &plan.wishes;
    let weights = [
        ("echo", wishes.echo),
        ("all", wishes.all),
        ("others", wishes.others),
        ("about", wishes.about),
        ("aside", wishes.aside),
        ("tagged", wishes.tagged),
        ("each", wishes.each),
        ("large", wishes.large),
        ("close", wishes.close),
        ("panic", wishes.panic),
        ("bomb", wishes.bomb),
        ("fail", wishes.fail),
        ("sleep", wishes.sleep),
        ("linger", wishes.linger),
        ("tick", wishes.tick),
        ("put", wishes.put),
        ("get", wishes.get),
        ("call", wishes.call),
        ("pair", wishes.pair),
        ("retag", wishes.retag),
        ("push", wishes.push),
        ("push-tag", wishes.push_tag),
        ("push-own", wishes.push_own),
        ("push-late", wishes.push_late),
        ("flush", wishes.flush),
    ];
    let verb = weighted(random, &weights);
    let argument = match verb {
        "push" | "push-own" => (1 + random.below(4)).to_string(),
        "flush" => random.pick(&["everyone", "own", "all", "t0", "shifting"]).to_string(),
        "tagged" | "push-tag" => random.pick(&["all", "t0", "t1", "shifting", "nobody"]).to_string(),
        "large" => random.pick(&[100, 126, 1_000, 5_000, 39_000]).to_string(),
        "about" | "aside" => format!("k{}", random.below(4)),
        "close" => (3_000 + random.below(100)).to_string(),
        "sleep" | "linger" | "push-late" => random.pick(&[0, 1, 5, 20, 100, 300]).to_string(),
        "tick" => random.pick(&[0, 5, 50]).to_string(),
        "call" => format!("/r{}", random.below(plan.rooms)),
        "pair" => random.pick(&["on", "off"]).to_string(),
        _ => "-".to_owned(),
    };
    (verb, argument)
}

/// Makes a message longer, so that its frames are of every class, and not only of ASCII.
fn pad(text: &mut String, most: usize, plan: &Plan, random: &mut Random) {
    let length = match random.below(10) {
        0..=5 => 0,
        6 | 7 => random.below(130),
        8 => random.below(700),
        _ if plan.has_large_messages => random.below(1_900),
        _ => 0,
    };
    let length = length.min(most.saturating_sub(text.len() + 8));
    if length > 0 {
        text.push(' ');
        let end = text.len() + length;
        while text.len() < end {
            text.push(*random.pick(&['a', 'ä', '€', '𝄞']));
        }
    }
}

/// A message, whole or in fragments.
fn send(
    client: &mut Client,
    opcode: u8,
    payload: &[u8],
    fragmented: u32,
    rules: &Rules,
    random: &mut Random,
) {
    // RFC 7692 6.1: the first frame of a compressed message says so.
    let squeeze = client.squeeze.as_mut().filter(|_| random.percent(50));
    let (payload, first) = match squeeze {
        Some(squeeze) => (&*squeeze.deflate(payload), 0x40 | opcode),
        None => (payload, opcode),
    };
    let most = (rules.frames_max as usize).min(5);
    let count = if random.percent(fragmented) { 1 + random.below(most) } else { 1 };
    let mut cuts: Vec<usize> = (1..count).map(|_| random.below(payload.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(payload.len());
    let mut begin = 0;
    for (index, end) in cuts.iter().enumerate() {
        let opcode = if index == 0 { first } else { CONTINUATION };
        let fin = if index + 1 == cuts.len() { 0x80 } else { 0 };
        client.unsent.push_back(client_frame(fin | opcode, &payload[begin..*end]));
        begin = *end;
    }
    // What stays behind goes out with the next word.
    let now = if random.percent(70) { client.unsent.len() } else { random.below(client.unsent.len() + 1) };
    for frame in client.unsent.drain(..now) {
        client.pipe.borrow_mut().send(&frame);
    }
}

/// Sends what was held back.
pub fn finish(client: &mut Client) {
    for frame in client.unsent.drain(..) {
        client.pipe.borrow_mut().send(&frame);
    }
}

/// What the pair answers.
pub fn auto(client: &mut Client) {
    finish(client);
    client.due.push_back(Due::Auto);
    client.pipe.borrow_mut().send(&client_frame(0x80 | TEXT, AUTO_REQUEST.as_bytes()));
}

pub fn ping(client: &mut Client) {
    client.pings_sent += 1;
    let payload = client.pings_sent.to_string();
    client.pipe.borrow_mut().send(&client_frame(0x80 | PING, payload.as_bytes()));
}

/// A Close, behind all that was to be said.
pub fn close(client: &mut Client, code: Option<u16>) {
    finish(client);
    // RFC 6455 7.1.5: 1005 stands for none.
    client.sent_close = Some(code.unwrap_or(1_005));
    client.pipe.borrow_mut().send(&client_close(code, ""));
}

/// An envelope that is none. Nothing behind it is heard.
pub fn broken_envelope(client: &mut Client, format: BatchFormat, random: &mut Random) {
    finish(client);
    let bytes = envelope::broken(format, random);
    client.pipe.borrow_mut().send(&client_frame(0x80 | opcode(format), &bytes));
    witness::with(|witness| witness.broken_envelopes.insert(client.number, client.sent));
    client.has_broken_envelope = true;
    client.sent_close = Some(CLIENT_CODE - 1);
    if random.percent(50) {
        client.pipe.borrow_mut().send(&client_frame(0x80 | TEXT, b"behind"));
    }
}

/// What no client may send.
pub fn nonsense(client: &mut Client, random: &mut Random) {
    finish(client);
    let bytes: Vec<u8> = match random.below(7) {
        // Not masked.
        0 => b"\x81\x02hi".to_vec(),
        1 => client_frame(0x80 | 0x3, b"reserved"),
        2 => client_frame(0x80 | 0x20 | TEXT, b"RSV2"),
        3 => client_frame(0x80 | TEXT, b"\xFF\xFE"),
        4 => client_frame(0x80 | CONTINUATION, b"of nothing"),
        5 => client_close(Some(1_005), ""),
        _ => client_frame(0x80 | CLOSE, b"x"),
    };
    client.pipe.borrow_mut().send(&bytes);
    if random.percent(50) {
        client.pipe.borrow_mut().send(&client_frame(0x80 | BINARY, b"behind"));
    }
    // It is not heard any more.
    client.sent_close = Some(CLIENT_CODE - 1);
}
