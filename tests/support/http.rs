//! Requests as a client writes them and responses as it reads them.

/// The key of RFC 6455 1.3 and what a server must answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An opening handshake.
pub fn upgrade(target: &str, extra: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

/// A request without a body.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

/// A request with a body.
pub fn post(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: example.com\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A response, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Takes the first response out of what a server has sent, once it is whole.
pub fn take_reply(bytes: &mut Vec<u8>) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut reply = Reply { status, head, body: String::new() };
    let length = reply.header("Content-Length").map_or(0, |length| length.parse().expect("a length"));
    let body = bytes.get(end..end + length)?.to_vec();
    bytes.drain(..end + length);
    reply.body = String::from_utf8(body).expect("bodies of these tests are text");
    Some(reply)
}
