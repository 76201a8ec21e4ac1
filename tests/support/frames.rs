//! Frames as a client writes and reads them, coded anew: a fault of `wire` must not hide itself.

/// What a server's frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason; 1005 when the frame has no code.
    Close(u16, String),
    /// The end of the stream.
    Fin,
    /// A reset: what was on its way may be lost.
    Reset,
}

pub fn text(text: impl Into<String>) -> Heard {
    Heard::Text(text.into())
}

pub fn closed(code: u16, reason: &str) -> Heard {
    Heard::Close(code, reason.to_owned())
}

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// RFC 6455 5.2: one frame of a client, masked. `first` is FIN, RSV and opcode.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A client's Close; `None` is an empty one.
pub fn client_close(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend(code.to_be_bytes());
        payload.extend(reason.as_bytes());
    }
    client_frame(0x80 | CLOSE, &payload)
}

/// The first frame of what a server has sent and its length, once it is whole.
///
/// # Panics
/// When the server broke RFC 6455 5.1, 5.2 or 5.5, or sent a fragment, which this one never does.
pub fn server_frame(bytes: &[u8]) -> Option<(Heard, usize)> {
    let (first, payload, length) = raw_frame(bytes)?;
    assert_eq!(first & 0x70, 0, "no extension was negotiated");
    Some((meaning(first, payload), length))
}

/// The same by its first byte and its payload, whatever its reserved bits say.
pub fn raw_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0x80, 0x80, "the server does not fragment");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (start, length) = match second & 0x7F {
        126 => {
            let length = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()));
            assert!(length > 125, "a length in its shortest form");
            (4, length)
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            assert!(length > 65_535 && length < 1 << 40, "a length in its shortest form, and possible");
            (10, length as usize)
        }
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    assert!(first & 0x0F < 8 || length <= 125, "a control frame has at most 125 bytes");
    Some((first, payload, start + length))
}

/// What a frame says, once its payload is plain.
pub fn meaning(first: u8, payload: Vec<u8>) -> Heard {
    match first & 0x0F {
        TEXT => Heard::Text(String::from_utf8(payload).expect("text is UTF-8")),
        BINARY => Heard::Binary(payload),
        PING => Heard::Ping(payload),
        PONG => Heard::Pong(payload),
        CLOSE if payload.is_empty() => Heard::Close(1005, String::new()),
        CLOSE => {
            let code = u16::from_be_bytes(payload[..2].try_into().expect("a close code has two bytes"));
            assert!(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), "{code} may not be sent");
            Heard::Close(code, String::from_utf8(payload[2..].to_vec()).expect("a reason is UTF-8"))
        }
        other => panic!("opcode {other}"),
    }
}
