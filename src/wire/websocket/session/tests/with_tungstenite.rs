//! The session against an implementation by other hands: what tungstenite sends is heard, and what is sent tungstenite
//! hears.

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode as TheirOpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocket};

use super::super::super::frame::{encode_close, encode_frame};
use super::*;

/// A message or a control frame, and how it is cut into frames.
#[derive(Debug, Clone)]
struct Spoken {
    heard: Heard,
    cuts: Vec<prop::sample::Index>,
}

fn spoken() -> impl Strategy<Value = Spoken> {
    let heard = prop_oneof![
        4 => "\\PC{0,60}".prop_map(Heard::Text),
        1 => "\\PC{200,400}".prop_map(Heard::Text),
        3 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Heard::Binary),
        1 => prop::collection::vec(any::<u8>(), 65_530..65_540).prop_map(Heard::Binary),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Heard::Ping),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Heard::Pong),
    ];
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (heard, cuts).prop_map(|(heard, cuts)| Spoken { heard, cuts })
}

fn push_frame(out: &mut Vec<u8>, opcode: TheirOpCode, payload: &[u8], is_final: bool, key: [u8; 4]) {
    let header = FrameHeader { is_final, opcode, mask: Some(key), ..FrameHeader::default() };
    Frame::from_payload(header, payload.to_vec().into()).format(out).unwrap();
}

/// A socket to read from. What the client answers, pongs for instance, goes nowhere.
struct OneWay(Cursor<Vec<u8>>);

impl Read for OneWay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for OneWay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite sends for it, in the frames that `cuts` make of a message.
fn by_tungstenite(out: &mut Vec<u8>, spoken: &Spoken, key: [u8; 4]) {
    let (kind, payload) = match &spoken.heard {
        Heard::Text(text) => (Data::Text, text.as_bytes()),
        Heard::Binary(bytes) => (Data::Binary, &bytes[..]),
        Heard::Ping(bytes) => return push_frame(out, TheirOpCode::Control(Control::Ping), bytes, true, key),
        Heard::Pong(bytes) => return push_frame(out, TheirOpCode::Control(Control::Pong), bytes, true, key),
        Heard::Close(..) | Heard::Error(_) => panic!("not spoken"),
    };
    let mut cuts: Vec<usize> = spoken.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for (index, end) in cuts.iter().copied().chain([payload.len()]).enumerate() {
        let kind = if index == 0 { kind } else { Data::Continue };
        push_frame(out, TheirOpCode::Data(kind), &payload[start..end], index == cuts.len(), key);
        start = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_tungstenite_sends_is_heard_in_whatever_pieces(
        conversation in prop::collection::vec(spoken(), 1..8),
        key in any::<[u8; 4]>(),
        sizes in prop::collection::vec(1usize..2_000, 1..10),
    ) {
        let mut stream = Vec::new();
        for spoken in &conversation {
            by_tungstenite(&mut stream, spoken, key);
        }
        let expected: Vec<Heard> = conversation.into_iter().map(|spoken| spoken.heard).collect();
        let limits = SessionLimits::default();
        prop_assert_eq!(&hear(&mut Session::new(), &stream, &limits), &expected);

        let mut session = Session::new();
        let mut heard = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (piece, next) = rest.split_at(rest.len().min(*size));
            heard.extend(hear(&mut session, piece, &limits));
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&heard, &expected);
        prop_assert_eq!(session.reassembly_bytes(), 0);
    }

    #[test]
    fn what_is_sent_tungstenite_hears(conversation in prop::collection::vec(spoken(), 1..8)) {
        let mut out = Vec::new();
        for spoken in &conversation {
            match &spoken.heard {
                Heard::Text(text) => encode_frame(&mut out, OpCode::Text, text.as_bytes()),
                Heard::Binary(bytes) => encode_frame(&mut out, OpCode::Binary, bytes),
                Heard::Ping(bytes) => encode_frame(&mut out, OpCode::Ping, bytes),
                Heard::Pong(bytes) => encode_frame(&mut out, OpCode::Pong, bytes),
                Heard::Close(..) | Heard::Error(_) => {}
            }
        }
        encode_close(&mut out, Some(4321), "bye 🍉");

        let mut client = WebSocket::from_raw_socket(OneWay(Cursor::new(out)), Role::Client, None);
        for spoken in &conversation {
            let heard = match client.read().unwrap() {
                Message::Text(text) => Heard::Text(text.to_string()),
                Message::Binary(bytes) => Heard::Binary(bytes.to_vec()),
                Message::Ping(bytes) => Heard::Ping(bytes.to_vec()),
                Message::Pong(bytes) => Heard::Pong(bytes.to_vec()),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(&heard, &spoken.heard);
        }
        let Message::Close(Some(close)) = client.read().unwrap() else { panic!("no close") };
        prop_assert_eq!((u16::from(close.code), close.reason.as_str()), (4321, "bye 🍉"));
    }
}
