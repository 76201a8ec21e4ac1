//! The server's half of RFC 6455, as little of it as the tests need, and strict: what the generator does
//! wrong panics, which the tests see as a connection that ended.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

/// A message or control frame from the generator.
pub struct Received {
    /// The opcode.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

/// Reads the request; returns the path and the `Sec-WebSocket-Accept` it deserves. `None` if there is none.
pub fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let path = lines[0].strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap();
    for header in ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"] {
        assert!(lines.iter().any(|line| line == header), "no {header}");
    }
    assert!(lines.iter().any(|line| line.starts_with("Host: ")));
    let key = lines.iter().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
    let mut hash = sha1_smol::Sha1::new();
    hash.update(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    Some((path.to_owned(), STANDARD.encode(hash.digest().bytes())))
}

/// The answer that accepts.
pub fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Reads one frame; `None` at the end of the stream.
pub fn read_frame(reader: &mut impl Read) -> Option<Received> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    assert_eq!(head[0] & 0xf0, 0x80, "the generator sends final frames without reserved bits");
    assert_eq!(head[1] & 0x80, 0x80, "RFC 6455 5.1: a client masks");
    let length = match head[1] & 0x7f {
        126 => {
            let mut bytes = [0; 2];
            reader.read_exact(&mut bytes).ok()?;
            u64::from(u16::from_be_bytes(bytes))
        }
        127 => {
            let mut bytes = [0; 8];
            reader.read_exact(&mut bytes).ok()?;
            u64::from_be_bytes(bytes)
        }
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    let opcode = head[0] & 0x0f;
    assert!(opcode != 1 || std::str::from_utf8(&payload).is_ok(), "text must be UTF-8");
    Some(Received { opcode, payload })
}

/// A server's frame. `first` is the first byte: FIN and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(short as u8),
        medium @ 126..0x1_0000 => {
            bytes.push(126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}
