//! An honest and independent client, tungstenite: messages of all kinds and sizes both ways, and bytes cut at random.

mod engine;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use engine::{PATIENCE, Served, until_equal};
use proptest::prelude::*;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::{Message, WebSocket};

const MIB: usize = 1 << 20;

/// A stream whose writes are cut into pieces of these sizes, each a segment of its own.
struct Cut {
    stream: TcpStream,
    sizes: Vec<usize>,
    at: usize,
}

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at += 1;
        let length = self.sizes[self.at % self.sizes.len()].min(bytes.len());
        self.stream.write(&bytes[..length])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn connect_cut(address: SocketAddr, path: &str, sizes: Vec<usize>) -> WebSocket<Cut> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let url = format!("ws://{address}{path}");
    let cut = Cut { stream, sizes, at: 0 };
    tungstenite::client::client_with_config(url, cut, Some(config)).unwrap().0
}

fn connect(address: SocketAddr, path: &str) -> WebSocket<Cut> {
    connect_cut(address, path, vec![usize::MAX])
}

fn fragment(opcode: Data, last: bool, payload: &[u8]) -> Message {
    let mask = Some([1, 2, 3, 4]);
    let header = FrameHeader { is_final: last, opcode: OpCode::Data(opcode), mask, ..FrameHeader::default() };
    Message::Frame(Frame::from_payload(header, payload.to_vec().into()))
}

#[test]
fn text_and_binary_come_back_as_they_were() {
    let served = Served::start(2, |_| {});
    let mut client = connect(served.address, "/o/tungstenite");
    for text in
        ["", "a", "κόσμε", &"x".repeat(125), &"y".repeat(126), &"z".repeat(65_535), &"🦀".repeat(20_000)]
    {
        client.send(Message::text(text)).unwrap();
        assert_eq!(client.read().unwrap(), Message::text(text));
    }
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
        let bytes = vec![length as u8; length];
        client.send(Message::binary(bytes.clone())).unwrap();
        assert_eq!(client.read().unwrap(), Message::binary(bytes));
    }
}

#[test]
fn fragments_are_joined_with_pings_between_them() {
    let served = Served::start(1, |_| {});
    let mut client = connect(served.address, "/o/tungstenite-fragments");
    client.send(fragment(Data::Text, false, "κό".as_bytes())).unwrap();
    client.send(Message::Ping(b"between"[..].into())).unwrap();
    // Within a character.
    client.send(fragment(Data::Continue, false, &"σμε".as_bytes()[..3])).unwrap();
    client.send(fragment(Data::Continue, false, b"")).unwrap();
    client.send(fragment(Data::Continue, true, &"σμε".as_bytes()[3..])).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong(b"between"[..].into()));
    assert_eq!(client.read().unwrap(), Message::text("κόσμε"));
    client.send(fragment(Data::Binary, false, &[7; 100_000])).unwrap();
    client.send(fragment(Data::Continue, true, &[7; 100_000])).unwrap();
    assert_eq!(client.read().unwrap(), Message::binary(vec![7; 200_000]));
}

#[test]
fn closing_both_ways() {
    let served = Served::start(2, |_| {});
    let mut client = connect(served.address, "/o/tungstenite-closes");
    client.close(Some(CloseFrame { code: 4000.into(), reason: "enough".into() })).unwrap();
    let Message::Close(Some(answer)) = client.read().unwrap() else { panic!("no Close") };
    assert_eq!((u16::from(answer.code), answer.reason.as_str()), (4000, "enough"));
    assert!(matches!(client.read().unwrap_err(), tungstenite::Error::ConnectionClosed));

    let mut client = connect(served.address, "/o/tungstenite-is-closed");
    client.send(Message::text("close:4001")).unwrap();
    let Message::Close(Some(close)) = client.read().unwrap() else { panic!("no Close") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4001, "as told"));
    assert!(matches!(client.read().unwrap_err(), tungstenite::Error::ConnectionClosed));
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
}

#[test]
fn large_messages_pass_up_to_the_limit_and_not_beyond() {
    // A message as large as the limit must also fit the bound of what may be queued for its sender.
    let served = Served::start(1, |config| config.limits.output_bytes_per_socket = 33 * MIB);
    let mut client = connect(served.address, "/o/tungstenite-large");
    for size in [MIB, 16 * MIB, 32 * MIB] {
        let bytes: Vec<u8> = (0..size).map(|at| ((at * 31) >> 7) as u8).collect();
        client.send(Message::binary(bytes.clone())).unwrap();
        let Message::Binary(echo) = client.read().unwrap() else { panic!("no binary message") };
        assert!(echo == bytes, "{size} bytes came back otherwise");
    }
    // Decided at the head of the frame: the rest is never sent.
    let header = [&[0x82, 0xff][..], &(32 * MIB as u64 + 1).to_be_bytes(), &[0; 4]].concat();
    client.get_mut().stream.write_all(&header).unwrap();
    let Message::Close(Some(close)) = client.read().unwrap() else { panic!("no Close") };
    assert_eq!(u16::from(close.code), 1009);
}

#[test]
fn a_large_message_reaches_everybody_whole_within_the_default_bound_on_output() {
    let served = Served::start(2, |_| {});
    let mut clients: Vec<_> =
        (0..4).map(|_| connect(served.address, "/o/tungstenite-large-for-all")).collect();
    let message = format!("all:{}", "x".repeat(8 * MIB));
    clients[0].send(Message::text(&message)).unwrap();
    let readers = clients.into_iter().map(|mut client| {
        let expected = message[4..].to_owned();
        thread::spawn(move || assert!(client.read().unwrap().to_text().unwrap() == expected))
    });
    readers.collect::<Vec<_>>().into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn many_clients_at_once_hear_their_own_words() {
    let served = Served::start(2, |_| {});
    let address = served.address;
    let clients = (0..8).map(|thread| {
        thread::spawn(move || {
            let mut sockets: Vec<_> = (0..10)
                .map(|socket| connect(address, &format!("/o/many-{}", (thread + socket) % 7)))
                .collect();
            for round in 0..50 {
                for (index, socket) in sockets.iter_mut().enumerate() {
                    socket.send(Message::text(format!("{thread} {index} {round}"))).unwrap();
                }
                for (index, socket) in sockets.iter_mut().enumerate() {
                    assert_eq!(socket.read().unwrap(), Message::text(format!("{thread} {index} {round}")));
                }
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
}

#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Fragments(Vec<Vec<u8>>),
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = |max: usize| proptest::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        "[a-zα-ω🦀-🦔]{0,300}".prop_map(Said::Text),
        bytes(3_000).prop_map(Said::Binary),
        bytes(126).prop_map(Said::Ping),
        proptest::collection::vec(bytes(700), 2..6).prop_map(Said::Fragments),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said_and_however_it_is_cut_comes_back(
        conversation in proptest::collection::vec(said(), 1..20),
        sizes in proptest::collection::vec(prop_oneof![1usize..10, 10usize..2_000], 1..20),
        shards in 1usize..3,
    ) {
        // Each case has an engine of its own, so that one's damage is not another's.
        let served = Served::start(shards, |config| config.limits.control_frames_per_second = 10_000);
        let mut client = connect_cut(served.address, "/o/cut-at-random", sizes);
        for said in &conversation {
            match said {
                Said::Text(text) => client.send(Message::text(text)).unwrap(),
                Said::Binary(bytes) => client.send(Message::binary(bytes.clone())).unwrap(),
                Said::Ping(bytes) => client.send(Message::Ping(bytes.clone().into())).unwrap(),
                Said::Fragments(parts) => {
                    for (at, part) in parts.iter().enumerate() {
                        let opcode = if at == 0 { Data::Binary } else { Data::Continue };
                        client.send(fragment(opcode, at + 1 == parts.len(), part)).unwrap();
                    }
                }
            }
        }
        let (mut messages, mut pongs) = (Vec::new(), Vec::new());
        for _ in &conversation {
            match client.read().unwrap() {
                Message::Pong(bytes) => pongs.push(Message::Ping(bytes)),
                message => messages.push(message),
            }
        }
        let expected = |said: &Said| match said {
            Said::Text(text) => Message::text(text),
            Said::Binary(bytes) => Message::binary(bytes.clone()),
            Said::Ping(bytes) => Message::Ping(bytes.clone().into()),
            Said::Fragments(parts) => Message::binary(parts.concat()),
        };
        // A pong may overtake the echo of a message: the one is the engine's, the other the object's.
        let (pings, others): (Vec<_>, Vec<_>) = conversation.iter().map(expected).partition(Message::is_ping);
        prop_assert_eq!(messages, others);
        prop_assert_eq!(pongs, pings);
        drop(client);
        served.stop(PATIENCE);
    }
}
